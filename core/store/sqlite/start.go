package sqlite

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"

	"zombiezen.com/go/sqlite"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

const insertInstance = `INSERT INTO duroxide_instances (instance, life, turn, execution, name, version, status, next_event,
	parent_instance, parent_life, parent_execution, parent_schedule, node, created_at, updated_at, started_at)
	VALUES (?1, ?2, ?3, 1, ?4, ?5, 'Running', 1, ?6, ?7, ?8, ?9, ?10, ?11, ?11, ?11) ON CONFLICT (instance) DO NOTHING`

const insertMessage = `INSERT INTO duroxide_messages (id, instance_id, kind, visible_at, inserted_at, message_id, execution,
	source, name, data, failure) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

const takeEarlyMail = `DELETE FROM duroxide_early_mail WHERE instance = ? RETURNING id, message_id, queue, data, inserted_at`

// newLife draws the name of an instance's life.
func newLife() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// birth is a new instance on its way into the store.
type birth struct {
	store.Start
	life   string
	turn   history.Token
	parent *history.Parent
	node   store.NodeID
	begun  bool // its first turn is committed with it: it needs no start message
}

// Start implements [store.Store].
func (s *Store) Start(ctx context.Context, st store.Start) (store.StartResult, error) {
	b := birth{Start: st, life: newLife(), turn: history.NewToken()}
	var adopter *listener
	if st.DelayMS <= 0 {
		adopter, b.node = s.file.adopt(st.Name, st.Version)
	}
	alone := func() (store.StartResult, error) { return s.start(ctx, &b, adopter) }
	if adopter == nil {
		return alone()
	}
	return store.Begin(ctx, s, adopter.Listener, &st, store.Newborn(&st, b.life, b.turn, b.node, 0, s.Now()), alone)
}

// start stores a new instance with its start message.
func (s *Store) start(ctx context.Context, b *birth, adopter *listener) (store.StartResult, error) {
	st := &b.Start
	var result store.StartResult
	m := &member{operation: fmt.Sprintf("start %q", st.Instance), bytes: len(st.Input)}
	m.run = func(t *tx) error {
		result = store.StartResult{}
		snapshot, err := t.insertInstance(b)
		if err != nil {
			return err
		}
		if snapshot == nil && st.IfExists == store.ExistsRestartIfEnded {
			removed, err := t.removeIfEnded(st.Instance)
			if err != nil {
				return err
			}
			if removed {
				if snapshot, err = t.insertInstance(b); err != nil {
					return err
				}
			}
		}
		if snapshot == nil {
			if st.IfExists == store.ExistsError {
				return store.ErrExists
			}
			return nil
		}
		result.Started, result.Life = true, b.life
		t.wake.changed(st.Instance)
		switch {
		case adopter != nil:
			t.wake.Started, t.wake.adopter = snapshot, adopter
		case snapshot.NextDue > 0:
			t.wake.due(st.Instance, snapshot.NextDue)
		default:
			t.wake.ready(st.Instance)
		}
		return nil
	}
	m.applied = func(c *sqlite.Conn) (applied, known bool, err error) {
		applied, err = prepared(c, "SELECT 1 FROM duroxide_instances WHERE instance = ? AND life = ?").
			text(st.Instance).text(b.life).first(func(*sqlite.Stmt) {})
		return applied, true, err
	}
	if err := s.write(ctx, m); err != nil {
		return store.StartResult{}, err
	}
	return result, nil
}

// insertInstance inserts row and start message, with the mail that came earlier. Nil when the id is in use.
func (t *tx) insertInstance(b *birth) (*store.Snapshot, error) {
	q := prepared(t.Conn, insertInstance).text(b.Instance).text(b.life).blob(b.turn[:]).text(b.Name).text(b.Version)
	if p := b.parent; p != nil {
		q.text(p.Instance).text(p.Life).int(p.Execution).int(p.Schedule)
	} else {
		q.null().null().null().null()
	}
	if err := q.text(string(b.node)).int(t.now).exec(); err != nil {
		return nil, err
	}
	if t.Changes() == 0 {
		return nil, nil
	}
	id := t.LastInsertRowID()
	due := t.now + max(b.DelayMS, 0)
	start := history.Message{
		Kind: history.MsgStart, Life: b.life, Execution: 1, Data: b.Input, VisibleAt: due, InsertedAt: t.now,
	}
	if !b.begun {
		if err := t.insertMessage(id, &start); err != nil {
			return nil, err
		}
	}
	if err := t.deliverEarlyMail(id, b.Instance); err != nil {
		return nil, err
	}
	snapshot := &store.Snapshot{
		Instance: b.Instance, Life: b.life, Turn: b.turn, Execution: 1, Name: b.Name, Version: b.Version, Parent: b.parent,
		NextEventID: 1, Node: b.node,
	}
	if due > t.now {
		snapshot.NextDue = due
	} else {
		snapshot.Messages = []history.Message{start}
	}
	return snapshot, nil
}

// insertMessage stores a message and sets its Row. Mail has VisibleAt 0 when nobody waits for it.
func (t *tx) insertMessage(instance int64, m *history.Message) error {
	id, err := t.nextID()
	if err != nil {
		return err
	}
	m.Row = id
	q := prepared(t.Conn, insertMessage).int(id).int(instance).text(m.Kind.String()).intOrNull(m.VisibleAt).int(m.InsertedAt).
		textOrNull(m.ID).intOrNull(m.Execution).intOrNull(m.Source).textOrNull(m.Name).textOrNull(m.Data)
	if m.Failure == nil {
		q.null()
	} else {
		q.text(history.EncodeFailure(m.Failure))
	}
	return q.exec()
}

func (t *tx) deliverEarlyMail(instance int64, name string) error {
	var mail []history.Message
	err := prepared(t.Conn, takeEarlyMail).text(name).each(func(s *sqlite.Stmt) (bool, error) {
		mail = append(mail, history.Message{
			Kind: history.MsgMail, Row: s.ColumnInt64(0), ID: s.ColumnText(1), Name: s.ColumnText(2), Data: s.ColumnText(3),
			InsertedAt: s.ColumnInt64(4),
		})
		return true, nil
	})
	if err != nil || len(mail) == 0 {
		return err
	}
	sortByRow(mail) // RETURNING promises no order
	for i := range mail {
		if err := t.insertMessage(instance, &mail[i]); err != nil {
			return err
		}
	}
	return nil
}
