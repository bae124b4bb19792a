package engine

import (
	"slices"
	"time"

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
		if r.commit(nil, steps, turns) {
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
	if n == 0 || n >= r.timing.gatherTurns || r.phase != phaseRunning || !r.streamsLocked(now) || slices.ContainsFunc(r.pending, (*step).begins) {
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

// commit makes a group durable and takes what the store answers. A lane that commits by itself looks for work right after
// that: none is woken for what it will take. False: the store failed and the group waits in front of the committer to be
// tried again.
func (r *Runtime) commit(by *lane, steps []*step, turns []store.Turn) bool {
	r.mu.Lock()
	node, jobNews := r.node, r.jobNews
	r.mu.Unlock()
	ctx := r.ctx
	if by != nil {
		ctx = r.laneCtx
	}
	begun := r.now()
	results, err := r.store.CommitTurns(ctx, node, turns)
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
		if !r.bornLocked(s, res.Err, res.LostJobs) {
			continue
		}
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
	if by == nil {
		r.spreadLocked()
	} else {
		r.spreadSessionsLocked()
	}
	r.mu.Unlock()
	if said {
		r.flushLogs()
	}
	return true
}
