package engine

import (
	"time"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

// settling is a job that goes to the store without a turn: with its result, or given back.
type settling struct {
	job     *job
	result  bool // else it is given back, as if it had not been claimed
	delayMS int64
	// replaced: the result could not be stored, a failure that says so goes in its place.
	replaced bool
}

func (r *Runtime) settleLocked(s settling) {
	s.job.state = jobSettling
	r.settles.push(s)
	kick(r.settlerKick)
}

// giveBack returns a claimed job that was not run, uncounted.
func (r *Runtime) giveBack(j *job, pause time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.giveBackLocked(j, pause)
}

func (r *Runtime) giveBackLocked(j *job, pause time.Duration) {
	r.clearSuspectLocked(j)
	r.settleLocked(settling{job: j, delayMS: pause.Milliseconds()})
	r.scout.claimLater(r.now() + int64(pause+affinitySlack))
}

// ageLocked settles results that have waited too long for a turn, and gives the time to look again; 0 = none waits.
func (r *Runtime) ageLocked(now int64) int64 {
	for r.aging.len() > 0 {
		j := r.aging.front()
		if j.state == jobWaiting {
			if at := j.ended + int64(r.timing.resultWait); at > now {
				return at
			}
			r.settleWaitingLocked(j)
		}
		r.aging.pop()
	}
	return 0
}

// settleWaitingLocked takes a result back from its instance's inbox.
func (r *Runtime) settleWaitingLocked(j *job) {
	if inst := j.inst; inst != nil {
		for i, waiting := range inst.inbox {
			if waiting == j {
				inst.inbox = append(inst.inbox[:i], inst.inbox[i+1:]...)
				break
			}
		}
	}
	r.settleLocked(settling{job: j, result: true})
}

// runSettler sends what waits in groups.
func (r *Runtime) runSettler() {
	pause := r.timing.retryFirst
	for {
		r.mu.Lock()
		var batch []settling
		for len(batch) < maxSettled && r.settles.len() > 0 {
			if s := r.settles.pop(); s.job.state == jobSettling {
				batch = append(batch, s)
			}
		}
		r.mu.Unlock()
		if len(batch) == 0 {
			select {
			case <-r.settlerKick:
				continue
			case <-r.done:
				return
			}
		}
		if r.settleBatch(batch) {
			pause = r.timing.retryFirst
			continue
		}
		if !r.pause(pause) {
			return
		}
		pause = min(pause*2, r.timing.retryMost)
	}
}

const maxSettled = 512

// settleBatch reports false when the store failed and the batch waits again.
func (r *Runtime) settleBatch(batch []settling) bool {
	list := make([]store.Settlement, len(batch))
	for i, s := range batch {
		list[i] = store.Settlement{Job: s.job.JobRef, DelayMS: s.delayMS, Counted: !s.job.attempted}
		if s.result {
			list[i].Result = &s.job.result
		}
	}
	_, err := r.store.SettleJobs(r.ctx, list)
	if err != nil {
		r.storeFailed("settle activities", err)
		refused := store.IsRefused(err)
		if refused && len(batch) > 1 {
			for _, s := range batch { // one of them cannot be stored; the others can
				r.settleBatch([]settling{s})
			}
			return true
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, s := range batch {
			switch {
			case s.job.state != jobSettling:
			case s.job.epoch != r.epoch:
				r.goneLocked(s.job)
			case refused && s.result && !s.replaced:
				// A result that can never be stored must not leave its instance waiting for ever.
				r.unsettledBytes -= int64(len(s.job.result.Data))
				s.replaced = true
				s.job.result.Kind, s.job.result.Data = history.MsgActivityFailed, ""
				s.job.result.Failure = &history.Failure{
					Kind: history.Infrastructure, Operation: "settle activity", Message: err.Error(),
					Activity: s.job.Name, Attempt: s.job.Attempt,
				}
				r.settles.push(s)
			default: // it stays claimed until the store takes it
				r.settles.push(s)
			}
		}
		return false
	}
	r.storeWorks()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range batch {
		if s.result {
			r.meters.settledAlone.Add(1)
		}
		if id := s.job.Session; id != "" { // only now the store gives out the session's next job
			r.jobNews++
			r.moreJobs = true
			if r.sessions.held[id] == nil && r.node != "" {
				r.giveUpSessionLocked(id)
			}
		}
		// Whether stored or lost to another claim: the wake-up of the write tells the instance.
		r.goneLocked(s.job)
	}
	r.restLocked()
	if r.phase >= phaseDraining {
		kick(r.drainKick)
	}
	r.spreadLocked()
	return true
}

// pause waits between attempts; false when the runtime ends.
func (r *Runtime) pause(d time.Duration) bool {
	select {
	case <-r.done:
		return false
	case <-time.After(jitter(d)):
		return true
	}
}
