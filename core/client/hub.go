package client

import (
	"context"
	"sync"
	"time"

	"github.com/duroxide/duroxide/core/store"
)

const (
	firstRetry = 10 * time.Millisecond
	lastRetry  = time.Second
)

// hub tells open waits when their instance changed. It hears everything the store has to say, on the threads of those
// who write, so it only marks and wakes.
type hub struct {
	mu     sync.Mutex
	waits  map[string]map[*waiter]struct{}
	closed bool
	done   chan struct{}
	leave  func()
}

// waiter is one open wait. changed holds at most one signal: any number of changes is one more look.
type waiter struct {
	instance string
	changed  chan struct{}
	ended    *store.Status // as the store told it; guarded by the hub's mutex
	done     <-chan struct{}
}

func newHub() *hub {
	return &hub{waits: map[string]map[*waiter]struct{}{}, done: make(chan struct{})}
}

func (h *hub) join(instance string) (*waiter, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, store.ErrClosed
	}
	w := &waiter{instance: instance, changed: make(chan struct{}, 1), done: h.done}
	if h.waits[instance] == nil {
		h.waits[instance] = map[*waiter]struct{}{}
	}
	h.waits[instance][w] = struct{}{}
	return w, nil
}

func (h *hub) part(w *waiter) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.waits[w.instance], w)
	if len(h.waits[w.instance]) == 0 {
		delete(h.waits, w.instance)
	}
}

// await waits for a change of the instance, or for the pause when it is not 0.
func (w *waiter) await(ctx context.Context, pause time.Duration) error {
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
	case <-w.done:
		return store.ErrClosed
	}
}

// told gives the status with which the instance ended, if the store has told it since the wait began.
func (h *hub) told(w *waiter) *store.Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	return w.ended
}

func (w *waiter) signal() {
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
			for _, waits := range h.waits {
				for w := range waits {
					w.signal()
				}
			}
		}
		return
	}
	for _, status := range news.Ended {
		for w := range h.waits[status.Instance] {
			w.ended = status
		}
	}
	for _, id := range news.Changed {
		for w := range h.waits[id] {
			w.signal()
		}
	}
}

func (h *hub) close() {
	h.mu.Lock()
	was := h.closed
	h.closed = true
	h.mu.Unlock()
	if !was {
		close(h.done)
		h.leave()
	}
}
