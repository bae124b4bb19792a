package sqlite

import (
	"context"
	"fmt"

	"zombiezen.com/go/sqlite"

	"github.com/duroxide/duroxide/core/store"
)

const (
	withBlocked = ` LEFT JOIN duroxide_blocked b ON b.instance_id = i.id AND b.turn = i.turn`

	noteBlocked = `INSERT INTO duroxide_blocked (instance_id, turn, reason, at, since)
		SELECT id, turn, ?4, ?5, ?6 FROM duroxide_instances WHERE instance = ?1 AND life = ?2 AND turn = ?3 AND status = 'Running'
		ON CONFLICT (instance_id) DO UPDATE SET reason = excluded.reason, at = excluded.at,
			since = CASE WHEN turn = excluded.turn THEN since ELSE excluded.since END, turn = excluded.turn`
	forgetBlocked = `DELETE FROM duroxide_blocked WHERE NOT EXISTS (
		SELECT 1 FROM duroxide_instances i WHERE i.id = instance_id AND i.turn = duroxide_blocked.turn)`
)

func isBlocked(wanted bool) string {
	if wanted {
		return "b.reason IS NOT NULL"
	}
	return "b.reason IS NULL"
}

// blockedAt reads the columns reason, at and since.
func blockedAt(row *sqlite.Stmt, column int) *store.Blocked {
	if row.ColumnIsNull(column) {
		return nil
	}
	return &store.Blocked{Reason: row.ColumnText(column), At: row.ColumnText(column + 1), SinceMS: row.ColumnInt64(column + 2)}
}

// Block implements [store.Store].
func (s *Store) Block(ctx context.Context, b store.Block) error {
	return s.write(ctx, &member{operation: fmt.Sprintf("note that %q is blocked", b.Instance), run: func(t *tx) error {
		// Those that went on are forgotten when the next one comes: going on costs nothing.
		if err := prepared(t.Conn, forgetBlocked).exec(); err != nil {
			return err
		}
		err := prepared(t.Conn, noteBlocked).text(b.Instance).text(b.Life).blob(b.Turn[:]).text(b.Reason).text(b.At).int(t.now).exec()
		if err != nil {
			return err
		}
		if t.Changes() == 0 {
			return store.ErrFenced
		}
		t.wake.changed(b.Instance)
		return nil
	}})
}
