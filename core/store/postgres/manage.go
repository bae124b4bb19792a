package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/duroxide/duroxide/core/store"
)

const (
	deletedColumns = `verdict text, blocker text, instances bigint, executions bigint, events bigint, messages bigint, removed text[],
		lost_id bigint[], lost_token uuid[]`
	callDelete = `SELECT * FROM {schema}.duroxide_delete($1, $2)`
	callBulk   = `SELECT d.* FROM (%s) c CROSS JOIN LATERAL {schema}.duroxide_delete(c.instance, false) d`
	callPrune  = `SELECT cardinality(c.ids)::bigint AS instances, p.executions, p.events
		FROM (SELECT coalesce(array_agg(x.id), '{}') AS ids FROM (%s) x) c CROSS JOIN LATERAL {schema}.duroxide_prune(c.ids, $%d, $%d) p`
	prunedColumns = `instances bigint, executions bigint, events bigint`
)

// deletion collects what a transaction has deleted.
type deletion struct {
	counts  store.Deleted
	tidings tidings
	verdict string
	blocker string
}

func (d *deletion) add(rows pgx.Rows) error {
	var verdict, blocker *string
	var instances, executions, events, messages *int64
	var removed []string
	var lostID []int64
	var lostToken []pgtype.UUID
	err := rows.Scan(&verdict, &blocker, &instances, &executions, &events, &messages, &removed, &lostID, &lostToken)
	if d.verdict, d.blocker = value(verdict), value(blocker); err != nil || d.verdict != "deleted" {
		return err
	}
	d.counts.Instances += value(instances)
	d.counts.Executions += value(executions)
	d.counts.Events += value(events)
	d.counts.Messages += value(messages)
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
	call := kept{statement: callDelete, columns: deletedColumns, bound: wideBound}
	err := s.writeKept(ctx, fmt.Sprintf("delete %q", instance), call, []any{instance, force}, func() { d = deletion{} }, d.add)
	if err == nil {
		err = d.err(instance)
	}
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
	return fmt.Sprintf("SELECT i.id, i.instance FROM {schema}.duroxide_instances i%s ORDER BY i.id LIMIT %d", w.where(), f.Bound()), w.args
}

// DeleteBulk implements [store.Management]. Instances that run, are children, or have running descendants are skipped.
func (s *Store) DeleteBulk(ctx context.Context, f store.BulkFilter) (store.Deleted, error) {
	chosen, args := choose(f, "i.parent_instance IS NULL AND i.status <> 'Running'")
	if chosen == "" {
		return store.Deleted{}, nil
	}
	var d deletion
	call := kept{statement: fmt.Sprintf(callBulk, chosen), columns: deletedColumns, bound: wideBound}
	if err := s.writeKept(ctx, "delete instances", call, args, func() { d = deletion{} }, d.add); err != nil {
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
	n := len(args)
	call := kept{statement: fmt.Sprintf(callPrune, chosen, n+1, n+2), columns: prunedColumns, bound: wideBound}
	err := s.writeKept(ctx, operation, call, append(args, keep, o.CompletedBefore), func() { pruned = store.Pruned{} }, func(rows pgx.Rows) error {
		return rows.Scan(&pruned.Instances, &pruned.Executions, &pruned.Events)
	})
	return pruned, err
}
