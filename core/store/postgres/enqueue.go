package postgres

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

// earlyMailLimit bounds the mail that is kept for an id that was not started.
const earlyMailLimit = 10_000

const callEnqueue = `SELECT ord, stored, visible_at, at FROM {schema}.duroxide_enqueue($1, $2, $3, $4, $5, $6, $7)`

// messageStored finds a client's message wherever it has got to.
const messageStored = `SELECT
	EXISTS (SELECT FROM {schema}.duroxide_messages WHERE message_id = $2
		AND instance_id = (SELECT id FROM {schema}.duroxide_instances WHERE instance = $1))
	OR EXISTS (SELECT FROM {schema}.duroxide_early_mail WHERE instance = $1 AND message_id = $2)
	OR EXISTS (SELECT FROM {schema}.duroxide_taken WHERE message_id = $2)
	OR EXISTS (SELECT FROM {schema}.duroxide_history WHERE strpos(events, '"message_id":"' || $2 || '"') > 0
		AND instance_id = (SELECT id FROM {schema}.duroxide_instances WHERE instance = $1))`

const callRaise = `SELECT what, id, n1, n2, n3, n4, t1, t2, t3, t4, t5, turn, used, parent, parent_life, parent_execution, parent_schedule,
	node, attempts, at FROM {schema}.duroxide_raise($1, $2, $3, $4, $5, $6, $7, $8)`

const callRaiseOne = `SELECT {schema}.duroxide_raise_one($1, $2, $3, $4, $5, $6, $7)`

// raise stores one message for an instance that this process has in memory at a turn, and reads along what its next turn
// needs.
func (s *Store) raise(ctx context.Context, e *store.Enqueue, life string, have history.Token) (stored bool, err error) {
	m := &e.Message
	var t tidings
	err = s.write(ctx, write{
		operation: "enqueue",
		run: func(ctx context.Context, c session) error {
			t, stored = tidings{}, false
			if m.Kind != history.MsgMail {
				if done, err := s.raiseOne(ctx, c, e, life, have, &t); done || err != nil {
					stored = done
					return err
				}
			}
			l := loading{snapshot: &store.Snapshot{Instance: e.Instance}}
			sent := s.clock.local()
			args := []any{int64(earlyMailLimit), e.Instance, m.Kind.String(), m.ID, m.Name, optional(m.Data), uuid(have), c.call}
			if err := each(ctx, c, s.sql.in(callRaise), args, l.add); err != nil {
				return err
			}
			s.clock.heard(sent, l.at)
			stored = l.stored
			if stored && l.visible != nil {
				t.delivered(e.Instance, *l.visible, l.at)
			}
			if l.id != 0 {
				l.readMessages()
				t.Loaded = append(t.Loaded, l.snapshot)
			}
			return nil
		},
		applied: func(ctx context.Context, q querier) (applied, known bool, err error) {
			t = tidings{}
			if stored, err = exists(ctx, q, s.sql.in(messageStored), e.Instance, m.ID); err != nil {
				return false, false, err
			}
			if stored {
				t.ready(e.Instance)
			}
			return stored, true, nil
		},
	})
	if err != nil {
		return false, err
	}
	s.tell(&t)
	return stored, nil
}

// raiseOne stores a message for an instance of which nothing else waits, if that is so.
func (s *Store) raiseOne(ctx context.Context, c session, e *store.Enqueue, life string, have history.Token, t *tidings) (done bool, err error) {
	m := e.Message
	var answer []int64
	sent := s.clock.local()
	args := []any{e.Instance, m.Kind.String(), m.ID, m.Name, optional(m.Data), uuid(have), c.call}
	if err := c.QueryRow(ctx, s.sql.in(callRaiseOne), args...).Scan(&answer); err != nil || answer == nil {
		return false, err
	}
	at, nextDue := answer[0], answer[2]
	s.clock.heard(sent, at)
	m.Row, m.VisibleAt, m.InsertedAt = answer[1], at, at
	t.Ready = append(t.Ready, e.Instance) // only here: this process goes on with it
	t.Loaded = append(t.Loaded, &store.Snapshot{Instance: e.Instance, Life: life, Turn: have, Messages: []history.Message{m}, NextDue: nextDue})
	return true, nil
}

// Enqueue implements [store.Store].
func (s *Store) Enqueue(ctx context.Context, messages []store.Enqueue) ([]bool, error) {
	if len(messages) == 0 {
		return nil, nil
	}
	for i := range messages {
		m := &messages[i].Message
		if err := keepable(messages[i].Instance, m.Name, m.Data, m.ID); err != nil {
			return nil, &store.Error{Operation: "enqueue", Refused: true, Err: err}
		}
	}
	return s.enqueues.do(ctx, messages)
}

func weightOfMessages(messages []store.Enqueue) (bytes int) {
	for i := range messages {
		bytes += len(messages[i].Message.Data)
	}
	return bytes
}

// enqueueAll does the work of several calls in one.
func (s *Store) enqueueAll(ctx context.Context, calls [][]store.Enqueue) ([][]bool, error) {
	stored, err := s.enqueue(ctx, slices.Concat(calls...))
	if err != nil {
		return nil, err
	}
	answers := make([][]bool, len(calls))
	for i := range calls {
		answers[i], stored = stored[:len(calls[i]):len(calls[i])], stored[len(calls[i]):]
	}
	return answers, nil
}

func (s *Store) enqueue(ctx context.Context, messages []store.Enqueue) ([]bool, error) {
	if len(messages) == 1 && messages[0].Message.ID != "" {
		if life, turn, ok := s.news.listeners.holds(messages[0].Instance); ok {
			stored, err := s.raise(ctx, &messages[0], life, turn)
			return []bool{stored}, err
		}
	}
	n := len(messages)
	instances, kind, ids := make([]string, n), make([]string, n), make([]*string, n)
	names, data := make([]*string, n), make([]*string, n)
	for i := range messages {
		m := &messages[i].Message
		instances[i], kind[i], ids[i], names[i], data[i] = messages[i].Instance, m.Kind.String(), optional(m.ID), optional(m.Name), optional(m.Data)
		if names[i] == nil {
			names[i] = new(string) // the empty name is a name
		}
	}
	stored := make([]bool, n)
	var t tidings
	err := s.write(ctx, write{
		operation: "enqueue",
		run: func(ctx context.Context, c session) error {
			t = tidings{}
			clear(stored)
			sent := s.clock.local()
			args := []any{int64(earlyMailLimit), instances, kind, ids, names, data, c.call}
			return each(ctx, c, s.sql.in(callEnqueue), args, func(rows pgx.Rows) error {
				var ord int
				var kept bool
				var visible *int64
				var at int64
				if err := rows.Scan(&ord, &kept, &visible, &at); err != nil {
					return err
				}
				stored[ord-1] = kept
				s.clock.heard(sent, at)
				if kept && visible != nil {
					t.delivered(instances[ord-1], *visible, at)
				}
				return nil
			})
		},
		applied: func(ctx context.Context, q querier) (applied, known bool, err error) {
			t = tidings{}
			for i := range messages {
				if ids[i] == nil {
					return false, false, nil
				}
				if stored[i], err = exists(ctx, q, s.sql.in(messageStored), instances[i], *ids[i]); err != nil {
					return false, false, err
				}
				if stored[i] {
					applied = true
					t.ready(instances[i])
				}
			}
			return applied, true, nil
		},
	})
	if err != nil {
		return nil, err
	}
	s.tell(&t)
	return stored, nil
}
