package postgres

import (
	"bytes"
	"context"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
)

// crossing is a proxy in front of the server that cuts clients off of which the server then knows nothing: it goes on with
// what they have sent, or gets it only later. Requests to cancel do not get through.
type crossing struct {
	listener net.Listener
	target   string
	foreign  bool // process ids are not those of the server, as behind a pooler
	mu       sync.Mutex
	clients  []net.Conn

	held    []byte // the first that holds this text stays on its way until let is closed, and its client is cut off
	cutOff  func() // before that
	let     chan struct{}
	arrived chan struct{} // closed when the server has answered it
	taken   atomic.Bool   // it was held
}

func newCrossing(t *testing.T) (x *crossing, through string) {
	t.Helper()
	if server == nil {
		t.Skip("needs a superuser")
	}
	u, err := url.Parse(testURL)
	if err != nil {
		t.Fatal(err)
	}
	x = &crossing{target: u.Host, let: make(chan struct{}), arrived: make(chan struct{}), cutOff: func() {}}
	if x.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	u.Host = x.listener.Addr().String()
	go x.accept()
	t.Cleanup(func() { _ = x.listener.Close() })
	return x, u.String()
}

func (x *crossing) accept() {
	for {
		client, err := x.listener.Accept()
		if err != nil {
			return
		}
		backend, err := net.Dial("tcp", x.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		x.mu.Lock()
		x.clients = append(x.clients, client)
		x.mu.Unlock()
		held := make(chan struct{})
		go x.questions(client, backend, held)
		go x.answers(client, backend, held)
	}
}

func (x *crossing) cut() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, c := range x.clients {
		_ = c.Close()
	}
	x.clients = nil
}

var cancelRequest = []byte{0, 0, 0, 16, 4, 210, 22, 46}

// questions leaves the server's side open when the client is gone.
func (x *crossing) questions(client, backend net.Conn, held chan struct{}) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			return
		}
		if bytes.HasPrefix(buffer[:n], cancelRequest) {
			_, _ = client.Close(), backend.Close()
			return
		}
		if len(x.held) > 0 && bytes.Contains(buffer[:n], x.held) && !x.taken.Swap(true) {
			x.cutOff()
			_ = client.Close()
			<-x.let
			close(held)
		}
		if _, err := backend.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (x *crossing) answers(client, backend net.Conn, held chan struct{}) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := backend.Read(buffer)
		select {
		case <-held:
			close(x.arrived)
			_ = backend.Close()
			return
		default:
		}
		if err != nil {
			_ = client.Close()
			return
		}
		if i := bytes.Index(buffer[:n], []byte{'K', 0, 0, 0, 12}); x.foreign && i >= 0 {
			buffer[i+5] ^= 0x55
		}
		_, _ = client.Write(buffer[:n])
	}
}

// deliver lets what is held get through.
func (x *crossing) deliver(t *testing.T) {
	t.Helper()
	close(x.let)
	<-x.arrived
}

// barrier is what the server waits at with certain changes.
type barrier struct {
	conn   *pgx.Conn
	schema string
}

func newBarrier(t *testing.T, s *Store, before string) *barrier {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, testURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(ctx) })
	for _, sql := range []string{
		`CREATE FUNCTION {schema}.meet() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			PERFORM pg_advisory_xact_lock_shared(hashtextextended('` + s.schema + `', 77)); RETURN new; END $$`,
		`CREATE TRIGGER meet BEFORE ` + before + ` FOR EACH ROW EXECUTE FUNCTION {schema}.meet()`,
		`SELECT pg_advisory_lock(hashtextextended('` + s.schema + `', 77))`,
	} {
		if _, err := conn.Exec(ctx, s.sql.in(sql)); err != nil {
			t.Fatal(err)
		}
	}
	return &barrier{conn: conn, schema: s.schema}
}

// processes gives those of the server that are at a call, or wait in it.
func (b *barrier) processes(t *testing.T, which string) (pids []int32) {
	t.Helper()
	err := b.conn.QueryRow(context.Background(), `SELECT coalesce(array_agg(pid), '{}') FROM pg_stat_activity
		WHERE strpos(query, $1) > 0 AND pid <> pg_backend_pid() AND state = 'active' AND `+which, b.schema).Scan(&pids)
	if err != nil {
		t.Fatal(err)
	}
	return pids
}

func (b *barrier) open(t *testing.T) {
	t.Helper()
	if _, err := b.conn.Exec(context.Background(), "SELECT pg_advisory_unlock_all()"); err != nil {
		t.Fatal(err)
	}
}

// lose runs do, whose client is cut off while the server waits, and lets the server go on when somebody else waits too, or
// do is over.
func (b *barrier) lose(t *testing.T, x *crossing, do func()) {
	t.Helper()
	over := make(chan struct{})
	go func() {
		defer close(over)
		do()
	}()
	var first []int32
	until(t, "the server waits", func() bool {
		first = b.processes(t, "wait_event_type = 'Lock'")
		return len(first) > 0
	})
	x.cut()
	until(t, "it was looked up", func() bool {
		select {
		case <-over:
			return true
		default:
		}
		for _, pid := range b.processes(t, "wait_event_type = 'Lock'") {
			if pid != first[0] {
				return true
			}
		}
		return false
	})
	b.open(t)
	<-over
	until(t, "the server is done", func() bool { return len(b.processes(t, "true")) == 0 })
}
