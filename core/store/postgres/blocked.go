package postgres

import (
	"context"
	"fmt"

	"github.com/duroxide/duroxide/core/store"
)

const (
	withBlocked = ` LEFT JOIN {schema}.duroxide_blocked b ON b.instance_id = i.id AND b.turn = i.turn`

	// Those that went on are forgotten when the next one comes: going on costs nothing. Rows that others have locked are
	// left to them.
	noteBlocked = `WITH gone AS (
			DELETE FROM {schema}.duroxide_blocked WHERE instance_id IN (
				SELECT b.instance_id FROM {schema}.duroxide_blocked b JOIN {schema}.duroxide_instances i ON i.id = b.instance_id
				WHERE i.turn <> b.turn AND i.instance <> $1 FOR UPDATE OF b SKIP LOCKED))
		INSERT INTO {schema}.duroxide_blocked AS b (instance_id, turn, reason, at, since)
		SELECT id, turn, $4, $5, {schema}.duroxide_now() FROM {schema}.duroxide_instances
			WHERE instance = $1 AND life = $2 AND turn = $3 AND status = 'Running'
		ON CONFLICT (instance_id) DO UPDATE SET reason = excluded.reason, at = excluded.at,
			since = CASE WHEN b.turn = excluded.turn THEN b.since ELSE excluded.since END, turn = excluded.turn`
)

func isBlocked(wanted bool) string {
	if wanted {
		return "b.reason IS NOT NULL"
	}
	return "b.reason IS NULL"
}

// blocked is what withBlocked joins; all nil for an instance that is not.
type blocked struct {
	reason, at *string
	since      *int64
}

func (b *blocked) told() *store.Blocked {
	if b.reason == nil {
		return nil
	}
	return &store.Blocked{Reason: *b.reason, At: value(b.at), SinceMS: value(b.since)}
}

// Block implements [store.Store].
func (s *Store) Block(ctx context.Context, b store.Block) error {
	err := s.write(ctx, write{
		operation: fmt.Sprintf("note that %q is blocked", b.Instance),
		run: func(ctx context.Context, c session) error {
			tag, err := c.Exec(ctx, s.sql.in(noteBlocked), b.Instance, b.Life, uuid(b.Turn), storable(b.Reason), storable(b.At))
			if err == nil && tag.RowsAffected() == 0 {
				return store.ErrFenced
			}
			return err
		},
	})
	if err != nil {
		return err
	}
	var t tidings
	t.changed(b.Instance)
	t.others |= store.KindReady // one of them may have the code that fits
	s.tell(&t)
	return nil
}
