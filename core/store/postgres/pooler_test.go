package postgres

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
	"github.com/duroxide/duroxide/core/store/postgres/pgtest"
)

// newPooler puts PgBouncer in front of the server: transactions of one client run on whatever connection is free, few
// of them, and each is wiped with DISCARD ALL afterwards.
func newPooler(t *testing.T) string {
	t.Helper()
	if server == nil {
		t.Skip("needs a server of its own")
	}
	path := os.Getenv("DUROXIDE_TEST_PGBOUNCER")
	if path == "" {
		for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
			if found, err := exec.LookPath(name); err == nil {
				path = found
			}
		}
	}
	if path == "" {
		t.Skip("no pgbouncer")
	}
	port, err := pgtest.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	ini := filepath.Join(server.Home, fmt.Sprintf("pooler-%d.ini", port))
	users := filepath.Join(server.Home, "users.txt")
	for name, text := range map[string]string{
		users: `"postgres" ""` + "\n",
		ini: fmt.Sprintf(`[databases]
postgres = host=127.0.0.1 port=%d dbname=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
auth_type = trust
auth_file = %s
unix_socket_dir =
pool_mode = transaction
default_pool_size = 3
max_client_conn = 200
server_reset_query = DISCARD ALL
server_reset_query_always = 1
`, server.Port, port, users),
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil { //nolint:gosec // read by the other user
			t.Fatal(err)
		}
	}
	cmd := exec.Command(path, "-q", ini) //nolint:gosec // the pooler
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: server.As}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		_ = cmd.Wait()
	})
	u := "postgresql://postgres@127.0.0.1:" + strconv.Itoa(port) + "/postgres?sslmode=disable"
	until(t, "the pooler answers", func() bool {
		conn, err := pgx.Connect(context.Background(), u)
		if err == nil {
			_ = conn.Close(context.Background())
		}
		return err == nil
	})
	return u
}

func TestWorksBehindAPoolerInTransactionMode(t *testing.T) {
	through := newPooler(t)
	schema := newSchema(t)
	ctx := context.Background()
	var all sync.WaitGroup
	failed := make(chan error, 20)
	for i := range 20 {
		all.Go(func() {
			s, err := Open(ctx, through, Options{Schema: schema, ConnectTimeout: time.Minute})
			if err != nil {
				failed <- err
				return
			}
			defer func() { _ = s.Close() }()
			for n := range 10 {
				id := fmt.Sprintf("%d-%d", i, n)
				if _, err := s.Start(ctx, store.Start{Instance: id, Name: "flow"}); err != nil {
					failed <- err
					return
				}
				if _, err := s.Enqueue(ctx, []store.Enqueue{{Instance: id, Message: history.Message{Kind: history.MsgEvent, ID: id, Name: "e"}}}); err != nil {
					failed <- err
					return
				}
				if snapshot, err := s.Load(ctx, id, history.Token{}); err != nil || len(snapshot.Messages) != 2 {
					failed <- fmt.Errorf("%v: %w", snapshot, err)
					return
				}
			}
		})
	}
	all.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
	s, err := Open(ctx, through, Options{Schema: schema, PollInterval: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for _, group := range []int{1, 8} {
		fresh, err := Open(ctx, through, Options{Schema: newSchema(t)})
		if err != nil {
			t.Fatal(err)
		}
		x := newSteps(t, fresh, group)
		for range 20 {
			x.commit(t, fresh)
		}
		_ = fresh.Close()
	}
	h := listening(t, s)
	h.within(t, 30*time.Second, "that there may be news from before")
	quiet(h, 3*time.Second)
	until(t, "that notifications do not come through is said", func() bool { return len(h.notices) > 0 })
	startOne(t, openSchema(t, schema, Options{}), "from elsewhere")
	h.within(t, 30*time.Second, "a start")
}

func TestDiscardedStatementsAreSentAnew(t *testing.T) {
	s := openSchema(t, newSchema(t), Options{MaxConns: 1})
	x := newSteps(t, s, 1)
	for range 5 {
		x.commit(t, s)
		if _, err := s.pool.Exec(context.Background(), "DISCARD ALL"); err != nil {
			t.Fatal(err)
		}
	}
	x.commit(t, s)
}
