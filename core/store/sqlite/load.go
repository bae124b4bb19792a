package sqlite

import (
	"context"
	"fmt"

	"zombiezen.com/go/sqlite"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

const selectSnapshot = `SELECT i.id, i.life, i.turn, i.execution, i.name, i.version, i.status, i.next_event,
	i.custom_status_version, (SELECT text FROM duroxide_custom_status c WHERE c.instance_id = i.id), i.open_queues, i.used_queues, i.parent_instance, i.parent_life, i.parent_execution,
	i.parent_schedule, i.node, i.suspect, i.attempts
	FROM duroxide_instances i WHERE i.instance = ?`

const selectHistory = `SELECT events FROM duroxide_history WHERE instance_id = (SELECT ?) AND execution = (SELECT ?) ORDER BY first_event`

// readSnapshot reads the row of an instance, with its open and used queues as they are stored.
func readSnapshot(c *sqlite.Conn, instance string) (snapshot *store.Snapshot, id int64, open, used string, err error) {
	found, err := prepared(c, selectSnapshot).text(instance).first(func(row *sqlite.Stmt) {
		id = row.ColumnInt64(0)
		snapshot = &store.Snapshot{
			Instance: instance, Life: row.ColumnText(1), Turn: tokenAt(row, 2), Execution: row.ColumnInt64(3),
			Name: row.ColumnText(4), Version: row.ColumnText(5), Ended: row.ColumnText(6) != "Running",
			NextEventID: row.ColumnInt64(7), CustomStatusVersion: row.ColumnInt64(8), CustomStatus: optionalText(row, 9),
			Node: store.NodeID(row.ColumnText(16)), Suspect: row.ColumnBool(17), Attempts: row.ColumnInt(18),
		}
		open, used = row.ColumnText(10), row.ColumnText(11)
		if !row.ColumnIsNull(12) {
			snapshot.Parent = &history.Parent{
				Instance: row.ColumnText(12), Life: row.ColumnText(13), Execution: row.ColumnInt64(14), Schedule: row.ColumnInt64(15),
			}
		}
	})
	if err == nil && !found {
		err = store.ErrNotFound
	}
	return snapshot, id, open, used, err
}

// readWaiting reads an instance with its messages, without events.
func readWaiting(c *sqlite.Conn, instance string, now int64) (*store.Snapshot, int64, error) {
	snapshot, id, open, used, err := readSnapshot(c, instance)
	if err != nil {
		return nil, 0, err
	}
	openQueues, err := decodeNames(open)
	if err != nil {
		return nil, 0, err
	}
	usedQueues, err := decodeNames(used)
	if err != nil {
		return nil, 0, err
	}
	u, err := readUntaken(c, id, snapshot.Life, now, usedQueues, openQueues)
	if err != nil {
		return nil, 0, err
	}
	snapshot.Messages, snapshot.NextDue, snapshot.Undecodable = u.messages, u.nextDue, u.undecodable
	return snapshot, id, nil
}

// Load implements [store.Store].
func (s *Store) Load(ctx context.Context, instance string, have history.Token) (*store.Snapshot, error) {
	if s.closed.Load() {
		return nil, store.ErrClosed
	}
	var snapshot *store.Snapshot
	var texts []string
	now := s.file.now()
	err := s.file.read(ctx, fmt.Sprintf("load %q", instance), true, func(c *sqlite.Conn) error {
		texts = nil
		var id int64
		var err error
		if snapshot, id, err = readWaiting(c, instance, now); err != nil || snapshot.Turn == have {
			return err
		}
		return prepared(c, selectHistory).int(id).int(snapshot.Execution).each(func(row *sqlite.Stmt) (bool, error) {
			texts = append(texts, row.ColumnText(0))
			return true, nil
		})
	})
	if err != nil {
		return nil, err
	}
	if snapshot.Turn != have {
		// Decoded outside of the snapshot: a long one would keep the log from being reused.
		snapshot.Events = []history.Event{}
		for _, text := range texts {
			events, err := history.DecodeEvents(text)
			if err != nil {
				snapshot.Events, snapshot.Undecodable = nil, err.Error()
				break
			}
			snapshot.Events = append(snapshot.Events, events...)
		}
	}
	return snapshot, nil
}
