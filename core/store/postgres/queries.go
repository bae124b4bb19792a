package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

const (
	selectStatus = `SELECT i.instance, i.status, coalesce(i.output, ''), coalesce(i.failure, ''), c.text, i.custom_status_version, i.execution,
		b.reason, b.at, b.since FROM {schema}.duroxide_instances i LEFT JOIN {schema}.duroxide_custom_status c ON c.instance_id = i.id` +
		withBlocked + ` WHERE i.instance = ANY ($1)`
	selectTurns      = `SELECT instance, turn FROM {schema}.duroxide_instances WHERE instance = ANY ($1)`
	idOf             = `(SELECT id FROM {schema}.duroxide_instances WHERE instance = $1)`
	selectKV         = `SELECT value FROM {schema}.duroxide_kv WHERE instance_id = ` + idOf + ` AND key_hash = $2::uuid`
	selectKVs        = `SELECT key, value FROM {schema}.duroxide_kv WHERE instance_id = ` + idOf
	selectExecutions = `SELECT execution, status, coalesce(output, ''), '', started_at, completed_at, event_count
			FROM {schema}.duroxide_executions WHERE instance_id = ` + idOf + `
		UNION ALL SELECT execution, status, coalesce(output, ''), coalesce(failure, ''), started_at, coalesce(completed_at, 0), next_event - 1
			FROM {schema}.duroxide_instances WHERE instance = $1 ORDER BY 1`
	selectHistory = `SELECT events FROM {schema}.duroxide_history WHERE instance_id = ` + idOf + ` AND execution =
		CASE $2::bigint WHEN 0 THEN (SELECT execution FROM {schema}.duroxide_instances WHERE instance = $1) ELSE $2 END ORDER BY first_event`
	selectTree    = `SELECT instance FROM {schema}.duroxide_tree($1) ORDER BY depth, id`
	selectMetrics = `SELECT count(*), count(*) FILTER (WHERE status = 'Running'), count(*) FILTER (WHERE status = 'Completed'),
		count(*) FILTER (WHERE status = 'Failed'), coalesce(sum(next_event - 1), 0)::bigint,
		(SELECT count(*) FROM {schema}.duroxide_executions),
		(SELECT coalesce(sum(event_count), 0)::bigint FROM {schema}.duroxide_executions) FROM {schema}.duroxide_instances`
	selectDepths = `SELECT
		(SELECT count(*) FROM {schema}.duroxide_messages m JOIN {schema}.duroxide_instances i ON i.id = m.instance_id
			WHERE m.visible_at IS NOT NULL AND m.visible_at <= (SELECT {schema}.duroxide_now()) AND i.status = 'Running'
				AND (m.kind <> 'mail' OR i.open_queues ? m.name)),
		(SELECT count(*) FROM {schema}.duroxide_jobs WHERE token IS NULL),
		(SELECT count(*) FROM {schema}.duroxide_messages WHERE kind = 'timer' AND visible_at IS NOT NULL
			AND visible_at > (SELECT {schema}.duroxide_now()))`
	selectWaiting = `SELECT name, tag, min(visible_at) FROM {schema}.duroxide_jobs
		WHERE token IS NULL AND visible_at <= (SELECT {schema}.duroxide_now()) GROUP BY tag, name ORDER BY 3`
	selectStats = `SELECT i.next_event - 1,
		(SELECT coalesce(sum(octet_length(events)), 0)::bigint FROM {schema}.duroxide_history h
			WHERE h.instance_id = i.id AND h.execution = i.execution),
		(SELECT count(*) FROM {schema}.duroxide_messages m WHERE m.instance_id = i.id AND m.kind = 'mail' AND i.status = 'Running'),
		(SELECT count(*) FROM {schema}.duroxide_kv k WHERE k.instance_id = i.id),
		(SELECT coalesce(sum(octet_length(value)), 0)::bigint FROM {schema}.duroxide_kv k WHERE k.instance_id = i.id)
		FROM {schema}.duroxide_instances i WHERE i.instance = $1`
)

// Status implements [store.Queries].
func (s *Store) Status(ctx context.Context, instance string) (*store.Status, error) {
	status, err := s.statuses.do(ctx, instance)
	if err == nil && status == nil {
		return nil, store.ErrNotFound
	}
	return status, err
}

