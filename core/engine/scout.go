package engine

import (
	"errors"
	"time"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

// ask is why the store is asked for instances that are ready.
type ask uint8

const (
	askStart     ask = 1 << iota // a new node: everything that waits
	askWoken                     // a wake-up named an instance that this node does not hold
	askMore                      // the last answer was full
	askElsewhere                 // another process wrote, or a node died
	askLater                     // what was left to another node for a moment
	askPoll                      // no sign of anything: the fall-back
)

// scoutState is what the store is to be asked for.
type scoutState struct {
	ready     ask
	jobs      bool
	moreReady bool
	laterAt   int64    // ask once more then: another node's time to take what it committed last is over
	claimAt   int64    // claim then: jobs given back for a while are due
	release   []string // sessions to be given up
	// told: the store says with each renewal whether there is anything to ask for, so nobody polls.
	told      bool
	waiting   bool  // it said so
	horizonAt int64 // when timers were last listed
}

// heedLocked takes what the store said with a renewal.
func (r *Runtime) heedLocked(w *store.Waiting) {
	r.scout.told = w != nil
	if w == nil {
		return
	}
	r.scout.waiting = w.Ready || w.Jobs
	away := untilDue(w.NextDue, r.store.Now())
	switch {
	case w.Ready,
		// A timer that nobody told of is near, or the list of those in memory may soon be at its end.
		w.NextDue > 0 && away < 2*r.timing.pollFloor,
		w.NextDue > 0 && away < r.timing.horizon && r.now()-r.scout.horizonAt >= int64(r.timing.horizon/2):
		r.scout.want(askPoll)
	}
	r.scout.jobs = r.scout.jobs || w.Jobs
	if r.scout.ready != 0 || r.scout.jobs {
		kick(r.scoutKick)
	}
}

func (s *scoutState) want(why ask) { s.ready |= why }

func (s *scoutState) wantLater(at int64) {
	if s.laterAt == 0 || at < s.laterAt {
		s.laterAt = at
	}
}

func (s *scoutState) claimLater(at int64) {
	if s.claimAt == 0 || at < s.claimAt {
		s.claimAt = at
	}
}

const (
	readyMost     = 128 // instances taken at once, less those that wait here already
	readyLeast    = 8
	affinitySlack = 10 * time.Millisecond
	sessionPause  = 100 * time.Millisecond
	// A node that has much to do itself leaves what another live node has in memory to that one for longer: where all are
	// busy, work that moves costs a replay and gains nothing.
	busyFrom   = 4
	busyLeaves = time.Second
)

// runScout asks the store for work that no commit brings along: what other processes stored, what a start finds, what
// became free.
func (r *Runtime) runScout() {
	wait := time.NewTimer(0)
	defer wait.Stop()
	poll := max(r.opt.PollInterval, r.timing.pollFloor)
	lastPoll, lastLook := r.now(), r.now()
	horizon := r.timing.horizon / 2
	lastHorizon := r.now()
	for {
		select {
		case <-wait.C:
		case <-r.scoutKick:
		case <-r.done:
			return
		}
		now := r.now()
		r.mu.Lock()
		on := r.phase == phaseRunning && r.node != ""
		if r.scout.laterAt != 0 && now >= r.scout.laterAt {
			r.scout.laterAt = 0
			r.scout.want(askLater)
		}
		if r.scout.claimAt != 0 && now >= r.scout.claimAt {
			r.scout.claimAt = 0
			r.scout.jobs = true
			r.moreJobs = true
		}
		told := r.scout.told
		polled := !told && now-lastPoll >= int64(poll)
		if polled || !told && now-lastHorizon >= int64(horizon) {
			r.scout.want(askPoll)
			r.scout.jobs = r.scout.jobs || polled
		}
		why, jobs, release := r.scout.ready, r.scout.jobs, r.scout.release
		r.scout.release = nil
		if on {
			r.scout.ready, r.scout.jobs = 0, false
		}
		running := on && r.running > 0 && now-lastLook >= int64(r.timing.lostJobs)
		r.mu.Unlock()

		if on && len(release) > 0 {
			r.releaseSessions(release)
		}
		if on && why != 0 {
			if polled {
				lastPoll = now
			}
			lastHorizon = now
			r.mu.Lock()
			r.scout.horizonAt = now
			r.mu.Unlock()
			r.findReady(why)
		}
		if on && jobs {
			r.claimJobs(why == askPoll)
		}
		if running {
			lastLook = now
			r.findLost(now)
		}

		now = r.now()
		next := min(lastPoll+int64(poll), lastHorizon+int64(horizon))
		if told {
			next = now + int64(poll)
		}
		r.mu.Lock()
		if r.scout.laterAt != 0 {
			next = min(next, r.scout.laterAt)
		}
		if r.scout.claimAt != 0 {
			next = min(next, r.scout.claimAt)
		}
		if r.running > 0 {
			next = min(next, max(lastLook+int64(r.timing.lostJobs), now+int64(r.timing.lostJobs)/2))
		}
		r.mu.Unlock()
		wait.Reset(max(time.Millisecond, time.Duration(next-now)))
	}
}

// readyBounds: what a node takes and cannot run soon, others find too, and run as well. And while it has much to do it leaves
// others longer what is theirs.
func (r *Runtime) readyBounds() (limit int, leaveMS int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ready.len()+r.jobs.len()+len(r.pending) >= busyFrom {
		leaveMS = busyLeaves.Milliseconds()
	}
	return max(readyLeast, readyMost-r.ready.len()), leaveMS
}

// findReady asks for instances with something to do.
func (r *Runtime) findReady(why ask) {
	limit, leave := r.readyBounds()
	res, err := r.store.Ready(r.ctx, store.ReadyQuery{
		Node: r.nodeID(), Names: r.names.readyNames(), Limit: limit, HorizonMS: r.timing.horizon.Milliseconds(), LeaveMS: leave,
		Skip: func(id string) bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			inst := r.instances[id]
			return inst != nil && inst.state != idle || r.restsBlockedLocked(id)
		},
	})
	if err != nil {
		r.storeFailed("look for ready instances", err)
		r.mu.Lock()
		r.scout.want(why &^ askPoll)
		r.scout.wantLater(r.now() + int64(r.timing.retryMost/4))
		r.mu.Unlock()
		return
	}
	fresh := r.refresh(res.Instances)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.phase != phaseRunning {
		return
	}
	found := int64(0)
	for _, id := range res.Instances {
		inst := r.instanceLocked(id)
		if inst.state != idle {
			continue
		}
		found++
		inst.awarded = true
		if !r.loadedLocked(id, fresh) {
			inst.reload = true
			r.readyLocked(inst)
		}
	}
	if why == askPoll {
		r.meters.foundByPoll.Add(found)
	}
	for _, d := range res.Due {
		r.dueLocked(d.Instance, d.Due)
	}
	r.scout.moreReady = len(res.Instances) >= limit
	if why&(askWoken|askElsewhere) != 0 || leave != 0 {
		// What another live node committed last is left to it for a moment, then it is anybody's that is not busy.
		r.scout.wantLater(r.now() + int64(store.AffinityDelay+affinitySlack))
	}
	r.spreadLocked()
}

