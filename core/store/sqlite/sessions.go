package sqlite

import (
	"context"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/duroxide/duroxide/core/store"
)

// sessionReserved is how long a session of a dead or departed node waits for a node with the same label.
const sessionReserved = 10 * time.Second

const (
	selectSession = `SELECT node, label, last_used FROM duroxide_sessions WHERE session = ?`
	takeSession   = `INSERT INTO duroxide_sessions (session, label, node, last_used) VALUES (?1, ?2, ?3, ?4)
		ON CONFLICT (session) DO UPDATE SET label = ?2, node = ?3, last_used = ?4`
	touchSession = `UPDATE duroxide_sessions SET last_used = ? WHERE session = ?`
	// A session of which a job is claimed has been taken again.
	releaseSession = `DELETE FROM duroxide_sessions WHERE session = ?1 AND node = ?2 AND NOT EXISTS (
		SELECT 1 FROM duroxide_jobs WHERE token IS NOT NULL AND session <> '' AND session = (SELECT ?1))`
	// Without a label nobody is waited for.
	dropSessionsOf    = `DELETE FROM duroxide_sessions WHERE node = ? AND label = ''`
	reserveSessionsOf = `UPDATE duroxide_sessions SET node = NULL, last_used = ? WHERE node = ?`
)

// askSession tells whether the node owns the session, or could take it.
func (t *tx) askSession(c *store.Claim, session string) (held, free bool, err error) {
	var node, label string
	var last int64
	var owned bool
	exists, err := prepared(t.Conn, selectSession).text(session).first(func(s *sqlite.Stmt) {
		owned, node, label, last = !s.ColumnIsNull(0), s.ColumnText(0), s.ColumnText(1), s.ColumnInt64(2)
	})
	if err != nil || owned {
		return owned && node == string(c.Node), false, err
	}
	reserved := exists && label != "" && label != c.Label && t.now-last < sessionReserved.Milliseconds()
	return false, !reserved, nil
}

// holdSession makes sure that the node owns the session, taking it when it is free.
func (t *tx) holdSession(c *store.Claim, session string, mayTake bool) (held, took bool, err error) {
	held, free, err := t.askSession(c, session)
	switch {
	case err != nil:
		return false, false, err
	case held:
		return true, false, prepared(t.Conn, touchSession).int(t.now).text(session).exec()
	case !free || !mayTake:
		return false, false, nil
	}
	return true, true, prepared(t.Conn, takeSession).text(session).text(c.Label).text(string(c.Node)).int(t.now).exec()
}

// ReleaseSessions implements [store.Store].
func (s *Store) ReleaseSessions(ctx context.Context, node store.NodeID, sessions []string) error {
	if len(sessions) == 0 {
		return nil
	}
	return s.write(ctx, &member{operation: "release sessions", run: func(t *tx) error {
		for _, session := range sessions {
			if err := prepared(t.Conn, releaseSession).text(session).text(string(node)).exec(); err != nil {
				return err
			}
			t.wake.Jobs = t.wake.Jobs || t.Changes() > 0
		}
		return nil
	}})
}

// freeSessions lets go of the sessions of a node that is no more.
func (t *tx) freeSessions(node store.NodeID) error {
	if err := prepared(t.Conn, dropSessionsOf).text(string(node)).exec(); err != nil {
		return err
	}
	return prepared(t.Conn, reserveSessionsOf).int(t.now).text(string(node)).exec()
}