// readStatuses gives nil for ids that are not known.
func (s *Store) readStatuses(ctx context.Context, instances []string) ([]*store.Status, error) {
	all := make([]*store.Status, len(instances))
	err := s.read(ctx, fmt.Sprintf("read status of %q", instances[0]), func(ctx context.Context, q querier) error {
		clear(all)
		found := make(map[string]*store.Status, len(instances))
		err := each(ctx, q, s.sql.in(selectStatus), []any{instances}, func(rows pgx.Rows) error {
			status, err := scanStatus(rows)
			if err == nil {
				found[status.Instance] = status
			}
			return err
		})
		for i, instance := range instances {
			if status := found[instance]; status != nil {
				own := *status // two callers must not share one
				all[i] = &own
			}
		}
		return err
	})
	return all, err
}

func (s *Store) readStatus(ctx context.Context, q querier, instance string) (*store.Status, error) {
	status, err := scanStatus(q.QueryRow(ctx, s.sql.in(selectStatus), []string{instance}))
	return status, orElse(err, store.ErrNotFound)
}

func scanStatus(row pgx.Row) (*store.Status, error) {
	status := new(store.Status)
	var name, failure string
	var b blocked
	err := row.Scan(&status.Instance, &name, &status.Output, &failure, &status.CustomStatus, &status.CustomStatusVersion, &status.Execution,
		&b.reason, &b.at, &b.since)
	if err != nil {
		return nil, err
	}
	status.Status, status.Blocked = store.ParseStatus(name), b.told()
	status.Failure, err = history.DecodeFailure(failure)
	return status, err
}

var _ store.TurnReader = (*Store)(nil)

// Turns implements [store.TurnReader].
func (s *Store) Turns(ctx context.Context, instances []string) (map[string]history.Token, error) {
	turns := make(map[string]history.Token, len(instances))
	err := s.read(ctx, "look for changes", func(ctx context.Context, q querier) error {
		clear(turns)
		return each(ctx, q, s.sql.in(selectTurns), []any{instances}, func(rows pgx.Rows) error {
			var instance string
			var turn tokenScanner
			err := rows.Scan(&instance, &turn)
			turns[instance] = turn.token
			return err
		})
	})
	return turns, err
}

// KVValue implements [store.Queries].
func (s *Store) KVValue(ctx context.Context, instance, key string) (*string, error) {
	var found *string
	err := s.read(ctx, "read key", func(ctx context.Context, q querier) error {
		found = nil
		return orElse(q.QueryRow(ctx, s.sql.in(selectKV), instance, keyHash(key)).Scan(&found), nil)
	})
	return found, err
}

// KVAll implements [store.Queries].
func (s *Store) KVAll(ctx context.Context, instance string) (map[string]string, error) {
	var all map[string]string
	err := s.readMuch(ctx, "read keys", func(ctx context.Context, q querier) (err error) {
		all, err = s.readKV(ctx, q, instance)
		return err
	})
	return all, err
}

func (s *Store) readKV(ctx context.Context, q querier, instance string) (map[string]string, error) {
	all := map[string]string{}
	return all, each(ctx, q, s.sql.in(selectKVs), []any{instance}, func(rows pgx.Rows) error {
		var key, text string
		err := rows.Scan(&key, &text)
		all[key] = text
		return err
	})
}

const instanceColumns = `SELECT i.instance, i.name, i.version, i.execution, i.status, coalesce(i.output, ''), coalesce(i.failure, ''),
	i.created_at, i.updated_at, coalesce(i.parent_instance, ''), i.id, b.reason, b.at, b.since
	FROM {schema}.duroxide_instances i` + withBlocked

func scanInstance(rows pgx.Rows) (i store.Instance, id int64, err error) {
	var status, failure string
	var b blocked
	err = rows.Scan(&i.Instance, &i.Name, &i.Version, &i.Execution, &status, &i.Output, &failure, &i.CreatedAt, &i.UpdatedAt, &i.Parent, &id,
		&b.reason, &b.at, &b.since)
	if err != nil {
		return i, 0, err
	}
	i.Status, i.Blocked = store.ParseStatus(status), b.told()
	i.Failure, err = history.DecodeFailure(failure)
	return i, id, err
}

