package postgres

import (
	"cmp"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/duroxide/duroxide/core/history"
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
		Row: r.id, Kind: history.ParseMessageKind(value(r.kind)), VisibleAt: value(r.visible), InsertedAt: value(r.inserted),
		ID: value(r.messageID), Execution: value(r.execution), Source: value(r.source), Name: value(r.name), Data: value(r.data),
	}
	if m.Execution > 0 {
		m.Life = life // the rows of an instance go with its life
	}
	if m.Kind == history.MsgMail {
		m.VisibleAt = m.InsertedAt
	}
	var err error
	m.Failure, err = history.DecodeFailure(value(r.failureText))
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
	return u.add(what, &r, life)
}

// untaken is what an instance has not taken yet.
type untaken struct {
	messages []history.Message
	nextDue  int64
}

func (u *untaken) add(what int, r *messageRow, life string) error {
	if what == rowNextDue {
		u.nextDue = value(r.visible)
		return nil
	}
	m, err := r.message(life)
	u.messages = append(u.messages, m)
	return err
}

// sort puts the messages into the order in which they are applied: cancel, start, the others as they came, mail. A message
// that was due later than it was inserted (a timer) goes before the first one inserted after its due time.
func (u *untaken) sort() {
	if len(u.messages) < 2 {
		return
	}
	slices.SortStableFunc(u.messages, func(a, b history.Message) int {
		if by := cmp.Compare(place(&a), place(&b)); by != 0 || place(&a) != placeDelayed {
			return cmp.Or(by, cmp.Compare(a.Row, b.Row))
		}
		return cmp.Or(cmp.Compare(a.VisibleAt, b.VisibleAt), cmp.Compare(a.Row, b.Row))
	})
	first := slices.IndexFunc(u.messages, func(m history.Message) bool { return place(&m) == placeDelayed })
	if first < 0 {
		return
	}
	rest := u.messages[first:]
	split := slices.IndexFunc(rest, func(m history.Message) bool { return place(&m) > placeDelayed })
	if split < 0 {
		return
	}
	delayed := slices.Clone(rest[:split])
	merged := rest[:0]
	for _, m := range slices.Clone(rest[split:]) {
		for len(delayed) > 0 && (place(&m) == placeMail || delayed[0].VisibleAt < m.InsertedAt) {
			merged = append(merged, delayed[0])
			delayed = delayed[1:]
		}
		merged = append(merged, m)
	}
	u.messages = append(u.messages[:first+len(merged)], delayed...)
}

const (
	placeCancel = iota
	placeStart
	placeDelayed
	placeQueue
	placeMail
)

func place(m *history.Message) int {
	switch {
	case m.Kind == history.MsgCancel:
		return placeCancel
	case m.Kind == history.MsgStart:
		return placeStart
	case m.Kind == history.MsgMail:
		return placeMail
	case m.VisibleAt > m.InsertedAt:
		return placeDelayed
	default:
		return placeQueue
	}
}
