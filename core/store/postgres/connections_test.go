package postgres

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duroxide/duroxide/core/park"
	"github.com/duroxide/duroxide/core/store"
)

// openThrough opens a store behind a proxy.
func openThrough(t *testing.T, through string, o Options) *Store {
	t.Helper()
	o.Schema = newSchema(t)
	s, err := Open(context.Background(), through, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func joinAs(t *testing.T, s *Store, lease time.Duration) *store.Lease {
	t.Helper()
	l, err := s.Join(context.Background(), store.Node{ID: "n", LeaseMS: lease.Milliseconds()})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// renewed tries until the lease is renewed.
func renewed(t *testing.T, s *Store, l *store.Lease) {
	t.Helper()
	until(t, "it is renewed", func() bool {
		err := s.Renew(context.Background(), l)
		if err != nil && !store.IsRetryable(err) {
			t.Fatal(err)
		}
		return err == nil
	})
}

// The address leads to another server now, and what was sent to the old one is lost without a word. With ten connections in
// the pool the first renewal finds a new one, well within its lease.
func TestASilentFailOverIsNoticedByTheNextCall(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	w, through := newWire(t)
	s := openThrough(t, through, Options{})
	l := joinAs(t, s, 10*time.Second)
	var held []*pgxpool.Conn
	for range defaultConns {
		c, err := s.pool.Acquire(ctx)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	for _, c := range held {
		c.Release()
	}
	idle := time.Now()
	until(t, "they have been idle", func() bool { return time.Since(idle) > pingAfter+10*time.Millisecond })
	begun := time.Now()
	w.epoch.Add(1)
	if err := s.Renew(ctx, l); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Ready(ctx, store.ReadyQuery{Node: "n", Names: []string{"flow"}, Limit: 1}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > 2*pingBound {
		t.Errorf("took %v: more than one of the silent connections was tried", took)
	}
}

// A renewal without an answer ends while there is time for another; and that one goes through, although the first was
// applied.
func TestARenewalThatIsNotAnsweredIsGivenUpInTime(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	w, through := newWire(t)
	s := openThrough(t, through, Options{})
	l := joinAs(t, s, 3*time.Second)
	for n := range 2 {
		w.mute.Store(true)
		begun := time.Now()
		if err := s.Renew(ctx, l); !store.IsRetryable(err) {
			t.Fatalf("renewal %d without an answer: %v", n, err)
		}
		if took := time.Since(begun); took > 3*time.Second {
			t.Errorf("given up after %v: the lease is over", took)
		}
	}
	w.mute.Store(false)
	renewed(t, s, l)
	if err := s.Renew(ctx, l); err != nil {
		t.Fatal(err)
	}
}

// What has fallen silent is given up, and soon makes room for another: in the middle of a statement, and when a caller in a
// hurry tries whether it still leads anywhere.
func TestASilentConnectionDoesNotKeepItsPlaceInThePool(t *testing.T) {
	idle := func(c *pgxpool.Config) {
		try := c.ShouldPing
		c.ShouldPing = func(ctx context.Context, p pgxpool.ShouldPingParams) bool {
			p.IdleDuration = time.Minute
			return try(ctx, p)
		}
	}
	for what, o := range map[string]Options{
		"in a statement": {MaxConns: 1}, "in a notification": {MaxConns: 1}, "idle": {MaxConns: 1, configure: idle},
	} {
		t.Run(what, func(t *testing.T) {
			w, through := newWire(t)
			s := openThrough(t, through, o)
			l := joinAs(t, s, 600*time.Millisecond) // so that less than silentAfter is left for a look
			begun := time.Now()
			w.epoch.Add(1)
			if what == "in a notification" {
				if err := s.news.notify(context.Background(), "x"); err == nil {
					t.Fatal("the connection is not silent")
				}
			} else if err := s.Renew(context.Background(), l); !store.IsRetryable(err) {
				t.Fatal(err)
			}
			renewed(t, s, l)
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestACallThatGetsNoConnectionSaysSo(t *testing.T) {
	ctx := context.Background()
	s := openSchema(t, newSchema(t), Options{MaxConns: 1})
	l := joinAs(t, s, time.Second)
	held, err := s.pool.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Release()
	err = s.Renew(ctx, l)
	if !store.IsRetryable(err) || store.IsUnknown(err) || !strings.Contains(err.Error(), "or all 1 of the pool are in use") {
		t.Fatal(err)
	}
}

func TestCloseEndsThoughTheServerIsSilent(t *testing.T) {
	w, through := newWire(t)
	seen := &statementLog{more: make(chan struct{}, 1)}
	s := openThrough(t, through, Options{configure: func(c *pgxpool.Config) { c.ConnConfig.Tracer = seen }})
	if _, err := s.SystemMetrics(context.Background()); err != nil { // describes the statement
		t.Fatal(err)
	}
	w.mute.Store(true)
	before := len(seen.since(0))
	counted := make(chan error, 1)
	go func() {
		_, err := s.SystemMetrics(context.Background())
		counted <- err
	}()
	until(t, "it is counted", func() bool { return len(seen.since(before)) > 0 })
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	for _, end := range []struct {
		of   string
		came chan error
		want bool
	}{{"close", closed, false}, {"the call under way", counted, true}} {
		select {
		case err := <-end.came:
			if (err != nil) != end.want {
				t.Errorf("%s: %v", end.of, err)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s never ends", end.of)
		}
	}
}

// A bound thread waits for its answer itself while nobody else asks, and whoever gets its connection next does not.
func TestOnlyLoneCallsOfBoundThreadsHoldThem(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	holds := func(c *pgxpool.Conn) bool {
		t.Helper()
		inner, ok := c.Conn().PgConn().Conn().(*socket)
		if !ok {
			t.Fatalf("the connection is a %T", c.Conn().PgConn().Conn())
		}
		return inner.holds.Load()
	}
	for _, c := range []struct {
		name   string
		ctx    context.Context //nolint:containedctx // of the call
		beside bool
		holds  bool
	}{
		{"bound", park.Bound(ctx), false, true},
		{"bound, another beside it", park.Bound(ctx), true, true},
		{"plain", ctx, false, false},
	} {
		first, giveBack, err := s.lend(c.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if got := holds(first); got != c.holds {
			t.Errorf("%s: holds %v", c.name, got)
		}
		if c.beside {
			second, giveBack, err := s.lend(c.ctx)
			if err != nil {
				t.Fatal(err)
			}
			if holds(second) {
				t.Errorf("%s: the second holds too", c.name)
			}
			giveBack()
		}
		giveBack()
		for _, idle := range s.pool.AcquireAllIdle(ctx) {
			if holds(idle) {
				t.Errorf("%s: an idle connection holds", c.name)
			}
			idle.Release()
		}
	}
}
