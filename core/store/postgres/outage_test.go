package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duroxide/duroxide/core/check"
	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// wire is a proxy in front of the server that can cut connections, swallow what the server answers, and fall silent.
type wire struct {
	listener net.Listener
	target   string
	mu       sync.Mutex
	open     map[net.Conn]bool
	mislead  atomic.Bool  // LISTEN goes to another channel, as if a pooler kept notifications to itself
	deaf     atomic.Bool  // answers are swallowed and the connection is cut instead
	cuts     atomic.Int64 // so cut
	mute     atomic.Bool  // answers are swallowed and nothing else happens
	down     atomic.Bool  // nobody gets through
	stopped  atomic.Bool  // answers are not read, as by a process that is stopped
	epoch    atomic.Int64 // connections of an earlier one are dead, and nobody says so
	done     sync.WaitGroup
}

func newWire(t *testing.T) (w *wire, through string) {
	t.Helper()
	if testURL == "" {
		t.Skip("no PostgreSQL")
	}
	u, err := url.Parse(testURL)
	if err != nil {
		t.Fatal(err)
	}
	w = &wire{target: u.Host, open: map[net.Conn]bool{}}
	if w.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	u.Host = w.listener.Addr().String()
	w.done.Go(w.accept)
	t.Cleanup(func() {
		_ = w.listener.Close()
		w.cut()
		w.done.Wait()
	})
	return w, u.String()
}

func (w *wire) accept() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		if w.down.Load() {
			_ = client.Close()
			continue
		}
		backend, err := net.Dial("tcp", w.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		w.mu.Lock()
		w.open[client], w.open[backend] = true, true
		w.mu.Unlock()
		var spared atomic.Bool
		born := w.epoch.Load()
		w.done.Go(func() { w.questions(client, backend, &spared, born) })
		w.done.Go(func() { w.answers(client, backend, &spared, born) })
	}
}

