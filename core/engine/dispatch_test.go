package engine_test

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duroxide/duroxide/core/engine"
	"github.com/duroxide/duroxide/core/simtest"
	"github.com/duroxide/duroxide/core/store"
)

func (w *setting) completes(t *testing.T, instance, want string) {
	t.Helper()
	s, err := w.client.WaitEnd(w.ctx, instance)
	if err != nil {
		t.Fatalf("%s: %v", instance, err)
	}
	if s.Output != want || s.Failure != nil {
		t.Errorf("%s: %+v, want %q", instance, s, want)
	}
}

func TestTimerBeyondTheHorizonWaitsInTheStore(t *testing.T) {
	engine.ShortenHorizon(t, 40*time.Millisecond)
	w := newSetting(t)
	p := simtest.NewProgram()
	p.Orchestration("sleep", func(c *simtest.Context, _ string) (string, error) {
		_, err := c.Await(c.Timer(150))
		return "woke", err
	})
	simtest.Start(t, w, p)
	w.start(t, "s", "sleep")
	w.completes(t, "s", "woke")
}

func TestClaimedJobsThatFindNoLaneGoToOthers(t *testing.T) {
	engine.ClaimAhead(t, time.Hour)
	w := newSetting(t)
	p := program()
	entered, release := make(chan struct{}, 1), make(chan struct{})
	var first atomic.Bool
	first.Store(true)
	p.Activity("maybe", func(*engine.Activity) (string, error) {
		if first.Swap(false) {
			entered <- struct{}{}
			<-release
		}
		return "x", nil
	})
	p.Orchestration("warm", func(c *simtest.Context, _ string) (string, error) {
		for range 50 { // short ones, so that jobs are claimed ahead
			if _, err := c.Await(c.Activity("work", "")); err != nil {
				return "", err
			}
		}
		return "", nil
	})
	p.Orchestration("wide", func(c *simtest.Context, _ string) (string, error) {
		var all []simtest.Task
		for range 6 {
			all = append(all, c.Activity("maybe", ""))
		}
		return c.Await(c.All(all...))
	})
	single := func(o *engine.Options) { o.WorkerConcurrency = 1 }
	a := simtest.Start(t, w, p, single)
	w.start(t, "warm", "warm")
	w.completes(t, "warm", "")
	w.start(t, "wide", "wide")
	<-entered
	w.until(t, "all 56 jobs are claimed", func() bool { return a.Metrics().WorkerDispatcherItemsFetched == 56 })
	b := simtest.Start(t, w, p, single)
	for b.Metrics().ActivitySuccess < 5 { // all but the one that blocks
		runtime.Gosched()
		if w.ctx.Err() != nil {
			t.Fatalf("the other node ran %d", b.Metrics().ActivitySuccess)
		}
	}
	if got := a.Metrics().WorkerDispatcherItemsFetched; got != 56 {
		t.Errorf("%d jobs claimed: some that were given back were claimed again", got)
	}
	close(release)
	w.completes(t, "wide", "x,x,x,x,x,x")
}

// While an instance is alone its work stays on the lane that has it, and nobody else is woken: to hand it to another
// thread takes longer than to do it.
func TestSequenceAloneWakesNobody(t *testing.T) {
	w := newSetting(t)
	p := program()
	const steps = 400
	p.Orchestration("sequence", func(c *simtest.Context, _ string) (string, error) {
		for range steps {
			if _, err := c.Await(c.Activity("work", "")); err != nil {
				return "", err
			}
		}
		return "done", nil
	})
	r := simtest.Start(t, w, p)
	before := r.Counters()
	w.start(t, "s", "sequence")
	w.completes(t, "s", "done")
	// The clock looks now and then, maybe just between a commit and what its lane takes next.
	if woken := r.Counters().LanesWoken - before.LanesWoken; woken > steps/10 {
		t.Errorf("lanes were woken %d times in %d steps", woken, steps)
	}
	if looks := r.Counters().ClockLooks - before.ClockLooks; looks > steps/4 {
		t.Errorf("the clock was woken %d times in %d steps", looks, steps)
	}
}

