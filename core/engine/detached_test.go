package engine_test

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duroxide/duroxide/core/engine"
	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/simtest"
)

// gather runs an activity n times, all at once.
func gather(c *simtest.Context, activity string, n int) (string, error) {
	tasks := make([]simtest.Task, n)
	for i := range tasks {
		tasks[i] = c.Activity(activity, strconv.Itoa(i))
	}
	_, err := c.Await(c.All(tasks...))
	return "gathered", err
}

func TestDetachedActivitiesHoldPermitsAndNoLanes(t *testing.T) {
	w := newSetting(t)
	p := program()
	const many = 300
	var inside, most atomic.Int64
	full, release := make(chan struct{}), make(chan struct{})
	p.DetachedActivity("hold", func(*engine.Activity) (string, error) {
		now := inside.Add(1)
		defer inside.Add(-1)
		if most.Store(max(now, most.Load())); now == many {
			close(full)
		}
		<-release
		return "", nil
	})
	p.Orchestration("wide", func(c *simtest.Context, _ string) (string, error) { return gather(c, "hold", many+50) })
	n := simtest.Start(t, w, p, func(o *engine.Options) { o.WorkerConcurrency = many })
	w.start(t, "w", "wide")
	<-full
	if lanes := n.Counters().Lanes; lanes > 40 {
		t.Errorf("%d lanes for %d activities that hold none", lanes, many)
	}
	w.start(t, "j", "job") // its activity has to wait for a permit, its turn has not
	close(release)
	w.completes(t, "w", "gathered")
	w.completes(t, "j", "done")
	if most.Load() > many {
		t.Errorf("%d at once, want at most %d", most.Load(), many)
	}
}

func TestLanesGrowWithActivitiesThatHoldThem(t *testing.T) {
	w := newSetting(t)
	p := program()
	const many = 40
	var inside atomic.Int64
	full, release := make(chan struct{}), make(chan struct{})
	p.Activity("hold", func(*engine.Activity) (string, error) {
		if inside.Add(1) == many {
			close(full)
		}
		<-release
		return "", nil
	})
	p.Orchestration("wide", func(c *simtest.Context, _ string) (string, error) { return gather(c, "hold", many) })
	p.Orchestration("turn", func(*simtest.Context, string) (string, error) { return "turned", nil })
	n := simtest.Start(t, w, p, func(o *engine.Options) { o.WorkerConcurrency = many })
	w.start(t, "w", "wide")
	<-full
	w.start(t, "t", "turn")
	w.completes(t, "t", "turned")
	if lanes := n.Counters().Lanes; lanes > many+2 {
		t.Errorf("%d lanes, want at most %d", lanes, many+2)
	}
	close(release)
	w.completes(t, "w", "gathered")
}

