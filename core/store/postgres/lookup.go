package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/duroxide/duroxide/core/store"
)

const (
	lookUpBound = 10 * time.Second // to find out what a write has done whose answer was lost
	graceLookUp = time.Second      // of it, after the caller has given up
)

const (
	callConfirm = `SELECT {schema}.duroxide_confirm($1)`
	callVoid    = `SELECT {schema}.duroxide_void($1)`

	// A server process that goes on for nobody keeps rows locked. The role may have been changed since it was connected.
	endBackend = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE pid = $1 AND usename = session_user AND state <> 'idle' AND query LIKE '%duroxide_%'`
)

// lostCall is a call whose answer was lost.
type lostCall struct {
	call    int64
	backend uint32 // the process that served it; 0 when a pooler hides it
}

// lookUp finds out what a write has done whose answer was lost. It gives nil when it was applied, a retryable error when
// it was not, and one that is Unknown when that cannot be told.
//
// The server may still be at it, or receive it later. So the call is voided first: what has not committed by then is undone
// when it comes to its end, and the store says for good what has happened.
func (s *Store) lookUp(ctx context.Context, w write, lost lostCall, cause error) error {
	unknown := &store.Error{Operation: w.operation, Retryable: true, Unknown: true, Err: cause}
	if w.applied == nil {
		return unknown
	}
	ctx, cancel := outlive(ctx, min(lookUpBound, w.within()/3), graceLookUp)
	defer cancel()
	for try := 1; ; try++ {
		applied, known, err := s.lookOnce(ctx, w, lost)
		switch {
		case err == nil && !known:
			return unknown
		case err == nil && applied:
			return nil
		case err == nil:
			return &store.Error{Operation: w.operation, Retryable: true, Err: fmt.Errorf("the connection broke: %w", cause)}
		case !isPassing(err) || !pause(ctx, min(try, 6)):
			return unknown
		}
	}
}

func (s *Store) lookOnce(ctx context.Context, w write, lost lostCall) (applied, known bool, err error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return false, false, err
	}
	defer release(conn)
	if lost.backend != 0 {
		// It may be another role's, or gone. Without this the outcome is the same, only later.
		_, _ = conn.Exec(ctx, endBackend, int64(lost.backend))
	}
	if _, err := conn.Exec(ctx, s.sql.in(callVoid), lost.call); err != nil {
		return false, false, err
	}
	return w.applied(ctx, newSession(conn))
}
