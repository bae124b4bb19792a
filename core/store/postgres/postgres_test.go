package postgres

import (
	"context"
	"os"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duroxide/duroxide/core/store"
	"github.com/duroxide/duroxide/core/store/postgres/pgtest"
	"github.com/duroxide/duroxide/core/store/storetest"
)

// The database of the tests; server is nil when it is not one of their own.
var (
	database pgtest.Database
	testURL  string
	server   *pgtest.Server
)

func TestMain(m *testing.M) {
	os.Exit(pgtest.Main(m, func(d pgtest.Database) { database, testURL, server = d, d.URL, d.Server })) //nolint:forbidigo // as every TestMain
}

// newSchema names a schema of the test's own.
func newSchema(tb testing.TB) string {
	tb.Helper()
	return database.Schema(tb)
}

// openSchema opens a store; it is closed with the test.
func openSchema(tb testing.TB, schema string, o Options) *Store {
	tb.Helper()
	o.Schema = schema
	s, err := Open(context.Background(), testURL, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

func newStore(tb testing.TB) *Store {
	tb.Helper()
	return openSchema(tb, newSchema(tb), Options{})
}

// openClocked opens a store whose time, in the database too, is a test's clock: it travels as a setting of each connection
// that is taken from the pool.
func openClocked(t *testing.T, clock *storetest.Clock) *Store {
	t.Helper()
	return openClockedIn(t, clock, newSchema(t))
}

func openClockedIn(t *testing.T, clock *storetest.Clock, schema string) *Store {
	t.Helper()
	o := Options{now: clock.Now, configure: func(c *pgxpool.Config) {
		c.PrepareConn = func(ctx context.Context, conn *pgx.Conn) (bool, error) {
			_, err := conn.Exec(ctx, "SELECT set_config('duroxide.now', $1, false)", strconv.FormatInt(clock.Now(), 10))
			return err == nil, err
		}
	}}
	s := openSchema(t, schema, o)
	_, err := s.pool.Exec(context.Background(), s.sql.in(`CREATE OR REPLACE FUNCTION {schema}.duroxide_now() RETURNS bigint LANGUAGE sql VOLATILE
		AS 'SELECT current_setting(''duroxide.now'')::bigint'`))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// RaiseMinWriter lets the conformance suite play a newer version.
func (s *Store) RaiseMinWriter(to int) error {
	_, err := s.pool.Exec(context.Background(), s.sql.in("UPDATE {schema}.duroxide_meta SET value = $1 WHERE key = 'min_writer'"), strconv.Itoa(to))
	return err
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T, clock *storetest.Clock) store.Store { return openClocked(t, clock) })
}
