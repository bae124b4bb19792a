package postgres

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

// hearer counts what it hears of others.
type hearer struct {
	elsewhere chan struct{}
	kinds     *atomic.Uint32 // of all news; 1<<31: of any kind
	notices   chan string
}

const anyKind = 1 << 31

func (hearer) Adopt(string, string) (store.NodeID, bool) { return "", false }

func (h hearer) Wake(w store.Wake) {
	if w.Notice != "" {
		h.notices <- w.Notice
	}
	if w.Elsewhere {
		if h.kinds.Or(uint32(w.Kinds)); w.Kinds == 0 {
			h.kinds.Or(anyKind)
		}
		select {
		case h.elsewhere <- struct{}{}:
		default:
		}
	}
}

func listening(t *testing.T, s *Store) hearer {
	t.Helper()
	h := newHearer()
	t.Cleanup(s.Listen(h))
	return h
}

func newHearer() hearer {
	return hearer{elsewhere: make(chan struct{}, 1), kinds: new(atomic.Uint32), notices: make(chan string, 10)}
}

// within waits for news from elsewhere.
func (h hearer) within(t *testing.T, d time.Duration, what string) {
	t.Helper()
	select {
	case <-h.elsewhere:
	case <-time.After(d):
		t.Fatalf("not heard within %v: %s", d, what)
	}
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
		<-time.After(time.Millisecond)
	}
}

func startOne(t *testing.T, s *Store, id string) {
	t.Helper()
	if _, err := s.Start(context.Background(), store.Start{Instance: id, Name: "flow"}); err != nil {
		t.Fatal(err)
	}
}

func TestOthersHearOfAWriteAtOnce(t *testing.T) {
	schema := newSchema(t)
	// Polls alone would take an hour.
	writer, reader := openSchema(t, schema, Options{}), openSchema(t, schema, Options{PollInterval: time.Hour, lookEvery: time.Hour})
	h := listening(t, reader)
	h.begins(t)
	for len(h.elsewhere) > 0 {
		<-h.elsewhere
	}
	start := time.Now()
	startOne(t, writer, "a")
	h.within(t, 30*time.Second, "a start")
	t.Logf("heard after %v", time.Since(start))
}

// Who only waits for ends is not woken by work, and the other way round.
func TestNewsSayOfWhatKindTheyAre(t *testing.T) {
	ctx := context.Background()
	schema := newSchema(t)
	writer, reader := openSchema(t, schema, Options{}), openSchema(t, schema, Options{PollInterval: time.Hour, lookEvery: time.Hour})
	x := newSteps(t, writer, 1)
	h := listening(t, reader)
	until(t, "notifications come through", reader.news.listening.Load)
	// What newSteps wrote is announced before this, and what was written before listening began is of any kind.
	if _, err := writer.Join(ctx, store.Node{ID: "late", LeaseMS: 10_000}); err != nil {
		t.Fatal(err)
	}
	until(t, "the node is heard of", func() bool { return h.kinds.Load()&uint32(store.KindNodes) != 0 })
	for _, c := range []struct {
		what string
		do   func() error
		want store.Kinds
	}{
		{"an event", func() error {
			_, err := writer.Enqueue(ctx, []store.Enqueue{{Instance: "instance-0", Message: history.Message{Kind: history.MsgEvent, ID: "1", Name: "e"}}})
			return err
		}, store.KindReady},
		{"a job given back", func() error {
			_, err := writer.SettleJobs(ctx, []store.Settlement{{Job: x.results[0].Jobs[0].JobRef}})
			return err
		}, store.KindJobs},
		{"a node that leaves", func() error { return writer.Leave(ctx, "late") }, store.KindReady | store.KindNodes},
	} {
		h.kinds.Store(0)
		if err := c.do(); err != nil {
			t.Fatal(err)
		}
		until(t, c.what+" is heard of", func() bool { return h.kinds.Load() != 0 })
		if got := store.Kinds(h.kinds.Load()); got != c.want { //nolint:gosec // only kinds
			t.Errorf("%s: news of the kinds %b, want %b", c.what, got, c.want)
		}
	}
}

func TestListeningGoesOnAfterTheConnectionBroke(t *testing.T) {
	w, through := newWire(t)
	reader := openSchemaAt(t, through)
	writer := openSchema(t, reader.schema, Options{})
	h := listening(t, reader)
	until(t, "notifications come through", reader.news.listening.Load)
	w.cut()
	until(t, "the loss is noticed", func() bool { return !reader.news.listening.Load() })
	until(t, "notifications come through again", reader.news.listening.Load)
	h.within(t, 30*time.Second, "that there may be news from before")
	startOne(t, writer, "a")
	h.within(t, 30*time.Second, "a start")
}

func TestWithoutNotificationsWritesAreNoticedAllTheSame(t *testing.T) {
	w, through := newWire(t)
	w.mislead.Store(true)
	reader := openSchemaAt(t, through)
	writer := openSchema(t, reader.schema, Options{})
	h := listening(t, reader)
	h.within(t, 30*time.Second, "that there may be news from before")
	for _, id := range []string{"a", "b", "c"} {
		// What is heard late of the write before must not be taken for this one.
		quiet(h, 1500*time.Millisecond)
		startOne(t, writer, id)
		h.within(t, 30*time.Second, "a start")
	}
	if reader.news.listening.Load() {
		t.Error("takes notifications for coming through")
	}
	late := listening(t, reader)
	for _, who := range []hearer{h, late} {
		if notice := <-who.notices; !strings.Contains(notice, "notifications do not come through") {
			t.Errorf("says %q", notice)
		}
		if len(who.notices) > 0 {
			t.Errorf("says more than once: %q", <-who.notices)
		}
	}
}

// quiet waits until nothing was heard for so long.
func quiet(h hearer, d time.Duration) {
	for {
		select {
		case <-h.elsewhere:
		case <-time.After(d):
			return
		}
	}
}

func TestEndedListenersAndStoresLeaveNothingBehind(t *testing.T) {
	s := newStore(t)
	h := newHearer()
	for range 3 {
		cancel := s.Listen(h)
		until(t, "notifications come through", s.news.listening.Load)
		cancel()
		cancel()
		if s.news.listening.Load() {
			t.Fatal("listens without a listener")
		}
	}
	cancel := s.Listen(h)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Start(context.Background(), store.Start{Instance: "late", Name: "flow"}); err != store.ErrClosed { //nolint:errorlint // as it is
		t.Fatal(err)
	}
}
