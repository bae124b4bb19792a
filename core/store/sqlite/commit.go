package sqlite

import (
	"context"
	"errors"
	"fmt"

	"zombiezen.com/go/sqlite"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// fence is the one compare-and-swap: it hits nothing when the instance was deleted, started anew or changed by another
// turn. What only some turns change is kept by NULL.
const fence = `UPDATE duroxide_instances SET turn = ?1, node = ?2, updated_at = ?3, version = ifnull(?4, version), execution = ?5,
	next_event = ifnull(?6, next_event), status = ?7, output = ?8, failure = ?9, open_queues = ?10, used_queues = ?11,
	custom_status_version = ifnull(?12, custom_status_version), started_at = ifnull(?13, started_at), completed_at = ?14,
	suspect = 0, attempts = 0
	WHERE instance = ?15 AND life = ?16 AND turn = ?17 AND execution = ?18 RETURNING id`

const (
	consumeJob    = `DELETE FROM duroxide_jobs WHERE id = ? AND token = ?`
	deleteMessage = `DELETE FROM duroxide_messages WHERE id = ? AND instance_id = ?`
	insertHistory = `INSERT INTO duroxide_history (instance_id, execution, first_event, last_event, events) VALUES (?, ?, ?, ?, ?)`
	dropTimer     = `DELETE FROM duroxide_messages WHERE instance_id = ? AND kind = 'timer' AND source = ? AND execution = ?`
	dropJob       = `DELETE FROM duroxide_jobs WHERE instance_id = ? AND schedule = ? AND execution = ? RETURNING id, token`
	dropJobs      = `DELETE FROM duroxide_jobs WHERE instance_id = ? RETURNING id, token`
	// Two statements' worth of indexes: each half of the OR has one of its own.
	dropMessages = `DELETE FROM duroxide_messages WHERE instance_id = ?1 AND kind <> 'mail'
		OR instance_id = ?1 AND kind = 'mail' RETURNING message_id`

	// At continue-as-new mail and cancels stay; everything else was meant for the execution that ended.
	dropOldMessages = `DELETE FROM duroxide_messages WHERE instance_id = ? AND kind <> 'mail' AND kind <> 'cancel'`
	hideMail        = `UPDATE duroxide_messages SET visible_at = NULL
		WHERE instance_id = ? AND kind = 'mail' AND visible_at IS NOT NULL`
	// The execution that ends was the current one: its start stands in the instance's row, before the fence changes it.
	insertExecution = `INSERT INTO duroxide_executions (instance_id, execution, status, output, started_at, completed_at, event_count)
		VALUES (?, ?, 'ContinuedAsNew', ?, ?, ?, ?)`
	selectStarted = `SELECT started_at FROM duroxide_instances WHERE instance = ?`

	setStatus   = `INSERT INTO duroxide_custom_status (instance_id, text) VALUES (?1, ?2) ON CONFLICT (instance_id) DO UPDATE SET text = ?2`
	resetStatus = `DELETE FROM duroxide_custom_status WHERE instance_id = ?`
	clearKV     = `DELETE FROM duroxide_kv WHERE instance_id = ?`
	deleteKV    = `DELETE FROM duroxide_kv WHERE instance_id = ? AND key = ?`
	setKV       = `INSERT INTO duroxide_kv (instance_id, key, value, updated_at) VALUES (?1, ?2, ?3, ?4)
		ON CONFLICT (instance_id, key) DO UPDATE SET value = ?3, updated_at = ?4`
)

// CommitTurns implements [store.Store].
func (s *Store) CommitTurns(ctx context.Context, node store.NodeID, turns []store.Turn) ([]store.TurnResult, error) {
	if s.closed.Load() {
		return nil, store.ErrClosed
	}
	if len(turns) == 0 {
		return nil, nil
	}
	results := make([]store.TurnResult, len(turns))
	members := make([]*member, len(turns))
	for i := range turns {
		events, err := history.EncodeEvents(turns[i].Commit.Events)
		if err != nil {
			return nil, &store.Error{Operation: fmt.Sprintf("commit turn of %q", turns[i].Instance), Err: err}
		}
		c := &committing{Turn: &turns[i], node: node, events: events, result: &results[i]}
		members[i] = &member{
			operation: fmt.Sprintf("commit turn of %q (execution %d)", turns[i].Instance, turns[i].Commit.Execution),
			bytes:     len(events) + c.jobBytes(), run: c.run, read: c.readUntaken, applied: c.applied,
		}
	}
	if err := s.file.write(ctx, members...); err != nil {
		return nil, err
	}
	applied := 0
	var worst error
	for i, m := range members {
		switch {
		case m.err == nil:
			applied++
		case errors.Is(m.err, store.ErrJobsLost):
			results[i] = store.TurnResult{Err: m.err, LostJobs: results[i].LostJobs}
			applied++
		case errors.Is(m.err, store.ErrFenced), errors.Is(m.err, store.ErrExists):
			results[i] = store.TurnResult{Err: m.err}
			applied++
		default:
			results[i] = store.TurnResult{Err: m.err}
			if worst == nil || store.IsUnknown(m.err) {
				worst = m.err
			}
		}
	}
	if applied == 0 {
		return nil, worst
	}
	return results, nil
}

// committing is one turn on its way through the writer.
type committing struct {
	*store.Turn
	node   store.NodeID
	events string
	result *store.TurnResult
	id     int64 // of the instance
}

func (c *committing) jobBytes() int {
	n := 0
	for i := range c.Commit.Jobs {
		n += len(c.Commit.Jobs[i].Input)
	}
	for i := range c.Commit.Starts {
		n += len(c.Commit.Starts[i].Input)
	}
	return n
}

func (c *committing) ended() bool {
	return c.Commit.Status == replay.Completed || c.Commit.Status == replay.Failed
}

func (c *committing) run(t *tx) error {
	*c.result = store.TurnResult{}
	if c.Begin {
		if err := c.begin(t); err != nil {
			return err
		}
	}
	if err := c.passFence(t); err != nil {
		return err
	}
	for _, step := range []func(*tx) error{c.consume, c.appendHistory, c.drop, c.insertWork, c.sendToOthers, c.writeState} {
		if err := step(t); err != nil {
			return err
		}
	}
	return t.renewByTheWay(c.node)
}

// begin inserts the instance of a first turn.
func (c *committing) begin(t *tx) error {
	born, err := t.insertInstance(&birth{
		Start: store.Start{Instance: c.Instance, Name: c.Name, Version: c.Version}, life: c.Life, turn: c.Expect, node: c.node, begun: true,
	})
	if err == nil && born == nil {
		err = c.Refused()
	}
	return err
}

// passFence moves the instance's row on, or answers ErrFenced having changed nothing.
func (c *committing) passFence(t *tx) error {
	m := c.Commit
	row := struct {
		version                    string // empty: as it is
		status, open, used         string
		execution, next, startedAt int64 // 0: as it is
	}{status: m.Status.String(), execution: m.Execution, open: encodeNames(m.OpenQueues), used: encodeNames(m.UsedQueues)}
	var before int64
	if n := len(m.Events); n > 0 {
		row.version, row.next = c.Version, m.Events[n-1].ID+1
		if m.Events[0].ID == 1 {
			row.startedAt = t.now
		}
	}
	if m.Status == replay.ContinuedAsNew {
		// When the execution began is read before the row moves on.
		_, err := prepared(t.Conn, selectStarted).text(c.Instance).first(func(s *sqlite.Stmt) { before = s.ColumnInt64(0) })
		if err != nil {
			return err
		}
		row.status, row.execution, row.next, row.startedAt, row.open, row.used = "Running", m.Execution+1, 1, t.now, "", ""
		if m.Next != nil {
			row.version, row.next = m.Next.Version, m.Next.ID+1
		}
	}
	q := prepared(t.Conn, fence).blob(c.New[:]).text(string(c.node)).int(t.now).textOrNull(row.version).
		int(row.execution).intOrNull(row.next).text(row.status)
	if c.ended() {
		q.text(m.Output).textOrNull(history.EncodeFailure(m.Failure))
	} else {
		q.null().null()
	}
	q.text(row.open).text(row.used)
	if m.CustomStatus != nil {
		q.int(m.CustomStatus.Version)
	} else {
		q.null()
	}
	q.intOrNull(row.startedAt)
	if c.ended() {
		q.int(t.now)
	} else {
		q.null()
	}
	found, err := q.text(c.Instance).text(c.Life).blob(c.Expect[:]).int(m.Execution).one(func(s *sqlite.Stmt) {
		c.id = s.ColumnInt64(0)
	})
	if err != nil {
		return err
	}
	if !found {
		return c.Refused()
	}
	if m.Status != replay.ContinuedAsNew {
		return nil
	}
	last := int64(0)
	if n := len(m.Events); n > 0 {
		last = m.Events[n-1].ID
	}
	return prepared(t.Conn, insertExecution).int(c.id).int(m.Execution).text(m.Output).int(before).int(t.now).int(last).exec()
}

// consume takes away the messages that the turn has taken, and the jobs whose results it took from memory.
func (c *committing) consume(t *tx) error {
	var clientIDs []string
	for i := range c.Commit.Consumed {
		m := &c.Commit.Consumed[i]
		if m.JobID != 0 {
			if err := prepared(t.Conn, consumeJob).int(m.JobID).blob(m.JobToken[:]).exec(); err != nil {
				return err
			}
			if t.Changes() == 0 {
				c.result.LostJobs = append(c.result.LostJobs, store.JobRef{ID: m.JobID, Token: m.JobToken})
			}
		}
		if m.Row == 0 || c.ended() {
			continue
		}
		if err := prepared(t.Conn, deleteMessage).int(m.Row).int(c.id).exec(); err != nil {
			return err
		}
		if m.ID != "" {
			clientIDs = append(clientIDs, m.ID)
		}
	}
	if len(c.result.LostJobs) > 0 {
		return store.ErrJobsLost
	}
	if c.ended() {
		err := prepared(t.Conn, dropMessages).int(c.id).each(func(s *sqlite.Stmt) (bool, error) {
			if !s.ColumnIsNull(0) {
				clientIDs = append(clientIDs, s.ColumnText(0))
			}
			return true, nil
		})
		if err != nil {
			return err
		}
	}
	return c.rememberTaken(t, clientIDs)
}

// rememberTaken notes the client messages that leave no event, for a client that asks after a lost answer.
func (c *committing) rememberTaken(t *tx, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	recorded := map[string]bool{}
	for i := range c.Commit.Events {
		recorded[c.Commit.Events[i].MessageID] = true
	}
	for _, id := range ids {
		if !recorded[id] {
			if err := t.insertTaken(id); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *committing) appendHistory(t *tx) error {
	m := c.Commit
	if n := len(m.Events); n > 0 {
		err := prepared(t.Conn, insertHistory).int(c.id).int(m.Execution).int(m.Events[0].ID).int(m.Events[n-1].ID).
			text(c.events).exec()
		if err != nil {
			return err
		}
	}
	if m.Status != replay.ContinuedAsNew || m.Next == nil {
		return nil
	}
	next, err := history.EncodeEvents([]history.Event{*m.Next})
	if err != nil {
		return err
	}
	return prepared(t.Conn, insertHistory).int(c.id).int(m.Execution + 1).int(m.Next.ID).int(m.Next.ID).text(next).exec()
}

// drop removes the jobs and timers of closed leaves, or of the whole execution when it has ended.
func (c *committing) drop(t *tx) error {
	lost := func(s *sqlite.Stmt) (bool, error) {
		if !s.ColumnIsNull(1) {
			t.wake.LostJobs = append(t.wake.LostJobs, store.JobRef{ID: s.ColumnInt64(0), Token: tokenAt(s, 1)})
		}
		return true, nil
	}
	if c.Commit.Status != replay.Running {
		if err := prepared(t.Conn, dropJobs).int(c.id).each(lost); err != nil {
			return err
		}
		if c.Commit.Status != replay.ContinuedAsNew {
			return nil // consume has dropped all messages
		}
		if err := prepared(t.Conn, dropOldMessages).int(c.id).exec(); err != nil {
			return err
		}
		return prepared(t.Conn, hideMail).int(c.id).exec()
	}
	for _, schedule := range c.Commit.DropJobs {
		if err := prepared(t.Conn, dropJob).int(c.id).int(schedule).int(c.Commit.Execution).each(lost); err != nil {
			return err
		}
	}
	for _, schedule := range c.Commit.DropTimers {
		if err := prepared(t.Conn, dropTimer).int(c.id).int(schedule).int(c.Commit.Execution).exec(); err != nil {
			return err
		}
	}
	return nil
}

// insertWork stores the jobs and timers of the turn, and the message by which it asks to go on.
func (c *committing) insertWork(t *tx) error {
	m := c.Commit
	if err := c.insertJobs(t); err != nil {
		return err
	}
	if m.Status == replay.Running {
		for i := range m.Timers {
			timer := history.Message{
				Kind: history.MsgTimer, Execution: m.Execution, Source: m.Timers[i].Schedule, VisibleAt: m.Timers[i].FireAt,
				InsertedAt: t.now,
			}
			if err := t.insertMessage(c.id, &timer); err != nil {
				return err
			}
		}
	}
	execution := m.Execution
	switch {
	case m.Status == replay.ContinuedAsNew:
		execution++
	case m.Status == replay.Running && m.Continue:
	default:
		return nil
	}
	next := history.Message{Kind: history.MsgContinue, Execution: execution, VisibleAt: t.now, InsertedAt: t.now}
	return t.insertMessage(c.id, &next)
}

// sendToOthers starts children and other instances, and tells parents and children.
func (c *committing) sendToOthers(t *tx) error {
	for i := range c.Commit.Starts {
		if err := c.startOther(t, &c.Commit.Starts[i]); err != nil {
			return err
		}
	}
	for i := range c.Commit.Sends {
		send := c.Commit.Sends[i]
		if _, err := t.deliver(send.Instance, &send.Message); err != nil {
			return err
		}
	}
	return nil
}

func (c *committing) startOther(t *tx, s *replay.Start) error {
	b := birth{
		Start: store.Start{Instance: s.Instance, Name: s.Name, Version: s.Version, Input: s.Input},
		life:  newLife(), turn: history.NewToken(), node: c.node,
	}
	if s.Schedule != 0 {
		b.parent = &history.Parent{Instance: c.Instance, Life: c.Life, Execution: c.Commit.Execution, Schedule: s.Schedule}
	}
	started, err := t.insertInstance(&b)
	if err != nil {
		return err
	}
	if started != nil {
		t.wake.ready(s.Instance)
		t.wake.changed(s.Instance)
		return nil
	}
	if b.parent == nil || c.Commit.Status != replay.Running {
		return nil
	}
	return t.insertMessage(c.id, store.ChildRefused(c.Commit.Execution, s.Schedule, s.Instance, t.now))
}

// writeState stores what clients can read.
func (c *committing) writeState(t *tx) error {
	m := c.Commit
	if m.KVClearAll {
		if err := prepared(t.Conn, clearKV).int(c.id).exec(); err != nil {
			return err
		}
	}
	for i := range m.KV {
		change := &m.KV[i]
		var err error
		if change.Value == nil {
			err = prepared(t.Conn, deleteKV).int(c.id).text(change.Key).exec()
		} else {
			err = prepared(t.Conn, setKV).int(c.id).text(change.Key).text(*change.Value).int(change.UpdatedAt).exec()
		}
		if err != nil {
			return err
		}
	}
	if m.CustomStatus != nil {
		var err error
		if m.CustomStatus.Text == nil {
			err = prepared(t.Conn, resetStatus).int(c.id).exec()
		} else {
			err = prepared(t.Conn, setStatus).int(c.id).text(*m.CustomStatus.Text).exec()
		}
		if err != nil {
			return err
		}
	}
	if c.Begin || c.ended() || m.CustomStatus != nil || m.KVClearAll || len(m.KV) > 0 {
		t.wake.changed(c.Instance)
	}
	return nil
}

// readUntaken fills the result once all members of the group have written: what they sent to this instance is in it.
func (c *committing) readUntaken(t *tx) error {
	if c.ended() {
		return c.readEnd(t)
	}
	open, used := c.Commit.OpenQueues, c.Commit.UsedQueues
	if c.Commit.Status == replay.ContinuedAsNew {
		open, used = nil, nil
	}
	u, err := readUntaken(t.Conn, c.id, c.Life, t.now, used, open)
	if err != nil {
		return err
	}
	c.result.Messages, c.result.NextDue = u.messages, u.nextDue
	return t.markMail(u)
}

// readEnd takes the status along for those who wait for it. On the writer's connection it is in the cache.
func (c *committing) readEnd(t *tx) error {
	if len(t.file.listening()) == 0 {
		return nil
	}
	status, err := readStatus(t.Conn, c.Instance)
	if errors.Is(err, store.ErrNotFound) {
		return nil // deleted by another member of the group
	}
	if err != nil {
		return err
	}
	status.Life = c.Life
	t.wake.Ended = append(t.wake.Ended, status)
	return nil
}

// applied tells after a lost answer whether the turn is in the store: its token, or, if another turn has followed, its
// events.
func (c *committing) applied(conn *sqlite.Conn) (applied, known bool, err error) {
	var turn history.Token
	found, err := prepared(conn, "SELECT id, turn FROM duroxide_instances WHERE instance = ? AND life = ?").
		text(c.Instance).text(c.Life).first(func(s *sqlite.Stmt) {
		c.id, turn = s.ColumnInt64(0), tokenAt(s, 1)
	})
	switch {
	case err != nil || !found:
		return false, c.Begin, err
	case turn == c.New:
		return true, true, nil
	case turn == c.Expect:
		return false, true, nil
	case len(c.Commit.Events) == 0:
		return false, false, nil
	}
	applied, err = prepared(conn, `SELECT 1 FROM duroxide_history
		WHERE instance_id = ? AND execution = ? AND first_event = ? AND events = ?`).
		int(c.id).int(c.Commit.Execution).int(c.Commit.Events[0].ID).text(c.events).first(func(*sqlite.Stmt) {})
	return applied, err == nil, err
}
