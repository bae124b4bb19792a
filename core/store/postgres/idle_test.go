package postgres

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duroxide/duroxide/core/engine"
	"github.com/duroxide/duroxide/core/simtest"
)

// statementLog hears of every statement that is sent.
type statementLog struct {
	mu   sync.Mutex
	sent []string
	more chan struct{}
}

func (l *statementLog) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	l.mu.Lock()
	l.sent = append(l.sent, data.SQL)
	l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
	return ctx
}

func (*statementLog) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// since gives what was sent after the first n.
func (l *statementLog) since(n int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.sent[n:]...)
}

func isRenewal(sql string) bool { return strings.Contains(sql, "duroxide_renew") }

// An idle runtime sends its renewals, which tell it all it wants to know, and nothing else: with the default lease one
// statement each 5 s. Two of them, since each watches the other; and timers and mail for later are no reason to ask.
func TestAnIdleRuntimeOnlyRenewsItsLease(t *testing.T) {
	seen := &statementLog{more: make(chan struct{}, 1)}
	schema := newSchema(t)
	s := openSchema(t, schema, Options{configure: func(c *pgxpool.Config) { c.ConnConfig.Tracer = seen }})
	other := openSchema(t, schema, Options{})
	p := simtest.NewProgram()
	p.Orchestration("sleeps", func(c *simtest.Context, _ string) (string, error) { return c.Await(c.Event("never")) })
	const lease = 2 * time.Second
	short := func(o *engine.Options) { o.Lease = lease }
	simtest.Start(t, s, p, short)
	simtest.Start(t, other, p, short)
	startOne(t, s, "unknown orchestration, so that something is asked for at first")
	if _, err := s.Delete(context.Background(), "unknown orchestration, so that something is asked for at first", true); err != nil {
		t.Fatal(err)
	}
	bound := time.After(bounded)
	// What begins has things to ask: it is quiet when three renewals came one after another.
	mark, renewals := 0, 0
	var before time.Time
	for renewals < 6 {
		select {
		case <-seen.more:
		case <-bound:
			t.Fatalf("never quiet: %q", seen.since(0))
		}
		sent := seen.since(mark)
		mark += len(sent)
		for _, sql := range sent {
			if isRenewal(sql) {
				if now := time.Now(); renewals > 3 && now.Sub(before) < lease/2-lease/20 {
					t.Errorf("renewed %v after the renewal before", now.Sub(before))
				}
				before = time.Now()
				renewals++
			} else {
				if renewals > 3 { // it was quiet before
					t.Fatalf("an idle runtime sent %s", sql)
				}
				renewals = 0
			}
		}
	}
}

const bounded = 60 * time.Second
