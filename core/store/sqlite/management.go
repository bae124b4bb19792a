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

// DeleteBulk implements [store.Management]. Instances that run, are children, or have running descendants are skipped.
func (s *Store) DeleteBulk(ctx context.Context, f store.BulkFilter) (store.Deleted, error) {
	var deleted store.Deleted
	err := s.write(ctx, &member{operation: "delete instances", run: func(t *tx) error {
		deleted = store.Deleted{}
		chosen, err := t.choose(f, "i.parent_instance IS NULL AND i.status <> 'Running'")
		if err != nil {
			return err
		}
		for _, d := range chosen {
			err := t.deleteTree(d.instance, false, &deleted)
			if err != nil && !errors.Is(err, store.ErrStillRunning) {
				return err
			}
		}
		return nil
	}})
	if err != nil {
		return store.Deleted{}, err
	}
	return deleted, nil
}

// Prune implements [store.Management].
func (s *Store) Prune(ctx context.Context, instance string, o store.PruneOptions) (store.Pruned, error) {
	var pruned store.Pruned
	err := s.write(ctx, &member{operation: fmt.Sprintf("prune %q", instance), run: func(t *tx) error {
		pruned = store.Pruned{}
		chosen, err := t.choose(store.BulkFilter{Instances: []string{instance}}, "")
		if err != nil {
			return err
		}
		if len(chosen) == 0 {
			return store.ErrNotFound
		}
		return t.prune(chosen[0], o, &pruned)
	}})
	if err != nil {
		return store.Pruned{}, err
	}
	return pruned, nil
}

// PruneBulk implements [store.Management]. Running instances are pruned too: those that continue for ever need it most.
func (s *Store) PruneBulk(ctx context.Context, f store.BulkFilter, o store.PruneOptions) (store.Pruned, error) {
	var pruned store.Pruned
	err := s.write(ctx, &member{operation: "prune instances", run: func(t *tx) error {
		pruned = store.Pruned{}
		chosen, err := t.choose(f, "")
		if err != nil {
			return err
		}
		for _, d := range chosen {
			if err := t.prune(d, o, &pruned); err != nil {
				return err
			}
		}
		return nil
	}})
	if err != nil {
		return store.Pruned{}, err
	}
	return pruned, nil
}

// prune removes old executions. The current one is in no danger: its row is the instance's.
func (t *tx) prune(d doomed, o store.PruneOptions, pruned *store.Pruned) error {
	pruned.Instances++
	keep := int64(0) // beside the current one
	if o.KeepLast != nil && *o.KeepLast > 1 {
		keep = int64(*o.KeepLast) - 1
	}
	const old = `SELECT execution, event_count FROM duroxide_executions WHERE instance_id = ?1
		AND (?2 = 0 OR completed_at < ?2) AND execution <= (SELECT execution FROM duroxide_instances WHERE id = ?1) - 1 - ?3`
	var executions, events []int64
	err := prepared(t.Conn, old).int(d.id).int(o.CompletedBefore).int(keep).each(func(row *sqlite.Stmt) (bool, error) {
		executions = append(executions, row.ColumnInt64(0))
		events = append(events, row.ColumnInt64(1))
		return true, nil
	})
	if err != nil {
		return err
	}
	for i, execution := range executions {
		for _, statement := range []string{
			`DELETE FROM duroxide_history WHERE instance_id = ? AND execution = ?`,
			`DELETE FROM duroxide_executions WHERE instance_id = ? AND execution = ?`,
		} {
			if err := prepared(t.Conn, statement).int(d.id).int(execution).exec(); err != nil {
				return err
			}
		}
		pruned.Executions++
		pruned.Events += events[i]
	}
	return nil
}
