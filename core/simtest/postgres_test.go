package simtest_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/duroxide/duroxide/core/client"
	"github.com/duroxide/duroxide/core/engine"
	"github.com/duroxide/duroxide/core/simtest"
	"github.com/duroxide/duroxide/core/store"
	"github.com/duroxide/duroxide/core/store/postgres"
)

// elsewhere opens the schema of a store once more, as another process does.
func elsewhere(tb testing.TB, schema string) store.Store {
	tb.Helper()
	s, err := postgres.Open(context.Background(), database.URL, postgres.Options{Schema: schema})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// What another process sends arrives by notification: the node never finds anything by its fall-back poll, and neither
// does the client that waits in a process without a node.
func TestEventsOfOtherProcessesArriveWithoutAPoll(t *testing.T) {
	schema := database.Schema(t)
	p := standard()
	w := newWorld(t, elsewhere(t, schema), p)
	n := simtest.Start(t, w.store, p)
	other := elsewhere(t, schema)
	c := client.New(other)
	t.Cleanup(func() {
		c.Close()
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, id := range []string{"a", "b", "c"} {
		w.must(c.Start(w.ctx, store.Start{Instance: id, Name: "waits"}))
		w.must(c.RaiseEvent(w.ctx, id, "go", id))
		ended, err := c.WaitEnd(w.ctx, id)
		w.must(err)
		if ended.Output != id {
			t.Fatalf("%s gave %q", id, ended.Output)
		}
	}
	if found := n.Counters().FoundByPoll; found > 1 { // a renewal may come in between
		t.Errorf("%d were found by polling", found)
	}
}

// The server is restarted and crashes while work is under way: nothing fails, nothing is done that was recorded before.
func TestRestartsOfTheServerFailNothing(t *testing.T) {
	if database.Server == nil {
		t.Skip("needs a server of its own")
	}
	for _, live := range []int{10_000, 0} {
		t.Run("live="+strconv.Itoa(live), func(t *testing.T) {
			p := standard()
			w := newWorld(t, openPostgres(t), p)
			n := simtest.Start(t, w.store, p, func(o *engine.Options) { o.LiveExecutions = live })
			const flows, steps = 12, "150"
			for i := range flows {
				w.start(strconv.Itoa(i), "steps", steps)
			}
			for _, how := range []func() error{
				database.Server.Restart,
				func() error { database.Server.Crash(); return database.Server.Run() },
				database.Server.Restart,
			} {
				// Some progress in between.
				for done := n.Counters().TurnsCommitted; n.Counters().TurnsCommitted < done+100; {
					if w.ctx.Err() != nil {
						t.Fatal("no progress")
					}
					<-time.After(time.Millisecond)
				}
				w.must(how())
			}
			for i := range flows {
				w.completes(strconv.Itoa(i), steps)
			}
		})
	}
}
