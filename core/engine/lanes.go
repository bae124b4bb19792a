package engine

import (
	"cmp"
	"slices"
	"sync/atomic"

	"github.com/duroxide/duroxide/core/park"
)

// lane is a thread of the host, lent through RunLane.
type lane struct {
	id   int64
	kind LaneKind
	host Host
	wake park.Spot
	// step is when the user code that runs now was entered (see Runtime.now); 0 = none runs.
	step atomic.Int64

	// Guarded by the runtime's mutex.
	wokenFor wokenFor
	role     bool // takes turns
	slow     bool // its turn takes so long that another lane may take turns
	stuck    bool // reported by the watchdog
	over     bool // it ends when its user code returns
	replaced bool // for it there is another in its place; counted in spares
	session  *session
	turnOf   *instance // in user code for a turn of it
	job      *job      // that runs now
	ran      *instance // whose activity ran last, right before now
}

type wokenFor uint8

const (
	wokenForNothing wokenFor = iota
	wokenForTurns
	wokenForJobs
)

// user runs user code on the lane under the watchdog's clock.
func (r *Runtime) user(l *lane, run func()) {
	l.step.Store(r.now())
	defer l.step.Store(0)
	run()
}

// inUserSince tells how long the lane has been in user code; 0 when it is not.
func (r *Runtime) inUserSince(l *lane, now int64) int64 {
	if entered := l.step.Load(); entered != 0 && now > entered {
		return now - entered
	}
	return 0
}

// Supervise parks the calling thread until a lane is wanted, or until the runtime has stopped (LaneEnd). One thread
// calls it at a time.
func (r *Runtime) Supervise() LaneRequest {
	for {
		r.mu.Lock()
		switch {
		case r.phase == phaseEnded:
			r.mu.Unlock()
			kick(r.superviseKick) // whoever asks again is told again
			return LaneRequest{Kind: LaneEnd}
		case r.laneRequests.len() > 0:
			req := r.laneRequests.pop()
			r.mu.Unlock()
			return req
		}
		r.mu.Unlock()
		<-r.superviseKick
	}
}

func (r *Runtime) requestLaneLocked(kind LaneKind) {
	r.nextLane++
	if kind == LaneGeneral {
		r.generals++
	}
	r.laneRequests.push(LaneRequest{ID: r.nextLane, Kind: kind})
	kick(r.superviseKick)
}

// RunLane lends the calling thread to the runtime. It returns when the lane is to end; the thread must then end too.
func (r *Runtime) RunLane(req LaneRequest, host Host) {
	l := &lane{id: req.ID, kind: req.Kind, host: host}
	r.mu.Lock()
	if r.phase == phaseEnded {
		r.mu.Unlock()
		return
	}
	r.lanes[l.id] = l
	if l.kind == LaneSession {
		r.attachSessionLocked(l)
	}
	r.mu.Unlock()
	defer r.dropLane(l)

	if l.kind == LaneSession {
		r.runSessionLane(l)
		return
	}
	for {
		j, more := r.next(l)
		switch {
		case !more:
			r.forgetLate(l)
			return
		case j != nil:
			r.runJob(l, j)
		default:
			r.takeTurns(l)
		}
	}
}

// forgetLate closes what a lane brings back that returns from user code when the runtime has ended.
func (r *Runtime) forgetLate(l *lane) {
	r.mu.Lock()
	var ids []ExecutionID
	if r.phase == phaseEnded {
		ids, r.forgets = r.forgets, nil
	}
	r.mu.Unlock()
	for _, id := range ids {
		r.user(l, func() { l.host.Forget(id) })
	}
}

// dropLane also runs when the host's thread leaves by a panic: its work is given to others then, and the lane replaced.
func (r *Runtime) dropLane(l *lane) {
	r.mu.Lock()
	delete(r.lanes, l.id)
	switch {
	case l.replaced:
		r.spares--
	case l.kind == LaneGeneral:
		r.generals--
	}
	r.dropRoleLocked(l)
	died := false
	if j := l.job; j != nil {
		died = true
		delete(r.runs, j.run)
		if !j.released {
			r.releasePermitLocked(j)
		}
		j.lane = nil
		if j.state == jobRunning && !j.dropped && j.epoch == r.epoch {
			r.settleLocked(settling{job: j})
		} else {
			r.goneLocked(j)
		}
	}
	if inst := l.turnOf; inst != nil {
		died = true
		var taken []*job
		for _, j := range r.claimed {
			if j.inst == inst && j.state == jobTaken {
				taken = append(taken, j)
			}
		}
		slices.SortFunc(taken, func(a, b *job) int { return cmp.Compare(a.ended, b.ended) })
		r.refusedLocked(&step{inst: inst, live: inst.live, results: taken, epoch: r.epoch})
	}
	if died && r.phase == phaseRunning && !l.over {
		if l.kind == LaneGeneral {
			r.requestLaneLocked(LaneGeneral)
		} else if l.session != nil && !l.session.over {
			r.replaceSessionLaneLocked(l.session)
		}
	}
	r.spreadLocked()
	r.mu.Unlock()
	kick(r.drainKick)
}

// next parks a general lane until it has something to do: an activity, or (nil) the turn role. False: the lane ends.
func (r *Runtime) next(l *lane) (*job, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		switch {
		case r.phase == phaseEnded || l.over:
			return nil, false
		case r.canTurnLocked():
			r.roles++
			l.role, l.slow = true, false
			if r.ready.len() > 1 { // one is for this lane
				r.spreadTurnsLocked()
			}
			r.spreadJobsLocked()
			return nil, true
		case r.canRunLocked():
			j := r.jobs.pop()
			r.beginJobLocked(l, j)
			r.spreadLocked()
			return j, true
		}
		l.ran = nil
		r.idle = append(r.idle, l)
		r.restLocked()
		r.mu.Unlock()
		l.wake.Wait()
		r.mu.Lock()
		switch l.wokenFor {
		case wokenForTurns:
			r.turnWake = false
		case wokenForJobs:
			r.jobWakes--
		case wokenForNothing:
		}
		l.wokenFor = wokenForNothing
	}
}

// wakeLaneLocked wakes the lane that parked last: its thread is the warmest.
func (r *Runtime) wakeLaneLocked(what wokenFor) bool {
	n := len(r.idle)
	if n == 0 {
		return false
	}
	l := r.idle[n-1]
	r.idle[n-1] = nil
	r.idle = r.idle[:n-1]
	l.wokenFor = what
	l.wake.Wake()
	r.meters.lanesWoken.Add(1)
	return true
}

// replaceLaneLocked gives up a lane that does not come back from user code and asks for another in its place.
func (r *Runtime) replaceLaneLocked(l *lane) bool {
	if l.over || r.spares >= r.timing.maxSpares || r.phase != phaseRunning {
		return false
	}
	l.over, l.replaced = true, true
	r.spares++
	if l.kind == LaneGeneral {
		r.generals--
		r.requestLaneLocked(LaneGeneral)
	}
	return true
}
