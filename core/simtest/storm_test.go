package simtest_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/duroxide/duroxide/core/engine"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/simtest"
	"github.com/duroxide/duroxide/core/store"
)

// storming is a program whose activities hold lanes, hold none, and go on until they are cancelled.
func storming() *simtest.Program {
	p := standard()
	untilCancelled := func(a *engine.Activity) (string, error) {
		for end := time.Now().Add(time.Second); !a.Cancelled.Load() && time.Now().Before(end); {
			pauseABit()
		}
		return a.Name, nil
	}
	p.Activity("long", untilCancelled)
	p.DetachedActivity("long away", untilCancelled)
	p.DetachedActivity("away", func(a *engine.Activity) (string, error) {
		runtime.Gosched()
		return a.Input, nil
	})
	p.Activity("flaky", func(a *engine.Activity) (string, error) {
		if a.Attempt < 3 {
			return "", errBoom
		}
		return "flaked", nil
	})
	p.Orchestration("child", func(c *simtest.Context, in string) (string, error) {
		if _, err := c.Await(c.Timer(3)); err != nil {
			return "", err
		}
		return c.Await(c.Activity("away", in))
	})
	return p
}

// turnstile notes when two turns of an instance run at once. With several nodes they may: one of them is refused then.
type turnstile struct {
	t     *testing.T
	busy  sync.Map
	alone bool // one node
}

func (s *turnstile) watch(run simtest.Orchestration) simtest.Orchestration {
	return func(c *simtest.Context, in string) (string, error) {
		pass := func() {
			if _, twice := s.busy.LoadOrStore(c.Instance(), true); twice && s.alone {
				s.t.Errorf("two turns of %s run at once", c.Instance())
			}
			runtime.Gosched()
			s.busy.Delete(c.Instance())
		}
		pass()
		out, err := run(c, in)
		pass() // not when what was forgotten is closed: that is no turn, and may take its time
		return out, err
	}
}

// Mixed work on nodes that lose their leases, over a store that is slow and fails: everything ends right.
func TestEverythingEndsRightInAStorm(t *testing.T) {
	p := storming()
	turns := &turnstile{t: t}
	p.Orchestration("again", turns.watch(func(c *simtest.Context, in string) (string, error) {
		n, err := strconv.Atoi(in)
		if err != nil {
			return "", err
		}
		c.SetKV("n", in)
		if _, err := c.Await(c.Activity([]string{"echo", "away"}[n%2], in)); err != nil {
			return "", err
		}
		m, err := c.Await(c.Dequeue("q"))
		if err != nil {
			return "", err
		}
		c.SetStatus(m)
		if n == 4 {
			return "four " + m, nil
		}
		return c.Await(c.ContinueAsNew(strconv.Itoa(n + 1)))
	}))
	p.Orchestration("mixed", turns.watch(func(c *simtest.Context, in string) (string, error) {
		all, err := c.Await(c.All(
			c.Activity("away", "a"), c.Child("child", "b"), c.Timer(2),
			c.Branch(func(c *simtest.Context) (string, error) {
				if _, err := c.Await(c.Activity("greet", "c")); err != nil {
					return "", err
				}
				return c.Await(c.Activity("away", "d").OnSession("s" + in))
			}),
			c.Activity("flaky", "").Retrying(replay.RetryPolicy{MaxAttempts: 5, Backoff: replay.BackoffFixed, InitialMS: 2}),
			c.Activity("echo", "f").OnSession("t"+in),
		))
		if err != nil {
			return "", err
		}
		for _, name := range []string{"long", "long away"} {
			if won, _, err := c.Race(c.Activity(name, ""), c.Timer(20)); err != nil || won != 1 {
				return fmt.Sprint(name, " was in time"), err
			}
		}
		return all, nil
	}))
	for seed := range uint64(3) {
		for _, live := range []int{100, 3, 0} {
			t.Run(fmt.Sprintf("seed=%d/live=%d", seed, live), func(t *testing.T) {
				nodes := 1 + seed%2
				turns.alone = nodes == 1
				w := newWorld(t, openFile(t, filepath.Join(t.TempDir(), "storm.db")), p)
				s := &chaos{Store: w.store, rand: rand.New(rand.NewPCG(seed, uint64(live))), slow: true}
				options := func(o *engine.Options) {
					o.LiveExecutions, o.Lease, o.CancellationGrace, o.MaxSessions = live, time.Second, 50*time.Millisecond, 3
					o.MaxAttempts, o.Log = 1000, nil
				}
				s.spared(func() {
					for range nodes {
						simtest.Start(t, s, p, options)
					}
				})
				const n = 10
				for i := range n {
					id := strconv.Itoa(i)
					w.start("m"+id, "mixed", strconv.Itoa(i%4))
					w.start("c"+id, "again", "0")
					for k := range 5 {
						w.must(w.client.EnqueueEvent(w.ctx, "c"+id, "q", strconv.Itoa(k)))
					}
				}
				for i := range n {
					w.completes("m"+strconv.Itoa(i), "a,b,,d,flaked,f")
					w.completes("c"+strconv.Itoa(i), "four 4")
				}
				s.calm()
			})
		}
	}
}

