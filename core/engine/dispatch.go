package engine

import (
	"slices"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

// turnRoles is how many lanes may run turns at once: where threads share one interpreter lock, more than one only
// adds waiting for it.
func (r *Runtime) turnRoles() int {
	if r.opt.ParallelTurns {
		return r.opt.OrchestrationConcurrency
	}
	return 1
}

// canTurnLocked: the turn role is to be had and there is something to do with it.
func (r *Runtime) canTurnLocked() bool {
	if r.roles >= r.turnRoles() {
		return false
	}
	if len(r.forgets) > 0 {
		return true
	}
	if r.phase != phaseRunning && r.phase != phaseDraining {
		return false
	}
	return r.mayTurnLocked() || r.mayVerifyLocked()
}

// mayTurnLocked: an instance is ready and may run now.
func (r *Runtime) mayTurnLocked() bool {
	return r.ready.len() > 0 && r.phase == phaseRunning && !r.exiting && r.node != "" && len(r.pending) < r.timing.maxPending
}

// mayStartLocked: claimed jobs may be started at all.
func (r *Runtime) mayStartLocked() bool {
	r.noticeJumpLocked()
	return r.phase == phaseRunning && !r.exiting && r.node != "" && !r.trouble.on && !r.lease.doubtful &&
		r.unsettled < r.timing.maxResults && r.unsettledBytes < r.timing.maxResultBytes
}

// canRunLocked: a job waits and a permit is free.
func (r *Runtime) canRunLocked() bool {
	return r.jobs.len() > 0 && r.running < r.opt.WorkerConcurrency && r.mayStartLocked()
}

// spreadLocked wakes lanes for work that nobody is about to take. Whoever adds work, or leaves with some of it, calls
// it; a lane that is about to call next need not.
func (r *Runtime) spreadLocked() {
	r.spreadTurnsLocked()
	r.spreadJobsLocked()
}

func (r *Runtime) spreadTurnsLocked() {
	if r.canTurnLocked() {
		if !r.turnWake {
			r.turnWake = r.wakeLaneLocked(wokenForTurns)
		}
		if r.lacksTurnLaneLocked() {
			r.armTickLocked()
		}
	} else if r.ready.len() > 0 && r.roles > 0 {
		r.armTickLocked()
	}
}

func (r *Runtime) spreadJobsLocked() {
	r.spreadSessionsLocked()
	if r.canRunLocked() && r.jobs.len() > r.jobWakes {
		// Two lanes do more short activities than eight; the tick wakes more when these turn out to be long.
		if r.running-r.long+r.jobWakes < 2 && r.wakeLaneLocked(wokenForJobs) {
			r.jobWakes++
		}
		r.armTickLocked()
	}
}

// tickLocked looks for work that waits behind user code that takes long, and reports whether to look again.
func (r *Runtime) tickLocked() bool {
	now := r.now()
	for _, l := range r.lanes {
		since := r.inUserSince(l, now)
		if l.role && !l.slow && since > int64(r.timing.slowStep) {
			l.slow = true
			r.roles--
		}
	}
	if r.canTurnLocked() && !r.turnWake {
		r.turnWake = r.wakeLaneLocked(wokenForTurns)
	}
	for _, l := range r.lanes {
		if j := l.job; j != nil && now-j.begun > int64(r.timing.longActivity) {
			r.longLocked(j)
		}
	}
	if r.lacksTurnLaneLocked() {
		r.growLocked()
	}
	if r.canRunLocked() && r.running-r.long+r.jobWakes < 2 {
		// As many again as run: with activities that wait, all permits are in use after three looks.
		for range max(2, r.running-r.detached) {
			if r.jobs.len() <= r.jobWakes || r.running+r.jobWakes >= r.opt.WorkerConcurrency || !r.wakeLaneLocked(wokenForJobs) {
				break
			}
			r.jobWakes++
		}
		r.growLocked()
	}
	return (r.ready.len() > 0 && r.roles > 0) || r.canRunLocked() || r.lacksTurnLaneLocked()
}

// longLocked: an activity stays in user code for so long that another may run beside it.
func (r *Runtime) longLocked(j *job) {
	if !j.long && !j.released {
		j.long = true
		r.long++
	}
}

// restLocked runs when a lane finds nothing to do: work in the store that no commit will claim is fetched.
func (r *Runtime) restLocked() {
	if r.moreJobs && r.ready.len() == 0 && len(r.pending) == 0 && r.inflight == 0 && r.freeSlotsLocked() > 0 && r.mayStartLocked() {
		r.scout.jobs = true
		kick(r.scoutKick)
	}
	if r.scout.moreReady && r.ready.len() < r.timing.maxGroup {
		r.scout.want(askMore)
		kick(r.scoutKick)
	}
	if r.phase >= phaseDraining {
		kick(r.drainKick)
	}
}

// freeSlotsLocked is how many more jobs this node may claim: free permits, and with short activities so many ahead as
// are done in the time of a few commits.
func (r *Runtime) freeSlotsLocked() int {
	if !r.mayStartLocked() {
		return 0
	}
	ahead := 0
	if r.average > 0 && !r.stalled {
		ahead = int(float64(r.timing.prefetch) / r.average * float64(min(2, r.opt.WorkerConcurrency)))
	}
	free := r.opt.WorkerConcurrency - r.running + min(ahead, r.timing.maxPrefetch)
	return max(0, free-r.jobs.len()-r.sessions.busy()-r.reserved)
}

// listener hears of writes on the threads of those who write.
type listener struct{ r *Runtime }

// Adopt takes a new instance for this node when it may run at once.
func (w listener) Adopt(name, version string) (store.NodeID, bool) {
	r := w.r
	if _, ok := r.names.resolve(name, version); !ok {
		return "", false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.phase != phaseRunning || r.exiting || r.node == "" || r.ready.len() >= r.timing.maxBacklog {
		return "", false
	}
	return r.node, true
}

// Holds gives life and turn of an instance that waits in memory.
func (w listener) Holds(instance string) (life string, turn history.Token, ok bool) {
	r := w.r
	r.mu.Lock()
	defer r.mu.Unlock()
	inst := r.instances[instance]
	if r.phase != phaseRunning || inst == nil || inst.state != idle || inst.live == nil || inst.reload {
		return "", history.Token{}, false
	}
	return inst.live.life, inst.live.turn, true
}

// Wake takes the news of a commit. It runs on the thread of whoever wrote, which may be a lane of this runtime.
func (w listener) Wake(news store.Wake) {
	r := w.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.phase != phaseRunning {
		return
	}
	if news.Started != nil {
		r.adoptedLocked(news.Started)
	}
	for _, id := range news.Ready {
		if news.Started != nil && news.Started.Instance == id || r.loadedLocked(id, news.Loaded) || r.deliveredLocked(id, news.Delivered) {
			continue
		}
		r.newsLocked(id)
	}
	for _, d := range news.Due {
		r.dueLocked(d.Instance, d.Due)
	}
	if news.Jobs {
		r.jobNews++
		r.moreJobs = true
		r.restLocked()
	}
	for _, ref := range news.LostJobs {
		r.lostLocked(ref)
	}
	if news.Tells(store.KindJobs) {
		r.jobNews++
		r.moreJobs = true
		r.scout.jobs = true
		kick(r.scoutKick)
	}
	if news.Tells(store.KindReady) {
		r.scout.want(askElsewhere)
		kick(r.scoutKick)
	}
	if news.Notice != "" {
		r.logLocked("warn", news.Notice, "store", r.store.Describe())
	}
	r.spreadLocked()
}

// adoptedLocked takes an instance that a client of this process has started, and this node adopted.
func (r *Runtime) adoptedLocked(s *store.Snapshot) {
	r.noteStartLocked(s.Instance)
	if r.storedLocked(r.instanceLocked(s.Instance), s) {
		return // its turn is here already
	}
	inst := r.instanceLocked(s.Instance)
	inst.awarded = true
	if inst.state == idle && inst.live == nil {
		inst.snapshot = s
	} else {
		inst.reload = true
	}
	if s.NextDue > 0 {
		r.dueLocked(s.Instance, s.NextDue)
	}
	if len(s.Messages) > 0 || inst.reload {
		r.readyLocked(inst)
	}
}

// loadedLocked takes the messages of an instance that were read with the write, if nothing has happened to it since.
func (r *Runtime) loadedLocked(id string, loaded []*store.Snapshot) bool {
	inst := r.instances[id]
	if inst == nil || inst.live == nil || inst.state != idle || inst.reload {
		return false
	}
	for _, s := range loaded {
		if s.Instance != id || s.Life != inst.live.life || s.Turn != inst.live.turn || s.Ended || s.Undecodable != "" {
			continue
		}
		inst.untaken = s.Messages
		if s.NextDue > 0 {
			r.dueLocked(id, s.NextDue)
		}
		r.meters.handed.Add(1)
		r.readyLocked(inst)
		return true
	}
	return false
}

// deliveredLocked takes results that were stored for an instance which waits in memory for its next turn. What else waits for
// it in the store comes in with that turn's commit, as it does with results that were not stored.
func (r *Runtime) deliveredLocked(id string, all []store.Delivered) bool {
	inst := r.instances[id]
	if inst == nil || inst.live == nil || inst.snapshot != nil || inst.reload || inst.state != idle && inst.state != ready {
		return false
	}
	var fresh []history.Message
	for i := range all {
		m := &all[i].Message
		if all[i].Instance != id {
			continue
		}
		if m.Life != inst.live.life || m.Execution != inst.live.exec {
			return false
		}
		if !slices.ContainsFunc(inst.untaken, func(known history.Message) bool { return known.Row == m.Row }) {
			fresh = append(fresh, *m)
		}
	}
	if len(fresh) == 0 {
		return false
	}
	inst.untaken = store.Order(append(slices.Clone(inst.untaken), fresh...))
	r.meters.handed.Add(int64(len(fresh)))
	r.readyLocked(inst)
	return true
}

// newsLocked: the store has something new for the instance. One this node does not work on may be another's: the
// store is asked, which knows who committed it last.
func (r *Runtime) newsLocked(id string) {
	inst := r.instances[id]
	if b := r.blocked[id]; b != nil {
		b.lookAt = 0
	}
	if inst == nil {
		r.scout.want(askWoken)
		kick(r.scoutKick)
		return
	}
	inst.reload = true
	r.readyLocked(inst)
}
