package faulty_test

import (
	"testing"

	"github.com/duroxide/duroxide/core/store"
	"github.com/duroxide/duroxide/core/store/faulty"
	"github.com/duroxide/duroxide/core/store/sqlite"
)

func TestNoWriteGetsThroughAfterTheLastLife(t *testing.T) {
	living, err := sqlite.OpenMemory(sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer living.Close()
	mortal := faulty.Kill(living, 1)
	if _, err := mortal.Join(t.Context(), store.Node{ID: "n", LeaseMS: 60_000}); err != nil {
		t.Fatal(err)
	}
	if _, err := mortal.Start(t.Context(), store.Start{Instance: "a", Name: "x", Input: "null"}); err != nil {
		t.Fatalf("the last write was refused: %v", err)
	}
	<-mortal.Dead()
	if _, err := mortal.Start(t.Context(), store.Start{Instance: "b", Name: "x", Input: "null"}); !store.IsRetryable(err) {
		t.Errorf("a write after death: %v", err)
	}
	if err := mortal.Leave(t.Context(), "n"); err == nil {
		t.Error("a dead node signed itself off")
	}
	if err := mortal.Close(); err != nil {
		t.Error(err)
	}
	page, err := living.Instances(t.Context(), store.InstanceQuery{})
	if err != nil {
		t.Fatalf("closing the view closed the store: %v", err)
	}
	if len(page.Items) != 1 || page.Items[0].Instance != "a" {
		t.Errorf("stored: %v", page.Items)
	}
}
