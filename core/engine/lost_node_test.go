package engine_test

import (
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duroxide/duroxide/core/engine"
	"github.com/duroxide/duroxide/core/simtest"
	"github.com/duroxide/duroxide/core/store"
	"github.com/duroxide/duroxide/core/store/faulty"
)

var errBusy = &store.Error{Operation: "commit", Retryable: true, Err: errors.New("busy")}

// until waits for a state that nobody tells of.
func (w *setting) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for !holds() {
		if w.ctx.Err() != nil {
			t.Fatalf("never happened: %s", what)
		}
		runtime.Gosched()
	}
}

// shortLease is renewed three times a second.
func shortLease(o *engine.Options) { o.Lease, o.VerifyReplay = time.Second, 0 }

// rejoined waits until a runtime has lost its node and become another.
func (w *setting) rejoined(t *testing.T, f *faulty.Store) {
	t.Helper()
	w.until(t, "the next node joins", func() bool { return f.Calls(faulty.Join) == 2 })
}

func TestCommitThatComesAfterItsNodeWasLost(t *testing.T) {
	for _, c := range []struct {
		promise string
		err     error // of the commit; nil: it is made all the same
	}{
		{"leaves nothing claimed for the node that is gone", nil},
		{"is not made for the next node when it failed", errBusy},
	} {
		t.Run(c.promise, func(t *testing.T) {
			w := newSetting(t)
			f := faulty.Wrap(w.Store)
			simtest.Start(t, f, program(), shortLease)
			commit := faulty.Hold().Then(c.err)
			f.On(faulty.CommitTurns, commit)
			w.startAlone(t, "j", "job")
			<-commit.Reached()
			f.On(faulty.Renew, faulty.Fail(store.ErrNodeLost))
			w.rejoined(t, f)
			commit.Open()
			w.completes(t, "j", "done")
		})
	}
}

func TestCommitThatFailsBetweenTwoNodesIsTakenUpAgain(t *testing.T) {
	w := newSetting(t)
	f := faulty.Wrap(w.Store)
	simtest.Start(t, f, program(), shortLease)
	commit, leave := faulty.Hold().Then(errBusy), faulty.Hold()
	f.On(faulty.CommitTurns, commit)
	f.On(faulty.Leave, leave)
	w.startAlone(t, "j", "job")
	<-commit.Reached()
	f.On(faulty.Renew, faulty.Fail(store.ErrNodeLost))
	<-leave.Reached()
	commit.Open()
	leave.Open()
	w.completes(t, "j", "done")
}

// The node is lost while an instance is in a turn and another result of it waits for the next one.
func TestShutdownEndsAfterANodeWasLost(t *testing.T) {
	w := newSetting(t)
	f := faulty.Wrap(w.Store)
	p := program()
	var runs, turns atomic.Int64
	inTurn, goOn, secondMayEnd, again := make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})
	p.Activity("first", func(*engine.Activity) (string, error) { return "", nil })
	p.Activity("second", func(*engine.Activity) (string, error) {
		if runs.Add(1) == 1 {
			<-secondMayEnd
		} else {
			<-again
		}
		return "", nil
	})
	p.Orchestration("both", func(c *simtest.Context, _ string) (string, error) {
		return c.Await(c.All(
			c.Branch(func(c *simtest.Context) (string, error) {
				_, err := c.Await(c.Activity("first", ""))
				if turns.Add(1) == 1 {
					close(inTurn)
					<-goOn
				}
				return "", err
			}),
			c.Activity("second", ""),
		))
	})
	n := simtest.Start(t, f, p, shortLease)
	w.start(t, "b", "both")
	<-inTurn
	renewal := faulty.Hold().Then(store.ErrNodeLost)
	f.On(faulty.Renew, renewal)
	<-renewal.Reached()
	close(secondMayEnd)
	w.until(t, "the second result waits", func() bool { return n.Metrics().ActivitySuccess == 2 })
	renewal.Open()
	w.rejoined(t, f)
	close(goOn)
	down := make(chan struct{})
	go func() { defer close(down); n.Abandon() }()
	select {
	case <-down:
	case <-w.ctx.Done():
		t.Error("shutdown never ends")
	}
	close(again)
}

func TestRuntimeThatIsTooOldForItsStoreStops(t *testing.T) {
	w := newSetting(t)
	f := faulty.Wrap(w.Store)
	n := simtest.Start(t, f, program(), shortLease)
	w.start(t, "a", "job")
	w.completes(t, "a", "done")
	f.On(faulty.Renew, faulty.Fail(store.ErrTooOld))
	w.until(t, "its lanes end", func() bool { return n.Counters().Lanes == 0 })
	w.start(t, "b", "job")
	if !n.Stop() {
		t.Error("not drained")
	}
	if s, err := w.client.Status(w.ctx, "b"); err != nil || s.Output != "" {
		t.Errorf("it went on: %+v, %v", s, err)
	}
	simtest.Start(t, w, program())
	w.completes(t, "b", "done")
}

func TestWallClockThatJumpsHoldsUpClaimedWorkUntilTheLeaseIsRenewed(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(by.String(), func(t *testing.T) {
			w := newSetting(t)
			f := faulty.Wrap(w.Store)
			p := program()
			var runs atomic.Int64
			p.Activity("work", func(*engine.Activity) (string, error) {
				runs.Add(1)
				return "done", nil
			})
			n := simtest.Start(t, f, p)
			renewal := faulty.Hold()
			f.On(faulty.Renew, renewal)
			engine.JumpClock(n.Runtime, by)
			w.start(t, "j", "job")
			<-renewal.Reached()
			w.until(t, "the job is scheduled", func() bool {
				events, err := w.History(w.ctx, "j", 0)
				return err == nil && len(events) == 2
			})
			if runs.Load() != 0 {
				t.Error("its activity has run, though the lease may be over")
			}
			renewal.Open()
			w.completes(t, "j", "done")
		})
	}
}