// Instance implements [store.Queries].
func (s *Store) Instance(ctx context.Context, instance string) (*store.Instance, error) {
	var found *store.Instance
	err := s.read(ctx, fmt.Sprintf("read instance %q", instance), func(ctx context.Context, q querier) error {
		found = nil
		err := each(ctx, q, s.sql.in(instanceColumns+" WHERE i.instance = $1"), []any{instance}, func(rows pgx.Rows) error {
			i, _, err := scanInstance(rows)
			found = &i
			return err
		})
		if err == nil && found == nil {
			return store.ErrNotFound
		}
		return err
	})
	return found, err
}

// conditions collects the filters that are set. Each ? in them is a parameter.
type conditions struct {
	sql  []string
	args []any
}

func (w *conditions) add(sql string, arg any) {
	w.args = append(w.args, arg)
	w.sql = append(w.sql, strings.Replace(sql, "?", "$"+strconv.Itoa(len(w.args)), 1))
}

func (w *conditions) text(sql, v string) {
	if v != "" {
		w.add(sql, storable(v))
	}
}

func (w *conditions) int(sql string, v int64) {
	if v != 0 {
		w.add(sql, v)
	}
}

func (w *conditions) where() string {
	if len(w.sql) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.sql, " AND ")
}

// Instances implements [store.Queries]. Instances are listed in the order of their creation, and the cursor is the
// place in it, so a page is not disturbed by what is started or deleted in between.
func (s *Store) Instances(ctx context.Context, q store.InstanceQuery) (store.InstancePage, error) {
	var w conditions
	w.text("i.name = ?", q.Name)
	w.text("i.version = ?", q.Version)
	w.text("starts_with(i.instance, ?)", q.IDPrefix)
	w.text("i.instance >= ?", q.IDPrefix) // the index serves it; starts_with alone it does not
	w.text("i.parent_instance = ?", q.Parent)
	if q.Status != nil {
		w.text("i.status = ?", q.Status.String())
	}
	if q.ExecutionStatus != nil {
		w.text("i.status = ?", q.ExecutionStatus.String())
	}
	if q.Blocked != nil {
		w.sql = append(w.sql, isBlocked(*q.Blocked))
	}
	w.int("i.created_at > ?", q.CreatedAfter)
	w.int("i.created_at < ?", q.CreatedBefore)
	w.int("i.updated_at > ?", q.UpdatedAfter)
	w.int("i.updated_at < ?", q.UpdatedBefore)
	order, beyond := " ORDER BY i.id DESC", "i.id < ?"
	if q.OldestFirst {
		order, beyond = " ORDER BY i.id", "i.id > ?"
	}
	if q.Cursor != "" {
		at, err := strconv.ParseInt(q.Cursor, 10, 64)
		if err != nil {
			return store.InstancePage{}, &store.Error{Operation: "list instances", Err: fmt.Errorf("unknown cursor %q", q.Cursor)}
		}
		w.int(beyond, at)
	}
	sql := instanceColumns + w.where() + order
	if q.Limit > 0 {
		sql += " LIMIT " + strconv.Itoa(q.Limit+1)
	}
	var page store.InstancePage
	err := s.readMuch(ctx, "list instances", func(ctx context.Context, db querier) error {
		page = store.InstancePage{}
		var last int64
		return each(ctx, db, s.sql.in(sql), w.args, func(rows pgx.Rows) error {
			if q.Limit > 0 && len(page.Items) == q.Limit {
				page.Next = strconv.FormatInt(last, 10)
				return nil
			}
			i, id, err := scanInstance(rows)
			page.Items = append(page.Items, i)
			last = id
			return err
		})
	})
	return page, err
}

// Executions implements [store.Queries].
func (s *Store) Executions(ctx context.Context, instance string) ([]store.Execution, error) {
	var all []store.Execution
	err := s.readMuch(ctx, "list executions", func(ctx context.Context, q querier) (err error) {
		all, err = s.readExecutions(ctx, q, instance)
		return err
	})
	return all, err
}

