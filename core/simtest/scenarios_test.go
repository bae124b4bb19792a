package simtest_test

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/duroxide/duroxide/core/engine"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/simtest"
	"github.com/duroxide/duroxide/core/store"
)

func TestHelloCompletes(t *testing.T) {
	everywhere(t, standard(), func(w *world, _ *simtest.Node) {
		w.start("h", "hello", "world")
		w.completes("h", "hello world")
	})
}

func TestSequenceRunsEveryStep(t *testing.T) {
	everywhere(t, standard(), func(w *world, _ *simtest.Node) {
		w.start("s", "steps", "50")
		w.completes("s", "50")
	})
}

func TestFanOutOfAThousandJoins(t *testing.T) {
	everywhere(t, standard(), func(w *world, _ *simtest.Node) {
		w.start("f", "fan", "1000")
		w.completes("f", "1999")
	})
}

func TestManyInstancesAtOnceComplete(t *testing.T) {
	everywhere(t, standard(), func(w *world, _ *simtest.Node) {
		for i := range 100 {
			w.start("i"+strconv.Itoa(i), "steps", "5")
		}
		for i := range 100 {
			w.completes("i"+strconv.Itoa(i), "5")
		}
	})
}

func TestTimerFiresNotBeforeItIsDue(t *testing.T) {
	p := standard()
	p.Orchestration("sleep", func(c *simtest.Context, _ string) (string, error) {
		_, err := c.Await(c.Timer(80))
		return "woke", err
	})
	everywhere(t, p, func(w *world, _ *simtest.Node) {
		before := w.store.Now()
		w.start("t", "sleep", "")
		w.completes("t", "woke")
		if slept := w.store.Now() - before; slept < 80 {
			w.Errorf("slept %d ms", slept)
		}
	})
}

func TestEventsReachTheirWaiters(t *testing.T) {
	p := standard()
	p.Orchestration("wait", func(c *simtest.Context, _ string) (string, error) {
		c.SetStatus("waiting")
		first, err := c.Await(c.Event("go"))
		if err != nil {
			return "", err
		}
		second, err := c.Await(c.Event("go"))
		return first + second, err
	})
	everywhere(t, p, func(w *world, _ *simtest.Node) {
		w.start("e", "wait", "")
		_, err := w.client.WaitStatus(w.ctx, "e", 0)
		w.must(err)
		w.must(w.client.RaiseEvent(w.ctx, "e", "go", "a"))
		w.must(w.client.RaiseEvent(w.ctx, "e", "go", "b"))
		w.completes("e", "ab")
	})
}

func TestMailWaitsForItsDequeue(t *testing.T) {
	p := standard()
	p.Orchestration("mail", func(c *simtest.Context, _ string) (string, error) {
		got := ""
		for range 4 {
			m, err := c.Await(c.Dequeue("inbox"))
			if err != nil {
				return "", err
			}
			if _, err := c.Await(c.Activity("echo", m)); err != nil {
				return "", err
			}
			got += m
		}
		c.SetStatus("done")
		return got, nil
	})
	everywhere(t, p, func(w *world, _ *simtest.Node) {
		w.must(w.client.EnqueueEvent(w.ctx, "m", "inbox", "a")) // before the instance exists
		w.start("m", "mail", "")
		for _, m := range []string{"b", "c", "d", "e"} {
			w.must(w.client.EnqueueEvent(w.ctx, "m", "inbox", m))
		}
		w.completes("m", "abcd")
	})
}

func TestChildrenAnswerTheirParents(t *testing.T) {
	p := standard()
	p.Orchestration("parent", func(c *simtest.Context, _ string) (string, error) {
		one, err := c.Await(c.Child("hello", "one"))
		if err != nil {
			return "", err
		}
		rest, err := c.Await(c.All(c.Child("hello", "two"), c.Child("failing", "")))
		if _, err := c.Await(c.Detached("hello", c.Instance()+"-later", "later")); err != nil {
			return "", err
		}
		return one + ";" + rest, err
	})
	p.Orchestration("failing", func(c *simtest.Context, _ string) (string, error) {
		return c.Await(c.Activity("boom", ""))
	})
	everywhere(t, p, func(w *world, n *simtest.Node) {
		w.start("p", "parent", "")
		w.completes("p", "hello one;hello two,err:boom")
		w.completes("p-later", "hello later")
		w.completes("p::sub::2", "hello one")
		if m := n.Metrics(); m.SuborchestrationCalls != 3 || m.OrchStarts != 5 || m.OrchFailures != 1 {
			w.Errorf("calls %d, starts %d, failures %d; want 3, 5, 1", m.SuborchestrationCalls, m.OrchStarts, m.OrchFailures)
		}
	})
}

