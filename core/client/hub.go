package client

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/park"
	"github.com/duroxide/duroxide/core/store"
)

const (
	firstRetry = 10 * time.Millisecond
	lastRetry  = time.Second
	// headStart is what an instance gets before the first look of a wait, when this client has started it no longer than
	// startFresh ago: its end is told without a look, if it runs in this process.
	headStart = 3 * time.Millisecond
	// startFresh is also for how long the end of an instance, as it was told, is taken for what the store would say. What could
	// change that, a deletion or another start, is told too, by other processes a moment later.
	startFresh = time.Second
	// startsKept bounds those that are remembered for it, and endKept the output of one that has ended since: nobody may
	// ever wait for it.
	startsKept = 1024
	endKept    = 4 << 10
)

// hub tells open waits when their instance changed. It hears everything the store has to say, on the threads of those
// who write, so it only marks and wakes.
type hub struct {
	mu     sync.Mutex
	waits  map[string]map[*waiter]struct{}
	starts map[string]*begun // of a moment ago
	closed bool
	ctx    context.Context //nolint:containedctx // until close
	cancel context.CancelFunc
	leave  func()
	sweep  sweep
	sweeps sync.WaitGroup
	turns  store.TurnReader // nil: the store is none
}

// waiter is one open wait. changed holds at most one signal: any number of changes is one more look. A wait that has its
// thread waits at the spot instead.
type waiter struct {
	instance string
	life     string // of what is waited for, where this client has just started it; else empty
	changed  chan struct{}
	bound    bool // to its thread
	spot     park.Spot
	ended    *store.Status   // as the store told it; guarded by the hub's mutex
	hub      context.Context //nolint:containedctx // until the hub is closed
}

// begun is an instance that this client starts, or has just started.
type begun struct {
	at    time.Time     // the start returned; zero while it is under way
	life  string        // once it has returned
	over  bool          // it has ended since
	ended *store.Status // as what, if that is short
}

// hears of the end of the instance.
func (b *begun) hears(status *store.Status) {
	if isOther(status, b.life) {
		return
	}
	b.over, b.ended = true, nil
	if len(status.Output) <= endKept {
		b.ended = status
	}
}

// isOther reports whether an end is not that of the life: what was told is told without an order, and the instance may
// have been started anew in between.
func isOther(ended *store.Status, life string) bool {
	return life != "" && ended.Life != "" && ended.Life != life
}

func newHub() *hub {
	ctx, cancel := context.WithCancel(context.Background())
	return &hub{
		waits: map[string]map[*waiter]struct{}{}, starts: map[string]*begun{}, ctx: ctx, cancel: cancel,
		sweep: sweep{known: map[string]history.Token{}},
	}
}

// starting is said before the start: its end may be told before the start has returned.
func (h *hub) starting(instance string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.starts) >= startsKept {
		clear(h.starts)
	}
	h.starts[instance] = new(begun)
}

// started is said when the start has returned, with the life of what it started.
func (h *hub) started(instance, life string, is bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if b := h.starts[instance]; b != nil && is {
		b.at, b.life = time.Now(), life
		if b.ended != nil && isOther(b.ended, life) {
			b.over, b.ended = false, nil
		}
	} else {
		delete(h.starts, instance)
	}
}

// join opens a wait. pause is how long news are waited for before the first look.
func (h *hub) join(ctx context.Context, instance string) (w *waiter, pause time.Duration, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, 0, store.ErrClosed
	}
	w = &waiter{instance: instance, changed: make(chan struct{}, 1), bound: park.IsBound(ctx), hub: h.ctx}
	if b := h.starts[instance]; b != nil {
		delete(h.starts, instance)
		w.life = b.life
		if time.Since(b.at) < startFresh {
			if w.ended = b.ended; !b.over && !endsWithin(ctx, 2*headStart) {
				pause = headStart
			}
		}
	}
	if h.waits[instance] == nil {
		h.waits[instance] = map[*waiter]struct{}{}
	}
	h.waits[instance][w] = struct{}{}
	return w, pause, nil
}

// endsWithin reports whether so little time is left that there should be a look at once.
func endsWithin(ctx context.Context, d time.Duration) bool {
	end, ok := ctx.Deadline()
	return ok && time.Until(end) < d
}

func (h *hub) part(w *waiter) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.waits[w.instance], w)
	if len(h.waits[w.instance]) == 0 {
		delete(h.waits, w.instance)
		delete(h.sweep.known, w.instance)
	}
}

// await waits for a change of the instance, or for the pause when it is not 0.
func (w *waiter) await(ctx context.Context, pause time.Duration) error {
	if w.bound {
		return w.awaitBound(ctx, pause)
	}
	var again <-chan time.Time
	if pause > 0 {
		t := time.NewTimer(pause)
		defer t.Stop()
		again = t.C
	}
	select {
	case <-w.changed:
		return nil
	case <-again:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-w.hub.Done():
		return store.ErrClosed
	}
}

func (w *waiter) awaitBound(ctx context.Context, pause time.Duration) error {
	defer context.AfterFunc(ctx, w.spot.Wake)()
	defer context.AfterFunc(w.hub, w.spot.Wake)() //nolint:contextcheck // what ends first
	w.spot.WaitFor(pause)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case w.hub.Err() != nil:
		return store.ErrClosed
	}
	return nil
}

// told gives the status with which the instance ended, if the store has told it since the wait began.
func (h *hub) told(w *waiter) *store.Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	return w.ended
}

func (w *waiter) signal() {
	if w.bound {
		w.spot.Wake()
		return
	}
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// Adopt never takes an instance: a client runs nothing.
func (h *hub) Adopt(string, string) (store.NodeID, bool) { return "", false }

// Wake signals the waits that the news concern. What another process wrote may concern any of them.
func (h *hub) Wake(news store.Wake) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if news.Elsewhere {
		if news.Tells(store.KindChanged) {
			h.forgetEndsLocked()
			h.elsewhereLocked()
		}
		return
	}
	for _, status := range news.Ended {
		if b := h.starts[status.Instance]; b != nil {
			b.hears(status)
		}
		for w := range h.waits[status.Instance] {
			if !isOther(status, w.life) {
				w.ended = status
			}
		}
	}
	for _, id := range news.Changed {
		if b := h.starts[id]; b != nil && b.ended != nil && !slices.ContainsFunc(news.Ended, func(s *store.Status) bool { return s.Instance == id }) {
			delete(h.starts, id) // that has ended, and changes all the same: it is deleted, or started anew
		}
		for w := range h.waits[id] {
			w.signal()
		}
	}
}

// forgetEndsLocked: another process may have deleted what has ended, or started it anew.
func (h *hub) forgetEndsLocked() {
	maps.DeleteFunc(h.starts, func(_ string, b *begun) bool { return b.ended != nil })
}

func (h *hub) close() {
	h.mu.Lock()
	was := h.closed
	h.closed = true
	h.mu.Unlock()
	if !was {
		h.cancel()
		h.leave()
		h.sweeps.Wait()
	}
}
