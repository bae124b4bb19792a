package engine_test

import (
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duroxide/duroxide/core/engine"
	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/simtest"
	"github.com/duroxide/duroxide/core/store"
	"github.com/duroxide/duroxide/core/store/faulty"
)

// Over its life a runtime may meet any number of activities that do not heed their cancellation.
func TestLanesThatComeBackCanBeReplacedAgain(t *testing.T) {
	engine.BoundSpares(t, 2)
	w := newSetting(t)
	p := program()
	entered, release := make(chan struct{}), make(chan struct{})
	p.Activity("deaf", func(*engine.Activity) (string, error) {
		entered <- struct{}{}
		<-release
		return "late", nil
	})
	p.Orchestration("deaf", func(c *simtest.Context, _ string) (string, error) { return c.Await(c.Activity("deaf", "")) })
	simtest.Start(t, w, p, func(o *engine.Options) { o.WorkerConcurrency, o.CancellationGrace = 1, time.Millisecond })
	for i := range 6 {
		deaf, job := "d"+strconv.Itoa(i), "j"+strconv.Itoa(i)
		w.start(t, deaf, "deaf")
		<-entered
		w.start(t, job, "job")
		if err := w.client.Cancel(w.ctx, deaf, ""); err != nil {
			t.Fatal(err)
		}
		w.completes(t, job, "done")
		release <- struct{}{}
	}
}

func TestSpareLanesAreBounded(t *testing.T) {
	engine.BoundSpares(t, 1)
	w := newSetting(t)
	p := program()
	entered, release := make(chan struct{}, 2), make(chan struct{})
	p.Orchestration("stuck", func(*simtest.Context, string) (string, error) {
		entered <- struct{}{}
		<-release
		return "at last", nil
	})
	refused := make(chan string, 2)
	simtest.Start(t, w, p, func(o *engine.Options) {
		o.StuckAfter, o.VerifyReplay = time.Millisecond, 0
		o.Log = func(r engine.LogRecord) {
			if strings.HasSuffix(r.Message, "(no spare lane is left)") {
				refused <- r.Fields["instance_id"]
			}
		}
	})
	w.start(t, "a", "stuck")
	<-entered
	w.start(t, "b", "stuck")
	<-entered
	select {
	case <-refused:
	case <-w.ctx.Done():
		t.Error("the second is replaced too")
	}
	w.start(t, "j", "job")
	w.completes(t, "j", "done")
	close(release)
	w.completes(t, "a", "at last")
	w.completes(t, "b", "at last")
}

// A runtime whose activities hold no lane begins with few.
func TestTurnsThatTakeLongLeaveLanesForOthers(t *testing.T) {
	w := newSetting(t)
	p := simtest.NewProgram()
	p.DetachedActivity("work", func(*engine.Activity) (string, error) { return "done", nil })
	const slow = 6
	entered, release := make(chan struct{}, slow), make(chan struct{})
	p.Orchestration("slow", func(*simtest.Context, string) (string, error) {
		entered <- struct{}{}
		<-release
		return "", nil
	})
	p.Orchestration("job", func(c *simtest.Context, _ string) (string, error) { return c.Await(c.Activity("work", "")) })
	n := simtest.Start(t, w, p, func(o *engine.Options) { o.VerifyReplay, o.StuckAfter = 0, time.Hour })
	for i := range slow {
		w.start(t, strconv.Itoa(i), "slow")
		<-entered
	}
	w.start(t, "j", "job")
	w.completes(t, "j", "done")
	if lanes := n.Counters().Lanes; lanes > 10 {
		t.Errorf("%d lanes, want at most 10", lanes)
	}
	close(release)
}

// More sessions than two nodes may hold, so that they are released and taken all the time.
func TestActivitiesOfASessionNeverRunAtOnceWhileItMoves(t *testing.T) {
	w := newSetting(t)
	p := program()
	const sessions, instances = 12, 10
	var inside [sessions]atomic.Int64
	p.Activity("in", func(a *engine.Activity) (string, error) {
		n, err := strconv.Atoi(a.Session)
		if inside[n].Add(1) > 1 {
			t.Errorf("two of session %d run at once", n)
		}
		runtime.Gosched()
		inside[n].Add(-1)
		return "", err
	})
	p.Orchestration("walk", func(c *simtest.Context, _ string) (string, error) {
		for i := range 3 * sessions {
			if _, err := c.Await(c.Activity("in", "").OnSession(strconv.Itoa(i * 7 % sessions))); err != nil {
				return "", err
			}
		}
		return "walked", nil
	})
	few := func(o *engine.Options) { o.MaxSessions, o.VerifyReplay = 2, 0 }
	simtest.Start(t, w, p, few)
	simtest.Start(t, w, p, few)
	for i := range instances {
		w.start(t, strconv.Itoa(i), "walk")
	}
	for i := range instances {
		w.completes(t, strconv.Itoa(i), "walked")
	}
}

// suspects are instances that a node had in hand when it died.
func (w *setting) suspects(t *testing.T, names ...string) {
	t.Helper()
	w.join(t, "dead", "job")
	quit := w.Listen(doomed{"dead"})
	for _, name := range names {
		w.start(t, name, name)
	}
	quit()
	w.die(t, "dead")
}

// From its third attempt suspect work runs alone, and what waits for it is not blamed.
func TestSuspectsWaitForOneThatRunsAloneAndAreNotCounted(t *testing.T) {
	w := newSetting(t)
	p := program()
	entered, release := make(chan struct{}), make(chan struct{})
	p.Orchestration("killer", func(*simtest.Context, string) (string, error) {
		close(entered)
		<-release
		return "survived", nil
	})
	p.Orchestration("innocent", func(c *simtest.Context, _ string) (string, error) { return c.Await(c.Activity("work", "")) })
	w.suspects(t, "killer", "innocent")
	snap, err := w.Load(w.ctx, "killer", history.Token{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // so many nodes have died over it after they had written it down
		if _, err := w.CountAttempt(w.ctx, store.Suspect{Instance: "killer", Turn: snap.Turn}); err != nil {
			t.Fatal(err)
		}
	}
	f := faulty.Wrap(w.Store)
	n := simtest.Start(t, f, p, func(o *engine.Options) { o.VerifyReplay = 0 })
	<-entered
	loads := f.Calls(faulty.Load)
	w.until(t, "the innocent one is tried", func() bool { return f.Calls(faulty.Load) > loads+3 })
	if c := n.Counters(); c.AttemptsWritten != 1 {
		t.Errorf("%d attempts written while one runs alone, want its own", c.AttemptsWritten)
	}
	close(release)
	w.completes(t, "killer", "survived")
	w.completes(t, "innocent", "done")
}

func TestDefaultTimeoutIsNotRecorded(t *testing.T) {
	w := newSetting(t)
	simtest.Start(t, w, program(), func(o *engine.Options) { o.ActivityTimeout = time.Hour })
	w.start(t, "j", "job")
	w.completes(t, "j", "done")
	events, err := w.History(w.ctx, "j", 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range events {
		if events[i].TimeoutMS != 0 {
			t.Errorf("event %d holds a time-out of %d ms", events[i].ID, events[i].TimeoutMS)
		}
	}
}
