package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// session is a connection of the pool for the length of a call. Where that is safe its statements are prepared, which
// saves the server parsing and planning them each time.
type session struct {
	*pgxpool.Conn
	prepared bool
	// call names what a write does by it: see [Store.lookUp]. Every try has its own.
	call int64
}

func newSession(c *pgxpool.Conn) session {
	is, ok := c.Conn().PgConn().CustomData()[direct].(bool)
	return session{Conn: c, prepared: ok && is, call: rand.Int64()}
}

// Query runs a statement for its rows.
func (s session) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return s.Conn.Query(ctx, sql, s.with(args)...)
}

// QueryRow runs a statement for its only row.
func (s session) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return s.Conn.QueryRow(ctx, sql, s.with(args)...)
}

// Exec runs a statement.
func (s session) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return s.Conn.Exec(ctx, sql, s.with(args)...)
}

func (s session) with(args []any) []any {
	if !s.prepared {
		return args
	}
	return append([]any{pgx.QueryExecModeCacheStatement}, args...)
}

// direct is the key under which a connection is marked that leads to a server process of its own.
const direct = "duroxide.direct"

// What is prepared is planned once for each connection, maybe while the tables are empty that grow later: nothing is to be
// chosen that is only good for tables that stay small. No plan depends on what it is run with.
const planOnce = `SELECT set_config(name, value, false) FROM (VALUES ('plan_cache_mode', 'force_generic_plan'), ('jit', 'off'),
	('enable_seqscan', 'off'), ('enable_hashjoin', 'off'), ('enable_mergejoin', 'off')) AS s(name, value)`

// Held as long as the connection lasts, to tell whose it is: see duroxide_cut_off.
const holdMark = `; SELECT pg_advisory_lock_shared(%d)`

// markDirect notes whether there is no pooler in between: one would give a process id that is not the server's. Then
// prepared statements are safe, which save the server parsing the hot ones each time.
func (s *Store) markDirect(ctx context.Context, c *pgx.Conn) error {
	var pid uint32
	if err := c.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		return err
	}
	if pid != c.PgConn().PID() {
		return nil
	}
	c.PgConn().CustomData()[direct] = true
	_, err := c.Exec(ctx, planOnce+fmt.Sprintf(holdMark, s.connections))
	return err
}
