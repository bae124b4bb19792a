package engine_test

import (
	"context"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duroxide/duroxide/core/engine"
	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/simtest"
	"github.com/duroxide/duroxide/core/store"
	"github.com/duroxide/duroxide/core/store/faulty"
)

// A file that cannot be written for a moment, a password that is refused until it is rotated: no retry of the engine's mends
// it, and yet it passes.
func TestTroubleThatSeemsPermanentLosesNoResult(t *testing.T) {
	w := newSetting(t)
	turns, work := simtest.NewProgram(), simtest.NewProgram()
	turns.Orchestration("job", func(c *simtest.Context, in string) (string, error) { return c.Await(c.Activity("make", in)) })
	var runs atomic.Int64
	work.Activity("make", func(*engine.Activity) (string, error) {
		runs.Add(1)
		return "made", nil
	})
	simtest.Start(t, w, turns)
	f := faulty.Wrap(w.Store)
	f.On(faulty.SettleJobs, faulty.Permanent().Times(3))
	simtest.Start(t, f, work)
	w.start(t, "j", "job")
	w.completes(t, "j", "made")
	if runs.Load() != 1 {
		t.Errorf("the activity ran %d times", runs.Load())
	}
}

func TestTurnThatCanNeverBeStoredFailsItsInstance(t *testing.T) {
	w := newSetting(t)
	f := faulty.Wrap(w.Store)
	simtest.Start(t, f, program())
	f.On(faulty.CommitTurns, faulty.Refused())
	w.startAlone(t, "j", "job")
	w.fails(t, "j", "infrastructure:commit turn: injected: injected fault")
	w.start(t, "k", "job")
	w.completes(t, "k", "done")
}

