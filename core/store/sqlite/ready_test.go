package sqlite

import (
	"slices"
	"testing"

	"github.com/duroxide/duroxide/core/store"
)

// However much of other nodes' work is due, now or soon, a node finds its own behind it.
func TestWorkOfOthersDoesNotHideOnesOwn(t *testing.T) {
	s := openMemoryForTest(t)
	insertRows(t, s, `INSERT INTO duroxide_instances (id, instance, life, turn, execution, name, version, status, next_event, created_at,
		updated_at, started_at) SELECT i, 'other-' || i, '', x'00', 1, 'other', iif(i % 2, '', '1.0.0'), 'Running', 1, 1, 1, 1 FROM n`, 2*dueLimit)
	soon := s.Now() + 30_000
	insertRows(t, s, `INSERT INTO duroxide_messages (instance_id, kind, visible_at, inserted_at) SELECT i, 'continue', 5, 5 FROM n`, dueLimit)
	exclusivelyExec(t, s, `INSERT INTO duroxide_messages (instance_id, kind, visible_at, inserted_at)
		SELECT id, 'timer', ?, 5 FROM duroxide_instances`, soon)
	for _, start := range []store.Start{
		{Instance: "plain", Name: "mine"}, {Instance: "versioned", Name: "mine", Version: "1.0.0"},
		{Instance: "unknown version", Name: "mine", Version: "2.0.0"}, {Instance: "later", Name: "mine", DelayMS: 40_000},
	} {
		if _, err := s.Start(t.Context(), start); err != nil {
			t.Fatal(err)
		}
	}
	q := store.ReadyQuery{Node: "node", Names: []string{"mine", "mine@1.0.0"}, Limit: 10, HorizonMS: 60_000}
	got, err := s.Ready(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got.Instances)
	if want := []string{"plain", "versioned"}; !slices.Equal(got.Instances, want) {
		t.Errorf("ready: %v, want %v", got.Instances, want)
	}
	if len(got.Due) != 1 || got.Due[0].Instance != "later" {
		t.Errorf("due soon: %v", got.Due)
	}
	q.Names = nil
	if got, err := s.Ready(t.Context(), q); err != nil || len(got.Instances)+len(got.Due) > 0 {
		t.Errorf("without names: %v, %v", got, err)
	}
}