func TestContinueAsNewKeepsMailAndCountsExecutions(t *testing.T) {
	p := standard()
	p.Orchestration("loop", func(c *simtest.Context, in string) (string, error) {
		m, err := c.Await(c.Dequeue("q"))
		if err != nil {
			return "", err
		}
		if m == "stop" {
			return in, nil
		}
		return c.Await(c.ContinueAsNew(in + m))
	})
	everywhere(t, p, func(w *world, n *simtest.Node) {
		w.start("l", "loop", "")
		for _, m := range []string{"a", "b", "c", "stop"} {
			w.must(w.client.EnqueueEvent(w.ctx, "l", "q", m))
		}
		w.completes("l", "abc")
		s, err := w.client.Status(w.ctx, "l")
		w.must(err)
		if s.Execution != 4 || n.Metrics().OrchContinueAsNew != 3 {
			w.Errorf("execution %d, %d continued; want 4, 3", s.Execution, n.Metrics().OrchContinueAsNew)
		}
	})
}

func TestCancelEndsInstanceAndChildren(t *testing.T) {
	p := standard()
	p.Orchestration("outer", func(c *simtest.Context, _ string) (string, error) {
		c.SetStatus("up")
		return c.Await(c.Child("inner", ""))
	})
	p.Orchestration("inner", func(c *simtest.Context, _ string) (string, error) {
		c.SetStatus("up")
		return c.Await(c.Event("never"))
	})
	everywhere(t, p, func(w *world, _ *simtest.Node) {
		w.start("c", "outer", "")
		_, err := w.client.WaitStatus(w.ctx, "c::sub::3", 0)
		w.must(err)
		w.must(w.client.Cancel(w.ctx, "c", "enough"))
		w.fails("c", "canceled: enough")
		w.fails("c::sub::3", "canceled: parent canceled")
	})
}

func TestRetryTriesAgainAndGivesUp(t *testing.T) {
	p := standard()
	var tries atomic.Int64
	p.Activity("flaky", func(*engine.Activity) (string, error) {
		if tries.Add(1)%3 != 0 {
			return "", errBoom
		}
		return "ok", nil
	})
	policy := replay.RetryPolicy{MaxAttempts: 3, Backoff: replay.BackoffFixed, InitialMS: 5}
	p.Orchestration("retry", func(c *simtest.Context, _ string) (string, error) {
		ok, err := c.Await(c.Activity("flaky", "").Retrying(policy))
		if err != nil {
			return "", err
		}
		_, err = c.Await(c.Activity("boom", "").Retrying(policy))
		return fmt.Sprintf("%s then %v", ok, err), nil
	})
	everywhere(t, p, func(w *world, _ *simtest.Node) {
		w.start("r", "retry", "")
		w.completes("r", "ok then boom")
	})
}

func TestRaceLoserIsCancelledAtOnce(t *testing.T) {
	p := standard()
	entered, cancelled := make(chan struct{}, 8), make(chan struct{}, 8)
	p.Activity("slow", func(a *engine.Activity) (string, error) {
		entered <- struct{}{}
		for !a.Cancelled.Load() {
			pauseABit()
		}
		cancelled <- struct{}{}
		return "late", nil
	})
	p.Orchestration("race", func(c *simtest.Context, _ string) (string, error) {
		i, v, err := c.Race(c.Activity("slow", ""), c.Event("go"))
		return fmt.Sprint(i, v), err
	})
	everywhere(t, p, func(w *world, _ *simtest.Node) {
		w.start("r", "race", "")
		waitFor(w, entered, "the slow activity")
		w.must(w.client.RaiseEvent(w.ctx, "r", "go", "!"))
		w.completes("r", "1!")
		waitFor(w, cancelled, "the cancel")
	})
}

func TestActivityTimeOutAnswersThoughTheFunctionGoesOn(t *testing.T) {
	p := standard()
	release := make(chan struct{})
	p.Activity("hang", func(*engine.Activity) (string, error) { <-release; return "late", nil })
	p.Orchestration("timeout", func(c *simtest.Context, _ string) (string, error) {
		return c.Await(c.Activity("hang", "").TimingOut(30))
	})
	everywhere(t, p, func(w *world, _ *simtest.Node) {
		w.start("t", "timeout", "")
		w.fails("t", "timeout: activity timed out")
		release <- struct{}{}
		w.start("h", "hello", "again")
		w.completes("h", "hello again")
	})
}

func TestStartOfAnIdInUse(t *testing.T) {
	everywhere(t, standard(), func(w *world, _ *simtest.Node) {
		w.start("h", "hello", "one")
		w.completes("h", "hello one")
		w.start("h", "hello", "two")
		w.completes("h", "hello one")
		if err := w.client.Start(w.ctx, store.Start{Instance: "h", Name: "hello", IfExists: store.ExistsError}); err == nil {
			w.Error("no error for an id in use")
		}
		w.must(w.client.Start(w.ctx, store.Start{Instance: "h", Name: "hello", Input: "three", IfExists: store.ExistsRestartIfEnded}))
		w.completes("h", "hello three")
	})
}
