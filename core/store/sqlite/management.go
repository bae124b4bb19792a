package sqlite

import (
	"context"
	"errors"
	"fmt"

	"zombiezen.com/go/sqlite"

	"github.com/duroxide/duroxide/core/store"
)

// What an instance leaves behind in each table. Its row goes last.
var deleteStatements = []string{
	`DELETE FROM duroxide_history WHERE instance_id = ?`,
	`DELETE FROM duroxide_executions WHERE instance_id = ?`,
	`DELETE FROM duroxide_kv WHERE instance_id = ?`,
	`DELETE FROM duroxide_custom_status WHERE instance_id = ?`,
	`DELETE FROM duroxide_blocked WHERE instance_id = ?`,
	`DELETE FROM duroxide_instances WHERE id = ?`,
}

const selectDeletable = `SELECT id, status, parent_instance IS NOT NULL FROM duroxide_instances WHERE instance = ?`

// node of the tree under an instance that is to be deleted.
type doomed struct {
	id       int64
	instance string
}

// Delete implements [store.Management].
func (s *Store) Delete(ctx context.Context, instance string, force bool) (store.Deleted, error) {
	var deleted store.Deleted
	err := s.write(ctx, &member{operation: fmt.Sprintf("delete %q", instance), run: func(t *tx) error {
		deleted = store.Deleted{}
		running, isChild, found := false, false, false
		_, err := prepared(t.Conn, selectDeletable).text(instance).first(func(row *sqlite.Stmt) {
			found, running, isChild = true, row.ColumnText(1) == "Running", row.ColumnBool(2)
		})
		switch {
		case err != nil:
			return err
		case !found:
			return store.ErrNotFound
		case isChild:
			return store.ErrIsChild
		case running && !force:
			return store.ErrStillRunning
		}
		return t.deleteTree(instance, force, &deleted)
	}})
	if err != nil {
		return store.Deleted{}, err
	}
	return deleted, nil
}

