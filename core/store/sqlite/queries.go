package sqlite

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

const selectStatus = `SELECT i.status, i.output, i.failure,
	(SELECT text FROM duroxide_custom_status c WHERE c.instance_id = i.id), i.custom_status_version, i.execution,
	b.reason, b.at, b.since FROM duroxide_instances i` + withBlocked + ` WHERE i.instance = (SELECT ?)`

const idOf = `(SELECT id FROM duroxide_instances WHERE instance = ?1)`

// query runs a read for a client.
func (s *Store) query(ctx context.Context, operation string, snapshot bool, fn func(*sqlite.Conn) error) error {
	if s.closed.Load() {
		return store.ErrClosed
	}
	return s.file.read(ctx, operation, snapshot, fn)
}

// scanTime bounds reads of the whole store: as long as one lasts, the log cannot be begun anew behind it.
const scanTime = 5 * time.Second

var errLongScan = fmt.Errorf("the read took longer than %v, for which the log of the database only grows: ask for less at once", scanTime)

// scan runs a read that may go over everything, for a client. What belongs to one instance is read without a bound.
func (s *Store) scan(ctx context.Context, operation string, snapshot bool, fn func(*sqlite.Conn) error) error {
	if s.file.memory {
		return s.query(ctx, operation, snapshot, fn) // no log, and nothing interrupts the only connection
	}
	select {
	case s.file.scanSem <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-s.file.scanSem }()
	return s.query(ctx, operation, snapshot, func(c *sqlite.Conn) error {
		over, cancel := context.WithTimeout(ctx, s.file.scanTime)
		defer cancel()
		defer c.SetInterrupt(c.SetInterrupt(over.Done()))
		err := fn(c)
		switch {
		case sqlite.ErrCode(err) != sqlite.ResultInterrupt:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		default:
			return &store.Error{Operation: operation, Err: errLongScan}
		}
	})
}

// Status implements [store.Queries].
func (s *Store) Status(ctx context.Context, instance string) (*store.Status, error) {
	var status *store.Status
	err := s.query(ctx, fmt.Sprintf("read status of %q", instance), false, func(c *sqlite.Conn) (err error) {
		status, err = readStatus(c, instance)
		return err
	})
	return status, err
}

func readStatus(c *sqlite.Conn, instance string) (*store.Status, error) {
	var status *store.Status
	var failure string
	_, err := prepared(c, selectStatus).text(instance).first(func(row *sqlite.Stmt) {
		status = &store.Status{
			Instance: instance, Status: store.ParseStatus(row.ColumnText(0)), Output: row.ColumnText(1), CustomStatus: optionalText(row, 3),
			CustomStatusVersion: row.ColumnInt64(4), Execution: row.ColumnInt64(5), Blocked: blockedAt(row, 6),
		}
		failure = row.ColumnText(2)
	})
	if err == nil && status == nil {
		return nil, store.ErrNotFound
	}
	if err == nil {
		status.Failure, err = history.DecodeFailure(failure)
	}
	return status, err
}

// Not a join: the list has no statistics, and must be the one that is walked over.
const selectTurns = `SELECT value, (SELECT turn FROM duroxide_instances WHERE instance = value) FROM json_each(?)`

// turnsAtOnce bounds a read of turns, and so how long it keeps the log from beginning anew.
const turnsAtOnce = 2_000

var _ store.TurnReader = (*Store)(nil)

// Turns implements [store.TurnReader].
func (s *Store) Turns(ctx context.Context, instances []string) (map[string]history.Token, error) {
	turns := make(map[string]history.Token, len(instances))
	for some := range slices.Chunk(instances, turnsAtOnce) {
		err := s.query(ctx, "look for changes", false, func(c *sqlite.Conn) error {
			return prepared(c, selectTurns).text(encodeNames(some)).each(func(row *sqlite.Stmt) (bool, error) {
				if !row.ColumnIsNull(1) {
					turns[row.ColumnText(0)] = tokenAt(row, 1)
				}
				return true, nil
			})
		})
		if err != nil {
			return nil, err
		}
	}
	return turns, nil
}

