package engine

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// runCommitter puts the turns that lanes hand over into groups, one commit after another: what is handed over while a
// commit is under way makes the next group.
func (r *Runtime) runCommitter() {
	pause := r.timing.retryFirst
	for {
		r.mu.Lock()
		n := min(len(r.pending), r.timing.maxGroup)
		if left := r.gatherLocked(n); left > 0 {
			r.mu.Unlock()
			more := time.NewTimer(left)
			select {
			case <-r.committerKick:
			case <-more.C:
			case <-r.done:
			}
			more.Stop()
			continue
		}
		var steps []*step
		var turns []store.Turn
		if n > 0 && r.node != "" {
			steps = append(steps, r.pending[:n]...)
			rest := copy(r.pending, r.pending[n:])
			clear(r.pending[rest:])
			r.pending = r.pending[:rest]
			turns = r.beginCommitLocked(steps)
		}
		r.mu.Unlock()
		if len(steps) == 0 {
			select {
			case <-r.committerKick:
				continue
			case <-r.done:
				return
			}
		}
		if r.commit(steps, turns) {
			pause = r.timing.retryFirst
			continue
		}
		if !r.pause(pause) {
			return
		}
		pause = min(pause*2, r.timing.retryMost)
	}
}

// gatherLocked is how long a group that is still small waits for more turns. Where a commit is a round trip or a flush of
// its own, clients that start one instance after another would have to share both with ever so many small commits; each
// of those starts brings a turn in a moment.
func (r *Runtime) gatherLocked(n int) time.Duration {
	now := r.now()
	if n == 0 || n >= r.timing.gatherTurns || r.phase != phaseRunning || !r.streamsLocked(now) {
		r.gatheringSince = 0
		return 0
	}
	if r.gatheringSince == 0 {
		r.gatheringSince = now
	}
	if left := r.timing.gather - time.Duration(now-r.gatheringSince); left > 0 {
		return left
	}
	r.gatheringSince = 0
	return 0
}

// streamsLocked: commits take long, and clients of this process start instances one after another without waiting for
// their ends.
func (r *Runtime) streamsLocked(now int64) bool {
	oldest := r.starts[r.startsNext%len(r.starts)].at
	if r.commitTakes < float64(r.timing.longCommit) || oldest == 0 || now-oldest >= int64(r.timing.stream) {
		return false
	}
	open := 0
	for i := range r.starts {
		if inst := r.instances[r.starts[i].instance]; inst != nil && (inst.state != idle || inst.live != nil || inst.snapshot != nil) {
			open++
		}
	}
	return open >= len(r.starts)/2
}

// started is an instance that a client of this process has started.
type started struct {
	instance string
	at       int64 // see Runtime.now
}

// noteStartLocked notes an instance that a client of this process has started.
func (r *Runtime) noteStartLocked(instance string) {
	r.starts[r.startsNext%len(r.starts)] = started{instance: instance, at: r.now()}
	r.startsNext++
}

// beginCommitLocked shares the node's free slots among the members of a group: to each as many as it has jobs of its
// own, what is left to the last one, for older work of others.
func (r *Runtime) beginCommitLocked(steps []*step) []store.Turn {
	r.inflight++
	r.begun++
	free := r.freeSlotsLocked()
	turns := make([]store.Turn, len(steps))
	for _, s := range steps {
		if s.endsSessionJob() {
			// This commit lets the store give out the session's next job; what was claimed before could not see it.
			r.jobNews++
			r.moreJobs = true
		}
	}
	for i, s := range steps {
		s.claim = 0
		s.expected = s.expected[:0]
		for j := range s.turn.Commit.Starts {
			// So that the wake-up of the write finds the child, and nobody has to ask whose it is.
			start := &s.turn.Commit.Starts[j]
			if _, ok := r.names.resolve(start.Name, start.Version); ok {
				child := r.instanceLocked(start.Instance)
				child.expected++
				s.expected = append(s.expected, child)
			}
		}
		if free > 0 && s.turn.Commit.Status == replay.Running {
			s.claim = min(free, len(s.turn.Commit.Jobs))
			if r.moreJobs && i == len(steps)-1 {
				s.claim = free
			}
		}
		free -= s.claim
		r.reserved += s.claim
		s.turn.Claim = r.claimLocked(s.claim)
		turns[i] = s.turn
	}
	return turns
}

// endsSessionJob reports whether the turn takes the result of a session's job.
func (s *step) endsSessionJob() bool {
	return slices.ContainsFunc(s.results, func(j *job) bool { return j.Session != "" })
}

// commitOverLocked ends a call of CommitTurns; what it counts is counted before the mutex is free again.
func (r *Runtime) commitOverLocked() {
	r.inflight--
	r.answered++
	for _, told := range r.told {
		close(told)
	}
	r.told = nil
}

