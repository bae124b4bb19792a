package sqlite

import (
	"context"
	"errors"
	"fmt"

	"zombiezen.com/go/sqlite"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

var _ store.Inspector = (*Store)(nil)

// Inspect implements [store.Inspector].
func (s *Store) Inspect(ctx context.Context, instance string) (*store.Rows, error) {
	var rows *store.Rows
	err := s.query(ctx, fmt.Sprintf("inspect %q", instance), true, func(c *sqlite.Conn) error {
		rows = &store.Rows{KV: map[string]string{}}
		id, err := readRow(c, instance, rows)
		if errors.Is(err, store.ErrNotFound) {
			rows = nil
			return nil
		}
		if err != nil {
			return err
		}
		err = prepared(c, "SELECT id, execution, schedule, session, node FROM duroxide_jobs WHERE instance_id = ?").int(id).
			each(func(r *sqlite.Stmt) (bool, error) {
				rows.Jobs = append(rows.Jobs, store.JobRow{
					ID: r.ColumnInt64(0), Execution: r.ColumnInt64(1), Schedule: r.ColumnInt64(2), Session: r.ColumnText(3),
					Node: store.NodeID(r.ColumnText(4)),
				})
				return true, nil
			})
		if err != nil {
			return err
		}
		err = prepared(c, "SELECT "+messageColumns+" FROM duroxide_messages WHERE instance_id = ? ORDER BY id").int(id).
			each(func(r *sqlite.Stmt) (bool, error) {
				m, err := scanMessage(r, rows.Snapshot.Life)
				rows.Messages = append(rows.Messages, store.MessageRow{Message: m, VisibleAt: r.ColumnInt64(2)})
				return true, err
			})
		if err != nil {
			return err
		}
		err = prepared(c, "SELECT key, value FROM duroxide_kv WHERE instance_id = ?").int(id).
			each(func(r *sqlite.Stmt) (bool, error) {
				rows.KV[r.ColumnText(0)] = r.ColumnText(1)
				return true, nil
			})
		if err != nil {
			return err
		}
		return readHistories(c, instance, id, rows)
	})
	return rows, err
}

func readRow(c *sqlite.Conn, instance string, rows *store.Rows) (int64, error) {
	snapshot, id, _, _, err := readSnapshot(c, instance)
	if err != nil {
		return 0, err
	}
	rows.Snapshot = *snapshot
	status, err := readStatus(c, instance)
	if err != nil {
		return 0, err
	}
	rows.Status = *status
	return id, nil
}

func readHistories(c *sqlite.Conn, instance string, id int64, rows *store.Rows) error {
	executions, err := readExecutions(c, instance)
	if err != nil {
		return err
	}
	for i := range executions {
		h := store.ExecutionHistory{Execution: executions[i]}
		err := prepared(c, selectHistory).int(id).int(h.Execution.Execution).each(func(r *sqlite.Stmt) (bool, error) {
			events, err := history.DecodeEvents(r.ColumnText(0))
			if err != nil && rows.Snapshot.Undecodable == "" {
				rows.Snapshot.Undecodable = err.Error()
			}
			h.Events = append(h.Events, events...)
			return true, nil
		})
		if err != nil {
			return err
		}
		rows.Histories = append(rows.Histories, h)
	}
	return nil
}

// InspectShared implements [store.Inspector].
func (s *Store) InspectShared(ctx context.Context) (*store.SharedRows, error) {
	var shared *store.SharedRows
	err := s.scan(ctx, "inspect", true, func(c *sqlite.Conn) error {
		shared = &store.SharedRows{Sessions: map[string]store.NodeID{}, Orphans: map[string]int64{}}
		for sql, into := range map[string]*[]store.NodeID{
			"SELECT node FROM duroxide_nodes":                                 &shared.Nodes,
			"SELECT DISTINCT node FROM duroxide_jobs WHERE token IS NOT NULL": &shared.Claims,
		} {
			err := prepared(c, sql).each(func(r *sqlite.Stmt) (bool, error) {
				*into = append(*into, store.NodeID(r.ColumnText(0)))
				return true, nil
			})
			if err != nil {
				return err
			}
		}
		err := prepared(c, "SELECT session, node FROM duroxide_sessions").each(func(r *sqlite.Stmt) (bool, error) {
			shared.Sessions[r.ColumnText(0)] = store.NodeID(r.ColumnText(1))
			return true, nil
		})
		if err != nil {
			return err
		}
		for _, table := range []string{"history", "executions", "messages", "jobs", "kv", "custom_status", "blocked"} {
			sql := "SELECT count(*) FROM duroxide_" + table + " WHERE instance_id NOT IN (SELECT id FROM duroxide_instances)"
			if _, err := prepared(c, sql).first(func(r *sqlite.Stmt) { shared.Orphans[table] = r.ColumnInt64(0) }); err != nil {
				return err
			}
		}
		return nil
	})
	return shared, err
}
