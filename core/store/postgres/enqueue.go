package postgres

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/duroxide/duroxide/core/store"
)

// earlyMailLimit bounds the mail that is kept for an id that was not started.
const earlyMailLimit = 10_000

const callEnqueue = `SELECT ord, stored, visible_at, at FROM {schema}.duroxide_enqueue($1, $2, $3, $4, $5, $6)`

// messageStored finds a client's message wherever it has got to.
const messageStored = `SELECT
	EXISTS (SELECT FROM {schema}.duroxide_messages WHERE message_id = $2
		AND instance_id = (SELECT id FROM {schema}.duroxide_instances WHERE instance = $1))
	OR EXISTS (SELECT FROM {schema}.duroxide_early_mail WHERE instance = $1 AND message_id = $2)
	OR EXISTS (SELECT FROM {schema}.duroxide_taken WHERE message_id = $2)
	OR EXISTS (SELECT FROM {schema}.duroxide_history WHERE strpos(events, '"message_id":"' || $2 || '"') > 0
		AND instance_id = (SELECT id FROM {schema}.duroxide_instances WHERE instance = $1))`

// Enqueue implements [store.Store].
func (s *Store) Enqueue(ctx context.Context, messages []store.Enqueue) ([]bool, error) {
	if len(messages) == 0 {
		return nil, nil
	}
	for i := range messages {
		m := &messages[i].Message
		if err := keepable(messages[i].Instance, m.Name, m.Data, m.ID); err != nil {
			return nil, &store.Error{Operation: "enqueue", Err: err}
		}
	}
	return s.enqueues.do(ctx, messages)
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
			return each(ctx, c, s.sql.in(callEnqueue), []any{int64(earlyMailLimit), instances, kind, ids, names, data}, func(rows pgx.Rows) error {
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
