package sqlite

import (
	"cmp"
	"encoding/json"
	"slices"

	"zombiezen.com/go/sqlite"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

const messageColumns = `id, kind, visible_at, inserted_at, message_id, execution, source, name, data, failure`

// The due messages of an instance come first, then the one that is due next: reading stops there.
const selectMessages = `SELECT ` + messageColumns + ` FROM duroxide_messages
	WHERE instance_id = (SELECT ?) AND kind <> 'mail' ORDER BY visible_at, id`

// What is behind the first so many of them, without what they carry but with its length.
const selectLaterMessages = `SELECT id, kind, visible_at, inserted_at, message_id, execution, source, name, NULL, failure,
	ifnull(octet_length(data), 0) FROM duroxide_messages
	WHERE instance_id = (SELECT ?) AND kind <> 'mail' ORDER BY visible_at, id LIMIT -1 OFFSET (SELECT ?)`

const selectData = `SELECT data FROM duroxide_messages WHERE id = ?`

const selectMail = `SELECT ` + messageColumns + ` FROM duroxide_messages
	WHERE instance_id = (SELECT ?) AND kind = 'mail' AND name = (SELECT ?) ORDER BY id LIMIT (SELECT ?)`

const nextMailQueue = `SELECT name FROM duroxide_messages WHERE instance_id = (SELECT ?) AND kind = 'mail' AND name > (SELECT ?)
	ORDER BY name LIMIT 1`

const markMail = `UPDATE duroxide_messages SET visible_at = ? WHERE id = ?`

// What a turn is given of one queue: so many messages, and of these no more than make so many bytes, the oldest in any
// case. The commit that consumes them returns the next. Mail may wait for long, and each commit reads it anew: a backlog
// of large messages must not be in memory, nor under the write lock of every turn.
const (
	mailRead  = 256
	mailBytes = 1 << 20
)

// dueBytes is how much the due messages that a turn is given may carry, the first of them in any case: as much as one turn
// applies. The commit of the turn returns the next.
const dueBytes = 16 << 20

// untaken is what an instance has not taken yet.
type untaken struct {
	messages []history.Message
	nextDue  int64
	// undecodable names a message that could not be read.
	undecodable string
	// asleep and awake are rows of mail whose visibility no longer fits the open queues.
	asleep, awake []int64
}

// add takes a row, or notes why it cannot be read.
func (u *untaken) add(to *[]history.Message, s *sqlite.Stmt, life string) *history.Message {
	m, err := scanMessage(s, life)
	if err != nil {
		u.undecodable = err.Error()
		return nil
	}
	*to = append(*to, m)
	return &m
}

// readUntaken reads the due messages of an instance and the mail of its used queues, in the order to be applied.
func readUntaken(c *sqlite.Conn, instance int64, life string, now int64, used, open []string) (untaken, error) {
	var u untaken
	if err := u.readDue(c, instance, life, now); err != nil {
		return u, err
	}
	var mail []history.Message
	used, err := withMail(c, instance, used)
	if err != nil {
		return u, err
	}
	for _, queue := range used {
		waited, bytes := slices.Contains(open, queue), 0
		err := prepared(c, selectMail).int(instance).text(queue).int(mailRead).each(func(s *sqlite.Stmt) (bool, error) {
			m := u.add(&mail, s, life)
			switch visible := !s.ColumnIsNull(2); {
			case m == nil:
			case waited && !visible:
				u.awake = append(u.awake, m.Row)
			case !waited && visible:
				u.asleep = append(u.asleep, m.Row)
			}
			if m != nil {
				bytes += len(m.Data)
			}
			return bytes < mailBytes, nil
		})
		if err != nil {
			return u, err
		}
	}
	sortByRow(mail)
	u.messages = append(u.messages, mail...)
	return u, nil
}

// fewQueues are asked one by one whether there is mail.
const fewQueues = 8

// withMail leaves out queues without mail where there are many: an execution that waits for each answer in a queue of its
// own uses thousands, and every commit of it asks for their mail.
func withMail(c *sqlite.Conn, instance int64, used []string) ([]string, error) {
	if len(used) <= fewQueues {
		return used, nil
	}
	there := map[string]bool{}
	queue := ""
	for range used { // where more queues than these have mail, this saves nothing
		another, err := prepared(c, nextMailQueue).int(instance).text(queue).first(func(s *sqlite.Stmt) { queue = s.ColumnText(0) })
		if err != nil {
			return nil, err
		}
		if !another {
			return slices.DeleteFunc(slices.Clone(used), func(name string) bool { return !there[name] }), nil
		}
		there[queue] = true
	}
	return used, nil
}

// readDue reads the due messages in the order to be applied.
func (u *untaken) readDue(c *sqlite.Conn, instance int64, life string, now int64) error {
	read, bytes := int64(0), 0
	err := prepared(c, selectMessages).int(instance).each(func(s *sqlite.Stmt) (bool, error) {
		if due := s.ColumnInt64(2); due > now {
			u.nextDue = due
			return false, nil
		}
		read++
		if m := u.add(&u.messages, s, life); m != nil {
			bytes += len(m.Data)
		}
		return bytes < dueBytes, nil
	})
	if err != nil {
		return err
	}
	if bytes < dueBytes {
		u.messages = store.Order(u.messages)
		return nil
	}
	return u.readLargeDue(c, instance, life, now, read)
}

// readLargeDue goes on where too much was read. All that is due is put in order, a cancel may be among the last, before
// what a turn can use is read of it.
func (u *untaken) readLargeDue(c *sqlite.Conn, instance int64, life string, now, read int64) error {
	unread := map[int64]int{} // length of what is not read yet, by row
	err := prepared(c, selectLaterMessages).int(instance).int(read).each(func(s *sqlite.Stmt) (bool, error) {
		if due := s.ColumnInt64(2); due > now {
			u.nextDue = due
			return false, nil
		}
		if m := u.add(&u.messages, s, life); m != nil {
			unread[m.Row] = s.ColumnInt(10)
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	u.messages = store.Order(u.messages)
	bytes := 0
	for i := range u.messages {
		if bytes >= dueBytes {
			u.messages = u.messages[:i:i]
			break
		}
		m := &u.messages[i]
		if unread[m.Row] > 0 {
			if _, err := prepared(c, selectData).int(m.Row).first(func(s *sqlite.Stmt) { m.Data = s.ColumnText(0) }); err != nil {
				return err
			}
		}
		bytes += len(m.Data)
	}
	return nil
}

// markMail makes mail that somebody waits for visible to Ready, and hides what nobody waits for: mail alone must not
// bring an instance to run, and waited-for mail must, on any node.
func (t *tx) markMail(u untaken) error {
	for _, row := range u.awake {
		if err := prepared(t.Conn, markMail).int(t.now).int(row).exec(); err != nil {
			return err
		}
	}
	for _, row := range u.asleep {
		if err := prepared(t.Conn, markMail).null().int(row).exec(); err != nil {
			return err
		}
	}
	return nil
}

func scanMessage(s *sqlite.Stmt, life string) (history.Message, error) {
	m := history.Message{
		Row: s.ColumnInt64(0), VisibleAt: s.ColumnInt64(2),
		InsertedAt: s.ColumnInt64(3), ID: s.ColumnText(4), Execution: s.ColumnInt64(5), Source: s.ColumnInt64(6),
		Name: s.ColumnText(7), Data: s.ColumnText(8),
	}
	if m.Execution > 0 {
		m.Life = life // the rows of an instance go with its life
	}
	err := m.DecodeStored(s.ColumnText(1), s.ColumnText(9))
	if m.Kind == history.MsgMail {
		m.VisibleAt = m.InsertedAt
	}
	return m, err
}

func sortByRow(messages []history.Message) {
	slices.SortFunc(messages, func(a, b history.Message) int { return cmp.Compare(a.Row, b.Row) })
}

// encodeNames gives a list of queues or registrations as JSON; the empty list is the empty text.
func encodeNames(names []string) string {
	if len(names) == 0 {
		return ""
	}
	text, err := json.Marshal(names)
	if err != nil {
		panic(err) // strings always encode
	}
	return string(text)
}

func decodeNames(text string) ([]string, error) {
	if text == "" {
		return nil, nil
	}
	var names []string
	err := json.Unmarshal([]byte(text), &names)
	return names, err
}
