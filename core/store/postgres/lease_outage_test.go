package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duroxide/duroxide/core/client"
	"github.com/duroxide/duroxide/core/engine"
	"github.com/duroxide/duroxide/core/simtest"
	"github.com/duroxide/duroxide/core/store"
)

// The database is away for longer than the leases last, and back for one runtime before it is for the other: both go on as the
// nodes they were, and no activity that was running runs again.
func TestRuntimesOutliveAnOutageThatIsLongerThanTheirLeases(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), bounded)
	defer cancel()
	schema := newSchema(t)
	const nodes, lease = 2, 3 * time.Second
	release := make(chan struct{})
	var runs atomic.Int64
	p := simtest.NewProgram()
	p.Orchestration("holds", func(c *simtest.Context, _ string) (string, error) { return c.Await(c.Activity("hold", "")) })
	p.Activity("hold", func(*engine.Activity) (string, error) {
		runs.Add(1)
		<-release
		return "done", nil
	})
	looker := openSchema(t, schema, Options{})
	seen := &statementLog{more: make(chan struct{}, 1)}
	var wires [nodes]*wire
	for i := range wires {
		w, through := newWire(t)
		wires[i] = w
		o := Options{Schema: schema}
		if i == 0 {
			o.configure = func(c *pgxpool.Config) { c.ConnConfig.Tracer = seen }
		}
		s, err := Open(ctx, through, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		simtest.Start(t, s, p, func(o *engine.Options) { o.Lease, o.WorkerConcurrency = lease, 1 })
	}
	c := client.New(looker)
	defer c.Close()
	for i := range nodes {
		if err := c.Start(ctx, store.Start{Instance: fmt.Sprint("i", i), Name: "holds"}); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "all run", func() bool { return runs.Load() == nodes })
	before := liveNodes(ctx, t, looker)

	for _, w := range wires {
		w.down.Store(true)
		w.cut()
	}
	until(t, "all leases are over", func() bool { return len(liveNodes(ctx, t, looker)) == 0 })
	wires[0].down.Store(false)
	until(t, "one is back", func() bool { return len(liveNodes(ctx, t, looker)) == 1 })
	mark := len(seen.since(0))
	until(t, "it has looked for dead nodes", func() bool {
		return slices.ContainsFunc(seen.since(mark), func(sql string) bool { return strings.Contains(sql, "duroxide_strays") })
	})
	wires[1].down.Store(false)
	until(t, "all are back", func() bool { return len(liveNodes(ctx, t, looker)) == nodes })
	if after := liveNodes(ctx, t, looker); !slices.Equal(after, before) {
		t.Errorf("the nodes are %q, and were %q", after, before)
	}
	close(release)
	for i := range nodes {
		if s, err := c.WaitEnd(ctx, fmt.Sprint("i", i)); err != nil || s.Output != "done" {
			t.Error(s, err)
		}
	}
	if n := runs.Load(); n != nodes {
		t.Errorf("%d activities ran %d times", nodes, n)
	}
}

func liveNodes(ctx context.Context, t *testing.T, s *Store) (live []string) {
	t.Helper()
	err := s.read(ctx, "list nodes", func(ctx context.Context, q querier) error {
		live = nil
		return each(ctx, q, s.sql.in("SELECT node FROM {schema}.duroxide_nodes WHERE until >= {schema}.duroxide_now() ORDER BY node"), nil,
			func(rows pgx.Rows) error {
				var node string
				err := rows.Scan(&node)
				live = append(live, node)
				return err
			})
	})
	if err != nil && !store.IsRetryable(err) {
		t.Fatal(err)
	}
	return live
}
