package sqlite

import (
	"context"
	"fmt"

	"zombiezen.com/go/sqlite"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

const (
	reopen = `UPDATE duroxide_instances SET turn = ?1, node = '', updated_at = ?2, next_event = ?3, status = 'Running', output = NULL,
		failure = NULL, open_queues = ?4, used_queues = ?5, completed_at = NULL, suspect = 0, attempts = 0
		WHERE instance = ?6 AND life = ?7 AND turn = ?8 AND execution = ?9 AND status = 'Failed' RETURNING id`
	lastBatches = `SELECT id, first_event, events FROM duroxide_history
		WHERE instance_id = ? AND execution = ? AND last_event > ? ORDER BY first_event`
	deleteBatch = `DELETE FROM duroxide_history WHERE id = ?`
	selectChild = `SELECT status, output, failure FROM duroxide_instances
		WHERE instance = ? AND parent_instance = ? AND parent_life = ? AND parent_execution = ? AND parent_schedule = ?`
)

// Revive implements [store.Management].
func (s *Store) Revive(ctx context.Context, r store.Revival) error {
	m := &member{operation: fmt.Sprintf("revive %q", r.Instance), run: func(t *tx) error { return t.revive(&r) }}
	m.applied = func(c *sqlite.Conn) (applied, known bool, err error) {
		applied, err = prepared(c, "SELECT 1 FROM duroxide_instances WHERE instance = ? AND turn = ?").
			text(r.Instance).blob(r.New[:]).first(func(*sqlite.Stmt) {})
		return applied, true, err
	}
	return s.write(ctx, m)
}

func (t *tx) revive(r *store.Revival) error {
	var id int64
	found, err := prepared(t.Conn, reopen).blob(r.New[:]).int(t.now).int(r.Keep + 1).text(encodeNames(r.OpenQueues)).
		text(encodeNames(r.UsedQueues)).text(r.Instance).text(r.Life).blob(r.Expect[:]).int(r.Execution).
		one(func(row *sqlite.Stmt) { id = row.ColumnInt64(0) })
	if err != nil {
		return err
	}
	if !found {
		return store.ErrFenced
	}
	if err := t.cutHistory(id, r); err != nil {
		return err
	}
	for i := range r.Jobs {
		j := &r.Jobs[i]
		row, err := t.nextID()
		if err != nil {
			return err
		}
		err = prepared(t.Conn, insertJob).int(row).int(id).int(r.Execution).int(j.Schedule).text(j.Name).text(j.Input).
			text(j.Session).text(j.Tag).int(j.TimeoutMS).int(int64(j.Attempt)).int(j.RetryOf).int(t.now).null().null().exec()
		if err != nil {
			return err
		}
		t.wake.Jobs = true
	}
	messages := make([]history.Message, 0, len(r.Timers)+1)
	for _, timer := range r.Timers {
		messages = append(messages, history.Message{Kind: history.MsgTimer, Execution: r.Execution, Source: timer.Schedule, VisibleAt: timer.FireAt})
		t.wake.due(r.Instance, timer.FireAt)
	}
	for i := range r.Children {
		answer, err := t.answerOf(r, &r.Children[i])
		if err != nil {
			return err
		}
		if answer != nil {
			messages = append(messages, *answer)
		}
	}
	begin := history.Message{Kind: history.MsgContinue, Execution: r.Execution, VisibleAt: t.now}
	if r.Keep == 0 {
		begin.Kind, begin.Data = history.MsgStart, r.Input
	}
	messages = append(messages, begin)
	for i := range messages {
		messages[i].InsertedAt = t.now
		if err := t.insertMessage(id, &messages[i]); err != nil {
			return err
		}
	}
	t.wake.ready(r.Instance)
	t.wake.changed(r.Instance)
	return nil
}

// cutHistory removes the events behind r.Keep. The batch in which it lies is shortened.
func (t *tx) cutHistory(id int64, r *store.Revival) error {
	type batch struct {
		row, first int64
		events     string
	}
	var batches []batch
	err := prepared(t.Conn, lastBatches).int(id).int(r.Execution).int(r.Keep).each(func(row *sqlite.Stmt) (bool, error) {
		batches = append(batches, batch{row.ColumnInt64(0), row.ColumnInt64(1), row.ColumnText(2)})
		return true, nil
	})
	if err != nil {
		return err
	}
	for _, b := range batches {
		if err := prepared(t.Conn, deleteBatch).int(b.row).exec(); err != nil {
			return err
		}
		if b.first > r.Keep {
			continue
		}
		kept, err := history.CutEvents(b.events, r.Keep)
		if err != nil {
			return err
		}
		if err := prepared(t.Conn, insertHistory).int(id).int(r.Execution).int(b.first).int(r.Keep).text(kept).exec(); err != nil {
			return err
		}
	}
	return nil
}

// answerOf gives the message of a child that has ended; nil for one that will answer itself. One that was never started is.
func (t *tx) answerOf(r *store.Revival, child *replay.OpenChild) (*history.Message, error) {
	var status, output, failure string
	found, err := prepared(t.Conn, selectChild).text(child.Instance).text(r.Instance).text(r.Life).int(r.Execution).int(child.Schedule).
		first(func(row *sqlite.Stmt) {
			status, output, failure = row.ColumnText(0), row.ColumnText(1), row.ColumnText(2)
		})
	switch {
	case err != nil:
		return nil, err
	case found:
		return r.AnswerOf(child, status, output, failure, t.now)
	}
	started, err := t.insertInstance(&birth{
		Start: store.Start{Instance: child.Instance, Name: child.Name, Version: child.Version, Input: child.Input},
		life:  newLife(), turn: history.NewToken(),
		parent: &history.Parent{Instance: r.Instance, Life: r.Life, Execution: r.Execution, Schedule: child.Schedule},
	})
	if err != nil {
		return nil, err
	}
	if started == nil {
		return store.ChildRefused(r.Execution, child.Schedule, child.Instance, t.now), nil
	}
	t.wake.ready(child.Instance)
	t.wake.changed(child.Instance)
	return nil, nil //nolint:nilnil // no message is the answer
}
