package simtest_test

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duroxide/duroxide/core/engine"
	"github.com/duroxide/duroxide/core/simtest"
	"github.com/duroxide/duroxide/core/store"
)

// troubled is a store that can be made to fail: every call then gives an error, as if the connection were lost. Its
// listeners hear nothing meanwhile.
type troubled struct {
	store.Store
	down  atomic.Bool
	calls atomic.Int64 // refused
}

var errDown = &store.Error{Operation: "reach the store", Retryable: true, Err: errors.New("connection lost")}

func (s *troubled) fails() bool {
	if s.down.Load() {
		s.calls.Add(1)
		return true
	}
	return false
}

func (s *troubled) Ready(ctx context.Context, q store.ReadyQuery) (store.ReadyResult, error) {
	if s.fails() {
		return store.ReadyResult{}, errDown
	}
	return s.Store.Ready(ctx, q)
}

func (s *troubled) CommitTurns(ctx context.Context, n store.NodeID, t []store.Turn) ([]store.TurnResult, error) {
	if s.fails() {
		return nil, errDown
	}
	return s.Store.CommitTurns(ctx, n, t)
}

func (s *troubled) ClaimJobs(ctx context.Context, c store.Claim) ([]store.Job, error) {
	if s.fails() {
		return nil, errDown
	}
	return s.Store.ClaimJobs(ctx, c)
}

func (s *troubled) SettleJobs(ctx context.Context, l []store.Settlement) ([]bool, error) {
	if s.fails() {
		return nil, errDown
	}
	return s.Store.SettleJobs(ctx, l)
}

func (s *troubled) LostJobs(ctx context.Context, l []store.JobRef) ([]store.JobRef, error) {
	if s.fails() {
		return nil, errDown
	}
	return s.Store.LostJobs(ctx, l)
}

func (s *troubled) Renew(ctx context.Context, l *store.Lease) error {
	if s.fails() {
		return errDown
	}
	return s.Store.Renew(ctx, l)
}

func (s *troubled) BuryDead(ctx context.Context, n store.NodeID) ([]store.NodeID, error) {
	if s.fails() {
		return nil, errDown
	}
	return s.Store.BuryDead(ctx, n)
}

func (s *troubled) Leave(ctx context.Context, n store.NodeID) error {
	if s.fails() {
		return errDown
	}
	return s.Store.Leave(ctx, n)
}

func (s *troubled) Listen(l store.Listener) func() { return s.Store.Listen(deaf{s, l}) }

type deaf struct {
	s *troubled
	store.Listener
}

func (d deaf) Adopt(name, version string) (store.NodeID, bool) {
	if d.s.down.Load() {
		return "", false
	}
	return d.Listener.Adopt(name, version)
}

func (d deaf) Wake(w store.Wake) {
	if !d.s.down.Load() {
		d.Listener.Wake(w)
	}
}

func TestTwoRuntimesShareAFile(t *testing.T) {
	p := standard()
	path := filepath.Join(t.TempDir(), "shared.db")
	w := newWorld(t, openFile(t, path), p)
	other := openFile(t, path)
	t.Cleanup(func() { w.must(other.Close()) })
	a, b := simtest.Start(t, w.store, p), simtest.Start(t, other, p)
	for i := range 60 {
		w.start("i"+strconv.Itoa(i), "steps", "10")
	}
	for i := range 60 {
		w.completes("i"+strconv.Itoa(i), "10")
	}
	if ma, mb := a.Metrics(), b.Metrics(); ma.OrchCompletions+mb.OrchCompletions != 60 || ma.OrchStarts+mb.OrchStarts != 60 {
		t.Errorf("completed %d and %d, started %d and %d; want 60 in all",
			ma.OrchCompletions, mb.OrchCompletions, ma.OrchStarts, mb.OrchStarts)
	}
}