// KVValue implements [store.Queries].
func (s *Store) KVValue(ctx context.Context, instance, key string) (*string, error) {
	var value *string
	err := s.query(ctx, "read key", false, func(c *sqlite.Conn) error {
		value = nil
		_, err := prepared(c, "SELECT value FROM duroxide_kv WHERE instance_id = "+idOf+" AND key = ?2").text(instance).text(key).
			first(func(row *sqlite.Stmt) { value = optionalText(row, 0) })
		return err
	})
	return value, err
}

// KVAll implements [store.Queries].
func (s *Store) KVAll(ctx context.Context, instance string) (map[string]string, error) {
	var all map[string]string
	err := s.query(ctx, "read keys", false, func(c *sqlite.Conn) error {
		all = map[string]string{}
		return prepared(c, "SELECT key, value FROM duroxide_kv WHERE instance_id = "+idOf).text(instance).
			each(func(row *sqlite.Stmt) (bool, error) {
				all[row.ColumnText(0)] = row.ColumnText(1)
				return true, nil
			})
	})
	return all, err
}

const instanceColumns = `SELECT i.instance, i.name, i.version, i.execution, i.status, i.output, i.failure, i.created_at,
	i.updated_at, i.parent_instance, i.id, b.reason, b.at, b.since FROM duroxide_instances i` + withBlocked

func scanInstance(row *sqlite.Stmt) (store.Instance, error) {
	i := store.Instance{
		Instance: row.ColumnText(0), Name: row.ColumnText(1), Version: row.ColumnText(2), Execution: row.ColumnInt64(3),
		Status: store.ParseStatus(row.ColumnText(4)), Output: row.ColumnText(5), CreatedAt: row.ColumnInt64(7),
		UpdatedAt: row.ColumnInt64(8), Parent: row.ColumnText(9), Blocked: blockedAt(row, 11),
	}
	var err error
	i.Failure, err = history.DecodeFailure(row.ColumnText(6))
	return i, err
}

// Instance implements [store.Queries].
func (s *Store) Instance(ctx context.Context, instance string) (*store.Instance, error) {
	var found *store.Instance
	err := s.query(ctx, fmt.Sprintf("read instance %q", instance), false, func(c *sqlite.Conn) error {
		found = nil
		err := prepared(c, instanceColumns+" WHERE i.instance = ?").text(instance).each(func(row *sqlite.Stmt) (bool, error) {
			i, err := scanInstance(row)
			found = &i
			return false, err
		})
		if err == nil && found == nil {
			return store.ErrNotFound
		}
		return err
	})
	return found, err
}

// conditions collects the filters that are set.
type conditions struct {
	sql  []string
	bind []func(*query)
}

func (w *conditions) text(sql, v string) {
	if v != "" {
		w.sql = append(w.sql, sql)
		w.bind = append(w.bind, func(q *query) { q.text(v) })
	}
}

func (w *conditions) int(sql string, v int64) {
	if v != 0 {
		w.sql = append(w.sql, sql)
		w.bind = append(w.bind, func(q *query) { q.int(v) })
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
	if q.IDPrefix != "" {
		w.text("i.instance >= ?", q.IDPrefix)
		w.text("i.instance < ?", afterPrefix(q.IDPrefix))
	}
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
	var page store.InstancePage
	err := s.scan(ctx, "list instances", false, func(c *sqlite.Conn) error {
		page = store.InstancePage{}
		list := prepared(c, instanceColumns+w.where()+order)
		for _, bind := range w.bind {
			bind(list)
		}
		var last int64
		return list.each(func(row *sqlite.Stmt) (bool, error) {
			if q.Limit > 0 && len(page.Items) == q.Limit {
				page.Next = strconv.FormatInt(last, 10)
				return false, nil
			}
			i, err := scanInstance(row)
			page.Items = append(page.Items, i)
			last = row.ColumnInt64(10)
			return true, err
		})
	})
	return page, err
}

// afterPrefix is the first text after all that begin with the prefix; empty when there is none.
func afterPrefix(prefix string) string {
	b := []byte(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] < 0xff {
			b[i]++
			return string(b[:i+1])
		}
	}
	return ""
}

