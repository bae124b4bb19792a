package engine

import (
	"errors"
	"slices"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// answerLocked takes the store's answer to one turn.
func (r *Runtime) answerLocked(s *step, res *store.TurnResult) {
	switch {
	case res.Err == nil:
		r.appliedLocked(s, res)
	case errors.Is(res.Err, store.ErrNodeLost):
		r.pending = append(r.pending, s)
		r.loseNodeLocked()
	case errors.Is(res.Err, store.ErrJobsLost):
		r.jobsGoneLocked(s, res.LostJobs)
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

// jobsGoneLocked drops those results of a turn whose jobs are no longer this node's.
func (r *Runtime) jobsGoneLocked(s *step, lost []store.JobRef) {
	for _, j := range s.results {
		if slices.Contains(lost, j.JobRef) {
			r.goneLocked(j)
		}
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
	r.discardLocked(s)
	s.inst.reload = true
	r.readyLocked(s.inst)
}

// discardLocked throws a turn away with its user code. Its results are for the next one.
func (r *Runtime) discardLocked(s *step) {
	inst := s.inst
	r.endBeginLocked(inst, store.ErrNotBegun)
	r.clearSuspectTurnLocked(inst)
	if s.live != nil {
		r.forgetLocked(s.live)
	}
	inst.untaken, inst.left, inst.snapshot = nil, nil, nil
	inst.awarded = false
	inst.state = idle
	r.offerAgainLocked(inst, s.results)
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
	claims, current, alone := false, false, len(steps) == 1
	var held []*step // by the node that is there now
	for _, s := range steps {
		r.endCommitLocked(s)
		current = current || s.epoch == r.epoch
		if !r.bornLocked(s, err, nil) {
			continue
		}
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
	case !current, len(steps) == 0 && !lost:
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
	case !unknown && !alone:
		// One of them cannot be stored; alone it does not stop the others.
		for _, s := range steps {
			if s.epoch != r.epoch { // by what became of the one before
				r.voidLocked(s)
				continue
			}
			turns := r.beginCommitLocked([]*step{s})
			r.mu.Unlock()
			r.commit(nil, []*step{s}, turns)
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
	r.endBeginLocked(inst, store.ErrNotBegun)
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