func TestTurnsRunAtOnceWhereThreadsCan(t *testing.T) {
	w := newSetting(t)
	p := program()
	var inside, most atomic.Int64
	both := make(chan struct{})
	p.Orchestration("meet", func(*simtest.Context, string) (string, error) {
		if now := inside.Add(1); now == 2 {
			close(both)
		} else if now > most.Load() {
			most.Store(now)
		}
		<-both // neither returns before the other has come
		return "met", nil
	})
	simtest.Start(t, w, p, func(o *engine.Options) {
		o.ParallelTurns, o.OrchestrationConcurrency, o.VerifyReplay = true, 2, 0
	})
	w.start(t, "a", "meet")
	w.start(t, "b", "meet")
	w.completes(t, "a", "met")
	w.completes(t, "b", "met")
	for i := range 50 {
		w.start(t, strconv.Itoa(i), "job")
	}
	for i := range 50 {
		w.completes(t, strconv.Itoa(i), "done")
	}
}

func TestLaneThatDiesLosesNoWork(t *testing.T) {
	w := newSetting(t)
	p := program()
	var turns, runs atomic.Int64
	p.Activity("fatal", func(*engine.Activity) (string, error) {
		if runs.Add(1) == 1 {
			runtime.Goexit() // as a thread that is torn down
		}
		return "survived", nil
	})
	p.Orchestration("fatal", func(c *simtest.Context, _ string) (string, error) {
		s, err := c.Await(c.Activity("fatal", ""))
		turns.Add(1)
		return s, err
	})
	n := simtest.Start(t, w, p)
	before := n.Counters().Lanes
	w.start(t, "f", "fatal")
	w.completes(t, "f", "survived")
	for n.Counters().Lanes < min(before, 10) {
		runtime.Gosched()
	}
	if runs.Load() != 2 {
		t.Errorf("the activity ran %d times", runs.Load())
	}
}

func TestExecutionsInMemoryStayWithinTheirLimits(t *testing.T) {
	w := newSetting(t)
	p := program()
	p.Orchestration("hold", func(c *simtest.Context, in string) (string, error) {
		if _, err := c.Await(c.Activity("work", "")); err != nil {
			return "", err
		}
		c.SetStatus("up")
		return c.Await(c.Event("go"))
	})
	for _, c := range []struct {
		promise string
		limit   func(*engine.Options)
		most    int64
	}{
		{"by count", func(o *engine.Options) { o.LiveExecutions = 5 }, 5},
		{"by bytes", func(o *engine.Options) { o.LiveBytes = 1 }, 1},
		{"none", func(o *engine.Options) { o.LiveExecutions = 0 }, 0},
	} {
		t.Run(c.promise, func(t *testing.T) {
			n := simtest.Start(t, w, p, c.limit)
			for i := range 20 {
				id := fmt.Sprint(c.promise, i)
				w.start(t, id, "hold")
				if _, err := w.client.WaitStatus(w.ctx, id, 0); err != nil {
					t.Fatal(err)
				}
			}
			if live := n.Counters().Live; live > c.most {
				t.Errorf("%d in memory, want at most %d", live, c.most)
			}
			for i := range 20 {
				id := fmt.Sprint(c.promise, i)
				if err := w.client.RaiseEvent(w.ctx, id, "go", "on"); err != nil {
					t.Fatal(err)
				}
				w.completes(t, id, "on")
			}
			n.Stop()
		})
	}
}

func TestSecondStartIsRefused(t *testing.T) {
	w := newSetting(t)
	n := simtest.Start(t, w, program())
	var state *engine.StateError
	if !errors.As(n.Start(w.ctx), &state) {
		t.Error("no StateError")
	}
	var registration *engine.RegistrationError
	if !errors.As(n.RegisterActivity("late", true), &registration) {
		t.Error("no RegistrationError")
	}
}

var _ store.Store = (*setting)(nil)
