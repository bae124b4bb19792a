package engine_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duroxide/duroxide/core/client"
	"github.com/duroxide/duroxide/core/engine"
	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/simtest"
	"github.com/duroxide/duroxide/core/store"
	"github.com/duroxide/duroxide/core/store/sqlite"
)

// setting is a store in memory whose clock a test can put forward.
type setting struct {
	store.Store
	client *client.Client
	ctx    context.Context
	ahead  atomic.Int64
}

func newSetting(t *testing.T) *setting {
	t.Helper()
	w := &setting{}
	s, err := sqlite.OpenMemory(sqlite.Options{Now: func() int64 { return time.Now().UnixMilli() + w.ahead.Load() }})
	if err != nil {
		t.Fatal(err)
	}
	var cancel context.CancelFunc
	w.ctx, cancel = context.WithTimeout(context.Background(), 30*time.Second)
	w.Store, w.client = s, client.New(s)
	t.Cleanup(func() {
		w.client.Close()
		cancel()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *setting) start(t *testing.T, instance, name string) {
	t.Helper()
	if err := w.client.Start(w.ctx, store.Start{Instance: instance, Name: name, Input: "in"}); err != nil {
		t.Fatal(err)
	}
}

// startAlone is a start that does not wait for the first turn.
func (w *setting) startAlone(t *testing.T, instance, name string) {
	t.Helper()
	s := store.Start{Instance: instance, Name: name, Input: "in", IfExists: store.ExistsRestartIfEnded}
	if err := w.client.Start(w.ctx, s); err != nil {
		t.Fatal(err)
	}
}

func (w *setting) fails(t *testing.T, instance, want string) {
	t.Helper()
	s, err := w.client.WaitEnd(w.ctx, instance)
	if err != nil {
		t.Fatalf("%s: %v", instance, err)
	}
	if s.Status != replay.Failed || s.Failure.Text() != want {
		t.Errorf("%s: %v\ngot  %q\nwant %q", instance, s.Status, s.Failure.Text(), want)
	}
}

// doomed is a node that takes what it can and dies without a word.
type doomed struct{ id store.NodeID }

func (d doomed) Adopt(string, string) (store.NodeID, bool) { return d.id, true }
func (d doomed) Wake(store.Wake)                           {}

func (w *setting) join(t *testing.T, id store.NodeID, p string) {
	t.Helper()
	if _, err := w.Join(w.ctx, store.Node{ID: id, LeaseMS: 1000, Orchestrations: []string{p + "@1.0.0"}, Activities: []string{"work"}}); err != nil {
		t.Fatal(err)
	}
}

func (w *setting) die(t *testing.T, id store.NodeID) {
	t.Helper()
	w.ahead.Add(2000)
	buried, err := w.BuryDead(w.ctx, "witness")
	if err != nil || len(buried) != 1 || buried[0] != id {
		t.Fatalf("buried %q, %v", buried, err)
	}
}

func program() *simtest.Program {
	p := simtest.NewProgram()
	p.Orchestration("job", func(c *simtest.Context, _ string) (string, error) {
		return c.Await(c.Activity("work", ""))
	})
	p.Orchestration("parent", func(c *simtest.Context, _ string) (string, error) {
		return c.Await(c.Child("unknown", ""))
	})
	p.Orchestration("lost", func(c *simtest.Context, _ string) (string, error) {
		return c.Await(c.Activity("werk", ""))
	})
	p.Activity("work", func(*engine.Activity) (string, error) { return "done", nil })
	return p
}

func TestTurnThatKillsItsNodesBecomesPoison(t *testing.T) {
	w := newSetting(t)
	w.join(t, "dead", "job")
	quit := w.Listen(doomed{"dead"})
	w.start(t, "j", "job")
	quit()
	w.die(t, "dead")
	snap, err := w.Load(w.ctx, "j", history.Token{})
	if err != nil || !snap.Suspect {
		t.Fatalf("suspect %t, %v", snap != nil && snap.Suspect, err)
	}
	for range 3 { // nodes that died after they had written their attempt
		if _, err := w.CountAttempt(w.ctx, store.Suspect{Instance: "j", Turn: snap.Turn}); err != nil {
			t.Fatal(err)
		}
	}
	n := simtest.Start(t, w, program(), func(o *engine.Options) { o.MaxAttempts = 3 })
	w.fails(t, "j", "poison: orchestration j exceeded 4 attempts (max 3)")
	events, err := w.History(w.ctx, "j", 0)
	if err != nil || len(events) != 2 || events[0].Kind != history.OrchestrationStarted || events[0].Data != "in" {
		t.Errorf("history %+v, %v", events, err)
	}
	if m := n.Metrics(); m.OrchPoison != 1 || m.OrchFailures != 1 {
		t.Errorf("poison %d, failures %d", m.OrchPoison, m.OrchFailures)
	}
}

func TestActivityThatKillsItsNodesBecomesPoison(t *testing.T) {
	for _, c := range []struct {
		promise string
		deaths  int
		want    string
	}{
		{"over the limit it fails its instance", 3, "poison: activity work#2 exceeded 4 attempts (max 3)"},
		{"up to the limit it runs and is cleared", 2, ""},
	} {
		t.Run(c.promise, func(t *testing.T) {
			w := newSetting(t)
			first := simtest.Start(t, w, program(), func(o *engine.Options) { o.Tags = store.TagFilter{} }) // turns only
			w.start(t, "j", "job")
			for range c.deaths {
				w.join(t, "dead", "job")
				var jobs []store.Job
				for len(jobs) == 0 {
					var err error
					jobs, err = w.ClaimJobs(w.ctx, store.Claim{
						Node: "dead", Limit: 1, Activities: map[string]bool{"work": true}, Tags: store.TagFilter{Untagged: true},
					})
					if err != nil {
						t.Fatal(err)
					}
				}
				if _, err := w.CountAttempt(w.ctx, store.Suspect{Job: &jobs[0].JobRef}); err != nil {
					t.Fatal(err)
				}
				first.Stop()
				w.die(t, "dead")
			}
			n := simtest.Start(t, w, program(), func(o *engine.Options) { o.MaxAttempts = 3 })
			if c.want != "" {
				w.fails(t, "j", c.want)
				if m := n.Metrics(); m.ActivityPoison != 1 {
					t.Errorf("poison %d", m.ActivityPoison)
				}
				return
			}
			s, err := w.client.WaitEnd(w.ctx, "j")
			if err != nil || s.Output != "done" {
				t.Fatalf("%+v, %v", s, err)
			}
			if c := n.Counters(); c.AttemptsWritten == 0 || c.SettledAlone != 1 {
				t.Errorf("%d attempts written, %d settled alone: a suspect's result is committed before its turn", c.AttemptsWritten, c.SettledAlone)
			}
		})
	}
}

func TestWorkThatNobodyCanRunIsWarnedOfAndFails(t *testing.T) {
	engine.Shorten(t, 20*time.Millisecond)
	w := newSetting(t)
	var warned atomic.Value
	simtest.Start(t, w, program(), func(o *engine.Options) {
		o.Log = func(r engine.LogRecord) {
			if strings.Contains(r.Message, "no runtime registers activity werk") {
				warned.Store(r.Message)
			}
		}
	})
	w.start(t, "u", "unknown")
	w.fails(t, "u", "poison: orchestration u exceeded 11 attempts (max 10) : no runtime registers unknown")
	w.start(t, "p", "parent")
	w.fails(t, "p", "poison: orchestration p::sub::2 exceeded 11 attempts (max 10) : no runtime registers unknown")
	w.start(t, "l", "lost")
	w.fails(t, "l", "poison: activity werk#2 exceeded 11 attempts (max 10) : no runtime registers werk")
	if text, _ := warned.Load().(string); !strings.Contains(text, "registered here: work") {
		t.Errorf("warned %q", text)
	}
}

// garbled is a store whose histories cannot be read.
type garbled struct {
	store.Store
	loads atomic.Int64
}

func (s *garbled) Load(ctx context.Context, instance string, have history.Token) (*store.Snapshot, error) {
	snap, err := s.Store.Load(ctx, instance, have)
	if err == nil {
		s.loads.Add(1)
		snap.Events, snap.Undecodable = nil, "event kind \"Teleported\""
	}
	return snap, err
}

func TestHistoryThatCannotBeReadFailsAfterAllAttempts(t *testing.T) {
	engine.Shorten(t, time.Millisecond)
	w := newSetting(t)
	w.start(t, "j", "job") // before the runtime, so that it is read
	s := &garbled{Store: w.Store}
	simtest.Start(t, s, program(), func(o *engine.Options) { o.MaxAttempts, o.Log = 4, nil })
	w.fails(t, "j", `poison: orchestration j exceeded 5 attempts (max 4) : event kind "Teleported"`)
	if n := s.loads.Load(); n != 5 {
		t.Errorf("read %d times", n)
	}
}

func TestBlockedInstanceGoesOnWithCodeThatFits(t *testing.T) {
	w := newSetting(t)
	code := func(activity string) *simtest.Program {
		p := program()
		p.Activity("other", func(*engine.Activity) (string, error) { return "other", nil })
		p.Orchestration("two", func(c *simtest.Context, _ string) (string, error) {
			v, err := c.Await(c.Activity(activity, ""))
			if err != nil {
				return "", err
			}
			c.SetStatus("up")
			_, err = c.Await(c.Event("go"))
			return v, err
		})
		return p
	}
	block := func(o *engine.Options) { o.BlockNondeterminism, o.VerifyReplay = true, 0 }
	first := simtest.Start(t, w, code("work"), block)
	w.start(t, "b", "two")
	if _, err := w.client.WaitStatus(w.ctx, "b", 0); err != nil {
		t.Fatal(err)
	}
	first.Stop()
	second := simtest.Start(t, w, code("other"), block)
	if err := w.client.RaiseEvent(w.ctx, "b", "go", ""); err != nil {
		t.Fatal(err)
	}
	for len(second.Health(w.ctx).Blocked) == 0 {
		runtime.Gosched()
	}
	if b := second.Health(w.ctx).Blocked[0]; !strings.HasPrefix(b, "b: nondeterministic: ") {
		t.Errorf("blocked: %q", b)
	}
	second.Stop()
	simtest.Start(t, w, code("work"), block)
	w.completes(t, "b", "done")
}

// picky is a store that cannot hold a certain result.
type picky struct{ store.Store }

func (s picky) SettleJobs(ctx context.Context, l []store.Settlement) ([]bool, error) {
	for i := range l {
		if l[i].Result != nil && l[i].Result.Data == "unstorable" {
			return nil, &store.Error{Operation: "settle", Refused: true, Err: errors.New("string or blob too big")}
		}
	}
	return s.Store.SettleJobs(ctx, l)
}

func TestResultThatCannotBeStoredFailsItsInstance(t *testing.T) {
	w := newSetting(t)
	turns, work := simtest.NewProgram(), simtest.NewProgram()
	turns.Orchestration("job", func(c *simtest.Context, in string) (string, error) { return c.Await(c.Activity("make", in)) })
	work.Activity("make", func(a *engine.Activity) (string, error) { return a.Input, nil })
	simtest.Start(t, w, turns)
	simtest.Start(t, picky{w}, work)
	for instance, input := range map[string]string{"good": "small", "bad": "unstorable"} {
		if err := w.client.Start(w.ctx, store.Start{Instance: instance, Name: "job", Input: input}); err != nil {
			t.Fatal(err)
		}
	}
	w.fails(t, "bad", "infrastructure:settle activity: settle: string or blob too big")
	w.completes(t, "good", "small")
}

func TestExitCommitsSuccessesOnly(t *testing.T) {
	w := newSetting(t)
	entered, release := make(chan struct{}, 2), make(chan struct{})
	var dying atomic.Bool
	dying.Store(true)
	p := simtest.NewProgram()
	for _, name := range []string{"good", "bad"} {
		p.Activity(name, func(a *engine.Activity) (string, error) {
			if !dying.Load() {
				return a.Name + " again", nil
			}
			entered <- struct{}{}
			<-release
			if a.Name == "bad" {
				return "", errors.New("can't create new thread at interpreter shutdown")
			}
			return a.Name, nil
		})
		p.Orchestration(name, func(c *simtest.Context, _ string) (string, error) { return c.Await(c.Activity(name, "")) })
	}
	first := simtest.Start(t, w, p)
	w.start(t, "g", "good")
	w.start(t, "b", "bad")
	<-entered
	<-entered
	first.Exiting()
	close(release)
	first.Stop()
	dying.Store(false)
	simtest.Start(t, w, p)
	for instance, want := range map[string]string{"g": "good", "b": "bad again"} {
		s, err := w.client.WaitEnd(w.ctx, instance)
		if err != nil || s.Output != want {
			t.Errorf("%s: %+v, %v; want %q", instance, s, err, want)
		}
	}
}

func TestCancelledActivityLosesItsSlotAfterTheGrace(t *testing.T) {
	w := newSetting(t)
	entered, release := make(chan struct{}, 1), make(chan struct{})
	p := program()
	p.Activity("deaf", func(*engine.Activity) (string, error) {
		entered <- struct{}{}
		<-release
		return "late", nil
	})
	p.Orchestration("deaf", func(c *simtest.Context, _ string) (string, error) { return c.Await(c.Activity("deaf", "")) })
	n := simtest.Start(t, w, p, func(o *engine.Options) { o.WorkerConcurrency, o.CancellationGrace = 1, 20*time.Millisecond })
	w.start(t, "d", "deaf")
	<-entered
	w.start(t, "j", "job")
	if err := w.client.Cancel(w.ctx, "d", ""); err != nil {
		t.Fatal(err)
	}
	if s, err := w.client.WaitEnd(w.ctx, "j"); err != nil || s.Output != "done" {
		t.Errorf("%+v, %v: the only slot was never freed", s, err)
	}
	if m := n.Metrics(); m.ActivitySuccess != 1 {
		t.Errorf("%d successes: a result that nobody wants counts as none", m.ActivitySuccess)
	}
	close(release)
}
