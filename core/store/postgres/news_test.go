package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/duroxide/duroxide/core/store"
)

// hearer counts what it hears of others.
type hearer struct{ elsewhere chan struct{} }

func (hearer) Adopt(string, string) (store.NodeID, bool) { return "", false }

func (h hearer) Wake(w store.Wake) {
	if w.Elsewhere {
		select {
		case h.elsewhere <- struct{}{}:
		default:
		}
	}
}

func listening(t *testing.T, s *Store) hearer {
	t.Helper()
	h := hearer{elsewhere: make(chan struct{}, 1)}
	t.Cleanup(s.Listen(h))
	return h
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
	writer, reader := openSchema(t, schema, Options{}), openSchema(t, schema, Options{PollInterval: time.Hour})
	h := listening(t, reader)
	until(t, "notifications come through", reader.news.listening.Load)
	h.within(t, 30*time.Second, "that there may be news from before")
	start := time.Now()
	startOne(t, writer, "a")
	h.within(t, 30*time.Second, "a start")
	t.Logf("heard after %v", time.Since(start))
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
	h := hearer{elsewhere: make(chan struct{}, 1)}
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
