package sqlite

import (
	"context"
	"errors"
	"slices"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

const (
	earlyMailKept  = 7 * 24 * time.Hour
	earlyMailLimit = 10_000 // for an id
	takenKept      = 5 * time.Minute
)

const (
	selectRecipient = `SELECT id, life, status, execution, next_event, open_queues FROM duroxide_instances WHERE instance = ?`
	selectStartDue  = `SELECT id, visible_at FROM duroxide_messages WHERE instance_id = ? AND kind <> 'mail' AND kind = 'start'`
	advanceStart    = `UPDATE duroxide_messages SET visible_at = ? WHERE id = ?`

	forgetEarlyMail = `DELETE FROM duroxide_early_mail WHERE id < ?`
	countEarlyMail  = `SELECT count(*) FROM duroxide_early_mail WHERE instance = ?`
	insertEarlyMail = `INSERT INTO duroxide_early_mail (id, instance, message_id, queue, data, inserted_at) VALUES (?, ?, ?, ?, ?, ?)`

	forgetTaken = `DELETE FROM duroxide_taken WHERE id < ?`
	insertTaken = `INSERT INTO duroxide_taken (id, message_id) VALUES (?, ?)`
)

// Enqueue implements [store.Store].
func (s *Store) Enqueue(ctx context.Context, messages []store.Enqueue) ([]bool, error) {
	if len(messages) == 0 {
		return nil, nil
	}
	stored := make([]bool, len(messages))
	m := &member{operation: "enqueue"}
	for i := range messages {
		m.bytes += len(messages[i].Message.Data)
	}
	m.run = func(t *tx) error {
		for i := range messages {
			var err error
			message := messages[i].Message
			if stored[i], err = t.deliver(messages[i].Instance, &message); err != nil {
				return err
			}
		}
		return nil
	}
	m.applied = func(c *sqlite.Conn) (applied, known bool, err error) {
		for i := range messages {
			if stored[i] && messages[i].Message.ID != "" {
				applied, err = messageStored(c, messages[i].Instance, messages[i].Message.ID)
				return applied, true, err
			}
		}
		return false, false, nil
	}
	if len(messages) == 1 {
		if turn, ok := s.file.holds(messages[0].Instance); ok {
			m.read = func(t *tx) error { return t.readAlong(messages[0].Instance, turn, stored[0]) }
		}
	}
	if err := s.write(ctx, m); err != nil {
		return nil, err
	}
	return stored, nil
}

// readAlong takes what the next turn of an instance needs to those who have it in memory.
func (t *tx) readAlong(instance string, have history.Token, stored bool) error {
	if !stored {
		return nil
	}
	snapshot, _, err := readWaiting(t.Conn, instance, t.now)
	if errors.Is(err, store.ErrNotFound) { // deleted, and not forgotten here yet
		return nil
	}
	if err != nil || snapshot.Turn != have {
		return err
	}
	t.wake.Loaded = append(t.wake.Loaded, snapshot)
	return nil
}

// messageStored finds a client's message wherever it has got to.
func messageStored(c *sqlite.Conn, instance, id string) (bool, error) {
	const find = `SELECT 1 FROM duroxide_messages WHERE instance_id = (SELECT id FROM duroxide_instances WHERE instance = ?1)
			AND message_id = ?2
		UNION ALL SELECT 1 FROM duroxide_early_mail WHERE instance = ?1 AND message_id = ?2
		UNION ALL SELECT 1 FROM duroxide_taken WHERE message_id = ?2
		UNION ALL SELECT 1 FROM duroxide_history WHERE instance_id = (SELECT id FROM duroxide_instances WHERE instance = ?1)
			AND instr(events, '"message_id":"' || ?2 || '"') > 0`
	return prepared(c, find).text(instance).text(id).first(func(*sqlite.Stmt) {})
}

// recipient is an instance as far as a message for it has to know.
type recipient struct {
	id, execution, nextEvent int64
	life                     string
	running                  bool
	openQueues               string
}

// deliver stores a message for an instance, unless nobody is there to take it. A message with a life is meant for that
// life and execution only. Mail for an instance that does not exist waits for it.
func (t *tx) deliver(instance string, m *history.Message) (bool, error) {
	var r recipient
	found, err := prepared(t.Conn, selectRecipient).text(instance).first(func(s *sqlite.Stmt) {
		r = recipient{
			id: s.ColumnInt64(0), life: s.ColumnText(1), running: s.ColumnText(2) == "Running", execution: s.ColumnInt64(3),
			nextEvent: s.ColumnInt64(4), openQueues: s.ColumnText(5),
		}
	})
	switch {
	case err != nil:
		return false, err
	case !found && m.Kind == history.MsgMail:
		return t.keepEarlyMail(instance, m)
	case !found, !r.running:
		return false, nil
	case m.Life != "" && m.Life != r.life, m.Execution != 0 && m.Execution != r.execution:
		return false, nil
	}
	m.VisibleAt, m.InsertedAt = t.now, t.now
	if m.Kind == history.MsgMail {
		open, err := decodeNames(r.openQueues)
		if err != nil {
			return false, err
		}
		if !slices.Contains(open, m.Name) {
			m.VisibleAt = 0
		}
	} else if r.nextEvent == 1 {
		if err := t.waitForStart(r.id, m); err != nil {
			return false, err
		}
	}
	if err := t.insertMessage(r.id, m); err != nil {
		return false, err
	}
	if m.VisibleAt > t.now {
		t.wake.due(instance, m.VisibleAt)
	} else {
		t.wake.ready(instance)
	}
	return true, nil
}

// waitForStart keeps messages for an instance whose start is delayed until it is due. Only a cancel does not wait: it
// brings the start forward with it, for the execution has to begin before it can end.
func (t *tx) waitForStart(instance int64, m *history.Message) error {
	var row, due int64
	found, err := prepared(t.Conn, selectStartDue).int(instance).first(func(s *sqlite.Stmt) {
		row, due = s.ColumnInt64(0), s.ColumnInt64(1)
	})
	if err != nil || !found || due <= t.now {
		return err
	}
	if m.Kind != history.MsgCancel {
		m.VisibleAt = due
		return nil
	}
	return prepared(t.Conn, advanceStart).int(t.now).int(row).exec()
}

func (t *tx) keepEarlyMail(instance string, m *history.Message) (bool, error) {
	if err := prepared(t.Conn, forgetEarlyMail).int((t.now - earlyMailKept.Milliseconds()) * 1000).exec(); err != nil {
		return false, err
	}
	kept, counted := t.earlyMail[instance]
	if !counted {
		if _, err := prepared(t.Conn, countEarlyMail).text(instance).first(func(s *sqlite.Stmt) { kept = s.ColumnInt64(0) }); err != nil {
			return false, err
		}
		if t.earlyMail == nil {
			t.earlyMail = map[string]int64{}
		}
	}
	if kept >= earlyMailLimit {
		return false, nil
	}
	t.earlyMail[instance] = kept + 1
	id, err := t.nextID()
	if err != nil {
		return false, err
	}
	return true, prepared(t.Conn, insertEarlyMail).int(id).text(instance).text(m.ID).text(m.Name).text(m.Data).int(t.now).exec()
}

func (t *tx) insertTaken(messageID string) error {
	if err := prepared(t.Conn, forgetTaken).int((t.now - takenKept.Milliseconds()) * 1000).exec(); err != nil {
		return err
	}
	id, err := t.nextID()
	if err != nil {
		return err
	}
	return prepared(t.Conn, insertTaken).int(id).text(messageID).exec()
}