// Executions implements [store.Queries].
func (s *Store) Executions(ctx context.Context, instance string) ([]store.Execution, error) {
	var all []store.Execution
	err := s.query(ctx, "list executions", false, func(c *sqlite.Conn) (err error) {
		all, err = readExecutions(c, instance)
		return err
	})
	return all, err
}

func readExecutions(c *sqlite.Conn, instance string) ([]store.Execution, error) {
	const list = `SELECT execution, status, output, NULL, started_at, completed_at, event_count
			FROM duroxide_executions WHERE instance_id = ` + idOf + `
		UNION ALL SELECT execution, status, output, failure, started_at, completed_at, next_event - 1
			FROM duroxide_instances WHERE instance = ?1 ORDER BY 1`
	var all []store.Execution
	err := prepared(c, list).text(instance).each(func(row *sqlite.Stmt) (bool, error) {
		failure, err := history.DecodeFailure(row.ColumnText(3))
		all = append(all, store.Execution{
			Execution: row.ColumnInt64(0), Status: store.ParseStatus(row.ColumnText(1)), Output: row.ColumnText(2), Failure: failure,
			StartedAt: row.ColumnInt64(4), CompletedAt: row.ColumnInt64(5), EventCount: row.ColumnInt64(6),
		})
		return true, err
	})
	return all, err
}

// History implements [store.Queries].
func (s *Store) History(ctx context.Context, instance string, execution int64) ([]history.Event, error) {
	var texts []string
	const read = `SELECT events FROM duroxide_history WHERE instance_id = ` + idOf + ` AND execution =
		CASE ?2 WHEN 0 THEN (SELECT execution FROM duroxide_instances WHERE instance = ?1) ELSE ?2 END ORDER BY first_event`
	err := s.query(ctx, fmt.Sprintf("read history of %q", instance), false, func(c *sqlite.Conn) error {
		texts = nil
		return prepared(c, read).text(instance).int(execution).each(func(row *sqlite.Stmt) (bool, error) {
			texts = append(texts, row.ColumnText(0))
			return true, nil
		})
	})
	if err != nil {
		return nil, err
	}
	var events []history.Event
	for _, text := range texts {
		batch, err := history.DecodeEvents(text)
		if err != nil {
			return nil, &store.Error{Operation: fmt.Sprintf("read history of %q", instance), Err: err}
		}
		events = append(events, batch...)
	}
	return events, nil
}

// descendants lists an instance and everything started below it, parents before children. Links carry the life of the
// parent: what an earlier instance of the same id has started is not its child. A child's row
// is younger than its parent's, so ids give the order.
const descendants = `WITH RECURSIVE tree (id, instance, life) AS (
	SELECT id, instance, life FROM duroxide_instances WHERE instance = ?1
	UNION SELECT i.id, i.instance, i.life FROM tree JOIN duroxide_instances i
		ON i.parent_instance = tree.instance AND i.parent_life = tree.life)
	SELECT id, instance FROM tree ORDER BY id`