// refresh reads the messages of those instances that wait in memory, all at once: lanes would read them one after another,
// while other turns wait. None are given where the store cannot, or fails: then lanes do.
func (r *Runtime) refresh(instances []string) []*store.Snapshot {
	reader, can := r.store.(store.Refresher)
	if !can {
		return nil
	}
	turns := map[string]history.Token{}
	r.mu.Lock()
	for _, id := range instances {
		if inst := r.instances[id]; inst != nil && inst.state == idle && inst.live != nil && !inst.reload {
			turns[id] = inst.live.turn
		}
	}
	r.mu.Unlock()
	if len(turns) == 0 {
		return nil
	}
	fresh, err := reader.Refresh(r.ctx, turns)
	if err != nil {
		r.storeFailed("read messages", err)
		return nil
	}
	return fresh
}

// claimJobs claims jobs outside of a commit.
func (r *Runtime) claimJobs(polled bool) {
	r.mu.Lock()
	limit := r.freeSlotsLocked()
	claim := r.claimLocked(limit)
	news, epoch := r.jobNews, r.epoch
	r.reserved += limit
	r.mu.Unlock()
	var jobs []store.Job
	var err error
	if limit > 0 {
		jobs, err = r.store.ClaimJobs(r.ctx, claim)
		if err != nil {
			r.storeFailed("claim activities", err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reserved -= limit
	if err != nil {
		if store.IsUnknown(err) && epoch == r.epoch {
			r.loseNodeLocked() // jobs may be claimed that this node never heard of
		} else {
			r.scout.claimLater(r.now() + int64(r.timing.retryMost/4))
		}
		return
	}
	if limit == 0 {
		return
	}
	if epoch != r.epoch {
		return // the node that claimed them is no more, and its claims are freed
	}
	if polled {
		r.meters.foundByPoll.Add(int64(len(jobs)))
	}
	if len(jobs) < limit && r.jobNews == news {
		r.moreJobs = false
	}
	r.addJobsLocked(jobs)
	// A commit that met the slots reserved for this call has left its jobs in the store.
	r.restLocked()
	r.spreadLocked()
}

// findLost looks at the rows of running jobs: another process may have cancelled them.
func (r *Runtime) findLost(now int64) {
	var refs []store.JobRef
	r.mu.Lock()
	for _, j := range r.runs {
		if !j.dropped && now-j.begun >= int64(r.timing.lostJobs)/2 {
			refs = append(refs, j.JobRef)
		}
	}
	r.mu.Unlock()
	if len(refs) == 0 {
		return
	}
	lost, err := r.store.LostJobs(r.ctx, refs)
	if err != nil {
		r.storeFailed("look at running activities", err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ref := range lost {
		r.lostLocked(ref)
	}
}

func (r *Runtime) releaseSessions(ids []string) {
	err := r.store.ReleaseSessions(r.ctx, r.nodeID(), ids)
	if err == nil {
		r.mu.Lock()
		r.jobNews++
		r.moreJobs = true
		r.restLocked()
		r.mu.Unlock()
		return
	}
	if errors.Is(err, store.ErrNodeLost) {
		return
	}
	r.storeFailed("release sessions", err)
	r.mu.Lock()
	for _, id := range ids {
		if r.sessions.held[id] == nil {
			r.scout.release = append(r.scout.release, id)
		}
	}
	r.scout.wantLater(r.now() + int64(r.timing.retryMost/4))
	r.mu.Unlock()
}