// settleCounts waits a moment for commits under way: who was told of an end by the store finds it counted.
func (r *Runtime) settleCounts() {
	r.mu.Lock()
	defer r.mu.Unlock()
	patience := time.Now().Add(countPatience)
	for upTo := r.begun; r.answered < upTo; {
		told := make(chan struct{})
		r.told = append(r.told, told)
		r.mu.Unlock()
		select {
		case <-told:
		case <-time.After(time.Until(patience)):
			upTo = 0
		}
		r.mu.Lock()
	}
}

const countPatience = 100 * time.Millisecond

// endCommitLocked takes back what was set aside for a turn's commit.
func (r *Runtime) endCommitLocked(s *step) {
	r.reserved -= s.claim
	for _, child := range s.expected {
		child.expected--
		r.releaseLocked(child)
	}
	s.expected = s.expected[:0]
}

// commit makes a group durable and takes what the store answers. False: the store failed and the group waits in front
// of the committer to be tried again.
func (r *Runtime) commit(steps []*step, turns []store.Turn) bool {
	r.mu.Lock()
	node, jobNews := r.node, r.jobNews
	r.mu.Unlock()
	begun := r.now()
	results, err := r.store.CommitTurns(r.ctx, node, turns)
	took := float64(r.now() - begun)
	r.meters.commits.Add(1)
	if err != nil {
		return r.commitFailed(steps, err)
	}
	r.storeWorks()

	said := false
	r.mu.Lock()
	r.commitTakes += (took - r.commitTakes) / 8
	r.commitOverLocked()
	if steps[len(steps)-1].claim == 0 && slices.ContainsFunc(steps, (*step).endsSessionJob) {
		r.jobNews++
		r.moreJobs = true
	}
	for i, s := range steps {
		r.endCommitLocked(s)
		res := &results[i]
		if res.Err == nil {
			r.meters.countCommit(s.turn.Commit)
			delete(r.blocked, s.inst.id)
			if r.opt.Log != nil && saysSomething(s.turn.Commit) {
				// Here, before the next turn of the instance can begin.
				r.logs = append(r.logs, func() { r.logStep(s) })
				said = true
			}
		}
		if s.epoch != r.epoch {
			r.voidLocked(s)
			continue
		}
		r.answerLocked(s, res)
		if res.Err != nil || s.turn.Commit.Status != replay.Running {
			continue
		}
		if len(s.turn.Commit.Jobs) > 0 && len(res.Jobs) < len(s.turn.Commit.Jobs) {
			r.jobNews++ // a claim under way may have looked before
			r.moreJobs = true
		} else if s.claim > len(res.Jobs) && r.jobNews == jobNews && i == len(steps)-1 {
			r.moreJobs = false
		}
	}
	if r.phase >= phaseDraining {
		kick(r.drainKick)
	}
	r.restLocked()
	r.spreadLocked()
	r.mu.Unlock()
	if said {
		r.flushLogs()
	}
	return true
}

// answerLocked takes the store's answer to one turn.
func (r *Runtime) answerLocked(s *step, res *store.TurnResult) {
	switch {
	case res.Err == nil:
		r.appliedLocked(s, res)
	case errors.Is(res.Err, store.ErrNodeLost):
		r.pending = append(r.pending, s)
		r.loseNodeLocked()
	case errors.Is(res.Err, store.ErrJobsLost):
		for _, ref := range res.LostJobs {
			for _, j := range s.results {
				if j.JobRef == ref {
					r.goneLocked(j)
				}
			}
		}
		r.refusedLocked(s)
	case errors.Is(res.Err, store.ErrFenced):
		r.timersDropLocked(s.inst.id)
		r.refusedLocked(s)
	case store.IsRetryable(res.Err) && !store.IsUnknown(res.Err):
		r.meters.providerErrors.Add(1)
		r.pending = append(r.pending, s)
		kick(r.committerKick)
	case store.IsRefused(res.Err) && s.live != nil:
		r.unstorableLocked(s, res.Err)
	case store.IsUnknown(res.Err) && s.claim > 0:
		r.meters.providerErrors.Add(1)
		r.pending = append(r.pending, s)
		r.loseNodeLocked()
	default:
		r.meters.providerErrors.Add(1)
		r.logLocked("error", "turn could not be stored: "+res.Err.Error(), "instance_id", s.inst.id, "orchestration_name", s.turn.Name)
		r.refusedLocked(s)
		r.delayLocked(s.inst, r.backoffLocked(s.inst))
	}
}

