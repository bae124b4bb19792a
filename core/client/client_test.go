package client_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duroxide/duroxide/core/client"
	"github.com/duroxide/duroxide/core/simtest"
	"github.com/duroxide/duroxide/core/store"
	"github.com/duroxide/duroxide/core/store/sqlite"
)

// counting counts what waits read.
type counting struct {
	store.Store
	reads atomic.Int64
}

func (s *counting) Status(ctx context.Context, instance string) (*store.Status, error) {
	s.reads.Add(1)
	return s.Store.Status(ctx, instance)
}

func open(t *testing.T) (*counting, *client.Client, context.Context) {
	t.Helper()
	s, err := sqlite.OpenMemory(sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	counted := &counting{Store: s}
	c := client.New(counted)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(func() {
		c.Close()
		cancel()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return counted, c, ctx
}

func program() *simtest.Program {
	p := simtest.NewProgram()
	p.Orchestration("wait", func(c *simtest.Context, in string) (string, error) {
		c.SetStatus("up")
		v, err := c.Await(c.Event("go"))
		c.SetKV("key", v)
		return v, err
	})
	return p
}

func TestWaitsReadOnlyWhenSomethingChanged(t *testing.T) {
	s, c, ctx := open(t)
	simtest.Start(t, s, program())
	ended := make(chan *store.Status, 1)
	go func() {
		st, _ := c.WaitEnd(ctx, "w") // before it exists
		ended <- st
	}()
	if err := c.Start(ctx, store.Start{Instance: "w", Name: "wait"}); err != nil {
		t.Fatal(err)
	}
	st, err := c.WaitStatus(ctx, "w", 0)
	if err != nil || st.CustomStatus == nil || *st.CustomStatus != "up" {
		t.Fatalf("%+v, %v", st, err)
	}
	if err := c.RaiseEvent(ctx, "w", "go", "on"); err != nil {
		t.Fatal(err)
	}
	if st := <-ended; st == nil || st.Output != "on" {
		t.Fatalf("%+v", st)
	}
	if v, err := c.WaitKV(ctx, "w", "key"); err != nil || v != "on" {
		t.Errorf("%q, %v", v, err)
	}
	// Two waits, a start and two commits: each wait reads at its begin and once for each change.
	if reads := s.reads.Load(); reads > 8 {
		t.Errorf("%d reads", reads)
	}
}

func TestStatusWaitEndsWithNothingWhenNothingNewerComes(t *testing.T) {
	s, c, ctx := open(t)
	simtest.Start(t, s, program())
	if err := c.Start(ctx, store.Start{Instance: "w", Name: "wait"}); err != nil {
		t.Fatal(err)
	}
	st, err := c.WaitStatus(ctx, "w", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.RaiseEvent(ctx, "w", "go", ""); err != nil {
		t.Fatal(err)
	}
	if again, err := c.WaitStatus(ctx, "w", st.CustomStatusVersion); err != nil || again != nil {
		t.Errorf("%+v, %v; want nothing", again, err)
	}
}

func TestWaitEndsWithItsContextAndWithItsClient(t *testing.T) {
	_, c, ctx := open(t)
	short, cancel := context.WithCancel(ctx)
	ends := make(chan error, 2)
	go func() { _, err := c.WaitEnd(short, "nobody"); ends <- err }()
	cancel()
	if err := <-ends; !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the context's error", err)
	}
	go func() { _, err := c.WaitKV(ctx, "nobody", "key"); ends <- err }()
	c.Close()
	if err := <-ends; !errors.Is(err, store.ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
	c.Close()
}

// late does something just before an instance is stored.
type late struct {
	store.Store
	before func()
}

func (s *late) Start(ctx context.Context, st store.Start) (store.StartResult, error) {
	s.before()
	return s.Store.Start(ctx, st)
}

func TestWaitForARestartDoesNotGetTheEndOfWhatItReplaced(t *testing.T) {
	inner, other, ctx := open(t)
	s := &late{Store: inner, before: func() {}}
	c := client.New(s)
	t.Cleanup(c.Close)
	simtest.Start(t, inner, program())
	start := store.Start{Instance: "w", Name: "wait", IfExists: store.ExistsRestartIfEnded}
	if err := c.Start(ctx, start); err != nil {
		t.Fatal(err)
	}
	if _, err := c.WaitStatus(ctx, "w", 0); err != nil {
		t.Fatal(err)
	}
	end := func(with string) {
		t.Helper()
		if err := other.RaiseEvent(ctx, "w", "go", with); err != nil {
			t.Error(err)
		}
	}
	s.before = func() {
		end("old")
		if _, err := other.WaitEnd(ctx, "w"); err != nil {
			t.Error(err)
		}
	}
	if err := c.Start(ctx, start); err != nil {
		t.Fatal(err)
	}
	ended := make(chan *store.Status, 1)
	go func() {
		st, _ := c.WaitEnd(ctx, "w")
		ended <- st
	}()
	if _, err := other.WaitStatus(ctx, "w", 0); err != nil {
		t.Fatal(err)
	}
	end("new")
	if st := <-ended; st == nil || st.Output != "new" {
		t.Errorf("%+v, want the end of the restarted one", st)
	}
}
