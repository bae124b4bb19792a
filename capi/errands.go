package main

import (
	"sync/atomic"
	"time"

	"github.com/duroxide/duroxide/core/park"
)

// errands runs calls for threads that must not be held. The goroutine of the last one waits for the next in the kernel for a
// moment, since calls often follow one another: to begin a goroutine and to wait for it on a channel takes Go several
// changes of threads, on two cores 170 us of a start on PostgreSQL that takes 370 us on the caller's own thread.
type errands struct{ idle atomic.Pointer[runner] }

// runner is a goroutine that runs one call after another.
type runner struct {
	spot park.Spot
	next func()
}

// idleFor is after what time without a call the goroutine ends.
const idleFor = time.Second

// run begins fn. What fn does may wait at spots.
func (e *errands) run(fn func()) {
	r := e.idle.Swap(nil)
	if r == nil {
		r = &runner{next: fn}
		go r.run(e)
		return
	}
	r.next = fn
	r.spot.Wake()
}

func (r *runner) run(e *errands) {
	for {
		r.next()
		r.next = nil
		if !e.idle.CompareAndSwap(nil, r) {
			return // another one waits already
		}
		for !r.spot.WaitFor(idleFor) {
			if e.idle.CompareAndSwap(r, nil) {
				return
			}
		}
	}
}
