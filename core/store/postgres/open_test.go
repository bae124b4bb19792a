package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/duroxide/duroxide/core/store"
	"github.com/duroxide/duroxide/core/store/postgres/pgtest"
)

// admin runs statements as the owner of the test server.
func admin(t *testing.T, statements ...string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, testURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// with changes parts of the URL of the tests' database.
func with(t *testing.T, change func(*url.URL)) string {
	t.Helper()
	u, err := url.Parse(testURL)
	if err != nil {
		t.Fatal(err)
	}
	change(u)
	return u.String()
}

func set(u *url.URL, key, value string) {
	q := u.Query()
	q.Set(key, value)
	u.RawQuery = q.Encode()
}

// userURL makes a login role with a password, for whom the test's change of the server holds.
func newRole(t *testing.T, options string) (name, password string) {
	t.Helper()
	name = pgtest.Name("tester_")
	password = "s3cret-Pa55word"
	admin(t, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s' %s", name, password, options))
	t.Cleanup(func() { admin(t, "DROP OWNED BY "+name, "DROP ROLE "+name) })
	return name, password
}

func TestOpenSaysWhatIsWrongAndNeverThePassword(t *testing.T) {
	if server == nil {
		t.Skip("needs a server of its own")
	}
	name, password := newRole(t, "")
	as := func(change func(*url.URL)) string {
		return with(t, func(u *url.URL) {
			u.User = url.UserPassword(name, password)
			change(u)
		})
	}
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nowhere := refused.Addr().String()
	_ = refused.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	slow, _ := newRole(t, "")
	readOnly, _ := newRole(t, "")
	repeatable, _ := newRole(t, "")
	admin(t, "ALTER ROLE "+slow+" SET statement_timeout = '900ms'", "ALTER ROLE "+readOnly+" SET default_transaction_read_only = on",
		"ALTER ROLE "+repeatable+" SET default_transaction_isolation = 'repeatable read'",
		"REVOKE CREATE ON SCHEMA public FROM PUBLIC")
	locked := newSchema(t)
	admin(t, "CREATE SCHEMA "+pgx.Identifier{locked}.Sanitize())
	for _, c := range []struct {
		name, url, says string
		o               Options
		retryable       bool
	}{
		{name: "no database", url: as(func(u *url.URL) { u.Path = "/nothing" }), says: `database "nothing" does not exist: create it first`},
		{name: "no server", url: as(func(u *url.URL) { u.Host = nowhere }), says: "refused", retryable: true},
		{
			name: "no answer", url: as(func(u *url.URL) { u.Host = silent.Addr().String() }), says: "no answer within 200ms",
			o: Options{ConnectTimeout: 200 * time.Millisecond}, retryable: true,
		},
		{name: "TLS demanded, not given", url: as(func(u *url.URL) { set(u, "sslmode", "require") }), says: "does not speak TLS"},
		{name: "not a URL", url: "postgresql://u:" + password + "@h:not-a-port/db", says: "cannot be read"},
		{name: "not a URL at all", url: "host=x password=" + password + " port=zzz", says: "cannot be read"},
		{name: "may not create the schema", url: as(func(*url.URL) {}), o: Options{Schema: "not there"}, says: "needs CREATE"},
		{name: "no rights on the schema", url: as(func(*url.URL) {}), o: Options{Schema: locked}, says: "permission denied"},
		{name: "read-only", url: with(t, func(u *url.URL) { u.User = url.User(readOnly) }), says: "default_transaction_read_only"},
		{
			name: "isolation", url: with(t, func(u *url.URL) { u.User = url.User(repeatable) }),
			says: "repeatable read (default_transaction_isolation)",
		},
		{
			name: "isolation in the url", url: with(t, func(u *url.URL) { set(u, "default_transaction_isolation", "serializable") }),
			says: "read committed is needed",
		},
		{name: "statement_timeout", url: with(t, func(u *url.URL) { u.User = url.User(slow) }), says: "statement_timeout is 900ms"},
		{name: "long schema", url: as(func(*url.URL) {}), o: Options{Schema: strings.Repeat("x", 64)}, says: "64 bytes"},
		{name: "reserved schema", url: as(func(*url.URL) {}), o: Options{Schema: "pg_mine"}, says: "reserved"},
		{name: "schema with a line break", url: as(func(*url.URL) {}), o: Options{Schema: "a\nb"}, says: "characters"},
		{
			name: "no password", url: as(func(*url.URL) {}), says: "no password: vault is closed",
			o: Options{Password: func(context.Context) (string, error) { return "", errors.New("vault is closed") }},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Open(context.Background(), c.url, c.o)
			if err == nil {
				_ = s.Close()
				t.Fatal("opened")
			}
			text := err.Error()
			if !strings.HasPrefix(text, "Failed to connect to PostgreSQL: ") || !strings.Contains(text, c.says) {
				t.Errorf("says %q", text)
			}
			for e := err; e != nil; e = errors.Unwrap(e) {
				if strings.Contains(fmt.Sprintf("%v %+v %#v", e, e, e.Error()), password) {
					t.Errorf("holds the password: %q", text)
				}
			}
			if store.IsRetryable(err) != c.retryable {
				t.Errorf("retryable: %v", store.IsRetryable(err))
			}
		})
	}
}

func TestPasswordsAreAskedForAndChecked(t *testing.T) {
	if server == nil {
		t.Skip("needs a server of its own")
	}
	name, password := newRole(t, "")
	admin(t, fmt.Sprintf("GRANT CREATE ON DATABASE postgres TO %s", name))
	if err := server.Configure("pg_hba.conf", "host all "+name+" 127.0.0.1/32 scram-sha-256"); err != nil {
		t.Fatal(err)
	}
	admin(t, "SELECT pg_reload_conf()")
	schema := newSchema(t)
	base := with(t, func(u *url.URL) { u.User = url.User(name) })
	given := "wrong-" + password
	o := Options{Schema: schema, Password: func(context.Context) (string, error) { return given, nil }}
	// The server takes a moment to hear of its new configuration.
	deadline := time.Now().Add(20 * time.Second)
	s, err := Open(context.Background(), base, o)
	for err == nil && time.Now().Before(deadline) {
		_ = s.Close()
		s, err = Open(context.Background(), base, o)
	}
	if err == nil || !strings.Contains(err.Error(), "check user and password") || strings.Contains(err.Error(), password) || store.IsRetryable(err) {
		t.Fatalf("wrong password: %v", err)
	}
	given = password
	if s, err = Open(context.Background(), base, o); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTwentyProcessesMayStartAtOnce(t *testing.T) {
	for _, existing := range []bool{false, true} {
		t.Run("schema exists "+strconv.FormatBool(existing), func(t *testing.T) {
			schema := newSchema(t)
			if existing {
				admin(t, "CREATE SCHEMA "+pgx.Identifier{schema}.Sanitize())
			}
			var all sync.WaitGroup
			failed := make([]error, 20)
			for i := range failed {
				all.Go(func() {
					s, err := Open(context.Background(), testURL, Options{Schema: schema, MaxConns: 1, ConnectTimeout: time.Minute})
					if err == nil {
						_, err = s.Start(context.Background(), store.Start{Instance: strconv.Itoa(i), Name: "flow"})
						err = errors.Join(err, s.Close())
					}
					failed[i] = err
				})
			}
			all.Wait()
			if err := errors.Join(failed...); err != nil {
				t.Fatal(err)
			}
			m, err := openSchema(t, schema, Options{}).SystemMetrics(context.Background())
			if err != nil || m.TotalInstances != 20 {
				t.Fatalf("%d instances, %v", m.TotalInstances, err)
			}
		})
	}
}

func TestNewerSchemasAndWritersAreRefused(t *testing.T) {
	schema := newSchema(t)
	s := openSchema(t, schema, Options{})
	for _, c := range []struct {
		sql  string
		want error
	}{
		{"UPDATE {schema}.duroxide_meta SET value = '99' WHERE key = 'min_writer'", store.ErrTooOld},
		{"UPDATE {schema}.duroxide_schema SET version = 99", store.ErrNewerSchema},
	} {
		if _, err := s.pool.Exec(context.Background(), s.sql.in(c.sql)); err != nil {
			t.Fatal(err)
		}
		again, err := Open(context.Background(), testURL, Options{Schema: schema})
		if err == nil {
			_ = again.Close()
		}
		if !errors.Is(err, c.want) || store.IsRetryable(err) {
			t.Errorf("after %s: %v", c.sql, err)
		}
	}
}

func TestFailedMigrationLeavesNothing(t *testing.T) {
	schema := newSchema(t)
	// A table in the way makes the migrations fail at their third statement or so.
	quoted := pgx.Identifier{schema}.Sanitize()
	admin(t, "CREATE SCHEMA "+quoted, "CREATE TABLE "+quoted+".duroxide_history (x integer)")
	for range 2 { // the second finds neither leftovers nor a lock that was not given back
		s, err := Open(context.Background(), testURL, Options{Schema: schema, ConnectTimeout: 20 * time.Second})
		if err == nil {
			_ = s.Close()
			t.Fatal("migrated over a foreign table")
		}
		if !strings.Contains(err.Error(), "already exists") {
			t.Fatal(err)
		}
	}
	admin(t, "DROP TABLE "+quoted+".duroxide_history")
	openSchema(t, schema, Options{})
}

func TestSchemasAreApart(t *testing.T) {
	ctx := context.Background()
	odd := newSchema(t) + ` "quoted" it's`
	t.Cleanup(func() { admin(t, "DROP SCHEMA IF EXISTS "+pgx.Identifier{odd}.Sanitize()+" CASCADE") })
	a, b := openSchema(t, odd, Options{}), newStore(t)
	if _, err := a.Start(ctx, store.Start{Instance: "x", Name: "flow"}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Status(ctx, "x"); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("seen from another schema: %v", err)
	}
	if _, err := openSchema(t, odd, Options{}).Status(ctx, "x"); err != nil {
		t.Fatal(err)
	}
}