// Clients start, cancel, delete and restart the same few instances, send to them, and stop nodes: nothing is left behind.
func TestClientsThatDoEverythingAtOnceLeaveNothingBehind(t *testing.T) {
	p := storming()
	p.Orchestration("loop", func(c *simtest.Context, in string) (string, error) {
		n, err := strconv.Atoi(in)
		if err != nil {
			return "", err
		}
		_, err = c.Await(c.All(
			c.Activity("away", "x"), c.Activity("echo", "y").OnSession("s"+strconv.Itoa(n%3)), c.Child("child", in), c.Timer(5)))
		if err != nil {
			return "", err
		}
		if _, _, err := c.Race(c.Event("e"), c.Timer(10), c.Dequeue("q")); err != nil {
			return "", err
		}
		c.SetStatus(in)
		c.SetKV("k"+in, in)
		if n >= 6 {
			return "ended", nil
		}
		return c.Await(c.ContinueAsNew(strconv.Itoa(n + 1)))
	})
	const ids, operations = 12, 600
	for seed := range uint64(2) {
		for _, live := range []int{100, 2, 0} {
			t.Run(fmt.Sprintf("seed=%d/live=%d", seed, live), func(t *testing.T) {
				w := newWorld(t, openFile(t, filepath.Join(t.TempDir(), "storm.db")), p)
				s := &chaos{Store: w.store, rand: rand.New(rand.NewPCG(seed, uint64(live))), slow: true}
				choose := rand.New(rand.NewPCG(seed, 7))
				start := func() (n *simtest.Node) {
					s.spared(func() {
						n = simtest.Start(t, s, p, func(o *engine.Options) {
							o.LiveExecutions, o.Lease, o.CancellationGrace, o.MaxSessions = live, time.Second, 50*time.Millisecond, 2
							o.MaxAttempts, o.Log = 1000, nil
						})
					})
					return n
				}
				nodes := []*simtest.Node{start(), start()}
				for range operations {
					id := "i" + strconv.Itoa(choose.IntN(ids))
					switch n := choose.IntN(100); {
					case n < 35:
						err := w.client.Start(w.ctx, store.Start{Instance: id, Name: "loop", Input: "0", IfExists: store.ExistsRestartIfEnded})
						if err != nil && !errors.Is(err, store.ErrStillRunning) {
							t.Fatal(err)
						}
					case n < 42:
						w.must(w.client.Cancel(w.ctx, id, "r"))
					case n < 50:
						if _, err := w.store.Delete(w.ctx, id, true); err != nil && !errors.Is(err, store.ErrNotFound) {
							t.Fatal(err)
						}
					case n < 65:
						w.must(w.client.RaiseEvent(w.ctx, id, "e", "d"))
					case n < 80:
						w.must(w.client.EnqueueEvent(w.ctx, id, "q", "d"))
					case n < 81:
						i := choose.IntN(len(nodes))
						nodes[i].Stop()
						nodes[i] = start()
					default:
						pauseABit()
					}
				}
				s.calm()
				for i := range ids {
					id := "i" + strconv.Itoa(i)
					if _, err := w.store.Status(w.ctx, id); errors.Is(err, store.ErrNotFound) {
						continue
					}
					end, err := w.client.WaitEnd(w.ctx, id)
					w.must(err)
					if end.Status == replay.Failed && end.Failure.Text() != "canceled: r" {
						t.Errorf("%s: %s", id, end.Failure.Text())
					}
				}
				running := replay.Running
				for { // children whose parents were cancelled end too
					page, err := w.store.Instances(w.ctx, store.InstanceQuery{Status: &running})
					w.must(err)
					if len(page.Items) == 0 {
						break
					}
					pauseABit()
				}
			})
		}
	}
}
