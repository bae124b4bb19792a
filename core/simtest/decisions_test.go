package simtest_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/duroxide/duroxide/core/engine"
	"github.com/duroxide/duroxide/core/simtest"
	"github.com/duroxide/duroxide/core/store"
)

// The counters show that the engine does what its speed rests on, whatever the machine does to the clock.

// renewals is a store that tells of each renewal of a lease.
type renewals struct {
	store.Store
	done chan struct{}
}

func (s renewals) Renew(ctx context.Context, l *store.Lease) error {
	err := s.Store.Renew(ctx, l)
	select {
	case s.done <- struct{}{}:
	default: // nobody waits any more
	}
	return err
}

func TestSequenceOfStepsCostsOneCommitEach(t *testing.T) {
	p := standard()
	w := newWorld(t, openMemory(t), p)
	n := simtest.Start(t, w.store, p)
	before := n.Counters()
	w.start("s", "steps", "1000")
	w.completes("s", "1000")
	c := n.Counters()
	// The start is the client's commit; a step whose result waited too long for its turn was settled apart.
	if commits := c.Commits - before.Commits; commits > 1000+1+c.SettledAlone {
		t.Errorf("%d commits for 1000 steps, %d results settled alone", commits, c.SettledAlone)
	}
	if c.EventsReplayed != 0 || c.Loads != 0 {
		t.Errorf("%d events replayed in %d loads: the execution did not stay in memory", c.EventsReplayed, c.Loads)
	}
	if c.Inline < 900 {
		t.Errorf("%d of 1000 turns stayed on the lane that ran the activity", c.Inline)
	}
	if c.FoundByPoll != 0 {
		t.Errorf("%d found by the fall-back poll", c.FoundByPoll)
	}
}

func TestCommitsAreSharedWhenMuchIsOpen(t *testing.T) {
	p := standard()
	w := newWorld(t, openMemory(t), p)
	n := simtest.Start(t, w.store, p)
	for i := range 100 {
		w.start("i"+strconv.Itoa(i), "steps", "20")
	}
	for i := range 100 {
		w.completes("i"+strconv.Itoa(i), "20")
	}
	if c := n.Counters(); c.TurnsCommitted < 2*c.Commits {
		t.Errorf("%d turns in %d commits", c.TurnsCommitted, c.Commits)
	}
}

func TestNothingIsFoundByPollingInOneProcess(t *testing.T) {
	p := standard()
	p.Orchestration("mixed", func(c *simtest.Context, in string) (string, error) {
		if _, err := c.Await(c.Timer(20)); err != nil {
			return "", err
		}
		if in == "first" {
			if _, err := c.Await(c.Child("hello", in)); err != nil {
				return "", err
			}
		}
		all, err := c.Await(c.All(c.Activity("echo", "a"), c.Timer(5), c.Activity("echo", "b")))
		if err != nil {
			return "", err
		}
		if in == "again" {
			return all, nil
		}
		return c.Await(c.ContinueAsNew("again"))
	})
	for _, live := range []int{1000, 0} {
		t.Run("live="+strconv.Itoa(live), func(t *testing.T) {
			w := newWorld(t, openMemory(t), p)
			n := simtest.Start(t, w.store, p, func(o *engine.Options) {
				o.PollInterval, o.LiveExecutions = time.Minute, live
			})
			for i := range 50 {
				w.start("m"+strconv.Itoa(i), "mixed", "first")
			}
			for i := range 50 {
				w.completes("m"+strconv.Itoa(i), "a,,b")
			}
			if c := n.Counters(); c.FoundByPoll != 0 {
				t.Errorf("%d found by the fall-back poll", c.FoundByPoll)
			}
		})
	}
}

