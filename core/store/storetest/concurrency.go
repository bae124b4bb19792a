package storetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// together runs fn on n goroutines at once.
func (h *harness) together(n int, fn func(i int) error) {
	h.Helper()
	var wg sync.WaitGroup
	begin := make(chan struct{})
	failures := make(chan error, n)
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			<-begin
			failures <- fn(i)
		}()
	}
	close(begin)
	wg.Wait()
	close(failures)
	for err := range failures {
		h.ok(err)
	}
}

var concurrency = []scenario{
	{"of many starts of one id one succeeds", func(h *harness) {
		var started atomic.Int64
		h.together(32, func(int) error {
			r, err := h.s.Start(h.ctx, store.Start{Instance: "a", Name: "flow"})
			if r.Started {
				started.Add(1)
			}
			return err
		})
		equal(h, "started", started.Load(), 1)
	}},
	{"each job is claimed once, however many claim", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		f := h.running("a")
		jobs := make([]replay.Job, 200)
		f.jobs(jobs...)
		var claimed sync.Map
		var count atomic.Int64
		h.together(16, func(int) error {
			for {
				jobs, err := h.s.ClaimJobs(h.ctx, claim(nodeA, 7))
				if err != nil || len(jobs) == 0 {
					return err
				}
				for i := range jobs {
					if _, twice := claimed.LoadOrStore(jobs[i].ID, true); twice {
						return fmt.Errorf("job %d was claimed twice", jobs[i].ID)
					}
					count.Add(1)
				}
			}
		})
		equal(h, "claimed", count.Load(), int64(len(jobs)))
	}},
	{"many turns at once all stand, mixed with refused ones", func(h *harness) {
		const n = 48
		flows := make([]*flow, n)
		for i := range flows {
			flows[i] = h.running(fmt.Sprintf("i-%d", i))
		}
		var refused atomic.Int64
		h.together(n, func(i int) error {
			f := flows[i]
			for step := range 5 {
				turn := f.prepare(func(c *replay.Commit) { f.timer(c, h.clock.Now()+60_000) })
				stale := turn
				stale.New = history.NewToken()
				results, err := h.s.CommitTurns(h.ctx, nodeA, []store.Turn{turn})
				if err != nil || results[0].Err != nil {
					return fmt.Errorf("step %d: %w", step, errors.Join(err, results[0].Err))
				}
				f.applied(turn, results[0])
				if results, err = h.s.CommitTurns(h.ctx, nodeA, []store.Turn{stale}); err != nil {
					return err
				}
				if errors.Is(results[0].Err, store.ErrFenced) {
					refused.Add(1)
				}
				if _, err := h.s.Load(h.ctx, f.id, history.Token{}); err != nil {
					return err
				}
			}
			return nil
		})
		equal(h, "refused", refused.Load(), n*5)
		for _, f := range flows {
			equal(h, "events", len(h.load(f.id).Events), 6)
		}
	}},
	{"messages sent during commits are never lost", func(h *harness) {
		f := h.running("a")
		const n = 100
		taken := 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range n {
				_, err := h.s.Enqueue(h.ctx, []store.Enqueue{{Instance: "a", Message: history.Message{Kind: history.MsgEvent, ID: strconv.Itoa(i), Name: "e", Data: strconv.Itoa(i)}}})
				if err != nil {
					h.Error(err)
				}
			}
		}()
		for taken < n {
			if len(f.messages) == 0 {
				f.messages = h.load("a").Messages
				continue
			}
			f.commit(func(c *replay.Commit) {
				for _, m := range f.messages {
					if m.Data != strconv.Itoa(taken) {
						h.Errorf("message %d is %s", taken, m.Data)
					}
					taken++
					f.event(c, history.Event{Kind: history.ExternalEvent, Name: m.Name, Data: m.Data, MessageID: m.ID})
					c.Consumed = append(c.Consumed, m)
				}
			})
		}
		h.within("the last enqueue", done)
		equal(h, "taken", taken, n)
	}},
	{"a call with an ended context does nothing, and one that ends spoils no other", func(h *harness) {
		h.running("a")
		ended, cancel := context.WithCancel(h.ctx)
		cancel()
		_, err := h.s.Start(ended, store.Start{Instance: "b", Name: "flow"})
		equal(h, "refused", errors.Is(err, context.Canceled), true)
		h.together(32, func(i int) error {
			ctx, cancel := context.WithCancel(h.ctx)
			defer cancel()
			id := fmt.Sprintf("c-%d", i)
			if i%2 == 0 {
				go cancel()
				_, err := h.s.Start(ctx, store.Start{Instance: id, Name: "flow"})
				if err != nil && !errors.Is(err, context.Canceled) {
					return err
				}
				return nil
			}
			_, err := h.s.Start(ctx, store.Start{Instance: id, Name: "flow"})
			return err
		})
		for i := 1; i < 32; i += 2 {
			h.load(fmt.Sprintf("c-%d", i))
		}
	}},
}
