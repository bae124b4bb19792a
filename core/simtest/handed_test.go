package simtest_test

import (
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/duroxide/duroxide/core/engine"
	"github.com/duroxide/duroxide/core/simtest"
	"github.com/duroxide/duroxide/core/store"
)

// A message for an instance that waits in this process is read along with its write: the turn that takes it asks the
// store for nothing. Messages that come together, and those for instances that are not in memory, are read as ever.
func TestMessagesForInstancesInMemoryNeedNoRead(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) store.Store{
		"sqlite":   func(t *testing.T) store.Store { t.Helper(); return openMemory(t) },
		"postgres": func(t *testing.T) store.Store { t.Helper(); return elsewhere(t, database.Schema(t)) },
	} {
		for _, live := range []int{1000, 0} {
			t.Run(name+" live="+strconv.Itoa(live), func(t *testing.T) {
				const instances = 20
				p := standard()
				p.Orchestration("two", func(c *simtest.Context, _ string) (string, error) {
					first, err := c.Await(c.Event("go"))
					if err != nil {
						return "", err
					}
					second, err := c.Await(c.Dequeue("mail"))
					return first + second, err
				})
				w := newWorld(t, open(t), p)
				n := simtest.Start(t, w.store, p, func(o *engine.Options) { o.LiveExecutions = live })
				committed := func(turns int64) {
					t.Helper()
					for deadline := time.Now().Add(bound); n.Counters().TurnsCommitted < turns; {
						if time.Now().After(deadline) {
							t.Fatalf("%d turns of %d", n.Counters().TurnsCommitted, turns)
						}
						runtime.Gosched()
					}
				}
				for i := range instances {
					w.start(strconv.Itoa(i), "two", "")
				}
				committed(instances)
				for i := range instances {
					w.must(w.client.RaiseEvent(w.ctx, strconv.Itoa(i), "go", "a"))
				}
				committed(2 * instances)
				for i := range instances {
					w.must(w.client.EnqueueEvent(w.ctx, strconv.Itoa(i), "mail", "b"))
				}
				for i := range instances {
					w.completes(strconv.Itoa(i), "ab")
				}
				want := int64(0)
				if live > 0 {
					want = 2 * instances
				}
				if c := n.Counters(); c.Handed != want {
					t.Errorf("%d of %d messages needed no read", c.Handed, want)
				}
			})
		}
	}
}
