//go:build unix

// Package pgtest gives tests a PostgreSQL: a server of their own, started from binaries on the machine, or the one that
// DUROXIDE_TEST_DATABASE_URL names. Each test takes a schema for itself.
package pgtest

import (
	"context"
	"fmt"
	"io/fs"
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
)

// DatabaseURL names the variable with the server to test against, instead of one that the tests start.
const DatabaseURL = "DUROXIDE_TEST_DATABASE_URL"

// Binaries names the variable with the directory of initdb and postgres. Without it the newest of Debian's directories
// is taken, or what is on PATH.
const Binaries = "DUROXIDE_TEST_POSTGRES_BIN"

// Database of the tests of a package; the zero value is none.
type Database struct {
	URL string
	// Server is the one that was started for the tests; nil when they use another.
	Server *Server
}

// Start gives the database that DatabaseURL names, or starts a server. The error tells why there is none; tests that need
// one skip then, except on machines that call themselves CI.
func Start() (Database, error) {
	if url := os.Getenv(DatabaseURL); url != "" {
		return Database{URL: url}, nil
	}
	s, err := startServer()
	if err != nil {
		return Database{}, fmt.Errorf("no PostgreSQL for the tests (set %s, or install the server): %w", DatabaseURL, err)
	}
	return Database{URL: s.URL, Server: s}, nil
}

// Main is the body of a TestMain: it puts the database where the tests find it, runs them and stops it.
func Main(m *testing.M, put func(Database)) int {
	d, err := Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		if os.Getenv("CI") != "" {
			return 1
		}
	}
	put(d)
	if d.Server != nil {
		defer d.Server.Stop()
	}
	return m.Run()
}

var names atomic.Int64

// Name makes a name that no other test uses.
func Name(prefix string) string { return fmt.Sprintf("%s%d_%d", prefix, os.Getpid(), names.Add(1)) }

// Schema names a schema of the test's own, and drops it in the end. It skips the test when there is no database.
func (d Database) Schema(tb testing.TB) string {
	tb.Helper()
	if d.URL == "" {
		tb.Skip("no PostgreSQL")
	}
	schema := Name("Test ")
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		conn, err := pgx.Connect(ctx, d.URL)
		if err != nil {
			return
		}
		defer func() { _ = conn.Close(ctx) }()
		_, _ = conn.Exec(ctx, "DROP SCHEMA IF EXISTS "+pgx.Identifier{schema}.Sanitize()+" CASCADE")
	})
	return schema
}

// Server is a PostgreSQL server of the tests' own, with fsync on as in earnest.
type Server struct {
	URL  string
	Port int
	Home string // directory with the data, the sockets and what tests put there
	// As is who the server runs as; nil: as the tests do.
	As *syscall.Credential

	bin string
	cmd *exec.Cmd
}

func startServer() (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin}
	if os.Getuid() == 0 { // the server refuses to run as root
		if s.As, err = ordinary(); err != nil {
			return nil, err
		}
	}
	if s.Home, err = os.MkdirTemp("/tmp", "duroxide-postgres-"); err != nil { // short: the path of a socket is bounded
		return nil, err
	}
	if s.As != nil {
		if err := os.Chown(s.Home, int(s.As.Uid), int(s.As.Gid)); err != nil {
			return nil, err
		}
	}
	initdb := s.Command("initdb", "-D", filepath.Join(s.Home, "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		_ = os.RemoveAll(s.Home)
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if s.Port, err = FreePort(); err != nil {
		return nil, err
	}
	s.URL = fmt.Sprintf("postgresql://postgres@127.0.0.1:%d/postgres?sslmode=disable", s.Port)
	if err := s.Run(); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// FreePort gives a port of this machine on which nobody listens.
func FreePort() (int, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil //nolint:errcheck,forcetypeassert // tcp
}

// ordinary is a user without rights, for servers that refuse to run as root.
func ordinary() (*syscall.Credential, error) {
	var owner *user.User
	var err error
	for _, name := range []string{"postgres", "nobody"} {
		if owner, err = user.Lookup(name); err == nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	uid, _ := strconv.Atoi(owner.Uid)
	gid, _ := strconv.Atoi(owner.Gid)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil //nolint:gosec // ids are small
}

func binaries() (string, error) {
	if bin := os.Getenv(Binaries); bin != "" {
		return bin, nil
	}
	if found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres"); err == nil && len(found) > 0 {
		return filepath.Dir(found[len(found)-1]), nil
	}
	path, err := exec.LookPath("postgres")
	return filepath.Dir(path), err
}

// Command is a program of the server, run as its user.
func (s *Server) Command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), filepath.Join(s.bin, name), args...) //nolint:gosec // a program of the server
	cmd.Dir = s.Home
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.As}
	return cmd
}

// Run starts the server, again after Crash, and waits until it answers.
func (s *Server) Run() error {
	s.cmd = s.Command("postgres", "-D", filepath.Join(s.Home, "data"), "-p", strconv.Itoa(s.Port), "-k", s.Home,
		"-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200", "-c", "log_min_messages=fatal")
	if os.Getenv("DUROXIDE_TEST_POSTGRES_LOG") != "" {
		s.cmd.Stderr = os.Stderr
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		conn, err := pgx.Connect(ctx, s.URL)
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

// Stop ends the server and removes what it has written.
func (s *Server) Stop() {
	s.end(syscall.SIGINT) // fast shutdown
	_ = os.RemoveAll(s.Home)
}

// Restart shuts the server down as an administrator does, and starts it again.
func (s *Server) Restart() error {
	s.end(syscall.SIGINT)
	return s.Run()
}

// Crash ends every process of the server at once, as a machine does that fails: no checkpoint, clients are cut off.
func (s *Server) Crash() { s.end(syscall.SIGQUIT) }

func (s *Server) end(how syscall.Signal) {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	_ = s.cmd.Process.Signal(how)
	_ = s.cmd.Wait()
}

// Configure puts a line in front of a file of the server's configuration; Reload makes it hold.
func (s *Server) Configure(file, line string) error {
	path := filepath.Join(s.Home, "data", file)
	before, err := os.ReadFile(path) //nolint:gosec // a file of the server's
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	return os.WriteFile(path, append([]byte(line+"\n"), before...), fs.FileMode(0o600))
}

// Reload makes the server read its configuration again.
func (s *Server) Reload() error { return s.cmd.Process.Signal(syscall.SIGHUP) }
