package engine

import (
	"context"
	"time"

	"github.com/duroxide/duroxide/core/store"
)

// Shutdown stops taking work, waits up to timeout for what runs, gives the rest back uncounted, ends all lanes and
// leaves the store as a node. It reports whether everything was drained. Idempotent; callers that come meanwhile wait, and
// the one with the least time decides. A lane whose user code never returns is left behind: its thread ends when it does.
func (r *Runtime) Shutdown(timeout time.Duration) (drained bool) {
	deadline := time.Now().Add(timeout)
	r.mu.Lock()
	switch {
	case r.phase == phaseNew:
		r.phase = phaseEnded
		r.drained = true
		close(r.ended)
		r.mu.Unlock()
		kick(r.superviseKick)
		return true
	case r.phase != phaseRunning:
		if deadline.Before(r.drainBy) {
			r.drainBy = deadline
			kick(r.drainKick)
		}
		r.mu.Unlock()
		<-r.ended
		return r.drained
	}
	r.phase, r.drainBy = phaseDraining, deadline
	for _, inst := range r.instances {
		waiting := inst.inbox
		inst.inbox = nil
		for _, j := range waiting {
			r.settleLocked(settling{job: j, result: true})
		}
	}
	r.mu.Unlock()

	r.drained = r.waitFor(&r.drainBy, r.quietLocked)
	r.mu.Lock()
	r.phase = phaseClosing
	r.verifies = nil
	for at := r.live.order.Front(); at != nil; {
		e := executionAt(at)
		at = at.Next()
		if !busyState(e) { // else it is forgotten when its turn is over
			r.forgetLocked(e)
		}
	}
	r.spreadLocked()
	r.mu.Unlock()
	// Closing generators is user code too: it gets a moment even when the time is over.
	closing := time.Now().Add(closingTime)
	r.waitFor(&closing, func() bool { return len(r.forgets) == 0 && r.roles == 0 })

	r.mu.Lock()
	r.phase = phaseEnded
	for _, l := range r.lanes {
		if l.kind == LaneSession {
			l.wake.Wake()
		}
	}
	for r.wakeLaneLocked(wokenForNothing) { // wakes all that are parked
	}
	r.mu.Unlock()
	kick(r.superviseKick)
	closing = time.Now().Add(closingTime)
	r.waitFor(&closing, func() bool {
		for _, l := range r.lanes {
			if l.step.Load() == 0 {
				return false
			}
		}
		return true
	})
	r.leave()
	close(r.done)
	// What is under way in the store is waited for, but a store that is away is not.
	patience := leaveTime
	if r.isExiting() {
		patience = exitLeaveTime
	}
	giveUp := time.AfterFunc(patience, r.cancel)
	r.owned.Wait()
	giveUp.Stop()
	r.mu.Lock()
	for _, s := range r.pending {
		r.endBeginLocked(s.inst, store.ErrNotBegun)
	}
	r.mu.Unlock()
	r.flushLogs()
	if node := r.nodeID(); node != "" {
		ctx, stop := context.WithTimeout(context.Background(), patience)
		if err := r.store.Leave(ctx, node); err != nil {
			r.storeFailed("leave the store", err)
		}
		stop()
	}
	r.cancel()
	r.logf("info", "runtime stopped")
	close(r.ended)
	return r.drained
}

const (
	closingTime   = 500 * time.Millisecond
	leaveTime     = 3 * time.Second
	exitLeaveTime = 500 * time.Millisecond // when the process is ending
)

// quietLocked: nothing runs and nothing waits for the store.
func (r *Runtime) quietLocked() bool {
	if r.running > 0 || r.roles > 0 || len(r.pending) > 0 || r.held > 0 || r.inflight > 0 || r.unsettled > 0 || len(r.verifies) > 0 {
		return false
	}
	for _, l := range r.lanes {
		if l.turnOf != nil {
			return false
		}
	}
	return true
}

// waitFor waits until a condition on the scheduling state holds. The deadline is guarded by the mutex and may move.
func (r *Runtime) waitFor(deadline *time.Time, holds func() bool) bool {
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		r.mu.Lock()
		ok := holds()
		if !ok {
			r.spreadLocked()
		}
		left := time.Until(*deadline)
		r.mu.Unlock()
		if ok || left <= 0 {
			return ok
		}
		wait.Reset(left)
		select {
		case <-r.drainKick:
		case <-wait.C:
		}
	}
}

func (r *Runtime) isExiting() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.exiting
}

// Exiting tells that the process is ending: from here on only successes are committed, failed activities go back
// uncounted and no new turn is taken, since user code gets errors from the dying interpreter.
func (r *Runtime) Exiting() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.exiting = true
	r.verifies = nil
}