// Tree implements [store.Queries].
func (s *Store) Tree(ctx context.Context, instance string) ([]string, error) {
	var names []string
	err := s.scan(ctx, "read tree", false, func(c *sqlite.Conn) error {
		names = nil
		err := prepared(c, descendants).text(instance).each(func(row *sqlite.Stmt) (bool, error) {
			names = append(names, row.ColumnText(1))
			return true, nil
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
	const count = `SELECT count(*), sum(status = 'Running'), sum(status = 'Completed'), sum(status = 'Failed'), sum(next_event - 1),
		(SELECT count(*) FROM duroxide_executions), (SELECT sum(event_count) FROM duroxide_executions) FROM duroxide_instances`
	err := s.scan(ctx, "count everything", false, func(c *sqlite.Conn) error {
		_, err := prepared(c, count).first(func(row *sqlite.Stmt) {
			m = store.SystemMetrics{
				TotalInstances: row.ColumnInt64(0), RunningInstances: row.ColumnInt64(1), CompletedInstances: row.ColumnInt64(2),
				FailedInstances: row.ColumnInt64(3), TotalExecutions: row.ColumnInt64(0) + row.ColumnInt64(5),
				TotalEvents: row.ColumnInt64(4) + row.ColumnInt64(6),
			}
		})
		return err
	})
	return m, err
}

// QueueDepths implements [store.Queries].
func (s *Store) QueueDepths(ctx context.Context) (store.QueueDepths, error) {
	var d store.QueueDepths
	const count = `SELECT
		(SELECT count(*) FROM duroxide_messages WHERE visible_at IS NOT NULL AND visible_at <= ?1),
		(SELECT count(*) FROM duroxide_jobs WHERE token IS NULL AND session = '')
			+ (SELECT count(*) FROM duroxide_jobs WHERE token IS NULL AND session <> ''),
		(SELECT count(*) FROM duroxide_messages WHERE kind = 'timer' AND visible_at IS NOT NULL AND visible_at > ?1)`
	err := s.scan(ctx, "count queues", false, func(c *sqlite.Conn) error {
		_, err := prepared(c, count).int(s.Now()).first(func(row *sqlite.Stmt) {
			d = store.QueueDepths{Orchestrator: row.ColumnInt64(0), Worker: row.ColumnInt64(1), Timer: row.ColumnInt64(2)}
		})
		return err
	})
	return d, err
}

// WaitingJobs implements [store.Queries].
func (s *Store) WaitingJobs(ctx context.Context) ([]store.WaitingJobs, error) {
	var waiting []store.WaitingJobs
	const oldest = `SELECT name, tag, min(visible_at) FROM duroxide_jobs
		WHERE token IS NULL AND visible_at <= ? GROUP BY tag, name ORDER BY 3`
	err := s.scan(ctx, "list waiting jobs", false, func(c *sqlite.Conn) error {
		waiting = nil
		return prepared(c, oldest).int(s.Now()).each(func(row *sqlite.Stmt) (bool, error) {
			waiting = append(waiting, store.WaitingJobs{Name: row.ColumnText(0), Tag: row.ColumnText(1), SinceMS: row.ColumnInt64(2)})
			return true, nil
		})
	})
	return waiting, err
}

// InstanceStats implements [store.Queries].
func (s *Store) InstanceStats(ctx context.Context, instance string) (*store.InstanceStats, error) {
	var stats *store.InstanceStats
	const read = `SELECT i.next_event - 1,
		(SELECT ifnull(sum(octet_length(events)), 0) FROM duroxide_history h WHERE h.instance_id = i.id AND h.execution = i.execution),
		(SELECT count(*) FROM duroxide_messages m WHERE m.instance_id = i.id AND m.kind = 'mail'),
		(SELECT count(*) FROM duroxide_kv k WHERE k.instance_id = i.id),
		(SELECT ifnull(sum(octet_length(value)), 0) FROM duroxide_kv k WHERE k.instance_id = i.id)
		FROM duroxide_instances i WHERE i.instance = ?`
	err := s.query(ctx, "read statistics", false, func(c *sqlite.Conn) error {
		stats = nil
		_, err := prepared(c, read).text(instance).first(func(row *sqlite.Stmt) {
			stats = &store.InstanceStats{
				HistoryEvents: row.ColumnInt64(0), HistoryBytes: row.ColumnInt64(1), QueuePending: row.ColumnInt64(2),
				KVKeys: row.ColumnInt64(3), KVBytes: row.ColumnInt64(4),
			}
		})
		if err == nil && stats == nil {
			return store.ErrNotFound
		}
		return err
	})
	return stats, err
}