// appliedLocked: the turn is durable. Its jobs run, and what has arrived for the instance leads its next turn.
func (r *Runtime) appliedLocked(s *step, res *store.TurnResult) {
	inst, c := s.inst, s.turn.Commit
	inst.failures, inst.counted = 0, 0
	r.clearSuspectTurnLocked(inst)
	var again []*job
	var left map[int64]bool
	if len(c.Consumed) >= len(s.offered) || c.Status != replay.Running {
		for _, j := range s.results {
			r.goneLocked(j)
		}
	} else {
		again, left = r.sortLeftLocked(s)
	}
	inst.state = idle
	r.addJobsLocked(res.Jobs)
	r.offerAgainLocked(inst, again)
	if res.NextDue > 0 {
		r.dueLocked(inst.id, res.NextDue)
	}
	inst.untaken, inst.left = res.Messages, left
	inst.awarded = false

	if c.Status == replay.Running {
		if e := s.live; e != nil {
			e.turn = s.turn.New
			if !r.keepLocked(e) && inst.live == e {
				r.forgetLocked(e)
			}
		}
	} else {
		if s.live != nil {
			r.verifyLocked(inst.id, s.live)
			r.forgetLocked(s.live)
		}
		r.dropInboxLocked(inst)
		if c.Status == replay.ContinuedAsNew && c.Next != nil {
			inst.snapshot = &store.Snapshot{
				Instance: inst.id, Life: s.turn.Life, Turn: s.turn.New, Execution: c.Execution + 1, Name: s.turn.Name,
				Version: c.Next.Version, Events: []history.Event{*c.Next}, NextEventID: 2, Messages: res.Messages,
				Node: r.node,
			}
			if c.Next.Start != nil {
				inst.snapshot.Parent = c.Next.Start.Parent
			}
			inst.left = nil
		} else if c.Status != replay.ContinuedAsNew {
			inst.untaken, inst.left = nil, nil
			r.timersDropLocked(inst.id)
		}
	}
	more := inst.reload || len(inst.inbox) > 0
	for i := range inst.untaken {
		more = more || !inst.left[inst.untaken[i].Row]
	}
	switch {
	case more:
		r.readyLocked(inst)
	case inst.snapshot != nil: // the next execution's continue message has been lost from sight
		inst.reload = true
		r.readyLocked(inst)
	}
	r.releaseLocked(inst)
}

// sortLeftLocked finds what a turn was offered and did not take: results go to the next turn, stored messages wait for
// a turn that has another reason.
func (r *Runtime) sortLeftLocked(s *step) (again []*job, left map[int64]bool) {
	consumed := s.turn.Commit.Consumed
	jobs, rows := make(map[int64]bool, len(s.results)), make(map[int64]bool, len(consumed))
	for i := range consumed {
		if m := &consumed[i]; m.JobID != 0 {
			jobs[m.JobID] = true
		} else {
			rows[m.Row] = true
		}
	}
	for _, j := range s.results {
		if jobs[j.ID] {
			r.goneLocked(j)
		} else {
			again = append(again, j)
		}
	}
	left = map[int64]bool{}
	for i := range s.offered {
		if m := &s.offered[i]; m.JobID == 0 && !rows[m.Row] {
			left[m.Row] = true
		}
	}
	return again, left
}

// refusedLocked: the store has another turn for the instance, or lost jobs of this one. User code cannot be rewound,
// so it is thrown away and the turn is done again from the store.
func (r *Runtime) refusedLocked(s *step) {
	inst := s.inst
	r.clearSuspectTurnLocked(inst)
	if s.live != nil {
		r.forgetLocked(s.live)
	}
	inst.untaken, inst.left, inst.snapshot = nil, nil, nil
	inst.awarded = false
	inst.state = idle
	r.offerAgainLocked(inst, s.results)
	inst.reload = true
	r.readyLocked(inst)
}

