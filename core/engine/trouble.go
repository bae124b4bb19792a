package engine

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/duroxide/duroxide/core/store"
)

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