func TestLaneThatTheHostCannotMakeIsAskedForAgain(t *testing.T) {
	w := newSetting(t)
	p := program()
	o := engine.DefaultOptions()
	r, err := engine.New(w, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{r.RegisterOrchestration("job", "1.0.0"), r.RegisterActivity("work", true), r.Start(w.ctx)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	host := simtest.NewHost(p)
	var threads sync.WaitGroup
	threads.Go(func() {
		for refused := 0; ; {
			req := r.Supervise()
			switch {
			case req.Kind == engine.LaneEnd:
				return
			case refused < o.WorkerConcurrency+2:
				refused++
				r.LaneFailed(req.Kind)
			default:
				threads.Go(func() { r.RunLane(req, host) })
			}
		}
	})
	w.start(t, "j", "job")
	w.completes(t, "j", "done")
	if !r.Shutdown(10 * time.Second) {
		t.Error("not drained")
	}
	threads.Wait()
}

func TestEndOfADetachedActivityCountsOnce(t *testing.T) {
	for _, c := range []struct {
		promise string
		end     func(n *simtest.Node, run engine.RunID)
	}{
		{"told before its lane has answered", func(n *simtest.Node, run engine.RunID) {
			n.EndActivity(run, engine.ActivityResult{Output: "first"})
			n.EndActivity(run, engine.ActivityResult{Output: "second"})
		}},
		{"told by several at once", func(n *simtest.Node, run engine.RunID) {
			n.EndActivity(run+1000, engine.ActivityResult{Output: "of nobody"})
			for range 4 {
				n.Host.Go(func() { n.EndActivity(run, engine.ActivityResult{Output: "first"}) })
			}
		}},
	} {
		t.Run(c.promise, func(t *testing.T) {
			w := newSetting(t)
			p := program()
			var n *simtest.Node
			started := make(chan struct{})
			p.Activity("early", func(a *engine.Activity) (string, error) {
				<-started
				c.end(n, a.Run)
				return "", simtest.Detach()
			})
			p.Orchestration("w", func(c *simtest.Context, _ string) (string, error) {
				if _, err := c.Await(c.Activity("early", "")); err != nil {
					return "", err
				}
				return c.Await(c.Activity("early", ""))
			})
			n = simtest.Start(t, w, p)
			close(started)
			w.start(t, "w", "w")
			w.completes(t, "w", "first")
			if done := n.Metrics().ActivitySuccess; done != 2 {
				t.Errorf("%d activities counted, want 2", done)
			}
		})
	}
}

func TestDetachedActivitiesOfASessionAreSerial(t *testing.T) {
	w := newSetting(t)
	p := program()
	var inside atomic.Int64
	p.DetachedActivity("in", func(*engine.Activity) (string, error) {
		if inside.Add(1) != 1 {
			t.Error("two at once")
		}
		defer inside.Add(-1)
		return "", nil
	})
	p.Orchestration("s", func(c *simtest.Context, _ string) (string, error) {
		tasks := make([]simtest.Task, 20)
		for i := range tasks {
			tasks[i] = c.Activity("in", "").OnSession("s")
		}
		_, err := c.Await(c.All(tasks...))
		return "done", err
	})
	simtest.Start(t, w, p)
	w.start(t, "s", "s")
	w.completes(t, "s", "done")
}

func TestDetachedActivityThatIsNotWanted(t *testing.T) {
	for _, c := range []struct{ promise, session string }{
		{"loses its slot after the grace", ""},
		{"loses its slot in a session too", "s"},
	} {
		t.Run(c.promise, func(t *testing.T) {
			w := newSetting(t)
			p := program()
			entered, release := make(chan struct{}), make(chan struct{})
			var runs atomic.Int64
			p.DetachedActivity("slow", func(*engine.Activity) (string, error) {
				if runs.Add(1) == 1 {
					close(entered)
					<-release // takes no notice of being cancelled
				}
				return "late", nil
			})
			p.Orchestration("w", func(x *simtest.Context, _ string) (string, error) {
				if _, _, err := x.Race(x.Activity("slow", "").OnSession(c.session), x.Event("go")); err != nil {
					return "", err
				}
				return x.Await(x.Activity("slow", "").OnSession(c.session))
			})
			n := simtest.Start(t, w, p, func(o *engine.Options) { o.WorkerConcurrency, o.CancellationGrace = 1, 20*time.Millisecond })
			w.start(t, "w", "w")
			<-entered
			if err := w.client.RaiseEvent(w.ctx, "w", "go", ""); err != nil {
				t.Fatal(err)
			}
			w.completes(t, "w", "late")
			close(release)
			if !n.Stop() {
				t.Error("not drained")
			}
		})
	}
}

func TestDetachedActivityThatIsOutOfTimeIsAnsweredFor(t *testing.T) {
	w := newSetting(t)
	p := program()
	release := make(chan struct{})
	p.DetachedActivity("slow", func(a *engine.Activity) (string, error) {
		<-release
		if !a.Cancelled.Load() {
			t.Error("it was not told")
		}
		return "late", nil
	})
	p.Orchestration("w", func(c *simtest.Context, _ string) (string, error) { return c.Await(c.Activity("slow", "")) })
	n := simtest.Start(t, w, p, func(o *engine.Options) { o.ActivityTimeout = 10 * time.Millisecond })
	w.start(t, "w", "w")
	w.fails(t, "w", (&history.Failure{Kind: history.ActivityTimeout, Message: "activity timed out", Activity: "slow"}).Text())
	close(release)
	if !n.Stop() {
		t.Error("not drained")
	}
}

func TestShutdownGivesBackDetachedActivities(t *testing.T) {
	w := newSetting(t)
	p := program()
	entered, release := make(chan struct{}, 2), make(chan struct{})
	var runs atomic.Int64
	p.DetachedActivity("block", func(*engine.Activity) (string, error) {
		if runs.Add(1) == 1 {
			entered <- struct{}{}
			<-release
		}
		return "again", nil
	})
	p.Orchestration("w", func(c *simtest.Context, _ string) (string, error) { return c.Await(c.Activity("block", "")) })
	first := simtest.Start(t, w, p)
	w.start(t, "w", "w")
	<-entered
	if first.Abandon() {
		t.Error("drained, though an activity runs")
	}
	second := simtest.Start(t, w, p)
	w.completes(t, "w", "again")
	if second.Counters().AttemptsWritten != 0 {
		t.Error("a give-back counts as no attempt and makes nothing suspect")
	}
	close(release) // its end reaches a runtime that has ended
	first.Stop()
}
