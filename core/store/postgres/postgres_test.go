package postgres

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duroxide/duroxide/core/store"
	"github.com/duroxide/duroxide/core/store/storetest"
)

// testURL is the database of the tests: DUROXIDE_TEST_DATABASE_URL, or a server that TestMain has started.
var testURL string

// server is the one that TestMain has started; nil when the tests use another.
var server *testServer

func TestMain(m *testing.M) { os.Exit(testMain(m)) } //nolint:forbidigo // as every TestMain

func testMain(m *testing.M) int {
	if testURL = os.Getenv("DUROXIDE_TEST_DATABASE_URL"); testURL != "" {
		return m.Run()
	}
	s, err := startServer()
	if err != nil {
		fmt.Fprintln(os.Stderr, "no PostgreSQL for the tests (set DUROXIDE_TEST_DATABASE_URL, or install the server):", err)
		if os.Getenv("CI") != "" {
			return 1
		}
		testURL = ""
		return m.Run()
	}
	server, testURL = s, s.url
	defer s.stop()
	return m.Run()
}

// testServer is a PostgreSQL server of the tests' own, with fsync on as in earnest.
type testServer struct {
	bin, home, url string
	port           int
	as             *syscall.Credential
	cmd            *exec.Cmd
}

func startServer() (*testServer, error) {
	bin, err := serverDirectory()
	if err != nil {
		return nil, err
	}
	s := &testServer{bin: bin}
	if os.Getuid() == 0 { // the server refuses to run as root
		owner, err := user.Lookup("postgres")
		if err != nil {
			return nil, err
		}
		uid, _ := strconv.Atoi(owner.Uid)
		gid, _ := strconv.Atoi(owner.Gid)
		s.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)} //nolint:gosec // ids are small
	}
	if s.home, err = os.MkdirTemp("", "duroxide-postgres-"); err != nil {
		return nil, err
	}
	if s.as != nil {
		if err := os.Chown(s.home, int(s.as.Uid), int(s.as.Gid)); err != nil {
			return nil, err
		}
	}
	initdb := s.command("initdb", "-D", filepath.Join(s.home, "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.port = l.Addr().(*net.TCPAddr).Port //nolint:errcheck,forcetypeassert // tcp
	_ = l.Close()
	s.url = fmt.Sprintf("postgresql://postgres@127.0.0.1:%d/postgres?sslmode=disable", s.port)
	return s, s.start()
}

func serverDirectory() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err == nil && len(found) > 0 {
		return filepath.Dir(found[len(found)-1]), nil
	}
	path, err := exec.LookPath("postgres")
	return filepath.Dir(path), err
}

func (s *testServer) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...) //nolint:gosec // a program of the server
	cmd.Dir = s.home
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	return cmd
}

func (s *testServer) start() error {
	s.cmd = s.command("postgres", "-D", filepath.Join(s.home, "data"), "-p", strconv.Itoa(s.port), "-k", s.home,
		"-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200", "-c", "log_min_messages=fatal")
	if err := s.cmd.Start(); err != nil {
		return err
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		conn, err := pgx.Connect(ctx, s.url)
		cancel()
		if err == nil {
			return conn.Close(context.Background())
		}
		if time.Now().After(deadline) {
			return err
		}
		<-time.After(20 * time.Millisecond)
	}
}

func (s *testServer) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGINT) // fast shutdown
	_ = s.cmd.Wait()
	_ = os.RemoveAll(s.home)
}

// crash kills every process of the server at once, as a machine does that fails.
func (s *testServer) crash() {
	_ = s.cmd.Process.Signal(syscall.SIGQUIT) // immediate: no checkpoint, clients are cut off
	_ = s.cmd.Wait()
}

var schemas atomic.Int64

// newSchema names a schema of the test's own, and drops it in the end.
func newSchema(tb testing.TB) string {
	tb.Helper()
	if testURL == "" {
		tb.Skip("no PostgreSQL")
	}
	schema := fmt.Sprintf("Test %d.%d", os.Getpid(), schemas.Add(1))
	tb.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), testURL)
		if err != nil {
			return
		}
		defer func() { _ = conn.Close(context.Background()) }()
		_, _ = conn.Exec(context.Background(), "DROP SCHEMA IF EXISTS "+pgx.Identifier{schema}.Sanitize()+" CASCADE")
	})
	return schema
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

// openClocked opens a store whose time, in the database too, is a test's clock: the shift travels as a setting of each
// connection.
func openClocked(t *testing.T, clock *storetest.Clock) *Store {
	t.Helper()
	shift := func() int64 { return clock.Now() - time.Now().UnixMilli() }
	o := Options{now: clock.Now, configure: func(c *pgxpool.Config) {
		c.PrepareConn = func(ctx context.Context, conn *pgx.Conn) (bool, error) {
			_, err := conn.Exec(ctx, "SELECT set_config('duroxide.shift', $1, false)", strconv.FormatInt(shift(), 10))
			return err == nil, err
		}
	}}
	s := openSchema(t, newSchema(t), o)
	_, err := s.pool.Exec(context.Background(), s.sql.in(`CREATE OR REPLACE FUNCTION {schema}.duroxide_now() RETURNS bigint LANGUAGE sql VOLATILE
		AS 'SELECT floor(date_part(''epoch'', pg_catalog.clock_timestamp()) * 1000)::bigint + current_setting(''duroxide.shift'')::bigint'`))
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

// demandPassword makes the server ask a role for its password.
func (s *testServer) demandPassword(role string) error {
	path := filepath.Join(s.home, "data", "pg_hba.conf")
	before, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, append([]byte("host all "+role+" 127.0.0.1/32 scram-sha-256\n"), before...), 0o600)
}
