package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

const (
	selectJobRows = `SELECT id, execution, schedule, session, coalesce(node, '') FROM {schema}.duroxide_jobs WHERE instance_id = $1 ORDER BY id`
	// What came while its instance ended is not there for anybody, and removed by who comes upon it; left behind is what nobody will.
	selectMessageRows = `SELECT CASE WHEN m.kind = 'mail' AND NOT i.open_queues ? m.name THEN 0 ELSE coalesce(m.visible_at, 0) END,
		m.id, m.visible_at, m.inserted_at, m.execution, m.source, m.kind, m.message_id, m.name, m.data, m.failure
		FROM {schema}.duroxide_messages m JOIN {schema}.duroxide_instances i ON i.id = m.instance_id
		WHERE m.instance_id = $1 AND (i.status = 'Running' OR m.visible_at IS NULL) ORDER BY m.id`
)

// snapshot runs fn in one state of the store.
func (s *Store) snapshot(ctx context.Context, operation string, fn func(context.Context, querier) error) error {
	return s.readMuch(ctx, operation, func(ctx context.Context, q querier) error {
		// Not on a second connection: some at once would all wait for one, each holding its first.
		held := q.(session) //nolint:errcheck,forcetypeassert // reads are given one
		return pgx.BeginTxFunc(ctx, held, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
			// An open snapshot keeps dead rows; one whose reader is stopped must not keep them for long.
			if _, err := tx.Exec(ctx, "SET LOCAL idle_in_transaction_session_timeout = '5s'"); err != nil {
				return err
			}
			return fn(ctx, tx)
		})
	})
}

// Inspect implements [store.Inspector].
func (s *Store) Inspect(ctx context.Context, instance string) (*store.Rows, error) {
	var rows *store.Rows
	err := s.snapshot(ctx, fmt.Sprintf("inspect %q", instance), func(ctx context.Context, q querier) error {
		l := loading{snapshot: &store.Snapshot{Instance: instance}}
		err := each(ctx, q, s.sql.in(callLoad), []any{instance, uuid(history.Token{})}, l.add)
		if err != nil {
			return err
		}
		if l.id == 0 {
			return store.ErrNotFound
		}
		l.untaken.sort()
		l.snapshot.Messages, l.snapshot.NextDue = l.untaken.messages, l.untaken.nextDue
		rows = &store.Rows{Snapshot: *l.snapshot}
		return s.readRows(ctx, q, instance, l.id, rows)
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil //nolint:nilnil // no such instance
	}
	return rows, err
}

func (s *Store) readRows(ctx context.Context, q querier, instance string, id int64, rows *store.Rows) error {
	status, err := s.readStatus(ctx, q, instance)
	if err != nil {
		return err
	}
	rows.Status = *status
	err = each(ctx, q, s.sql.in(selectJobRows), []any{id}, func(r pgx.Rows) error {
		var j store.JobRow
		var node string
		err := r.Scan(&j.ID, &j.Execution, &j.Schedule, &j.Session, &node)
		j.Node = store.NodeID(node)
		rows.Jobs = append(rows.Jobs, j)
		return err
	})
	if err != nil {
		return err
	}
	err = each(ctx, q, s.sql.in(selectMessageRows), []any{id}, func(r pgx.Rows) error {
		var visible int64
		var m messageRow
		if err := r.Scan(m.into(&visible)...); err != nil {
			return err
		}
		message, err := m.message(rows.Snapshot.Life)
		rows.Messages = append(rows.Messages, store.MessageRow{Message: message, VisibleAt: visible})
		return err
	})
	if err != nil {
		return err
	}
	if rows.KV, err = s.readKV(ctx, q, instance); err != nil {
		return err
	}
	executions, err := s.readExecutions(ctx, q, instance)
	if err != nil {
		return err
	}
	for i := range executions {
		h := store.ExecutionHistory{Execution: executions[i]}
		batches, err := s.readBatches(ctx, q, instance, h.Execution.Execution)
		if err != nil {
			return err
		}
		for _, text := range batches {
			events, err := history.DecodeEvents(text)
			if err != nil {
				return err
			}
			h.Events = append(h.Events, events...)
		}
		rows.Histories = append(rows.Histories, h)
	}
	return nil
}

// InspectShared implements [store.Inspector].
func (s *Store) InspectShared(ctx context.Context) (*store.SharedRows, error) {
	var shared *store.SharedRows
	err := s.snapshot(ctx, "inspect", func(ctx context.Context, q querier) error {
		shared = &store.SharedRows{Sessions: map[string]store.NodeID{}, Orphans: map[string]int64{}}
		for sql, into := range map[string]*[]store.NodeID{
			"SELECT node FROM {schema}.duroxide_nodes":                                 &shared.Nodes,
			"SELECT DISTINCT node FROM {schema}.duroxide_jobs WHERE token IS NOT NULL": &shared.Claims,
		} {
			err := each(ctx, q, s.sql.in(sql), nil, func(r pgx.Rows) error {
				var node string
				err := r.Scan(&node)
				*into = append(*into, store.NodeID(node))
				return err
			})
			if err != nil {
				return err
			}
		}
		err := each(ctx, q, s.sql.in("SELECT session, coalesce(node, '') FROM {schema}.duroxide_sessions"), nil, func(r pgx.Rows) error {
			var session, node string
			err := r.Scan(&session, &node)
			shared.Sessions[session] = store.NodeID(node)
			return err
		})
		if err != nil {
			return err
		}
		for _, table := range []string{"history", "executions", "messages", "jobs", "kv", "custom_status", "blocked"} {
			var n int64
			sql := "SELECT count(*) FROM {schema}.duroxide_" + table + " WHERE instance_id NOT IN (SELECT id FROM {schema}.duroxide_instances)"
			if err := q.QueryRow(ctx, s.sql.in(sql)).Scan(&n); err != nil {
				return err
			}
			shared.Orphans[table] = n
		}
		return nil
	})
	return shared, err
}