// questions passes on what the client sends. Notifications are spared: their answers are nobody's.
func (w *wire) questions(client, backend net.Conn, spared *atomic.Bool, born int64) {
	defer func() { _ = backend.Close() }()
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		if born < w.epoch.Load() {
			continue
		}
		spared.Store(bytes.Contains(buffer[:n], []byte("pg_notify")))
		if w.mislead.Load() {
			copy(buffer, bytes.ReplaceAll(buffer[:n], []byte("LISTEN duroxide_"), []byte("LISTEN elsewhere")))
		}
		if _, err := backend.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (w *wire) answers(client, backend net.Conn, spared *atomic.Bool, born int64) {
	defer func() { _ = client.Close() }()
	buffer := make([]byte, 64<<10)
	for {
		for w.stopped.Load() {
			<-time.After(time.Millisecond)
		}
		n, err := backend.Read(buffer)
		if err != nil {
			return
		}
		if w.mute.Load() || born < w.epoch.Load() {
			continue
		}
		if w.deaf.Load() && !spared.Load() {
			w.cuts.Add(1)
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.open {
		_ = c.Close()
	}
	clear(w.open)
}

// loseAnswer makes the next write's answer get lost after the server has committed it: the connections are deaf until
// one was cut.
func (w *wire) loseAnswer(do func()) {
	before := w.cuts.Load()
	w.deaf.Store(true)
	hears := make(chan struct{})
	go func() {
		defer close(hears)
		for w.cuts.Load() == before {
			<-time.After(50 * time.Microsecond)
		}
		w.deaf.Store(false)
	}()
	do()
	<-hears
}

func TestLostAnswersAreLookedUp(t *testing.T) {
	ctx := context.Background()
	w, through := newWire(t)
	schema := newSchema(t)
	// With one connection, a call made before has told it of the statement, so that the answer that is lost is the call's.
	s, err := Open(ctx, through, Options{Schema: schema, MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	t.Run("start", func(t *testing.T) {
		if _, err := s.Start(ctx, store.Start{Instance: "before", Name: "flow"}); err != nil {
			t.Fatal(err)
		}
		w.loseAnswer(func() {
			r, err := s.Start(ctx, store.Start{Instance: "a", Name: "flow", IfExists: store.ExistsError})
			if err != nil || !r.Started {
				t.Fatal(r, err)
			}
		})
	})
	t.Run("enqueue", func(t *testing.T) {
		if _, err := s.Enqueue(ctx, []store.Enqueue{{Instance: "nobody", Message: history.Message{Kind: history.MsgEvent}}}); err != nil {
			t.Fatal(err)
		}
		w.loseAnswer(func() {
			stored, err := s.Enqueue(ctx, []store.Enqueue{
				{Instance: "a", Message: history.Message{Kind: history.MsgEvent, ID: "one", Name: "e"}},
				{Instance: "nobody", Message: history.Message{Kind: history.MsgEvent, ID: "two", Name: "e"}},
			})
			if err != nil || !stored[0] || stored[1] {
				t.Fatal(stored, err)
			}
		})
		snapshot, err := s.Load(ctx, "a", history.Token{})
		if err != nil || len(snapshot.Messages) != 2 {
			t.Fatal(snapshot, err)
		}
	})
	t.Run("commit", func(t *testing.T) {
		for _, group := range []int{1, 8} {
			fresh := openSchemaAt(t, through)
			x := newSteps(t, fresh, group)
			for range 3 {
				x.commit(t, fresh)
				w.loseAnswer(func() { x.commit(t, fresh) }) // fails unless each turn is applied and its job given
			}
			x.commit(t, fresh)
		}
	})
	t.Run("claim", func(t *testing.T) {
		fresh := openSchemaAt(t, through) //nolint:contextcheck // tests clean up on their own time
		x := newSteps(t, fresh, 1)        //nolint:contextcheck // tests clean up on their own time
		job := x.results[0].Jobs[0]
		if settled, err := fresh.SettleJobs(ctx, []store.Settlement{{Job: job.JobRef}}); err != nil || !settled[0] {
			t.Fatal(settled, err)
		}
		if _, err := fresh.ClaimJobs(ctx, store.Claim{Node: "m", Limit: 1, Tags: store.TagFilter{Any: true}}); err != nil {
			t.Fatal(err)
		}
		w.loseAnswer(func() {
			jobs, err := fresh.ClaimJobs(ctx, x.turns[0].Claim)
			if err != nil || len(jobs) != 1 || jobs[0].ID != job.ID || jobs[0].Token == job.Token {
				t.Fatal(jobs, err)
			}
		})
	})
	t.Run("lease", func(t *testing.T) {
		var l *store.Lease
		if _, err := s.Join(ctx, store.Node{ID: "before", LeaseMS: 10_000}); err != nil {
			t.Fatal(err)
		}
		w.loseAnswer(func() {
			if l, err = s.Join(ctx, store.Node{ID: "n", LeaseMS: 10_000}); err != nil {
				t.Fatal(err)
			}
		})
		if err := s.Renew(ctx, l); err != nil {
			t.Fatal(err)
		}
		w.loseAnswer(func() {
			if err := s.Renew(ctx, l); err != nil || l.Counter != 3 {
				t.Fatal(l, err)
			}
		})
		if err := s.Renew(ctx, l); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("settle", func(t *testing.T) {
		fresh := openSchemaAt(t, through) //nolint:contextcheck // tests clean up on their own time
		x := newSteps(t, fresh, 2)        //nolint:contextcheck // tests clean up on their own time
		if _, err := fresh.SettleJobs(ctx, []store.Settlement{{Job: store.JobRef{ID: -1}}}); err != nil {
			t.Fatal(err)
		}
		done, back := x.results[0].Jobs[0], x.results[1].Jobs[0]
		w.loseAnswer(func() {
			settled, err := fresh.SettleJobs(ctx, []store.Settlement{
				{Job: store.JobRef{ID: -1}}, {Job: back.JobRef},
				{Job: done.JobRef, Result: &history.Message{Kind: history.MsgActivityCompleted, Life: done.Life, Execution: 1, Source: done.Schedule}},
			})
			if err != nil || !slices.Equal(settled, []bool{false, true, true}) {
				t.Fatal(settled, err)
			}
		})
		snapshot, err := fresh.Load(ctx, done.Instance, history.Token{})
		if err != nil || len(snapshot.Messages) != 1 {
			t.Fatal(snapshot, err)
		}
	})
	t.Run("attempts", func(t *testing.T) {
		fresh := openSchemaAt(t, through) //nolint:contextcheck // tests clean up on their own time
		x := newSteps(t, fresh, 1)        //nolint:contextcheck // tests clean up on their own time
		count := func() int {
			n, err := fresh.CountAttempt(ctx, store.Suspect{Job: &x.results[0].Jobs[0].JobRef})
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if n := count(); n != 1 {
			t.Fatal(n)
		}
		w.loseAnswer(func() {
			if n := count(); n != 2 {
				t.Fatalf("counted %d times", n)
			}
		})
	})
	t.Run("delete and prune", func(t *testing.T) {
		fresh := openSchemaAt(t, through) //nolint:contextcheck // tests clean up on their own time
		newSteps(t, fresh, 2)             //nolint:contextcheck // tests clean up on their own time
		if _, err := fresh.Delete(ctx, "nobody", false); !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
		w.loseAnswer(func() {
			if _, err := fresh.Delete(ctx, "instance-0", false); !errors.Is(err, store.ErrStillRunning) {
				t.Fatal(err)
			}
		})
		w.loseAnswer(func() {
			if d, err := fresh.Delete(ctx, "instance-0", true); err != nil || d.Instances != 1 || d.Events != 1 {
				t.Fatal(d, err)
			}
		})
		if _, err := fresh.Prune(ctx, "instance-1", store.PruneOptions{}); err != nil {
			t.Fatal(err)
		}
		w.loseAnswer(func() {
			if p, err := fresh.Prune(ctx, "instance-1", store.PruneOptions{}); err != nil || p.Instances != 1 {
				t.Fatal(p, err)
			}
		})
	})
}

func openSchemaAt(t *testing.T, through string) *Store {
	t.Helper()
	s, err := Open(context.Background(), through, Options{Schema: newSchema(t), MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestIdleConnectionsThatBrokeAreReplaced(t *testing.T) {
	ctx := context.Background()
	w, through := newWire(t)
	s := openSchemaAt(t, through)
	x := newSteps(t, s, 1)
	for range 5 {
		w.cut()
		x.commit(t, s)
		w.cut()
		if _, err := s.Status(ctx, "instance-0"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCrashOfTheServerLosesNothingAnswered(t *testing.T) {
	if server == nil {
		t.Skip("needs a server of its own")
	}
	ctx := context.Background()
	s := newStore(t)
	const flows = 4
	var all sync.WaitGroup
	stop := make(chan struct{})
	committed := make([]int64, flows)
	enough := make(chan struct{}, flows)
	for i := range flows {
		all.Go(func() {
			id := fmt.Sprint("flow-", i)
			for n := int64(1); ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				committed[i] = commitEvent(ctx, t, s, id, committed[i])
				if n%30 == 0 {
					select {
					case enough <- struct{}{}:
					default:
					}
				}
			}
		})
	}
	for range 3 {
		for range flows {
			select {
			case <-enough:
			case <-time.After(60 * time.Second):
				t.Fatal("no progress")
			}
		}
		server.Crash()
		if err := server.Run(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	all.Wait()
	for i := range flows {
		events, err := s.History(ctx, fmt.Sprint("flow-", i), 0)
		if err != nil || int64(len(events)) != committed[i] {
			t.Errorf("flow-%d: %d events are stored, %d were answered, %v", i, len(events), committed[i], err)
		}
	}
	violations, err := check.Run(ctx, s)
	if err != nil || len(violations) > 0 {
		t.Fatal(violations, err)
	}
}

// commitEvent appends one event, whatever it takes, and gives how many there are then by what the store answered. A turn
// that is fenced although nobody else commits was applied by a try that was reported as failed: that must not happen.
func commitEvent(ctx context.Context, t *testing.T, s *Store, id string, before int64) int64 {
	deadline := time.Now().Add(60 * time.Second)
	for time.Now().Before(deadline) {
		snapshot, err := s.Load(ctx, id, history.Token{})
		if errors.Is(err, store.ErrNotFound) {
			_, err = s.Start(ctx, store.Start{Instance: id, Name: "flow"})
			if err != nil && !store.IsRetryable(err) {
				t.Error(err)
				return before
			}
			continue
		}
		if err != nil {
			if !store.IsRetryable(err) {
				t.Error(err)
				return before
			}
			continue
		}
		if snapshot.NextEventID-1 != before {
			t.Errorf("%s has %d events, %d were answered", id, snapshot.NextEventID-1, before)
			return snapshot.NextEventID - 1
		}
		kind := history.ExternalEvent
		if before == 0 {
			kind = history.OrchestrationStarted
		}
		turn := store.Turn{
			Instance: id, Life: snapshot.Life, Expect: snapshot.Turn, New: history.NewToken(), Name: "flow", Version: "1.0.0",
			Commit: &replay.Commit{
				Execution: 1, Events: []history.Event{{ID: before + 1, Kind: kind, Name: "flow", Version: "1.0.0"}}, Consumed: snapshot.Messages,
			},
		}
		results, err := s.CommitTurns(ctx, "n", []store.Turn{turn})
		switch {
		case err == nil && results[0].Err == nil:
			return before + 1
		case err == nil:
			t.Errorf("%s: %v", id, results[0].Err)
			return before
		case store.IsUnknown(err):
			// The store could not be reached any more: what it says next counts.
			if snapshot, err := s.Load(ctx, id, history.Token{}); err == nil {
				before = snapshot.NextEventID - 1
			}
		case !store.IsRetryable(err):
			t.Error(err)
			return before
		}
	}
	t.Errorf("%s: no commit within a minute", id)
	return before
}
