package simtest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/duroxide/duroxide/core/check"
	"github.com/duroxide/duroxide/core/client"
	"github.com/duroxide/duroxide/core/engine"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/simtest"
	"github.com/duroxide/duroxide/core/store"
	"github.com/duroxide/duroxide/core/store/sqlite"
)

// bound is far more than anything here takes: who reaches it waits for something that never comes.
const bound = 30 * time.Second

// world is a store with a client. When the test ends, every history in it is replayed with the program, if there is one.
type world struct {
	testing.TB
	store  store.Store
	client *client.Client
	ctx    context.Context
}

func newWorld(tb testing.TB, s store.Store, p *simtest.Program) *world {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	w := &world{TB: tb, store: s, client: client.New(s), ctx: ctx}
	tb.Cleanup(func() {
		defer cancel()
		w.client.Close()
		if !tb.Failed() && p != nil {
			simtest.VerifyAll(ctx, tb, s, p)
			violations, err := check.Run(ctx, s)
			if err != nil {
				tb.Error(err)
			}
			for _, v := range violations {
				tb.Errorf("%+v", v)
			}
		}
		if err := s.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return w
}

func openMemory(tb testing.TB) store.Store {
	tb.Helper()
	s, err := sqlite.OpenMemory(sqlite.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func openFile(tb testing.TB, path string) store.Store {
	tb.Helper()
	s, err := sqlite.Open(path, sqlite.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// everywhere runs a scenario on each kind of store, with suspended executions kept in memory and without.
func everywhere(t *testing.T, p *simtest.Program, scenario func(w *world, n *simtest.Node)) {
	t.Helper()
	for _, live := range []int{10_000, 0} {
		for _, kind := range kinds {
			t.Run(fmt.Sprintf("%s/live=%d", kind, live), func(t *testing.T) {
				s := openAny(t, kind)
				w := newWorld(t, s, p)
				n := simtest.Start(t, s, p, func(o *engine.Options) { o.LiveExecutions = live })
				scenario(w, n)
			})
		}
	}
}

func (w *world) start(instance, name, input string) {
	w.Helper()
	if err := w.client.Start(w.ctx, store.Start{Instance: instance, Name: name, Input: input}); err != nil {
		w.Fatalf("start %s: %v", instance, err)
	}
}

// completes waits for an instance and compares its output.
func (w *world) completes(instance, want string) {
	w.Helper()
	s, err := w.client.WaitEnd(w.ctx, instance)
	switch {
	case err != nil:
		w.Fatalf("%s: %v", instance, err)
	case s.Status != replay.Completed:
		w.Fatalf("%s: %v: %s", instance, s.Status, s.Failure.Text())
	case s.Output != want:
		w.Fatalf("%s gave %q, want %q", instance, s.Output, want)
	}
}

// fails waits for an instance and compares its error.
func (w *world) fails(instance, want string) {
	w.Helper()
	s, err := w.client.WaitEnd(w.ctx, instance)
	switch {
	case err != nil:
		w.Fatalf("%s: %v", instance, err)
	case s.Status != replay.Failed:
		w.Fatalf("%s: %v, want Failed", instance, s.Status)
	case s.Failure.Text() != want:
		w.Fatalf("%s failed with %q, want %q", instance, s.Failure.Text(), want)
	}
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// waitFor takes from a channel within the bound.
func waitFor[T any](w *world, c <-chan T, what string) T {
	w.Helper()
	select {
	case v := <-c:
		return v
	case <-w.ctx.Done():
		w.Fatalf("waited in vain for %s", what)
		panic("not reached")
	}
}

var errBoom = errors.New("boom")

// standard is a program with a bit of everything.
func standard() *simtest.Program {
	p := simtest.NewProgram()
	p.Activity("greet", func(a *engine.Activity) (string, error) { return "hello " + a.Input, nil })
	p.Activity("echo", func(a *engine.Activity) (string, error) { return a.Input, nil })
	p.Activity("boom", func(*engine.Activity) (string, error) { return "", errBoom })
	p.Orchestration("hello", func(c *simtest.Context, in string) (string, error) {
		return c.Await(c.Activity("greet", in))
	})
	p.Orchestration("waits", func(c *simtest.Context, _ string) (string, error) { return c.Await(c.Event("go")) })
	p.Orchestration("steps", func(c *simtest.Context, in string) (string, error) {
		n := 0
		if _, err := fmt.Sscan(in, &n); err != nil {
			return "", err
		}
		for i := range n {
			if _, err := c.Await(c.Activity("echo", fmt.Sprint(i))); err != nil {
				return "", err
			}
		}
		return in, nil
	})
	p.Orchestration("fan", func(c *simtest.Context, in string) (string, error) {
		n := 0
		if _, err := fmt.Sscan(in, &n); err != nil {
			return "", err
		}
		tasks := make([]simtest.Task, n)
		for i := range tasks {
			tasks[i] = c.Activity("echo", "x")
		}
		all, err := c.Await(c.All(tasks...))
		return fmt.Sprint(len(all)), err
	})
	return p
}