func TestSecondRuntimeTakesWhatTheFirstHasNoSlotFor(t *testing.T) {
	p := standard()
	entered, release := make(chan struct{}, 16), make(chan struct{})
	p.Activity("block", func(*engine.Activity) (string, error) {
		entered <- struct{}{}
		<-release
		return "x", nil
	})
	p.Orchestration("wide", func(c *simtest.Context, _ string) (string, error) {
		var all []simtest.Task
		for range 16 {
			all = append(all, c.Activity("block", ""))
		}
		if _, err := c.Await(c.All(all...)); err != nil {
			return "", err
		}
		return c.Await(c.Activity("echo", "done"))
	})
	path := filepath.Join(t.TempDir(), "shared.db")
	w := newWorld(t, openFile(t, path), p)
	other := openFile(t, path)
	t.Cleanup(func() { w.must(other.Close()) })
	minute := func(o *engine.Options) { o.PollInterval = time.Minute }
	a, b := simtest.Start(t, w.store, p, minute), simtest.Start(t, other, p, minute)
	w.start("w", "wide", "")
	for range 16 { // eight on each, all at once
		waitFor(w, entered, "an activity")
	}
	close(release)
	w.completes("w", "done")
	ca, cb := a.Counters(), b.Counters()
	if ca.FoundByPoll+cb.FoundByPoll != 0 {
		t.Error("found by polling")
	}
	if loads := ca.Loads + cb.Loads; loads != 0 {
		t.Errorf("%d loads: the instance did not stay where it is in memory", loads)
	}
	if cb.SettledAlone != 8 {
		t.Errorf("%d results went through the store, want the eight of the other node", cb.SettledAlone)
	}
}

func TestWorkOfADeadNodeIsTakenOver(t *testing.T) {
	p := standard()
	var runs atomic.Int64
	entered, release := make(chan struct{}, 4), make(chan struct{})
	p.Activity("once", func(*engine.Activity) (string, error) {
		if runs.Add(1) == 1 {
			entered <- struct{}{}
			<-release
		}
		return "done", nil
	})
	p.Orchestration("job", func(c *simtest.Context, _ string) (string, error) {
		if _, err := c.Await(c.Activity("echo", "a")); err != nil {
			return "", err
		}
		return c.Await(c.Activity("once", ""))
	})
	w := newWorld(t, openMemory(t), p)
	dying := &troubled{Store: w.store}
	short := func(o *engine.Options) { o.Lease = time.Second }
	first := simtest.Start(t, dying, p, short)
	w.start("j", "job", "")
	waitFor(w, entered, "the activity")
	dying.down.Store(true) // from here on nothing of this node reaches the store: for others it is dead
	second := simtest.Start(t, w.store, p, short)
	w.completes("j", "done")
	if c := second.Counters(); c.AttemptsWritten == 0 {
		t.Error("no attempt was written for work that a node had died over")
	}
	dying.down.Store(false)
	close(release)
	first.Stop()
	if m := first.Metrics(); m.OrchCompletions != 0 {
		t.Errorf("the dead node completed %d", m.OrchCompletions)
	}
	if runs.Load() != 2 {
		t.Errorf("the activity ran %d times, want 2", runs.Load())
	}
}

func TestNodeThatLostItsLeaseJoinsAgain(t *testing.T) {
	p := standard()
	w := newWorld(t, openMemory(t), p)
	s := &troubled{Store: w.store}
	n := simtest.Start(t, s, p, func(o *engine.Options) { o.Lease = time.Second })
	w.start("h1", "hello", "one")
	w.completes("h1", "hello one")
	s.down.Store(true)
	for { // somebody else buries it once its lease is over
		buried, err := w.store.BuryDead(w.ctx, "nobody")
		w.must(err)
		if len(buried) == 1 {
			break
		}
		pauseABit()
	}
	s.down.Store(false)
	w.start("h2", "hello", "two")
	w.completes("h2", "hello two")
	if n.Counters().FoundByPoll != 0 {
		t.Error("found by polling")
	}
}

func TestStorageTroubleFailsNothing(t *testing.T) {
	p := standard()
	w := newWorld(t, openMemory(t), p)
	s := &troubled{Store: w.store}
	var mu sync.Mutex
	said := map[string]int{}
	n := simtest.Start(t, s, p, func(o *engine.Options) {
		o.Log = func(r engine.LogRecord) {
			mu.Lock()
			defer mu.Unlock()
			said[r.Level]++
		}
	})
	for i := range 20 {
		w.start("i"+strconv.Itoa(i), "steps", "200")
	}
	for range 3 {
		s.down.Store(true)
		refused := s.calls.Load()
		for s.calls.Load() < refused+2 {
			pauseABit()
		}
		s.down.Store(false)
	}
	for i := range 20 {
		w.completes("i"+strconv.Itoa(i), "200")
	}
	if m := n.Metrics(); m.OrchFailures != 0 || m.ProviderErrors == 0 {
		t.Errorf("%d failures, %d provider errors", m.OrchFailures, m.ProviderErrors)
	}
	mu.Lock()
	defer mu.Unlock()
	if said["warn"] == 0 || said["warn"] > 3 {
		t.Errorf("%d warnings for three times of trouble", said["warn"])
	}
}