// commitFailed: the store could not do it. A group that was not applied is tried again as it is, since its user code
// stands where the commit says; one whose outcome is unknown is thrown away.
func (r *Runtime) commitFailed(steps []*step, err error) bool {
	unknown, retryable := store.IsUnknown(err), store.IsRetryable(err)
	lost := errors.Is(err, store.ErrNodeLost)
	r.storeFailed("commit turns", err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.commitOverLocked()
	claims := false
	var held []*step // by the node that is there now
	for _, s := range steps {
		r.endCommitLocked(s)
		if s.epoch != r.epoch {
			// Tried again it would be the next node's, which knows nothing of what it claims.
			r.voidLocked(s)
			continue
		}
		claims = claims || s.claim > 0
		held = append(held, s)
	}
	steps = held
	switch {
	case len(steps) == 0:
		return true
	case lost:
		r.pending = append(r.pending, steps...)
		r.loseNodeLocked()
		return true
	case retryable && !unknown:
		r.pending = append(steps[:len(steps):len(steps)], r.pending...)
		kick(r.committerKick)
		return false
	case unknown && claims:
		// The store may hold jobs as claimed by this node that it never heard of: only a new node is rid of them.
		r.pending = append(r.pending, steps...)
		r.loseNodeLocked()
		return true
	case !unknown && len(steps) > 1:
		// One of them cannot be stored; alone it does not stop the others.
		for _, s := range steps {
			if s.epoch != r.epoch { // by what became of the one before
				r.voidLocked(s)
				continue
			}
			turns := r.beginCommitLocked([]*step{s})
			r.mu.Unlock()
			r.commit([]*step{s}, turns)
			r.mu.Lock()
		}
		return true
	}
	for _, s := range steps {
		if store.IsRefused(err) && s.live != nil {
			r.unstorableLocked(s, err)
			continue
		}
		r.refusedLocked(s)
		r.delayLocked(s.inst, r.backoffLocked(s.inst))
	}
	return true
}

// unstorableLocked: what a turn would store can never be stored, so the instance fails: its code would ask for the same
// again and again.
func (r *Runtime) unstorableLocked(s *step, err error) {
	r.refusedLocked(s)
	s.inst.unstorable = err.Error()
	r.spreadLocked()
}

// voidLocked ends a turn that was begun by a node which is no more.
func (r *Runtime) voidLocked(s *step) {
	for _, j := range s.results {
		r.goneLocked(j)
	}
	if s.live != nil {
		r.forgetLocked(s.live)
	}
	inst := s.inst
	r.clearSuspectTurnLocked(inst)
	inst.untaken, inst.left, inst.snapshot, inst.state = nil, nil, nil, idle
	inst.awarded = false
	inst.reload = false
	r.scout.want(askWoken)
	kick(r.scoutKick)
	r.releaseLocked(inst)
}

// dropInboxLocked forgets results that belong to an execution which has ended: its jobs are gone with it.
func (r *Runtime) dropInboxLocked(inst *instance) {
	for _, j := range inst.inbox {
		r.goneLocked(j)
	}
	inst.inbox = nil
}

// backoffLocked gives the pause before an instance is tried again.
func (r *Runtime) backoffLocked(inst *instance) time.Duration {
	inst.failures++
	return jitter(min(r.timing.retryFirst<<min(inst.failures, 12), 30*r.timing.retryMost))
}

func (r *Runtime) backoff(inst *instance) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.backoffLocked(inst)
}

// delayLocked takes a ready instance back for a while.
func (r *Runtime) delayLocked(inst *instance, d time.Duration) {
	if inst.state == ready {
		r.ready.filter(func(o *instance) bool { return o != inst })
		inst.state = idle
	}
	r.clock.retries = append(r.clock.retries, retry{at: r.now() + int64(d), inst: inst})
	r.armClockLocked(r.now() + int64(d))
}

// postponeTurn ends a turn that could not be done now.
func (r *Runtime) postponeTurn(t *turning, d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clearSuspectTurnLocked(t.inst)
	r.offerAgainLocked(t.inst, t.results)
	t.inst.state = idle
	t.inst.reload = true
	r.delayLocked(t.inst, d)
}

// jitter draws between half and one and a half of a pause, so that nodes in the same trouble spread out.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d+1)
}

// trouble is what the log was told about the store.
type trouble struct {
	on    bool
	since time.Time
	// The last error that no retry mends, and when it was logged: the same one is not said every second.
	said   string
	saidAt time.Time
}

const sameErrorPause = time.Minute

// storeFailed counts an error of the store; the log hears once of each time of trouble. No claimed activity is started
// before the store has taken a write again.
func (r *Runtime) storeFailed(what string, err error) {
	r.meters.providerErrors.Add(1)
	if r.ctx.Err() != nil {
		return
	}
	if !store.IsRetryable(err) && !store.IsUnknown(err) {
		r.mu.Lock()
		text := err.Error()
		again := r.trouble.said == text && time.Since(r.trouble.saidAt) < sameErrorPause
		if !again {
			r.trouble.said, r.trouble.saidAt = text, time.Now()
		}
		if !r.trouble.on && !store.IsRefused(err) {
			r.trouble.on, r.trouble.since = true, time.Now()
		}
		r.mu.Unlock()
		if !again {
			r.logf("error", what+": "+text)
		}
		return
	}
	r.mu.Lock()
	first := !r.trouble.on && r.phase != phaseEnded
	if first {
		r.trouble.on, r.trouble.since = true, time.Now()
	}
	r.mu.Unlock()
	if first {
		r.logf("warn", "storage trouble, work is retried: "+what+": "+err.Error())
	} else {
		r.logf("debug", what+": "+err.Error())
	}
}

// storeWorks ends a time of trouble.
func (r *Runtime) storeWorks() {
	r.mu.Lock()
	over := r.trouble.on
	since := r.trouble.since
	if over {
		r.trouble.on = false
		r.restLocked()
		r.spreadLocked()
	}
	r.mu.Unlock()
	if over {
		r.logf("info", "storage works again", "after_ms", strconv.FormatInt(time.Since(since).Milliseconds(), 10))
	}
}
