package sqlite

import (
	"fmt"
	"testing"

	"zombiezen.com/go/sqlite"

	"github.com/duroxide/duroxide/core/store"
)

// commits counts the transactions that a call makes.
func commits(t *testing.T, s *Store, call func()) (n int) {
	t.Helper()
	s.file.commitHook = func(c *sqlite.Conn) error {
		n++
		return prepared(c, "COMMIT").exec()
	}
	call()
	s.file.commitHook = nil
	return n
}

func exclusivelyExec(t *testing.T, s *Store, sql string, v int64) {
	t.Helper()
	exclusively(t, s, func(c *sqlite.Conn) error { return prepared(c, sql).int(v).exec() })
}

func insertRows(t *testing.T, s *Store, sql string, n int) {
	t.Helper()
	exclusivelyExec(t, s, `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) `+sql, int64(n))
}

// An instance that has gone on for days is pruned in pieces, between which others write.
func TestPruningALongLifeIsNotOneTransaction(t *testing.T) {
	s := openMemoryForTest(t)
	startForTest(t, s, "a")
	startForTest(t, s, "b")
	const executions, events = 3000, 20
	insertRows(t, s, `INSERT INTO duroxide_executions SELECT 1, i, 'ContinuedAsNew', '', 1, 2, 20 FROM n`, executions)
	insertRows(t, s, `INSERT INTO duroxide_history (instance_id, execution, first_event, last_event, events) SELECT 1, i, 1, 20, '[]' FROM n`,
		executions)
	exclusively(t, s, func(c *sqlite.Conn) error {
		return prepared(c, "UPDATE duroxide_instances SET execution = ? WHERE id = 1").int(executions + 1).exec()
	})
	keep := 11
	var pruned store.Pruned
	n := commits(t, s, func() {
		var err error
		if pruned, err = s.PruneBulk(t.Context(), store.BulkFilter{}, store.PruneOptions{KeepLast: &keep}); err != nil {
			t.Fatal(err)
		}
	})
	if want := (store.Pruned{Instances: 2, Executions: executions - 10, Events: (executions - 10) * events}); pruned != want {
		t.Errorf("pruned %+v, want %+v", pruned, want)
	}
	if n < executions*events/pieceRows {
		t.Errorf("%d transactions for %d events", n, executions*events)
	}
	left, err := s.Executions(t.Context(), "a")
	if err != nil || len(left) != 11 || left[0].Execution != executions-9 {
		t.Errorf("%d executions are left, %v", len(left), err)
	}
	if pruned, err = s.Prune(t.Context(), "a", store.PruneOptions{KeepLast: &keep}); err != nil || pruned != (store.Pruned{Instances: 1}) {
		t.Errorf("pruned %+v again, %v", pruned, err)
	}
}

func TestDeletingManyInstancesIsNotOneTransaction(t *testing.T) {
	s := openMemoryForTest(t)
	const instances, events = 50, 1000
	for i := range instances {
		startForTest(t, s, fmt.Sprintf("i-%02d", i))
	}
	insertRows(t, s, `INSERT INTO duroxide_history (instance_id, execution, first_event, last_event, events) SELECT i, 1, 1, 1000, '[]' FROM n`,
		instances)
	exclusively(t, s, func(c *sqlite.Conn) error {
		return prepared(c, "UPDATE duroxide_instances SET status = 'Completed', completed_at = 5 WHERE id <> 7").exec()
	})
	var deleted store.Deleted
	n := commits(t, s, func() {
		var err error
		if deleted, err = s.DeleteBulk(t.Context(), store.BulkFilter{CompletedBefore: 6}); err != nil {
			t.Fatal(err)
		}
	})
	if deleted.Instances != instances-1 || deleted.Executions != instances-1 || deleted.Events != (instances-1)*events {
		t.Errorf("deleted %+v", deleted)
	}
	if n < instances*events/pieceRows {
		t.Errorf("%d transactions for %d events", n, instances*events)
	}
	page, err := s.Instances(t.Context(), store.InstanceQuery{})
	if err != nil || len(page.Items) != 1 || page.Items[0].Instance != "i-06" {
		t.Errorf("left %+v, %v", page.Items, err)
	}
}
