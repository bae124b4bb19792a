package simtest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/duroxide/duroxide/core/engine"
	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// Node is a runtime with its lanes.
type Node struct {
	*engine.Runtime
	Host    *Host
	threads sync.WaitGroup
	stopped bool
}

// Option changes the options of a node.
type Option func(*engine.Options)

// Start runs a program on a store until the test ends. Errors in the log fail the test unless an option takes the log.
func Start(tb testing.TB, s store.Store, p *Program, options ...Option) *Node {
	tb.Helper()
	o := engine.DefaultOptions()
	var over sync.Mutex
	done := false
	o.VerifyReplay = 1
	o.Log = func(rec engine.LogRecord) {
		over.Lock()
		defer over.Unlock()
		if !done && rec.Level != "debug" {
			tb.Logf("%s %s %v", rec.Level, rec.Message, rec.Fields)
		}
	}
	for _, option := range options {
		option(&o)
	}
	r, err := engine.New(s, o)
	if err != nil {
		tb.Fatal(err)
	}
	n := &Node{Runtime: r, Host: NewHost(p)}
	n.Host.runtime = r
	for _, o := range p.names {
		if err := r.RegisterOrchestration(o.name, o.version); err != nil {
			tb.Fatal(err)
		}
	}
	for name := range p.activities {
		if err := r.RegisterActivity(name, !p.detached[name]); err != nil {
			tb.Fatal(err)
		}
	}
	if err := r.Start(context.Background()); err != nil {
		tb.Fatal(err)
	}
	n.threads.Add(1)
	go func() {
		defer n.threads.Done()
		for {
			req := r.Supervise()
			if req.Kind == engine.LaneEnd {
				return
			}
			n.threads.Add(1)
			go func() {
				defer n.threads.Done()
				r.RunLane(req, n.Host)
			}()
		}
	}()
	tb.Cleanup(func() {
		if tb.Failed() { // user code may wait for what the test did not come to
			n.Abandon()
			return
		}
		if first := !n.stopped; !n.Stop() && first {
			tb.Error("shutdown did not drain")
		}
		over.Lock()
		done = true
		over.Unlock()
		if held := n.Host.Held(); held != 0 {
			tb.Errorf("%d executions were never forgotten", held)
		}
		if c := r.Counters(); c.VerifyFailures != 0 {
			tb.Errorf("%d executions did not replay", c.VerifyFailures)
		}
	})
	return n
}

// Stop shuts the runtime down and waits for its lanes. A test that does not call it expects everything to be drained.
func (n *Node) Stop() bool {
	n.stopped = true
	drained := n.Shutdown(10 * time.Second)
	n.threads.Wait()
	n.Host.away.Wait()
	return drained
}

// Abandon shuts the runtime down at once; lanes that are in user code end when that does.
func (n *Node) Abandon() bool {
	n.stopped = true
	return n.Shutdown(0)
}

// VerifyAll replays every execution of every instance in a store from its first event.
func VerifyAll(ctx context.Context, tb testing.TB, s store.Store, p *Program) {
	tb.Helper()
	page, err := s.Instances(ctx, store.InstanceQuery{})
	if err != nil {
		tb.Fatal(err)
	}
	h := NewHost(p)
	exec := engine.ExecutionID(0)
	for _, inst := range page.Items {
		executions, err := s.Executions(ctx, inst.Instance)
		if err != nil {
			tb.Fatal(err)
		}
		for _, e := range executions {
			events, err := s.History(ctx, inst.Instance, e.Execution)
			if err != nil {
				tb.Fatal(err)
			}
			if len(events) == 0 {
				continue
			}
			exec++
			if differs := replay.Verify(identity(inst.Instance, e.Execution, events), h.Code(exec), events); differs != nil {
				tb.Errorf("%s/%d does not replay: %s", inst.Instance, e.Execution, differs.Text())
			}
			h.Forget(exec)
		}
	}
}

func identity(instance string, execution int64, events []history.Event) replay.Identity {
	first := &events[0]
	id := replay.Identity{Instance: instance, Execution: execution, Name: first.Name, Version: first.Version, Input: first.Data}
	if first.Start != nil {
		id.Start = *first.Start
	}
	return id
}
