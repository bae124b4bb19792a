package sqlite

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/duroxide/duroxide/core/store"
)

// Who leads waits for the lock of another process as long as its own caller has time, and those who have more time are
// not given up with it.
func TestCallersWaitForALockAsLongAsTheyHaveTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	other, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := prepared(other, "BEGIN IMMEDIATE").exec(); err != nil {
		t.Fatal(err)
	}

	enough := errors.New("enough")
	hurried, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, enough)
	defer cancel()
	ends := make(chan error, 2)
	go func() {
		_, err := s.Start(hurried, store.Start{Instance: "hurried", Name: "flow"})
		ends <- err
	}()
	queued := func() bool {
		s.file.queueMu.Lock()
		defer s.file.queueMu.Unlock()
		return s.file.leading
	}
	for deadline := time.Now().Add(10 * time.Second); !queued(); {
		if time.Now().After(deadline) {
			t.Fatal("nobody leads")
		}
	}
	patient := make(chan error, 1)
	go func() {
		_, err := s.Start(t.Context(), store.Start{Instance: "patient", Name: "flow"})
		patient <- err
	}()
	if err := <-ends; !errors.Is(err, enough) {
		t.Fatalf("the hurried start ended with %v, want the cause of its context", err)
	}
	if err := prepared(other, "ROLLBACK").exec(); err != nil {
		t.Fatal(err)
	}
	if err := <-patient; err != nil {
		t.Fatal(err)
	}
	if _, err := s.Status(t.Context(), "hurried"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the hurried start left something: %v", err)
	}
	if _, err := s.Status(t.Context(), "patient"); err != nil {
		t.Error(err)
	}
}

// Who is behind a leader is not bound to its patience, also when the lead has been handed on while the lock was taken.
func TestCallersBehindALeaderWithdrawWhileItWaitsForALock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openForTest(t, path)
	other, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	if err := prepared(other, "BEGIN IMMEDIATE").exec(); err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	start := func(id string) (end <-chan error, cancel func()) {
		ctx, stop := context.WithCancelCause(t.Context())
		ends := make(chan error, 1)
		go func() {
			_, err := s.Start(ctx, store.Start{Instance: id, Name: "flow"})
			ends <- err
		}()
		return ends, func() { stop(enough) }
	}
	waiting := func(n int) {
		t.Helper()
		queued := func() int {
			s.file.queueMu.Lock()
			defer s.file.queueMu.Unlock()
			return len(s.file.queue)
		}
		for deadline := time.Now().Add(10 * time.Second); queued() < n; {
			if time.Now().After(deadline) {
				t.Fatalf("%d wait, want %d", queued(), n)
			}
		}
	}
	first, endFirst := start("first")
	waiting(1)
	patient, _ := start("patient")
	waiting(2)
	hurried, endHurried := start("hurried")
	waiting(3)
	endFirst()
	if err := <-first; !errors.Is(err, enough) {
		t.Fatal(err)
	}
	endHurried()
	if err := <-hurried; !errors.Is(err, enough) {
		t.Fatal(err)
	}
	if err := prepared(other, "ROLLBACK").exec(); err != nil {
		t.Fatal(err)
	}
	if err := <-patient; err != nil {
		t.Fatal(err)
	}
	if page, err := s.Instances(t.Context(), store.InstanceQuery{}); err != nil || len(page.Items) != 1 || page.Items[0].Instance != "patient" {
		t.Errorf("stored %v, %v", page.Items, err)
	}
}

// A caller whose time has run out before anything began hears why, as one does whose time runs out later.
func TestCallsWithoutTimeGiveTheCauseOfTheirContext(t *testing.T) {
	stores(t, func(t *testing.T, open func(t *testing.T) *Store) {
		t.Helper()
		s := open(t)
		enough := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(enough)
		if _, err := s.Start(ctx, store.Start{Instance: "a", Name: "flow"}); !errors.Is(err, enough) {
			t.Errorf("a start ended with %v", err)
		}
		// A file may still have a connection for it.
		if _, err := s.Status(ctx, "a"); !errors.Is(err, enough) && !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a read ended with %v", err)
		}
	})
}

// Whatever a defect does to one, the others go on.
func TestPanicOfOneLeavesTheWriterToOthers(t *testing.T) {
	stores(t, func(t *testing.T, open func(t *testing.T) *Store) {
		t.Helper()
		s := open(t)
		startForTest(t, s, "a")
		for _, m := range []*member{
			{operation: "alone", alone: func(*sqlite.Conn) error { panic("defect") }},
			{operation: "write", run: func(*tx) error { panic("defect") }},
		} {
			if err := s.write(t.Context(), m); !store.IsUnknown(err) || !strings.Contains(err.Error(), "defect") {
				t.Errorf("%s: %v", m.operation, err)
			}
		}
		startForTest(t, s, "b")
		if _, err := s.Status(t.Context(), "a"); err != nil {
			t.Error(err)
		}
	})
}
