package postgres

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/duroxide/duroxide/core/store"
)

const (
	tries      = 6
	firstPause = 5 * time.Millisecond
	graceAfter = 5 * time.Second  // a write under way goes on so long after its caller has given up
	writeBound = 60 * time.Second // and never longer than this
)

// write is one call of a function that changes the store.
type write struct {
	operation string
	// run calls the function and reads all of its answer. It may run several times. Unless it may be done twice, the
	// session's call is confirmed in its transaction.
	run func(ctx context.Context, c session) error
	// applied looks up, when the answer was lost, whether the write is in the store, and then makes up the answer. When it
	// looks, a write that is not in the store never will be.
	// known is false when that cannot be told any more. Nil: cannot be told.
	applied func(ctx context.Context, q querier) (applied, known bool, err error)
}

// write runs w until it has an outcome that trying again would not change.
func (s *Store) write(ctx context.Context, w write) error {
	if s.closed.Load() {
		return store.ErrClosed
	}
	for try := 1; ; try++ {
		err := s.writeOnce(ctx, w)
		if err == nil || isAnswer(err) {
			return err
		}
		if store.IsUnknown(err) || !isPassing(err) || try == tries || !pause(ctx, try) {
			return trouble(w.operation, err)
		}
	}
}

func (s *Store) writeOnce(ctx context.Context, w write) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return s.unavailable(ctx, err)
	}
	c := newSession(conn)
	running, cancel := outlive(ctx, writeBound, graceAfter)
	err = w.run(running, c)
	cancel()
	lost := lostCall{call: c.call}
	if c.prepared {
		lost.backend = conn.Conn().PgConn().PID()
	}
	if sqlState(err) == readOnlyState {
		// The primary has become a standby. The next connection looks for the new one.
		_ = conn.Conn().Close(ctx)
	}
	conn.Release()
	if err == nil || isAnswer(err) || isUndone(err) {
		return err
	}
	return s.lookUp(ctx, w, lost, err)
}

// unavailable is the error of a pool that gave no connection. A caller whose own time is over is told just that.
func (s *Store) unavailable(ctx context.Context, err error) error {
	switch {
	case s.closed.Load():
		return store.ErrClosed
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return err
}

// outlive gives a context that ends after bound, and a while after ctx does: a deadline that cut the connection would leave the outcome of
// a write unknown that is about to be answered.
func outlive(ctx context.Context, bound, grace time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithTimeout(context.WithoutCancel(ctx), bound)
	if ctx.Done() == nil {
		return longer, cancel
	}
	stop := context.AfterFunc(ctx, func() {
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-t.C:
			cancel()
		case <-longer.Done():
		}
	})
	return longer, func() { stop(); cancel() }
}

// pause before another try; false when the caller has given up.
func pause(ctx context.Context, try int) bool {
	t := time.NewTimer(firstPause<<(try-1) + rand.N(firstPause))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// read runs a query for its rows. It may run several times.
func (s *Store) read(ctx context.Context, operation string, fn func(querier) error) error {
	if s.closed.Load() {
		return store.ErrClosed
	}
	for try := 1; ; try++ {
		err := s.readOnce(ctx, fn)
		if err == nil || isAnswer(err) {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if s.closed.Load() {
			return store.ErrClosed
		}
		if !isPassing(err) || try == tries || !pause(ctx, try) {
			return trouble(operation, err)
		}
	}
}

func (s *Store) readOnce(ctx context.Context, fn func(querier) error) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return fn(newSession(conn))
}

// each gives every row to scan.
func each(ctx context.Context, q querier, sql string, args []any, scan func(pgx.Rows) error) error {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// exists runs a query that gives one boolean.
func exists(ctx context.Context, q querier, sql string, args ...any) (found bool, err error) {
	err = q.QueryRow(ctx, sql, args...).Scan(&found)
	return found, err
}
