package postgres

import (
	"github.com/jackc/pgx/v5"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

// What duroxide_untaken gives.
const (
	rowMessage = 3
	rowNextDue = 4
)

// messageRow is a row of the messages as the database gives it.
type messageRow struct {
	id                                 int64
	visible, inserted                  *int64
	execution, source                  *int64
	kind                               *string
	messageID, name, data, failureText *string
}

func (r *messageRow) message(life string) (history.Message, error) {
	m := history.Message{
		Row: r.id, VisibleAt: value(r.visible), InsertedAt: value(r.inserted),
		ID: value(r.messageID), Execution: value(r.execution), Source: value(r.source), Name: value(r.name), Data: value(r.data),
	}
	if m.Execution > 0 {
		m.Life = life // the rows of an instance go with its life
	}
	err := m.DecodeStored(value(r.kind), value(r.failureText))
	if m.Kind == history.MsgMail {
		m.VisibleAt = m.InsertedAt
	}
	return m, err
}

const messageColumns = `id, visible_at, inserted_at, execution, source, kind, message_id, name, data, failure`

func (r *messageRow) into(before ...any) []any {
	return append(before, &r.id, &r.visible, &r.inserted, &r.execution, &r.source, &r.kind, &r.messageID, &r.name, &r.data, &r.failureText)
}

// scanUntaken reads a row of duroxide_untaken.
func scanUntaken(rows pgx.Rows, life string, u *untaken) error {
	var what int
	var r messageRow
	if err := rows.Scan(r.into(&what)...); err != nil {
		return err
	}
	u.add(what, &r, life)
	return nil
}

// untaken is what an instance has not taken yet.
type untaken struct {
	messages    []history.Message
	nextDue     int64
	undecodable string // names a message that could not be read
}

func (u *untaken) add(what int, r *messageRow, life string) {
	if what == rowNextDue {
		u.nextDue = value(r.visible)
		return
	}
	m, err := r.message(life)
	if err != nil {
		u.undecodable = err.Error()
		return
	}
	u.messages = append(u.messages, m)
}

// sort puts the messages into the order in which they are applied.
func (u *untaken) sort() { u.messages = store.Order(u.messages) }