func TestRestartGoesOnWhereTheLastRuntimeStopped(t *testing.T) {
	p := standard()
	p.Orchestration("wait", func(c *simtest.Context, _ string) (string, error) {
		if _, err := c.Await(c.Activity("echo", "a")); err != nil {
			return "", err
		}
		c.SetStatus("waiting")
		v, err := c.Await(c.Event("go"))
		if err != nil {
			return "", err
		}
		return c.Await(c.Activity("echo", v))
	})
	w := newWorld(t, openMemory(t), p)
	first := simtest.Start(t, w.store, p)
	w.start("w", "wait", "")
	_, err := w.client.WaitStatus(w.ctx, "w", 0)
	w.must(err)
	if !first.Stop() {
		t.Error("not drained")
	}
	w.must(w.client.RaiseEvent(w.ctx, "w", "go", "on"))
	second := simtest.Start(t, w.store, p)
	w.completes("w", "on")
	if c := second.Counters(); c.Loads != 1 || c.AttemptsWritten != 0 {
		t.Errorf("%d loads, %d attempts written; want 1, 0", c.Loads, c.AttemptsWritten)
	}
}

func TestTimersGoOnAfterARestart(t *testing.T) {
	p := standard()
	p.Orchestration("sleep", func(c *simtest.Context, in string) (string, error) {
		ms, err := strconv.ParseInt(in, 10, 64)
		if err != nil {
			return "", err
		}
		c.SetStatus("asleep")
		_, err = c.Await(c.Timer(ms))
		return "woke", err
	})
	w := newWorld(t, openMemory(t), p)
	first := simtest.Start(t, w.store, p)
	for id, ms := range map[string]string{"past": "1", "soon": "200"} {
		w.start(id, "sleep", ms)
		_, err := w.client.WaitStatus(w.ctx, id, 0)
		w.must(err)
	}
	first.Stop()
	second := simtest.Start(t, w.store, p, func(o *engine.Options) { o.PollInterval = time.Minute })
	w.completes("past", "woke")
	w.completes("soon", "woke")
	if second.Counters().FoundByPoll != 0 {
		t.Error("found by polling")
	}
}

func TestDeletedInstanceLeavesItsIdToAnother(t *testing.T) {
	p := standard()
	entered, cancelled := make(chan struct{}, 1), make(chan struct{}, 1)
	p.Activity("slow", func(a *engine.Activity) (string, error) {
		entered <- struct{}{}
		for !a.Cancelled.Load() {
			pauseABit()
		}
		cancelled <- struct{}{}
		return "of the first life", nil
	})
	p.Orchestration("slow", func(c *simtest.Context, _ string) (string, error) { return c.Await(c.Activity("slow", "")) })
	w := newWorld(t, openMemory(t), p)
	simtest.Start(t, w.store, p)
	w.start("x", "slow", "")
	waitFor(w, entered, "the activity")
	_, err := w.store.Delete(w.ctx, "x", true)
	w.must(err)
	w.start("x", "hello", "second life")
	w.completes("x", "hello second life")
	waitFor(w, cancelled, "the cancel of what the first life ran")
}

func TestShutdownWhenIdleIsQuick(t *testing.T) {
	p := standard()
	w := newWorld(t, openMemory(t), p)
	var n *simtest.Node
	best := time.Hour // what takes longer is a busy machine
	for i := range 5 {
		n = simtest.Start(t, w.store, p)
		id := "h" + strconv.Itoa(i)
		w.start(id, "hello", "x")
		w.completes(id, "hello x")
		begun := time.Now()
		if !n.Stop() {
			t.Error("not drained")
		}
		best = min(best, time.Since(begun))
	}
	if best > 100*time.Millisecond {
		t.Errorf("took %s", best)
	}
	if c := n.Counters(); c.Lanes != 0 || c.Goroutines != 0 || c.Live != 0 {
		t.Errorf("left behind: %d lanes, %d goroutines, %d executions", c.Lanes, c.Goroutines, c.Live)
	}
	if !n.Shutdown(0) {
		t.Error("a second shutdown tells otherwise")
	}
}

