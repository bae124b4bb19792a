package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duroxide/duroxide/core/store"
	"github.com/duroxide/duroxide/core/store/postgres/pgtest"
)

// Whatever passes by itself is tried again: a turn meets it twice on its way and is applied once.
func TestTroubleThatPassesIsRetried(t *testing.T) {
	if testURL == "" {
		t.Skip("no PostgreSQL")
	}
	ctx := context.Background()
	for _, code := range []string{
		"40001", "40P01", "53000", "53100", "53200", "53300", "55P03", "57014", "57P01", "57P02", "57P03", "08000", "08006",
		"ended", // the connection's server process is ended by an administrator in the middle of the statement
	} {
		t.Run(code, func(t *testing.T) {
			s := newStore(t)       //nolint:contextcheck // tests clean up on their own time
			x := newSteps(t, s, 1) //nolint:contextcheck // tests clean up on their own time
			meet := "RAISE EXCEPTION 'made for the test' USING ERRCODE = '" + code + "';"
			if code == "ended" {
				meet = "PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(10);"
			}
			for _, sql := range []string{
				"CREATE SEQUENCE {schema}.tries",
				`CREATE FUNCTION {schema}.meet() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
					IF nextval('` + strings.ReplaceAll(s.sql.quoted, "'", "''") + `.tries') <= 2 THEN ` + meet + ` END IF; RETURN new; END $$`,
				"CREATE TRIGGER meet BEFORE INSERT ON {schema}.duroxide_history FOR EACH ROW EXECUTE FUNCTION {schema}.meet()",
			} {
				if _, err := s.pool.Exec(ctx, s.sql.in(sql)); err != nil {
					t.Fatal(err)
				}
			}
			x.commit(t, s) //nolint:contextcheck // the test has its own
			x.commit(t, s) //nolint:contextcheck // the test has its own
			var tries int64
			if err := s.pool.QueryRow(ctx, s.sql.in("SELECT last_value FROM {schema}.tries")).Scan(&tries); err != nil || tries != 4 {
				t.Fatalf("%d tries, %v", tries, err)
			}
			events, err := s.History(ctx, "instance-0", 0)
			if err != nil || len(events) != 5 {
				t.Fatalf("%d events, %v", len(events), err)
			}
		})
	}
}

