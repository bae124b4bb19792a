package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

const (
	reopen = `UPDATE {schema}.duroxide_instances SET turn = $1, node = '', updated_at = {schema}.duroxide_now(), next_event = $2,
		status = 'Running', output = NULL, failure = NULL, open_queues = $3::jsonb, used_queues = $4::jsonb, completed_at = NULL,
		suspect = false, attempts = 0
		WHERE instance = $5 AND life = $6 AND turn = $7 AND execution = $8 AND status = 'Failed'
		RETURNING id, updated_at`
	cutBatches = `DELETE FROM {schema}.duroxide_history WHERE instance_id = $1 AND execution = $2 AND last_event > $3
		RETURNING first_event, events`
	addBatch = `INSERT INTO {schema}.duroxide_history (instance_id, execution, first_event, last_event, events) VALUES ($1, $2, $3, $4, $5)`
	addJob   = `INSERT INTO {schema}.duroxide_jobs (id, instance_id, execution, schedule, name, input, session, tag, lane, timeout_ms, attempt,
		retry_of, visible_at) VALUES (nextval($13::text::regclass), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`
	addMessage = `INSERT INTO {schema}.duroxide_messages (id, instance_id, kind, visible_at, inserted_at, execution, source, data, failure)
		VALUES (nextval($9::text::regclass), $1, $2, $3, $4, $5, $6, $7, $8)`
	callBeginChild = `SELECT life FROM {schema}.duroxide_begin($1, ARRAY[''], ARRAY[$2], ARRAY[$3], ARRAY[$4::uuid], ARRAY[$5], ARRAY[$6],
		ARRAY[$7], ARRAY[0::bigint], ARRAY[$8], ARRAY[$9], ARRAY[$10::bigint], ARRAY[$11::bigint])`
	selectChild = `SELECT status, coalesce(output, ''), coalesce(failure, '') FROM {schema}.duroxide_instances
		WHERE instance = $1 AND parent_instance = $2 AND parent_life = $3 AND parent_execution = $4 AND parent_schedule = $5 FOR SHARE`
)

// Revive implements [store.Management].
func (s *Store) Revive(ctx context.Context, r store.Revival) error {
	var t tidings
	err := s.write(ctx, write{
		operation: fmt.Sprintf("revive %q", r.Instance),
		run: func(ctx context.Context, c session) error {
			t = tidings{}
			return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
				if err := s.revive(ctx, tx, &r, &t); err != nil {
					return err
				}
				_, err := tx.Exec(ctx, s.sql.in(callConfirm), c.call)
				return err
			})
		},
		applied: func(ctx context.Context, q querier) (applied, known bool, err error) {
			t = tidings{}
			t.ready(r.Instance)
			t.changed(r.Instance)
			t.jobs()
			applied, err = exists(ctx, q, s.sql.in("SELECT EXISTS (SELECT FROM {schema}.duroxide_instances WHERE instance = $1 AND turn = $2)"),
				r.Instance, uuid(r.New))
			return applied, true, err
		},
	})
	if err != nil {
		return err
	}
	s.tell(&t)
	return nil
}

func (s *Store) revive(ctx context.Context, tx pgx.Tx, r *store.Revival, t *tidings) error {
	// A process that is stopped in here must not keep the instance locked.
	if _, err := tx.Exec(ctx, "SET LOCAL idle_in_transaction_session_timeout = '5s'"); err != nil {
		return err
	}
	var id, now int64
	err := tx.QueryRow(ctx, s.sql.in(reopen), uuid(r.New), r.Keep+1, jsonList(r.OpenQueues), jsonList(r.UsedQueues), r.Instance, r.Life,
		uuid(r.Expect), r.Execution).Scan(&id, &now)
	if err != nil {
		return orElse(err, store.ErrFenced)
	}
	if err := s.cutHistory(ctx, tx, id, r); err != nil {
		return err
	}
	ids := s.sql.quoted + ".duroxide_ids"
	for i := range r.Jobs {
		j := &r.Jobs[i]
		_, err := tx.Exec(ctx, s.sql.in(addJob), id, r.Execution, j.Schedule, j.Name, j.Input, j.Session, j.Tag, lane(j.Tag, j.Name),
			j.TimeoutMS, j.Attempt, j.RetryOf, now, ids)
		if err != nil {
			return err
		}
		t.jobs()
	}
	messages := make([]history.Message, 0, len(r.Timers)+1)
	for _, timer := range r.Timers {
		messages = append(messages, history.Message{Kind: history.MsgTimer, Source: timer.Schedule, VisibleAt: timer.FireAt})
	}
	for i := range r.Children {
		answer, err := s.answerOf(ctx, tx, r, &r.Children[i], now, t)
		if err != nil {
			return err
		}
		if answer != nil {
			messages = append(messages, *answer)
		}
	}
	begin := history.Message{Kind: history.MsgContinue, VisibleAt: now}
	if r.Keep == 0 {
		begin.Kind, begin.Data = history.MsgStart, r.Input
	}
	messages = append(messages, begin)
	for i := range messages {
		m := &messages[i]
		var failure *string
		if m.Failure != nil {
			failure = optional(history.EncodeFailure(m.Failure))
		}
		_, err := tx.Exec(ctx, s.sql.in(addMessage), id, m.Kind.String(), m.VisibleAt, now, r.Execution, optionalInt(m.Source), optional(m.Data), failure, ids)
		if err != nil {
			return err
		}
		t.delivered(r.Instance, m.VisibleAt, now)
	}
	t.changed(r.Instance)
	return nil
}

// answerOf gives the message of a child that has ended; nil for one that will answer itself. One that was never started is.
func (s *Store) answerOf(ctx context.Context, tx pgx.Tx, r *store.Revival, child *replay.OpenChild, now int64, t *tidings) (*history.Message, error) {
	var status, output, failure string
	err := tx.QueryRow(ctx, s.sql.in(selectChild), child.Instance, r.Instance, r.Life, r.Execution, child.Schedule).
		Scan(&status, &output, &failure)
	switch {
	case err == nil:
		answer, err := r.AnswerOf(child, status, output, failure, now)
		if err != nil {
			err = errors.Join(errors.New("the failure of a child cannot be read"), err)
		}
		return answer, err
	case !errorsIsNoRows(err):
		return nil, err
	}
	var life string
	err = tx.QueryRow(ctx, s.sql.in(callBeginChild), now, child.Instance, newLife(), uuid(history.NewToken()), child.Name, child.Version, child.Input,
		r.Instance, r.Life, r.Execution, child.Schedule).Scan(&life)
	if errorsIsNoRows(err) {
		return store.ChildRefused(r.Execution, child.Schedule, child.Instance, now), nil
	}
	if err == nil {
		t.ready(child.Instance)
		t.changed(child.Instance)
	}
	return nil, err
}

// cutHistory removes the events behind r.Keep. The batch in which it lies is shortened.
func (s *Store) cutHistory(ctx context.Context, tx pgx.Tx, id int64, r *store.Revival) error {
	var split string
	first := int64(0)
	err := each(ctx, tx, s.sql.in(cutBatches), []any{id, r.Execution, r.Keep}, func(rows pgx.Rows) error {
		var at int64
		var events string
		err := rows.Scan(&at, &events)
		if at <= r.Keep {
			first, split = at, events
		}
		return err
	})
	if err != nil || first == 0 {
		return err
	}
	kept, err := history.CutEvents(split, r.Keep)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, s.sql.in(addBatch), id, r.Execution, first, r.Keep, kept)
	return err
}