func TestMailForAnInstanceThatWasDeletedWaitsForTheNext(t *testing.T) {
	w := newSetting(t)
	p := program()
	p.Orchestration("reads", func(c *simtest.Context, _ string) (string, error) {
		c.SetStatus("up")
		return c.Await(c.Dequeue("q"))
	})
	simtest.Start(t, w, p)
	w.start(t, "r", "reads")
	if _, err := w.client.WaitStatus(w.ctx, "r", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Delete(w.ctx, "r", true); err != nil {
		t.Fatal(err)
	}
	if err := w.client.EnqueueEvent(w.ctx, "r", "q", "early"); err != nil { // the runtime still has the old one in memory
		t.Errorf("enqueue: %v", err)
	}
	if err := w.client.RaiseEvent(w.ctx, "r", "e", ""); err != nil {
		t.Errorf("raise: %v", err)
	}
	w.start(t, "r", "reads")
	w.completes(t, "r", "early")
}

// A machine that slept: the activity ends before the engine's clock has looked at the timer.
func TestTimerThatWasDueBeforeTheResultCameWins(t *testing.T) {
	w := newSetting(t)
	p := program()
	entered, release := make(chan struct{}), make(chan struct{})
	p.Activity("slow", func(*engine.Activity) (string, error) {
		close(entered)
		<-release
		return "slow", nil
	})
	p.Orchestration("limited", func(c *simtest.Context, _ string) (string, error) {
		i, _, err := c.Race(c.Activity("slow", ""), c.Timer(60_000))
		return strconv.Itoa(i), err
	})
	simtest.Start(t, w, p)
	w.start(t, "l", "limited")
	<-entered
	w.ahead.Add(3_600_000)
	close(release)
	w.completes(t, "l", "1")
}

// unreadable is a store with a message that this engine cannot read.
type unreadable struct {
	store.Store
	on atomic.Bool
}

func (s *unreadable) Load(ctx context.Context, instance string, have history.Token) (*store.Snapshot, error) {
	snap, err := s.Store.Load(ctx, instance, have)
	if err == nil && s.on.Load() {
		snap.Undecodable = "message 7 is of kind \"telepathy\""
	}
	return snap, err
}

func TestMessageThatCannotBeReadFailsItsInstanceAfterAllAttempts(t *testing.T) {
	engine.Shorten(t, time.Millisecond)
	w := newSetting(t)
	s := &unreadable{Store: w.Store}
	p := program()
	p.Orchestration("waits", func(c *simtest.Context, _ string) (string, error) {
		c.SetStatus("up")
		return c.Await(c.Event("go"))
	})
	simtest.Start(t, s, p, func(o *engine.Options) { o.MaxAttempts = 3 })
	w.start(t, "w", "waits")
	if _, err := w.client.WaitStatus(w.ctx, "w", 0); err != nil {
		t.Fatal(err)
	}
	s.on.Store(true)
	if _, err := w.Enqueue(w.ctx, []store.Enqueue{ // two at once are not read along with their insertion
		{Instance: "w", Message: history.Message{Kind: history.MsgEvent, ID: "1", Name: "other"}},
		{Instance: "w", Message: history.Message{Kind: history.MsgEvent, ID: "2", Name: "other"}},
	}); err != nil {
		t.Fatal(err)
	}
	w.fails(t, "w", `poison: orchestration w exceeded 4 attempts (max 3) : message 7 is of kind "telepathy"`)
}

func TestHealthTellsOfAStoreThatCannotBeWritten(t *testing.T) {
	w := newSetting(t)
	f := faulty.Wrap(w.Store)
	n := simtest.Start(t, f, program(), shortLease)
	if !n.Health(w.ctx).StoreReachable {
		t.Error("not reachable from the start")
	}
	f.On(faulty.Renew, faulty.Permanent().Times(-1))
	w.until(t, "it is told", func() bool { return !n.Health(w.ctx).StoreReachable })
	f.Clear(faulty.Renew)
	w.until(t, "it is told that it works again", func() bool { return n.Health(w.ctx).StoreReachable })
}

func TestLaterShutdownWithLessTimeDecides(t *testing.T) {
	w := newSetting(t)
	p := program()
	entered, release := make(chan struct{}), make(chan struct{})
	var runs atomic.Int64
	p.Activity("block", func(*engine.Activity) (string, error) {
		if runs.Add(1) == 1 {
			close(entered)
			<-release
		}
		return "done", nil
	})
	p.Orchestration("blocked", func(c *simtest.Context, _ string) (string, error) { return c.Await(c.Activity("block", "")) })
	n := simtest.Start(t, w, p)
	w.start(t, "b", "blocked")
	<-entered
	drained := make(chan bool)
	go func() { drained <- n.Shutdown(time.Hour) }()
	w.until(t, "it drains", func() bool { return engine.IsDraining(n.Runtime) })
	if n.Abandon() || <-drained {
		t.Error("drained, though an activity runs")
	}
	close(release)
	simtest.Start(t, w, p)
	w.completes(t, "b", "done")
}

func TestNoActivityStartsWhileTooManyResultsWaitForTheStore(t *testing.T) {
	engine.BoundResults(t, 3)
	engine.ClaimAhead(t, time.Hour)
	w := newSetting(t)
	f := faulty.Wrap(w.Store)
	p := program()
	var runs atomic.Int64
	gate := make(chan struct{})
	p.Activity("count", func(*engine.Activity) (string, error) {
		if runs.Add(1) == 1 {
			<-gate
		}
		return "", nil
	})
	p.Orchestration("wide", func(c *simtest.Context, _ string) (string, error) { return gather(c, "count", 20) })
	simtest.Start(t, f, p, func(o *engine.Options) { o.WorkerConcurrency = 1 })
	w.start(t, "warm", "job") // from here on jobs are claimed ahead
	w.completes(t, "warm", "done")
	w.start(t, "w", "wide")
	w.until(t, "the first runs", func() bool { return runs.Load() == 1 })
	commit, settle := faulty.Hold().Times(-1), faulty.Hold().Times(-1)
	f.On(faulty.CommitTurns, commit)
	f.On(faulty.SettleJobs, settle)
	close(gate)
	for what, held := range map[string]*faulty.Fault{"a commit": commit, "results that have waited for 50 ms": settle} {
		select {
		case <-held.Reached():
		case <-w.ctx.Done():
			t.Fatalf("the store was not asked for %s", what)
		}
	}
	if n := runs.Load(); n > 3+2 { // a lane may begin the next before the one that ran the last has told its result
		t.Errorf("%d have run", n)
	}
	f.Clear(faulty.CommitTurns)
	f.Clear(faulty.SettleJobs)
	commit.Open()
	settle.Open()
	w.completes(t, "w", "gathered")
}

func TestWorkThatNobodyCanRunFailsAllTheSameInStorageTrouble(t *testing.T) {
	engine.Shorten(t, 20*time.Millisecond)
	w := newSetting(t)
	f := faulty.Wrap(w.Store)
	f.On(faulty.SettleJobs, faulty.Retryable())
	simtest.Start(t, f, program())
	w.start(t, "l", "lost")
	w.fails(t, "l", "poison: activity werk#2 exceeded 11 attempts (max 10) : no runtime registers werk")
}

func TestWorkThatNobodyCanRunIsGivenItsOwnTime(t *testing.T) {
	w := newSetting(t)
	f := faulty.Wrap(w.Store)
	scheduled := func(instance string) {
		w.start(t, instance, "lost")
		w.until(t, "its job is scheduled", func() bool {
			events, err := w.History(w.ctx, instance, 0)
			return err == nil && len(events) == 2
		})
	}
	simtest.Start(t, f, program())
	scheduled("old")
	w.ahead.Add(299_000)
	scheduled("young")
	w.ahead.Add(2_000)
	w.fails(t, "old", "poison: activity werk#2 exceeded 11 attempts (max 10) : no runtime registers werk")
	looks := f.Calls(faulty.Unclaimable)
	w.until(t, "another look", func() bool { return f.Calls(faulty.Unclaimable) >= looks+2 })
	if s, err := w.client.Status(w.ctx, "young"); err != nil || s.Status != replay.Running {
		t.Errorf("after two seconds: %+v, %v", s, err)
	}
	found := simtest.NewProgram()
	found.Activity("werk", func(*engine.Activity) (string, error) { return "found", nil })
	simtest.Start(t, w, found)
	w.completes(t, "young", "found")
}

func TestWarningNamesShortNamesThatAreNear(t *testing.T) {
	engine.Shorten(t, 20*time.Millisecond)
	w := newSetting(t)
	warned := make(chan string, 16)
	simtest.Start(t, w, program(), func(o *engine.Options) {
		o.Log = func(r engine.LogRecord) {
			if strings.HasPrefix(r.Message, "no runtime registers orchestration") {
				warned <- r.Message
			}
		}
	})
	w.start(t, "j", "jop")
	select {
	case text := <-warned:
		if !strings.HasSuffix(text, "registered here: job@1.0.0") {
			t.Errorf("warned %q", text)
		}
	case <-w.ctx.Done():
		t.Error("not warned")
	}
}
