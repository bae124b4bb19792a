package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

const snapshotColumns = `i.id, i.life, i.turn, i.execution, i.name, i.version, i.status, i.next_event, i.custom_status_version, c.text,
	i.used_queues, i.parent_instance, i.parent_life, i.parent_execution, i.parent_schedule, i.node, i.suspect`

const selectSnapshot = `SELECT ` + snapshotColumns + ` FROM {schema}.duroxide_instances i
	LEFT JOIN {schema}.duroxide_custom_status c ON c.instance_id = i.id WHERE i.instance = $1`

// What an instance has to say is read in one statement and so in one state; rows are told apart by what: 1 = the
// instance, 2 = a batch of history (in data), 3 and 4 as duroxide_untaken gives them.
//
//nolint:dupword // NULLs
const selectLoad = `WITH i AS MATERIALIZED (` + selectSnapshot + `)
	SELECT 1 AS what, i.id, i.custom_status_version, i.next_event, i.execution, 0::bigint, i.life, i.name, i.version, i.status, i.text,
		i.turn, i.used_queues::text, i.parent_instance, i.parent_life, i.parent_execution, i.parent_schedule, i.node, i.suspect, {schema}.duroxide_now()
		FROM i
	UNION ALL
	SELECT 2, 0, 0, h.first_event, 0, 0, NULL, NULL, NULL, h.events, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
		FROM i JOIN {schema}.duroxide_history h ON h.instance_id = i.id AND h.execution = i.execution WHERE i.turn <> $2
	UNION ALL
	SELECT u.what, u.id, u.visible_at, u.inserted_at, u.execution, u.source, u.kind, u.message_id, u.name, u.data, u.failure,
		NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
		FROM i CROSS JOIN LATERAL {schema}.duroxide_untaken(i.id, i.used_queues, (SELECT {schema}.duroxide_now())) u
	ORDER BY 1, 4`

const (
	rowInstance = 1
	rowBatch    = 2
)

// loading collects the rows of selectLoad.
type loading struct {
	snapshot *store.Snapshot
	id       int64
	untaken  untaken
	batches  []string
	at       int64
}

func (l *loading) add(rows pgx.Rows) error {
	var what int
	var m messageRow
	var turn tokenScanner
	var used, parent, parentLife, node *string
	var parentExecution, parentSchedule, at *int64
	var suspect *bool
	err := rows.Scan(&what, &m.id, &m.visible, &m.inserted, &m.execution, &m.source, &m.kind, &m.messageID, &m.name, &m.data, &m.failureText,
		&turn, &used, &parent, &parentLife, &parentExecution, &parentSchedule, &node, &suspect, &at)
	if err != nil {
		return err
	}
	switch what {
	case rowInstance:
		s := l.snapshot
		l.id, l.at = m.id, value(at)
		s.CustomStatusVersion, s.NextEventID, s.Execution = value(m.visible), value(m.inserted), value(m.execution)
		s.Life, s.Name, s.Version, s.CustomStatus = value(m.kind), value(m.messageID), value(m.name), m.failureText
		s.Ended = value(m.data) != "Running"
		s.Turn, s.Node, s.Suspect = turn.token, store.NodeID(value(node)), value(suspect)
		if parent != nil {
			s.Parent = &history.Parent{
				Instance: *parent, Life: value(parentLife), Execution: value(parentExecution), Schedule: value(parentSchedule),
			}
		}
	case rowBatch:
		l.batches = append(l.batches, value(m.data))
	default:
		return l.untaken.add(what, &m, l.snapshot.Life)
	}
	return nil
}

// Load implements [store.Store].
func (s *Store) Load(ctx context.Context, instance string, have history.Token) (*store.Snapshot, error) {
	var l loading
	err := s.read(ctx, fmt.Sprintf("load %q", instance), func(q querier) error {
		l = loading{snapshot: &store.Snapshot{Instance: instance}}
		sent := s.clock.local()
		err := each(ctx, q, s.sql.in(selectLoad), []any{instance, uuid(have)}, l.add)
		if err == nil && l.id == 0 {
			return store.ErrNotFound
		}
		if err == nil {
			s.clock.heard(sent, l.at)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	l.untaken.sort()
	l.snapshot.Messages, l.snapshot.NextDue = l.untaken.messages, l.untaken.nextDue
	if l.snapshot.Turn != have {
		l.snapshot.Events, l.snapshot.Undecodable = decodeBatches(l.batches)
	}
	return l.snapshot, nil
}

func decodeBatches(batches []string) (events []history.Event, undecodable string) {
	events = []history.Event{}
	for _, text := range batches {
		batch, err := history.DecodeEvents(text)
		if err != nil {
			return nil, err.Error()
		}
		events = append(events, batch...)
	}
	return events, ""
}
