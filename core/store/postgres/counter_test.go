package postgres

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

// A look at the counter, and what comes of it.
type looked struct {
	what  string
	after time.Duration // since the look before
	reading
	tell, moved bool
}

func TestAMoveIsPassedOnUntilAllHasEndedThatWasUnderWay(t *testing.T) {
	for name, looks := range map[string][]looked{
		"of a write that ends at once": {
			{"nothing was known", 0, reading{5, 100, 0}, true, true},
			{"once more", time.Second, reading{5, 100, 100}, true, false},
			{"over", time.Second, reading{5, 101, 0}, false, false},
			{"and stays so", time.Hour, reading{5, 300, 0}, false, false},
			{"the next", time.Second, reading{6, 300, 0}, true, true},
		},
		"of a write that goes on": {
			{"it has drawn", 0, reading{5, 100, 0}, true, true},
			{"and goes on", 100 * time.Millisecond, reading{5, 100, 101}, true, false},
			{"too soon", 50 * time.Millisecond, reading{5, 100, 0}, false, false},
			{"in case that another holds this up", 50 * time.Millisecond, reading{5, 100, 0}, true, false},
			{"less often", 300 * time.Millisecond, reading{5, 100, 0}, false, false},
			{"now and then", 100 * time.Millisecond, reading{5, 100, 0}, true, false},
			{"it has ended", 100 * time.Millisecond, reading{5, 101, 0}, true, false},
			{"over, though others go on", time.Hour, reading{5, 101, 0}, false, false},
		},
		"while the one before goes on": {
			{"it has drawn", 0, reading{5, 100, 0}, true, true},
			{"another too", 10 * time.Millisecond, reading{6, 100, 101}, true, true},
			{"once more", 10 * time.Millisecond, reading{6, 100, 102}, true, false},
			{"the first has ended", 10 * time.Millisecond, reading{6, 101, 0}, false, false},
			{"the other too", 10 * time.Millisecond, reading{6, 102, 0}, true, false},
		},
		"read by two at once": {
			{"it has drawn", 0, reading{5, 100, 0}, true, true},
			{"who did not know that this is the second look", 0, reading{5, 100, 0}, true, false},
			{"once more", 0, reading{5, 100, 101}, true, false},
			{"it has ended", 0, reading{5, 101, 0}, true, false},
			{"over", 0, reading{5, 101, 0}, false, false},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var c counter
			at := time.Now()
			for _, l := range looks {
				at = at.Add(l.after)
				if tell, moved := c.take(l.reading, at); tell != l.tell || moved != l.moved {
					t.Fatalf("%s: tell %v, moved %v; want %v, %v", l.what, tell, moved, l.tell, l.moved)
				}
			}
		})
	}
}

// mute makes as many notifications fail as it is set to.
type mute struct{ left atomic.Int64 }

func (m *mute) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if data.SQL == notify && m.left.Add(-1) >= 0 {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		return ended
	}
	return ctx
}

func (*mute) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// openMute opens a store as a process does that cannot send notifications, or is killed before it does.
func openMute(t *testing.T, schema string, failing int64) *Store {
	t.Helper()
	m := new(mute)
	m.left.Store(failing)
	return openSchema(t, schema, Options{configure: func(c *pgxpool.Config) { c.ConnConfig.Tracer = m }})
}

func TestANotificationThatFailedIsSentAgain(t *testing.T) {
	schema := newSchema(t)
	reader := openSchema(t, schema, Options{PollInterval: time.Hour, lookEvery: time.Hour})
	writer := openMute(t, schema, 4)
	h := listening(t, reader)
	h.begins(t)
	startOne(t, writer, "a")
	until(t, "the start is heard of", func() bool { return h.kinds.Load() == uint32(store.KindReady) })
}

func TestAWriteWhoseWriterWasKilledIsHeardOf(t *testing.T) {
	schema := newSchema(t)
	writer := openMute(t, schema, 1<<60)
	t.Run("by a client", func(t *testing.T) {
		reader := openSchema(t, schema, Options{PollInterval: time.Hour, lookEvery: 20 * time.Millisecond})
		h := listening(t, reader)
		h.begins(t)
		until(t, "what was before is old news", reader.news.counter.settled)
		h.kinds.Store(0)
		startOne(t, writer, "a")
		until(t, "the start is heard of", func() bool { return h.kinds.Load() == uint32(written) })
		until(t, "it is old news", reader.news.counter.settled)
	})
	t.Run("by a node, with its renewals", func(t *testing.T) {
		ctx := context.Background()
		reader := openSchema(t, schema, Options{PollInterval: time.Hour, lookEvery: time.Hour})
		h := listening(t, reader)
		h.begins(t)
		lease, err := reader.Join(ctx, store.Node{ID: "reader", LeaseMS: 3_600_000})
		if err != nil {
			t.Fatal(err)
		}
		renew := func() {
			t.Helper()
			if err := reader.Renew(ctx, lease); err != nil {
				t.Fatal(err)
			}
		}
		until(t, "what was before is old news", func() bool {
			renew()
			return reader.news.counter.settled()
		})
		h.kinds.Store(0)
		renew()
		if h.kinds.Load() != 0 {
			t.Errorf("nothing was written, and news came of the kinds %b", h.kinds.Load())
		}
		startOne(t, writer, "b")
		renew()
		if store.Kinds(h.kinds.Load()) != written { //nolint:gosec // only kinds
			t.Errorf("news came of the kinds %b, want %b", h.kinds.Load(), written)
		}
	})
}

// begins waits until notifications come through, and the counter has been looked at for the first time.
func (h hearer) begins(t *testing.T) {
	t.Helper()
	until(t, "listening has begun", func() bool { return h.kinds.Load() == anyKind|uint32(written) })
	h.kinds.Store(0)
}

// settled: nothing is to be passed on any more.
func (c *counter) settled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known && !c.second && c.before == 0
}

// waits: the move was passed on, and who may have made it is still under way.
func (c *counter) waits() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known && !c.second && c.before != 0
}

// The counter moves when a write begins, long before its commit where the disk is slow.
func TestWithoutNotificationsASlowCommitIsHeardOf(t *testing.T) {
	ctx := context.Background()
	w, through := newWire(t)
	w.mislead.Store(true)
	reader := openSchemaAt(t, through)
	conn, err := pgx.Connect(ctx, testURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	h := listening(t, reader)
	until(t, "what was before is old news", reader.news.counter.settled)
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	args := []any{"a", newLife(), uuid(history.NewToken()), "flow", "", "", int64(0), "", false, int64(1)}
	if _, err := tx.Exec(ctx, reader.sql.in(callStart), args...); err != nil {
		t.Fatal(err)
	}
	until(t, "the write is noticed", reader.news.counter.waits)
	h.kinds.Store(0)
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	until(t, "the commit is heard of", func() bool { return h.kinds.Load() != 0 })
	until(t, "it is old news", reader.news.counter.settled)
}
