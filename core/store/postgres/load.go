package postgres

import (
	"cmp"
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

const callLoad = `SELECT what, id, n1, n2, n3, n4, t1, t2, t3, t4, t5, turn, used, parent, parent_life, parent_execution, parent_schedule,
	node, attempts, at FROM {schema}.duroxide_load($1, $2)`

const (
	rowStored   = 0 // of a message that was stored along
	rowInstance = 1
	rowBatch    = 2
)

// loading collects the rows of callLoad.
type loading struct {
	snapshot *store.Snapshot
	id       int64
	untaken  untaken
	batches  []string
	at       int64

	stored  bool
	visible *int64
}

func (l *loading) add(rows pgx.Rows) error {
	var what int
	var m messageRow
	var turn tokenScanner
	var used, parent, parentLife, node *string
	var parentExecution, parentSchedule, at *int64
	var attempts *int // of suspect ones only
	err := rows.Scan(&what, &m.id, &m.visible, &m.inserted, &m.execution, &m.source, &m.kind, &m.messageID, &m.name, &m.data, &m.failureText,
		&turn, &used, &parent, &parentLife, &parentExecution, &parentSchedule, &node, &attempts, &at)
	if err != nil {
		return err
	}
	switch what {
	case rowStored:
		l.stored, l.visible, l.at = m.id != 0, m.visible, value(at)
	case rowInstance:
		s := l.snapshot
		l.id, l.at = m.id, value(at)
		s.CustomStatusVersion, s.NextEventID, s.Execution = value(m.visible), value(m.inserted), value(m.execution)
		s.Life, s.Name, s.Version, s.CustomStatus = value(m.kind), value(m.messageID), value(m.name), m.failureText
		s.Ended = value(m.data) != "Running"
		s.Turn, s.Node, s.Suspect, s.Attempts = turn.token, store.NodeID(value(node)), attempts != nil, value(attempts)
		if parent != nil {
			s.Parent = &history.Parent{
				Instance: *parent, Life: value(parentLife), Execution: value(parentExecution), Schedule: value(parentSchedule),
			}
		}
	case rowBatch:
		l.batches = append(l.batches, value(m.data))
	default:
		l.untaken.add(what, &m, l.snapshot.Life)
	}
	return nil
}

// Load implements [store.Store].
func (s *Store) Load(ctx context.Context, instance string, have history.Token) (*store.Snapshot, error) {
	var l loading
	err := s.read(ctx, fmt.Sprintf("load %q", instance), func(ctx context.Context, q querier) error {
		l = loading{snapshot: &store.Snapshot{Instance: instance}}
		sent := s.clock.local()
		err := each(ctx, q, s.sql.in(callLoad), []any{instance, uuid(have)}, l.add)
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
	if l.snapshot.Turn != have {
		l.snapshot.Events, l.snapshot.Undecodable = decodeBatches(l.batches)
	}
	l.readMessages()
	return l.snapshot, nil
}

// readMessages puts the messages into the snapshot.
func (l *loading) readMessages() {
	l.untaken.sort()
	s, u := l.snapshot, &l.untaken
	s.Messages, s.NextDue, s.Undecodable = u.messages, u.nextDue, cmp.Or(s.Undecodable, u.undecodable)
}

const callRefresh = `SELECT ord, life, at, what, ` + messageColumns + ` FROM {schema}.duroxide_refresh($1, $2)`

var _ store.Refresher = (*Store)(nil)

// Refresh implements [store.Refresher].
func (s *Store) Refresh(ctx context.Context, turns map[string]history.Token) ([]*store.Snapshot, error) {
	instances, have := make([]string, 0, len(turns)), make([]pgtype.UUID, 0, len(turns))
	for instance, turn := range turns {
		instances, have = append(instances, instance), append(have, uuid(turn))
	}
	var read []*loading
	err := s.read(ctx, fmt.Sprintf("read the messages of %d instances", len(turns)), func(ctx context.Context, q querier) error {
		read = nil
		found := make(map[int64]*loading, len(instances))
		sent := s.clock.local()
		return each(ctx, q, s.sql.in(callRefresh), []any{instances, have}, func(rows pgx.Rows) error {
			var ord, at int64
			var life string
			var what *int
			var id *int64
			var m messageRow
			if err := rows.Scan(&ord, &life, &at, &what, &id, &m.visible, &m.inserted, &m.execution, &m.source, &m.kind, &m.messageID,
				&m.name, &m.data, &m.failureText); err != nil {
				return err
			}
			l := found[ord]
			if l == nil {
				s.clock.heard(sent, at)
				l = &loading{snapshot: &store.Snapshot{Instance: instances[ord-1], Life: life, Turn: have[ord-1].Bytes}}
				found[ord] = l
				read = append(read, l)
			}
			if what != nil {
				m.id = value(id)
				l.untaken.add(*what, &m, life)
			}
			return nil
		})
	})
	snapshots := make([]*store.Snapshot, len(read))
	for i, l := range read {
		l.readMessages()
		snapshots[i] = l.snapshot
	}
	return snapshots, err
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
