package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/duroxide/duroxide/core/store"
)

// bulkDefault is how many instances a bulk operation looks at when no limit is given.
const bulkDefault = 1000

const (
	deletedColumns = `d.verdict, coalesce(d.blocker, ''), coalesce(d.instances, 0), coalesce(d.executions, 0), coalesce(d.events, 0),
		coalesce(d.messages, 0), d.removed, d.lost_id, d.lost_token`
	callDelete = `SELECT ` + deletedColumns + ` FROM {schema}.duroxide_delete($1, $2) d`
	callPrune  = `SELECT executions, events FROM {schema}.duroxide_prune($1, $2, $3)`
)

// deletion collects what a transaction has deleted.
type deletion struct {
	counts  store.Deleted
	tidings tidings
	verdict string
	blocker string
}

func (d *deletion) scan(rows pgx.Rows) error {
	var n store.Deleted
	var removed []string
	var lostID []int64
	var lostToken []pgtype.UUID
	err := rows.Scan(&d.verdict, &d.blocker, &n.Instances, &n.Executions, &n.Events, &n.Messages, &removed, &lostID, &lostToken)
	if err != nil || d.verdict != "deleted" {
		return err
	}
	d.counts.Instances += n.Instances
	d.counts.Executions += n.Executions
	d.counts.Events += n.Events
	d.counts.Messages += n.Messages
	d.tidings.changed(removed...)
	for i := range lostID {
		d.tidings.lost(store.JobRef{ID: lostID[i], Token: lostToken[i].Bytes})
	}
	return nil
}

func (d *deletion) err(instance string) error {
	switch d.verdict {
	case "missing":
		return store.ErrNotFound
	case "child":
		return store.ErrIsChild
	case "running":
		if d.blocker != instance {
			return fmt.Errorf("%w: %q", store.ErrStillRunning, d.blocker)
		}
		return store.ErrStillRunning
	}
	return nil
}

// Delete implements [store.Management].
func (s *Store) Delete(ctx context.Context, instance string, force bool) (store.Deleted, error) {
	var d deletion
	err := s.write(ctx, write{operation: fmt.Sprintf("delete %q", instance), run: func(ctx context.Context, c session) error {
		d = deletion{}
		if err := each(ctx, c, s.sql.in(callDelete), []any{instance, force}, d.scan); err != nil {
			return err
		}
		return d.err(instance)
	}})
	if err != nil {
		return store.Deleted{}, err
	}
	s.tell(&d.tidings)
	return d.counts, nil
}

// choose is a query for the instances that a bulk filter names; empty when it names none.
func choose(f store.BulkFilter, also string) (sql string, args []any) {
	var w conditions
	if also != "" {
		w.sql = append(w.sql, also)
	}
	if f.Instances != nil {
		if len(f.Instances) == 0 {
			return "", nil
		}
		w.add("i.instance = ANY (?::text[])", f.Instances)
	}
	w.int("i.completed_at < ?", f.CompletedBefore)
	limit := f.Limit
	if limit <= 0 {
		limit = bulkDefault
	}
	return fmt.Sprintf("SELECT i.id, i.instance FROM {schema}.duroxide_instances i%s ORDER BY i.id LIMIT %d", w.where(), limit), w.args
}

// DeleteBulk implements [store.Management]. Instances that run, are children, or have running descendants are skipped.
func (s *Store) DeleteBulk(ctx context.Context, f store.BulkFilter) (store.Deleted, error) {
	chosen, args := choose(f, "i.parent_instance IS NULL AND i.status <> 'Running'")
	if chosen == "" {
		return store.Deleted{}, nil
	}
	sql := "WITH chosen AS MATERIALIZED (" + chosen + ") SELECT " + deletedColumns +
		" FROM chosen c CROSS JOIN LATERAL {schema}.duroxide_delete(c.instance, false) d"
	var d deletion
	err := s.write(ctx, write{operation: "delete instances", run: func(ctx context.Context, c session) error {
		d = deletion{}
		return each(ctx, c, s.sql.in(sql), args, d.scan)
	}})
	if err != nil {
		return store.Deleted{}, err
	}
	s.tell(&d.tidings)
	return d.counts, nil
}

// Prune implements [store.Management].
func (s *Store) Prune(ctx context.Context, instance string, o store.PruneOptions) (store.Pruned, error) {
	pruned, err := s.prune(ctx, fmt.Sprintf("prune %q", instance), store.BulkFilter{Instances: []string{instance}}, o)
	if err == nil && pruned.Instances == 0 {
		return store.Pruned{}, store.ErrNotFound
	}
	return pruned, err
}

// PruneBulk implements [store.Management]. Running instances are pruned too: those that continue for ever need it most.
func (s *Store) PruneBulk(ctx context.Context, f store.BulkFilter, o store.PruneOptions) (store.Pruned, error) {
	return s.prune(ctx, "prune instances", f, o)
}

func (s *Store) prune(ctx context.Context, operation string, f store.BulkFilter, o store.PruneOptions) (store.Pruned, error) {
	chosen, args := choose(f, "")
	if chosen == "" {
		return store.Pruned{}, nil
	}
	keep := int64(0) // beside the current one
	if o.KeepLast != nil && *o.KeepLast > 1 {
		keep = int64(*o.KeepLast) - 1
	}
	var pruned store.Pruned
	err := s.write(ctx, write{operation: operation, run: func(ctx context.Context, c session) error {
		pruned = store.Pruned{}
		ids := []int64{}
		err := each(ctx, c, s.sql.in(chosen), args, func(rows pgx.Rows) error {
			var id int64
			var instance string
			err := rows.Scan(&id, &instance)
			ids = append(ids, id)
			return err
		})
		if err != nil {
			return err
		}
		pruned.Instances = int64(len(ids))
		return c.QueryRow(ctx, s.sql.in(callPrune), ids, keep, o.CompletedBefore).Scan(&pruned.Executions, &pruned.Events)
	}})
	return pruned, err
}
