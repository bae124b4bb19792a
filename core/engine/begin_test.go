package engine_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duroxide/duroxide/core/engine"
	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/simtest"
	"github.com/duroxide/duroxide/core/store"
	"github.com/duroxide/duroxide/core/store/faulty"
)

func TestStartIsCommittedWithTheFirstTurn(t *testing.T) {
	engine.WaitForBeginning(t, time.Minute)
	w := newSetting(t)
	n := simtest.Start(t, w, program())
	const each = 20
	begun := int64(0)
	for i := range each {
		id := fmt.Sprint(i)
		w.start(t, id, "job")
		s, err := w.Load(w.ctx, id, history.Token{})
		if err != nil {
			t.Fatal(err)
		}
		// Right after an end something of it may still be under way; a start does not wait for that.
		if now := n.Counters().Begun; now > begun || i == 0 {
			if begun = now; len(s.Events) < 2 {
				t.Fatalf("after the start: %+v", s)
			}
		}
		w.completes(t, id, "done")
	}
	if c := n.Counters(); c.Begun == 0 || c.TurnsCommitted != 2*each || c.Loads != 0 {
		t.Errorf("%+v", c)
	}
}

// The first turn stays in user code. A start does not wait for that, and the turn follows it.
func TestStartDoesNotWaitForSlowCode(t *testing.T) {
	w := newSetting(t)
	p := program()
	goOn := make(chan struct{})
	var runs atomic.Int64
	p.Orchestration("slow", func(c *simtest.Context, _ string) (string, error) {
		runs.Add(1)
		<-goOn
		return c.Await(c.Activity("work", ""))
	})
	n := simtest.Start(t, w, p, func(o *engine.Options) { o.VerifyReplay = 0 })
	w.start(t, "s", "slow")
	w.start(t, "t", "slow") // the only lane for turns may be taken
	close(goOn)
	w.completes(t, "s", "done")
	w.completes(t, "t", "done")
	if c := n.Counters(); c.Begun != 0 || runs.Load() != 2 {
		t.Errorf("%d begun, the code ran %d times", c.Begun, runs.Load())
	}
	w.start(t, "u", "job") // for a while none waits at all
	w.completes(t, "u", "done")
	if c := n.Counters(); c.Begun != 0 {
		t.Errorf("%d begun", c.Begun)
	}
}

func TestStartOutlivesTroubleOfItsFirstCommit(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault *faulty.Fault
	}{
		{"passing", faulty.Retryable()},
		{"permanent", faulty.Permanent()},
		{"refused", faulty.Refused()},
		{"unknown, done", faulty.Unknown()},
		{"unknown, not done", faulty.UnknownNotDone()},
		{"node lost", faulty.Fail(store.ErrNodeLost)},
	} {
		for _, policy := range []store.IfExists{store.ExistsIgnore, store.ExistsError} {
			t.Run(fmt.Sprintf("%s/%d", c.name, policy), func(t *testing.T) {
				engine.WaitForBeginning(t, time.Minute)
				w := newSetting(t)
				f := faulty.Wrap(w.Store)
				n := simtest.Start(t, f, program(), shortLease, func(o *engine.Options) { o.Log = nil })
				fault := *c.fault
				f.On(faulty.CommitTurns, &fault)
				if err := w.client.Start(w.ctx, store.Start{Instance: "j", Name: "job", IfExists: policy}); err != nil {
					t.Fatal(err)
				}
				w.completes(t, "j", "done")
				if n.Counters().Begun != 0 {
					t.Error("begun in spite of it")
				}
			})
		}
	}
}

func TestOfManyStartsOfAnIDOneBegins(t *testing.T) {
	engine.WaitForBeginning(t, time.Minute)
	w := newSetting(t)
	n := simtest.Start(t, w, program())
	for i := range 50 {
		id := fmt.Sprint(i)
		var started, existed atomic.Int64
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				switch err := w.client.Start(w.ctx, store.Start{Instance: id, Name: "job", IfExists: store.ExistsError}); {
				case err == nil:
					started.Add(1)
				case errors.Is(err, store.ErrExists):
					existed.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		all.Wait()
		if started.Load() != 1 || existed.Load() != 3 {
			t.Fatalf("%s: %d started, %d existed", id, started.Load(), existed.Load())
		}
		w.completes(t, id, "done")
	}
	if c := n.Counters(); c.TurnsCommitted != 100 {
		t.Errorf("%+v", c)
	}
}

func TestStartWhoseNodeIsLostWhileItBegins(t *testing.T) {
	for _, err := range []error{nil, errBusy} {
		t.Run(fmt.Sprint(err), func(t *testing.T) {
			engine.WaitForBeginning(t, time.Minute)
			w := newSetting(t)
			f := faulty.Wrap(w.Store)
			simtest.Start(t, f, program(), shortLease)
			commit := faulty.Hold().Then(err)
			f.On(faulty.CommitTurns, commit)
			started := make(chan error, 1)
			go func() {
				started <- w.client.Start(w.ctx, store.Start{Instance: "j", Name: "job", IfExists: store.ExistsError})
			}()
			<-commit.Reached()
			f.On(faulty.Renew, faulty.Fail(store.ErrNodeLost))
			w.rejoined(t, f)
			commit.Open()
			if err := <-started; err != nil {
				t.Fatal(err)
			}
			w.completes(t, "j", "done")
		})
	}
}

// Who gives up is told so, though the commit still comes through.
func TestStartThatGivesUpWhileItBegins(t *testing.T) {
	engine.WaitForBeginning(t, time.Minute)
	engine.GiveUpBeginning(t, 0)
	w := newSetting(t)
	f := faulty.Wrap(w.Store)
	simtest.Start(t, f, program())
	commit := faulty.Hold()
	f.On(faulty.CommitTurns, commit)
	ctx, cancel := context.WithCancel(w.ctx)
	started := make(chan error, 1)
	go func() { started <- w.client.Start(ctx, store.Start{Instance: "j", Name: "job"}) }()
	<-commit.Reached()
	cancel()
	if err := <-started; !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the context's error", err)
	}
	commit.Open()
	w.completes(t, "j", "done")
}

func TestShutdownAnswersStartsThatBegin(t *testing.T) {
	engine.WaitForBeginning(t, time.Minute)
	w := newSetting(t)
	f := faulty.Wrap(w.Store)
	n := simtest.Start(t, f, program())
	commit := faulty.Hold()
	f.On(faulty.CommitTurns, commit)
	started := make(chan error, 1)
	go func() { started <- w.client.Start(w.ctx, store.Start{Instance: "j", Name: "job"}) }()
	<-commit.Reached()
	over := make(chan struct{})
	go func() { n.Abandon(); close(over) }()
	w.until(t, "the shutdown begins", func() bool { return engine.HasLeft(n.Runtime) })
	commit.Open()
	if err := <-started; err != nil {
		t.Error(err)
	}
	<-over
	simtest.Start(t, w, program())
	w.completes(t, "j", "done")
}