// deleteTree removes an instance with all its descendants. Without force each of them has to have ended: a child may
// run on after its parent.
func (t *tx) deleteTree(instance string, force bool, deleted *store.Deleted) error {
	var tree []doomed
	err := prepared(t.Conn, descendants).text(instance).each(func(row *sqlite.Stmt) (bool, error) {
		tree = append(tree, doomed{id: row.ColumnInt64(0), instance: row.ColumnText(1)})
		return true, nil
	})
	if err != nil {
		return err
	}
	if !force {
		for _, d := range tree {
			running, err := prepared(t.Conn, `SELECT 1 FROM duroxide_instances WHERE id = ? AND status = 'Running'`).int(d.id).
				first(func(*sqlite.Stmt) {})
			if err != nil {
				return err
			}
			if running {
				return fmt.Errorf("%w: %q", store.ErrStillRunning, d.instance)
			}
		}
	}
	for i := len(tree) - 1; i >= 0; i-- {
		if err := t.deleteInstance(tree[i], deleted); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) deleteInstance(d doomed, deleted *store.Deleted) error {
	const count = `SELECT 1 + (SELECT count(*) FROM duroxide_executions WHERE instance_id = ?1),
		(SELECT ifnull(sum(last_event - first_event + 1), 0) FROM duroxide_history WHERE instance_id = ?1)`
	_, err := prepared(t.Conn, count).int(d.id).first(func(row *sqlite.Stmt) {
		deleted.Executions += row.ColumnInt64(0)
		deleted.Events += row.ColumnInt64(1)
	})
	if err != nil {
		return err
	}
	err = prepared(t.Conn, dropMessages).int(d.id).each(func(*sqlite.Stmt) (bool, error) {
		deleted.Messages++
		return true, nil
	})
	if err != nil {
		return err
	}
	err = prepared(t.Conn, dropJobs).int(d.id).each(func(row *sqlite.Stmt) (bool, error) {
		deleted.Messages++
		if !row.ColumnIsNull(1) {
			t.wake.LostJobs = append(t.wake.LostJobs, store.JobRef{ID: row.ColumnInt64(0), Token: tokenAt(row, 1)})
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	for _, statement := range deleteStatements {
		if err := prepared(t.Conn, statement).int(d.id).exec(); err != nil {
			return err
		}
	}
	deleted.Instances++
	t.wake.changed(d.instance)
	return nil
}

// removeIfEnded deletes an instance that is to be started afresh, under the rules of Delete. A running one, a child,
// or one with running descendants stays.
func (t *tx) removeIfEnded(instance string) (bool, error) {
	removable := false
	_, err := prepared(t.Conn, selectDeletable).text(instance).first(func(row *sqlite.Stmt) {
		removable = row.ColumnText(1) != "Running" && !row.ColumnBool(2)
	})
	if err != nil || !removable {
		return false, err
	}
	return true, t.deleteTree(instance, false, &store.Deleted{})
}

// choose lists the instances that a bulk filter names.
func (t *tx) choose(f store.BulkFilter, also string) ([]doomed, error) {
	var w conditions
	if also != "" {
		w.sql = append(w.sql, also)
	}
	if f.Instances != nil {
		w.sql = append(w.sql, "i.instance IN (SELECT value FROM json_each(?))")
		list := encodeNames(f.Instances)
		if list == "" {
			return nil, nil
		}
		w.bind = append(w.bind, func(q *query) { q.text(list) })
	}
	w.int("i.completed_at < ?", f.CompletedBefore)
	q := prepared(t.Conn, "SELECT i.id, i.instance FROM duroxide_instances i"+w.where()+" ORDER BY i.id LIMIT ?")
	for _, bind := range w.bind {
		bind(q)
	}
	var chosen []doomed
	err := q.int(int64(f.Bound())).each(func(row *sqlite.Stmt) (bool, error) {
		chosen = append(chosen, doomed{id: row.ColumnInt64(0), instance: row.ColumnText(1)})
		return true, nil
	})
	return chosen, err
}

// pieceRows bounds what one transaction of a bulk operation deletes, beside the one instance or execution that passes it:
// everybody else waits for the write lock meanwhile, leases that have to be renewed among them.
const pieceRows = 10_000

const bulkDeletable = "i.parent_instance IS NULL AND i.status <> 'Running'"

// DeleteBulk implements [store.Management]. Instances that run, are children, or have running descendants are skipped.
// Each tree goes in one transaction; of a long list some go in each.
func (s *Store) DeleteBulk(ctx context.Context, f store.BulkFilter) (store.Deleted, error) {
	var total store.Deleted
	chosen, err := s.chooseFor(ctx, "delete instances", f, bulkDeletable)
	for len(chosen) > 0 && err == nil {
		var deleted store.Deleted
		done := 0
		err = s.write(ctx, &member{operation: "delete instances", run: func(t *tx) error {
			deleted, done = store.Deleted{}, 0
			for _, d := range chosen {
				if deleted.Executions+deleted.Events+deleted.Messages >= pieceRows {
					break
				}
				done++
				if err := t.deleteChosen(d.instance, f, &deleted); err != nil {
					return err
				}
			}
			return nil
		}})
		if err == nil {
			chosen = chosen[done:]
			total.Add(deleted)
		}
	}
	if err != nil {
		return store.Deleted{}, err
	}
	return total, nil
}

// deleteChosen deletes what was chosen earlier, if it is still what the filter names.
func (t *tx) deleteChosen(instance string, f store.BulkFilter, deleted *store.Deleted) error {
	still, err := t.choose(store.BulkFilter{Instances: []string{instance}, CompletedBefore: f.CompletedBefore}, bulkDeletable)
	if err != nil || len(still) == 0 {
		return err
	}
	err = t.deleteTree(instance, false, deleted)
	if errors.Is(err, store.ErrStillRunning) {
		return nil
	}
	return err
}

func (s *Store) chooseFor(ctx context.Context, operation string, f store.BulkFilter, also string) (chosen []doomed, err error) {
	err = s.write(ctx, &member{operation: operation, run: func(t *tx) (err error) {
		chosen, err = t.choose(f, also)
		return err
	}})
	return chosen, err
}

// Prune implements [store.Management].
func (s *Store) Prune(ctx context.Context, instance string, o store.PruneOptions) (store.Pruned, error) {
	operation := fmt.Sprintf("prune %q", instance)
	chosen, err := s.chooseFor(ctx, operation, store.BulkFilter{Instances: []string{instance}}, "")
	if err == nil && len(chosen) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Pruned{}, err
	}
	return s.pruneChosen(ctx, operation, chosen, o)
}

// PruneBulk implements [store.Management]. Running instances are pruned too: those that continue for ever need it most.
func (s *Store) PruneBulk(ctx context.Context, f store.BulkFilter, o store.PruneOptions) (store.Pruned, error) {
	chosen, err := s.chooseFor(ctx, "prune instances", f, "")
	if err != nil {
		return store.Pruned{}, err
	}
	return s.pruneChosen(ctx, "prune instances", chosen, o)
}

// pruneChosen removes old executions, some in each transaction: an instance that has gone on for days has millions.
func (s *Store) pruneChosen(ctx context.Context, operation string, chosen []doomed, o store.PruneOptions) (store.Pruned, error) {
	total := store.Pruned{Instances: int64(len(chosen))}
	for len(chosen) > 0 {
		var pruned store.Pruned
		done := 0
		err := s.write(ctx, &member{operation: operation, run: func(t *tx) error {
			pruned, done = store.Pruned{}, 0
			for _, d := range chosen {
				all, err := t.prune(d, o, &pruned)
				if err != nil || !all {
					return err
				}
				done++
			}
			return nil
		}})
		if err != nil {
			return store.Pruned{}, err
		}
		chosen = chosen[done:]
		total.Executions += pruned.Executions
		total.Events += pruned.Events
	}
	return total, nil
}

// prune removes old executions, the oldest first, until all are gone or the transaction has done enough. The current one
// is in no danger: its row is the instance's.
func (t *tx) prune(d doomed, o store.PruneOptions, pruned *store.Pruned) (all bool, err error) {
	keep := int64(0) // beside the current one
	if o.KeepLast != nil && *o.KeepLast > 1 {
		keep = int64(*o.KeepLast) - 1
	}
	const old = `SELECT execution, event_count FROM duroxide_executions WHERE instance_id = ?1
		AND (?2 = 0 OR completed_at < ?2)
		AND execution <= (SELECT execution FROM duroxide_instances WHERE id = ?1 AND instance = ?4) - 1 - ?3 ORDER BY execution`
	all = true
	var executions []int64
	err = prepared(t.Conn, old).int(d.id).int(o.CompletedBefore).int(keep).text(d.instance).
		each(func(row *sqlite.Stmt) (bool, error) {
			if all = pruned.Executions+pruned.Events < pieceRows; !all {
				return false, nil
			}
			executions = append(executions, row.ColumnInt64(0))
			pruned.Executions++
			pruned.Events += row.ColumnInt64(1)
			return true, nil
		})
	if err != nil {
		return false, err
	}
	for _, execution := range executions {
		for _, statement := range []string{
			`DELETE FROM duroxide_history WHERE instance_id = ? AND execution = ?`,
			`DELETE FROM duroxide_executions WHERE instance_id = ? AND execution = ?`,
		} {
			if err := prepared(t.Conn, statement).int(d.id).int(execution).exec(); err != nil {
				return false, err
			}
		}
	}
	return all, nil
}