// A server that has fewer connections left than the pool would take serves all callers with those.
func TestServerWithFewConnectionsServesAll(t *testing.T) {
	if server == nil {
		t.Skip("needs a superuser")
	}
	ctx := context.Background()
	name, password := newRole(t, "CONNECTION LIMIT 3")
	schema := newSchema(t)
	admin(t, "GRANT CREATE ON DATABASE postgres TO "+name)
	s, err := Open(ctx, with(t, func(u *url.URL) { u.User = url.UserPassword(name, password) }), Options{Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	var all sync.WaitGroup
	failed := make([]error, 100)
	for i := range failed {
		all.Go(func() {
			_, err := s.Instance(ctx, strconv.Itoa(i)) // each takes a connection for itself
			if errors.Is(err, store.ErrNotFound) {
				_, err = s.Start(ctx, store.Start{Instance: strconv.Itoa(i), Name: "flow"})
			}
			failed[i] = err
		})
	}
	all.Wait()
	if err := errors.Join(failed...); err != nil {
		t.Fatal(err)
	}
}

// A statement_timeout of one second is survived: what was cut off by it goes through when the database is quick again.
func TestStatementTimeoutOfASecondIsSurvived(t *testing.T) {
	if server == nil {
		t.Skip("needs a superuser")
	}
	ctx := context.Background()
	seen := &statementLog{more: make(chan struct{}, 1)}
	s := openSchema(t, newSchema(t), Options{configure: func(c *pgxpool.Config) {
		c.ConnConfig.RuntimeParams["statement_timeout"] = "1000"
		c.ConnConfig.Tracer = seen
	}})
	x := newSteps(t, s, 1)
	conn, err := pgx.Connect(ctx, testURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, s.sql.in("SELECT FROM {schema}.duroxide_instances FOR UPDATE")); err != nil {
		t.Fatal(err)
	}
	before := len(seen.since(0))
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() {
		defer func() { _ = tx.Rollback(ctx) }()
		deadline := time.After(bounded)
		for tries := 0; tries < 2; {
			select {
			case <-seen.more:
			case <-deadline:
				return
			}
			tries = 0
			for _, sql := range seen.since(before) {
				if strings.Contains(sql, "duroxide_step") {
					tries++
				}
			}
		}
	})
	x.commit(t, s)
}

func TestOpenTellsARoleWithoutTLSThatItIsDemanded(t *testing.T) {
	if server == nil {
		t.Skip("needs a server of its own")
	}
	name, password := newRole(t, "")
	if err := server.Configure("pg_hba.conf", "hostnossl all "+name+" 127.0.0.1/32 reject"); err != nil {
		t.Fatal(err)
	}
	if err := server.Reload(); err != nil {
		t.Fatal(err)
	}
	u := with(t, func(u *url.URL) { u.User = url.UserPassword(name, password) })
	until(t, "the server demands TLS", func() bool {
		s, err := Open(context.Background(), u, Options{Schema: "nowhere"})
		if err == nil {
			_ = s.Close()
		}
		return err != nil && strings.Contains(err.Error(), "the server demands TLS; add sslmode=require") && !store.IsRetryable(err)
	})
}

func TestOpenRefusesAStandby(t *testing.T) {
	if server == nil {
		t.Skip("needs a server of its own")
	}
	home, err := os.MkdirTemp(server.Home, "standby-")
	if err != nil {
		t.Fatal(err)
	}
	if server.As != nil {
		if err := os.Chown(home, int(server.As.Uid), int(server.As.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(home, "data")
	backup := server.Command("pg_basebackup", "-D", data, "-R", "-c", "fast", "-X", "stream", "-h", "127.0.0.1", "-p", strconv.Itoa(server.Port),
		"-U", "postgres", "--no-sync")
	if out, err := backup.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	port, err := pgtest.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	cmd := server.Command("postgres", "-D", data, "-p", strconv.Itoa(port), "-k", home, "-c", "listen_addresses=127.0.0.1",
		"-c", "max_connections=200", "-c", "log_min_messages=fatal") // not fewer than the primary
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGQUIT)
		_ = cmd.Wait()
	})
	u := with(t, func(u *url.URL) { u.Host = fmt.Sprintf("127.0.0.1:%d", port) })
	until(t, "the standby says what it is", func() bool {
		s, err := Open(context.Background(), u, Options{})
		if err == nil {
			_ = s.Close()
			t.Fatal("opened a standby")
		}
		if !store.IsRetryable(err) { // starting up, or a standby that may be promoted
			t.Fatal(err)
		}
		return strings.Contains(err.Error(), "the server is a read-only standby; connect to the primary")
	})
}

func TestServersThatCannotDoTheWorkAreRefused(t *testing.T) {
	good := factsWith(func(*serverFacts) {})
	if err := good.refusal(); err != nil {
		t.Fatal(err)
	}
	for says, change := range map[string]func(*serverFacts){
		"the server is PostgreSQL 13.21; 14 or newer is needed":  func(v *serverFacts) { v.number, v.version = 130021, "13.21" },
		"transactions of this user or database are serializable": func(v *serverFacts) { v.isolation = "serializable" },
		"encoded in LATIN1": func(v *serverFacts) { v.encoding = "LATIN1" },
	} {
		v := factsWith(change)
		if err := v.refusal(); err == nil || !strings.Contains(err.Error(), says) || store.IsRetryable(err) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}

func factsWith(change func(*serverFacts)) serverFacts {
	v := serverFacts{number: 140000, version: "14.0", encoding: "UTF8", isolation: "read committed", statementTimeout: time.Second}
	change(&v)
	return v
}
