package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duroxide/duroxide/core/store"
)

const (
	tries      = 6
	firstPause = 5 * time.Millisecond
	graceAfter = 5 * time.Second  // a write under way goes on so long after its caller has given up
	usualBound = 30 * time.Second // of a call with all its tries, and for any call to get a connection
	wideBound  = 10 * time.Minute // of a call that goes through a whole store, or deletes much
)

// write is one call of a function that changes the store.
type write struct {
	operation string
	bound     time.Duration // of all tries; 0: usualBound
	// run calls the function and reads all of its answer. It may run several times. Unless it may be done twice, the
	// session's call is confirmed in its transaction.
	run func(ctx context.Context, c session) error
	// applied looks up, when the answer was lost, whether the write is in the store, and then makes up the answer. When it
	// looks, a write that is not in the store never will be.
	// known is false when that cannot be told any more. Nil: cannot be told.
	applied func(ctx context.Context, q querier) (applied, known bool, err error)
}

func (w *write) within() time.Duration { return cmp.Or(w.bound, usualBound) }

// write runs w until it has an outcome that trying again would not change.
func (s *Store) write(ctx context.Context, w write) error {
	if s.closed.Load() {
		return store.ErrClosed
	}
	limit, cancel := context.WithTimeout(ctx, w.within())
	defer cancel()
	for try := 1; ; try++ {
		err := s.writeOnce(ctx, limit, w)
		if err == nil || isAnswer(err) {
			return err
		}
		if store.IsUnknown(err) || isFinal(err) || try == tries || !pause(limit, try) {
			return trouble(w.operation, err)
		}
	}
}

// writeOnce makes one try. It is begun before limit, a part of ctx, is over.
func (s *Store) writeOnce(ctx, limit context.Context, w write) error {
	conn, giveBack, err := s.lend(limit)
	if err != nil {
		return s.unavailable(ctx, err)
	}
	c := newSession(conn)
	end, _ := limit.Deadline()
	running, cancel := outlive(ctx, time.Until(end), graceAfter)
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
	giveBack()
	if err == nil || isAnswer(err) || isUndone(err) {
		return err
	}
	return s.lookUp(ctx, w, lost, err)
}

var errNoConnection = errors.New("no connection")

// acquire waits for a connection, but not for ever.
func (s *Store) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	begun := time.Now()
	if end, ok := ctx.Deadline(); !ok || end.Sub(begun) > usualBound {
		bounded, cancel := context.WithTimeout(ctx, usualBound)
		defer cancel()
		ctx = bounded
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, fmt.Errorf("%w within %v: the server does not answer, or all %d of the pool are in use (%w)",
			errNoConnection, time.Since(begun).Round(time.Millisecond), s.pool.Config().MaxConns, err)
	}
	return conn, err
}

// isFinal reports whether another try is in vain: nothing would change, or it was waited for long enough.
func isFinal(err error) bool { return !isPassing(err) || errors.Is(err, errNoConnection) }

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

// read runs a query for some rows. It may run several times.
func (s *Store) read(ctx context.Context, operation string, fn func(context.Context, querier) error) error {
	return s.readWithin(ctx, usualBound, operation, fn)
}

// readMuch runs a query that may have to go through a whole store, or a long history, and honestly takes its time.
func (s *Store) readMuch(ctx context.Context, operation string, fn func(context.Context, querier) error) error {
	return s.readWithin(ctx, wideBound, operation, fn)
}

func (s *Store) readWithin(ctx context.Context, bound time.Duration, operation string, fn func(context.Context, querier) error) error {
	if s.closed.Load() {
		return store.ErrClosed
	}
	limit, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	for try := 1; ; try++ {
		err := s.readOnce(limit, fn)
		if err == nil || isAnswer(err) {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if s.closed.Load() {
			return store.ErrClosed
		}
		if isFinal(err) || try == tries || !pause(limit, try) {
			return trouble(operation, err)
		}
	}
}

func (s *Store) readOnce(ctx context.Context, fn func(context.Context, querier) error) error {
	conn, giveBack, err := s.lend(ctx)
	if err != nil {
		return err
	}
	defer giveBack()
	return fn(ctx, newSession(conn))
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