func TestShutdownWaitsForRunningActivitiesAndKeepsTheirResults(t *testing.T) {
	p := standard()
	entered, release := make(chan struct{}, 1), make(chan struct{})
	var runs atomic.Int64
	p.Activity("block", func(*engine.Activity) (string, error) {
		runs.Add(1)
		entered <- struct{}{}
		<-release
		return "kept", nil
	})
	p.Orchestration("job", func(c *simtest.Context, _ string) (string, error) { return c.Await(c.Activity("block", "")) })
	w := newWorld(t, openMemory(t), p)
	first := simtest.Start(t, w.store, p)
	w.start("j", "job", "")
	waitFor(w, entered, "the activity")
	stopped := make(chan bool, 1)
	go func() { stopped <- first.Stop() }()
	close(release)
	if !waitFor(w, stopped, "the shutdown") {
		t.Error("not drained")
	}
	simtest.Start(t, w.store, p)
	w.completes("j", "kept")
	if runs.Load() != 1 {
		t.Errorf("the activity ran %d times", runs.Load())
	}
}

func TestShutdownGivesBackWhatDoesNotEnd(t *testing.T) {
	p := standard()
	entered, release := make(chan struct{}, 2), make(chan struct{})
	var runs atomic.Int64
	p.Activity("block", func(*engine.Activity) (string, error) {
		if runs.Add(1) == 1 {
			entered <- struct{}{}
			<-release
		}
		return "again", nil
	})
	p.Orchestration("job", func(c *simtest.Context, _ string) (string, error) { return c.Await(c.Activity("block", "")) })
	w := newWorld(t, openMemory(t), p)
	first := simtest.Start(t, w.store, p)
	w.start("j", "job", "")
	waitFor(w, entered, "the activity")
	if first.Abandon() {
		t.Error("drained, though an activity runs")
	}
	second := simtest.Start(t, w.store, p)
	w.completes("j", "again")
	if second.Counters().AttemptsWritten != 0 {
		t.Error("a give-back counts as no attempt and makes nothing suspect")
	}
	close(release)
}

func TestSessionRunsOnOneLaneInOrder(t *testing.T) {
	p := standard()
	var mu sync.Mutex
	lanes := map[string]map[string]bool{}
	var running, most atomic.Int64
	p.Activity("in", func(a *engine.Activity) (string, error) {
		if now := running.Add(1); now > most.Load() {
			most.Store(now)
		}
		defer running.Add(-1)
		mu.Lock()
		defer mu.Unlock()
		if lanes[a.Session] == nil {
			lanes[a.Session] = map[string]bool{}
		}
		lanes[a.Session][a.WorkerID] = true
		return a.Session, nil
	})
	p.Orchestration("session", func(c *simtest.Context, in string) (string, error) {
		var all []simtest.Task
		for range 10 {
			all = append(all, c.Activity("in", "").OnSession(in))
		}
		_, err := c.Await(c.All(all...))
		return in, err
	})
	w := newWorld(t, openMemory(t), p)
	simtest.Start(t, w.store, p, func(o *engine.Options) { o.MaxSessions = 2 })
	for _, id := range []string{"a", "b", "c", "d"} {
		w.start(id, "session", id)
	}
	for _, id := range []string{"a", "b", "c", "d"} {
		w.completes(id, id)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(lanes) != 4 {
		t.Errorf("%d sessions ran", len(lanes))
	}
	if most.Load() > 2 {
		t.Errorf("%d sessions ran at once, 2 may be held", most.Load())
	}
}

func TestTagsChooseTheWorker(t *testing.T) {
	p := standard()
	p.Orchestration("tagged", func(c *simtest.Context, _ string) (string, error) {
		return c.Await(c.Activity("echo", "gpu").Tagged("gpu"))
	})
	w := newWorld(t, openMemory(t), p)
	plain := simtest.Start(t, w.store, p)
	gpu := simtest.Start(t, w.store, p, func(o *engine.Options) { o.Tags = store.TagFilter{Tags: []string{"gpu"}} })
	w.start("t", "tagged", "")
	w.completes("t", "gpu")
	if a, b := plain.Metrics().ActivitySuccess, gpu.Metrics().ActivitySuccess; a != 0 || b != 1 {
		t.Errorf("the plain worker ran %d, the tagged one %d; want 0, 1", a, b)
	}
}
