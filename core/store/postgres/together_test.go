package postgres

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duroxide/duroxide/core/store"
)

// echo answers with the questions. Calls are held until hold is closed.
type echo struct {
	hold  chan struct{}
	fails func(questions []int) error
	mu    sync.Mutex
	calls [][]int
}

func (e *echo) run(ctx context.Context, questions []int) ([]int, error) {
	e.mu.Lock()
	e.calls = append(e.calls, slices.Clone(questions))
	e.mu.Unlock()
	select {
	case <-e.hold:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if e.fails != nil {
		if err := e.fails(questions); err != nil {
			return nil, err
		}
	}
	return questions, nil
}

func newEcho() (*echo, *together[int, int]) {
	e := &echo{hold: make(chan struct{})}
	return e, &together[int, int]{operation: "echo", isWrite: true, run: e.run}
}

func TestCallsThatComeAtOnceShareTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, calls := newEcho()
		const callers = 200
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				if answer, err := calls.do(t.Context(), i); err != nil || answer != i {
					t.Errorf("%d was answered %d, %v", i, answer, err)
				}
			})
		}
		synctest.Wait() // two are under way, the others wait
		close(e.hold)
		all.Wait()
		most := flights + (callers-flights+writeSeats-1)/writeSeats + 1
		if len(e.calls) > most {
			t.Errorf("%d callers made %d calls, at most %d are needed", callers, len(e.calls), most)
		}
		for _, call := range e.calls {
			if len(call) > writeSeats {
				t.Errorf("%d callers in one", len(call))
			}
		}
		if calls.flying != 0 || len(calls.waiting) != 0 {
			t.Errorf("%d under way and %d waiting at the end", calls.flying, len(calls.waiting))
		}
	})
}

func TestHeavyCallsDoNotShareOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, calls := newEcho()
		calls.weigh = func(question int) int { return question << 20 }
		var all sync.WaitGroup
		for _, mib := range []int{1, 1, 30, 31, 32, 100, 2} {
			all.Go(func() {
				if answer, err := calls.do(t.Context(), mib); err != nil || answer != mib {
					t.Errorf("%d was answered %d, %v", mib, answer, err)
				}
			})
			synctest.Wait() // two go at once, the others wait in their order
		}
		close(e.hold)
		all.Wait()
		slices.SortFunc(e.calls, slices.Compare)
		want := [][]int{{1}, {1}, {2}, {30, 31}, {32}, {100}}
		if !slices.EqualFunc(e.calls, want, slices.Equal) {
			t.Errorf("calls %v, want %v", e.calls, want)
		}
	})
}

func TestWhatCanNeverBeDoneIsTheTroubleOfOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, calls := newEcho()
		bad := &store.Error{Operation: "echo", Err: errors.New("bad")}
		e.fails = func(questions []int) error {
			if slices.Contains(questions, 13) {
				return bad
			}
			return nil
		}
		var all sync.WaitGroup
		for i := range 30 {
			all.Go(func() {
				answer, err := calls.do(t.Context(), i)
				if i == 13 && !errors.Is(err, bad) || i != 13 && (err != nil || answer != i) {
					t.Errorf("%d was answered %d, %v", i, answer, err)
				}
			})
		}
		synctest.Wait()
		close(e.hold)
		all.Wait()
	})
}

func TestCallersWhoGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, calls := newEcho()
		var all sync.WaitGroup
		for i := range flights {
			all.Go(func() { _, _ = calls.do(t.Context(), i) })
		}
		synctest.Wait()
		// One that still waits is not sent at all.
		gone, cancel := context.WithCancel(t.Context())
		all.Go(func() {
			if _, err := calls.do(gone, 100); !errors.Is(err, context.Canceled) || store.IsUnknown(err) {
				t.Errorf("gave up waiting: %v", err)
			}
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		// Two that ride together: one gives up while they are under way, which leaves its outcome open in the end, and the
		// other's call goes on.
		late, hurry := context.WithCancel(t.Context())
		for _, c := range []struct {
			ctx      context.Context
			question int
		}{{late, 200}, {t.Context(), 201}} {
			all.Go(func() {
				answer, err := calls.do(c.ctx, c.question)
				if c.question == 201 && (err != nil || answer != 201) {
					t.Errorf("the other one: %d, %v", answer, err)
				}
				if c.question == 200 && err != nil && (!store.IsUnknown(err) || !errors.Is(err, context.Canceled)) {
					t.Errorf("gave up under way: %v", err)
				}
			})
			synctest.Wait()
		}
		hold := e.hold
		e.mu.Lock()
		e.hold = make(chan struct{})
		e.mu.Unlock()
		close(hold) // of the first ones
		synctest.Wait()
		hurry()
		time.Sleep(2 * graceAfter) //nolint:forbidigo // of the bubble's clock
		close(e.hold)
		all.Wait()
		if slices.ContainsFunc(e.calls, func(call []int) bool { return slices.Contains(call, 100) }) {
			t.Error("who had given up was sent all the same")
		}
		if calls.flying != 0 || len(calls.waiting) != 0 {
			t.Errorf("%d under way and %d waiting at the end", calls.flying, len(calls.waiting))
		}
	})
}
