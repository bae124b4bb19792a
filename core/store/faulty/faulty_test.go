package faulty_test

import (
	"errors"
	"testing"
	"time"

	"github.com/duroxide/duroxide/core/store"
	"github.com/duroxide/duroxide/core/store/faulty"
	"github.com/duroxide/duroxide/core/store/sqlite"
)

func open(t *testing.T) *faulty.Store {
	t.Helper()
	wrapped, err := sqlite.OpenMemory(sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = wrapped.Close() })
	return faulty.Wrap(wrapped)
}

func TestFaultsAreUsedUpInOrder(t *testing.T) {
	s, ctx := open(t), t.Context()
	s.On(faulty.Start, faulty.Retryable().Times(2))
	s.On(faulty.Start, faulty.Unknown())
	for i, want := range []struct{ retryable, unknown, exists bool }{
		{retryable: true}, {retryable: true}, {retryable: true, unknown: true, exists: true},
	} {
		_, err := s.Start(ctx, store.Start{Instance: "a", Name: "flow"})
		if store.IsRetryable(err) != want.retryable || store.IsUnknown(err) != want.unknown || !errors.Is(err, faulty.ErrInjected) {
			t.Errorf("call %d: %v", i, err)
		}
		_, err = s.Status(ctx, "a")
		if exists := err == nil; exists != want.exists {
			t.Errorf("call %d: instance exists: %v", i, exists)
		}
	}
	if r, err := s.Start(ctx, store.Start{Instance: "b", Name: "flow"}); err != nil || !r.Started {
		t.Errorf("after the faults: %v, %v", r, err)
	}
	if n := s.Calls(faulty.Start); n != 4 {
		t.Errorf("%d calls", n)
	}
}

func TestAHeldCallWaits(t *testing.T) {
	s, ctx := open(t), t.Context()
	gate := faulty.Hold()
	s.On(faulty.Start, gate)
	done := make(chan error, 1)
	go func() {
		_, err := s.Start(ctx, store.Start{Instance: "a", Name: "flow"})
		done <- err
	}()
	select {
	case <-gate.Reached():
	case <-time.After(20 * time.Second):
		t.Fatal("never reached")
	}
	if _, err := s.Status(ctx, "a"); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("the held call has begun: %v", err)
	}
	gate.Open()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