func TestRunningActivitiesCostNoLeaseWritesOfTheirOwn(t *testing.T) {
	p := standard()
	entered, release := make(chan struct{}, 500), make(chan struct{})
	p.Activity("block", func(*engine.Activity) (string, error) {
		entered <- struct{}{}
		<-release
		return "", nil
	})
	p.Orchestration("wide", func(c *simtest.Context, _ string) (string, error) {
		var all []simtest.Task
		for range 500 {
			all = append(all, c.Activity("block", ""))
		}
		_, err := c.Await(c.All(all...))
		return "done", err
	})
	w := newWorld(t, openMemory(t), p)
	s := renewals{Store: w.store, done: make(chan struct{}, 64)}
	n := simtest.Start(t, s, p, func(o *engine.Options) { o.WorkerConcurrency, o.Lease = 500, time.Second })
	w.start("w", "wide", "")
	for range 500 {
		waitFor(w, entered, "an activity")
	}
	before := n.Counters().LeaseWrites
	begun := time.Now()
	for range 2 { // renewals that go by while all of them run
		waitFor(w, s.done, "a renewal")
	}
	writes := n.Counters().LeaseWrites - before
	if most := int64(time.Since(begun)/(300*time.Millisecond)) + 2; writes > most {
		t.Errorf("%d renewals in %s while 500 activities ran", writes, time.Since(begun))
	}
	close(release)
	w.completes("w", "done")
}

func TestBlockingActivitiesHideNoOtherWork(t *testing.T) {
	p := standard()
	entered, release := make(chan struct{}, 8), make(chan struct{})
	p.Activity("block", func(*engine.Activity) (string, error) {
		entered <- struct{}{}
		<-release
		return "", nil
	})
	p.Orchestration("blocked", func(c *simtest.Context, _ string) (string, error) { return c.Await(c.Activity("block", "")) })
	w := newWorld(t, openMemory(t), p)
	simtest.Start(t, w.store, p)
	for i := range 7 { // of eight permits
		w.start("b"+strconv.Itoa(i), "blocked", "")
	}
	for range 7 {
		waitFor(w, entered, "a blocking activity")
	}
	for i := range 20 {
		w.start("h"+strconv.Itoa(i), "hello", "x")
		w.completes("h"+strconv.Itoa(i), "hello x")
	}
	close(release)
	for i := range 7 {
		w.completes("b"+strconv.Itoa(i), "")
	}
}

func TestBlockingTurnHidesNoOtherInstance(t *testing.T) {
	p := standard()
	entered, release := make(chan struct{}, 1), make(chan struct{})
	p.Orchestration("stuck", func(*simtest.Context, string) (string, error) {
		select {
		case entered <- struct{}{}:
			<-release
		default: // replayed
		}
		return "at last", nil
	})
	w := newWorld(t, openMemory(t), p)
	n := simtest.Start(t, w.store, p, func(o *engine.Options) { o.StuckAfter = 20 * time.Millisecond })
	w.start("s", "stuck", "")
	waitFor(w, entered, "the blocking turn")
	w.start("h", "hello", "x")
	w.completes("h", "hello x")
	for len(n.Health(w.ctx).Stuck) == 0 {
		pauseABit()
	}
	if stuck := n.Health(w.ctx).Stuck[0]; stuck.Instance != "s" || stuck.Name != "stuck" {
		t.Errorf("stuck: %+v", stuck)
	}
	close(release)
	w.completes("s", "at last")
}

func TestIdleRuntimeRunsNothing(t *testing.T) {
	p := standard()
	w := newWorld(t, openMemory(t), p)
	s := renewals{Store: w.store, done: make(chan struct{}, 8)}
	n := simtest.Start(t, s, p, func(o *engine.Options) { o.Lease = 3 * time.Second })
	w.start("h", "hello", "x")
	w.completes("h", "hello x")
	before := n.Counters()
	waitFor(w, s.done, "a renewal of the lease")
	waitFor(w, s.done, "another: a second goes by")
	after := n.Counters()
	if after.Commits != before.Commits || after.Turns != before.Turns || after.Loads != before.Loads {
		t.Errorf("idle: %+v, then %+v", before, after)
	}
}
