package client

import (
	"maps"
	"slices"
	"time"

	"github.com/duroxide/duroxide/core/history"
)

// When another process has written, any wait may have something to look at. A few look each by itself. Many would take
// the machine from that process, which writes a thousand times in a second: for them one read tells which instances have
// changed, and it is not made again before a while has gone by.

const (
	// fewWaits are told at once.
	fewWaits = 16
	// sweepRest is how long nothing is read after a sweep, as a multiple of the time that it took.
	sweepRest = 4
)

// sweep is what the hub knows of the instances that are waited for. Guarded by the hub's mutex.
type sweep struct {
	known map[string]history.Token // as of the last sweep; zero: there was none
	runs  bool
	again bool // something was written since the sweep under way began
}

// elsewhereLocked wakes the waits that the writes of another process may concern.
func (h *hub) elsewhereLocked() {
	switch {
	case h.closed:
	case h.turns == nil || len(h.waits) <= fewWaits:
		h.signalAllLocked()
	case h.sweep.runs:
		h.sweep.again = true
	default:
		h.sweep.runs = true
		h.sweeps.Go(h.sweepAll)
	}
}

func (h *hub) signalAllLocked() {
	for _, waits := range h.waits {
		for w := range waits {
			w.signal()
		}
	}
}

// sweepAll reads until nothing was written since the last read began.
func (h *hub) sweepAll() {
	for again := true; again; {
		began := time.Now()
		h.sweepOnce()
		rest := time.NewTimer(sweepRest * time.Since(began))
		select {
		case <-rest.C:
		case <-h.ctx.Done():
			rest.Stop()
			return
		}
		h.mu.Lock()
		again = h.sweep.again
		h.sweep.again, h.sweep.runs = false, again
		h.mu.Unlock()
	}
}

// sweepOnce wakes the waits for instances that have another turn than at the last sweep, or were not in it.
func (h *hub) sweepOnce() {
	h.mu.Lock()
	instances := slices.Collect(maps.Keys(h.waits))
	h.mu.Unlock()
	turns, err := h.turns.Turns(h.ctx, instances)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.signalAllLocked() // they find out what is wrong, and how long to wait for it
		return
	}
	for _, instance := range instances {
		waits := h.waits[instance]
		if len(waits) == 0 {
			continue
		}
		turn := turns[instance]
		if known, swept := h.sweep.known[instance]; swept && known == turn {
			continue
		}
		h.sweep.known[instance] = turn
		for w := range waits {
			w.signal()
		}
	}
}