func (s *Store) readExecutions(ctx context.Context, q querier, instance string) ([]store.Execution, error) {
	var all []store.Execution
	err := each(ctx, q, s.sql.in(selectExecutions), []any{instance}, func(rows pgx.Rows) error {
		var e store.Execution
		var status, failure string
		if err := rows.Scan(&e.Execution, &status, &e.Output, &failure, &e.StartedAt, &e.CompletedAt, &e.EventCount); err != nil {
			return err
		}
		var err error
		e.Status = store.ParseStatus(status)
		e.Failure, err = history.DecodeFailure(failure)
		all = append(all, e)
		return err
	})
	return all, err
}

// History implements [store.Queries].
func (s *Store) History(ctx context.Context, instance string, execution int64) ([]history.Event, error) {
	operation := fmt.Sprintf("read history of %q", instance)
	var batches []string
	err := s.readMuch(ctx, operation, func(ctx context.Context, q querier) (err error) {
		batches, err = s.readBatches(ctx, q, instance, execution)
		return err
	})
	if err != nil {
		return nil, err
	}
	var events []history.Event
	for _, text := range batches {
		batch, err := history.DecodeEvents(text)
		if err != nil {
			return nil, &store.Error{Operation: operation, Err: err}
		}
		events = append(events, batch...)
	}
	return events, nil
}

func (s *Store) readBatches(ctx context.Context, q querier, instance string, execution int64) (batches []string, err error) {
	err = each(ctx, q, s.sql.in(selectHistory), []any{instance, execution}, func(rows pgx.Rows) error {
		var text string
		err := rows.Scan(&text)
		batches = append(batches, text)
		return err
	})
	return batches, err
}

// Tree implements [store.Queries].
func (s *Store) Tree(ctx context.Context, instance string) ([]string, error) {
	var names []string
	err := s.readMuch(ctx, "read tree", func(ctx context.Context, q querier) error {
		names = nil
		err := each(ctx, q, s.sql.in(selectTree), []any{instance}, func(rows pgx.Rows) error {
			var name string
			err := rows.Scan(&name)
			names = append(names, name)
			return err
		})
		if err == nil && names == nil {
			return store.ErrNotFound
		}
		return err
	})
	return names, err
}

// SystemMetrics implements [store.Queries].
func (s *Store) SystemMetrics(ctx context.Context) (store.SystemMetrics, error) {
	var m store.SystemMetrics
	err := s.readMuch(ctx, "count everything", func(ctx context.Context, q querier) error {
		var executions, events int64
		err := q.QueryRow(ctx, s.sql.in(selectMetrics)).Scan(&m.TotalInstances, &m.RunningInstances, &m.CompletedInstances,
			&m.FailedInstances, &m.TotalEvents, &executions, &events)
		m.TotalExecutions = m.TotalInstances + executions
		m.TotalEvents += events
		return err
	})
	return m, err
}

// QueueDepths implements [store.Queries].
func (s *Store) QueueDepths(ctx context.Context) (store.QueueDepths, error) {
	var d store.QueueDepths
	err := s.readMuch(ctx, "count queues", func(ctx context.Context, q querier) error {
		return q.QueryRow(ctx, s.sql.in(selectDepths)).Scan(&d.Orchestrator, &d.Worker, &d.Timer)
	})
	return d, err
}

// WaitingJobs implements [store.Queries].
func (s *Store) WaitingJobs(ctx context.Context) ([]store.WaitingJobs, error) {
	var waiting []store.WaitingJobs
	err := s.readMuch(ctx, "list waiting jobs", func(ctx context.Context, q querier) error {
		waiting = nil
		return each(ctx, q, s.sql.in(selectWaiting), nil, func(rows pgx.Rows) error {
			var w store.WaitingJobs
			err := rows.Scan(&w.Name, &w.Tag, &w.SinceMS)
			waiting = append(waiting, w)
			return err
		})
	})
	return waiting, err
}

// InstanceStats implements [store.Queries].
func (s *Store) InstanceStats(ctx context.Context, instance string) (*store.InstanceStats, error) {
	var stats store.InstanceStats
	err := s.readMuch(ctx, "read statistics", func(ctx context.Context, q querier) error {
		return orElse(q.QueryRow(ctx, s.sql.in(selectStats), instance).Scan(&stats.HistoryEvents, &stats.HistoryBytes,
			&stats.QueuePending, &stats.KVKeys, &stats.KVBytes), store.ErrNotFound)
	})
	if err != nil {
		return nil, err
	}
	return &stats, nil
}
