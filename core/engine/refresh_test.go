package engine

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

// shelf has messages for instances.
type shelf struct {
	store.Store
	ready  []string
	query  store.ReadyQuery
	asked  []string
	fails  bool
	before func() // it answers
}

func (s *shelf) Ready(_ context.Context, q store.ReadyQuery) (store.ReadyResult, error) {
	s.query = q
	return store.ReadyResult{Instances: s.ready}, nil
}

func (s *shelf) Refresh(_ context.Context, turns map[string]history.Token) ([]*store.Snapshot, error) {
	s.asked = slices.Sorted(maps.Keys(turns))
	var all []*store.Snapshot
	for _, id := range s.asked {
		if id == "moved on" {
			continue
		}
		all = append(all, &store.Snapshot{Instance: id, Life: "life", Turn: turns[id], Messages: []history.Message{{Kind: history.MsgEvent, Row: 7}}})
	}
	s.before()
	if s.fails {
		return nil, &store.Error{Operation: "refresh", Retryable: true, Err: errors.New("injected")}
	}
	return all, nil
}

// What is found for executions in memory is read for all at once, and beside the lanes; the rest they read.
func TestMessagesOfExecutionsInMemoryAreReadAtOnce(t *testing.T) {
	const id = "a"
	memory := func(i *instance) { i.live = &liveExecution{life: "life", turn: history.NewToken(), inst: i} }
	for _, c := range []struct {
		name   string
		set    func(*Runtime, *instance)
		during func(*Runtime, *instance)
		fails  bool
		id     string
		asked  bool
		read   bool // it has the messages
		reload bool
	}{
		{name: "in memory", id: id, asked: true, read: true},
		{name: "not in memory", id: id, set: func(_ *Runtime, i *instance) { i.live = nil }, reload: true},
		{name: "something else was stored for it", id: id, set: func(_ *Runtime, i *instance) { i.reload = true }, reload: true},
		{name: "it has gone on since", id: "moved on", asked: true, reload: true},
		{name: "the store fails", id: id, asked: true, fails: true, reload: true},
		{name: "its turn comes meanwhile", id: id, asked: true, during: func(r *Runtime, i *instance) { r.readyLocked(i) }},
		{name: "it is evicted meanwhile", id: id, asked: true, during: func(r *Runtime, i *instance) { r.forgetLocked(i.live) }, reload: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &shelf{ready: []string{c.id}, fails: c.fails}
			r, err := New(s, DefaultOptions())
			if err != nil {
				t.Fatal(err)
			}
			defer r.cancel()
			r.phase, r.node = phaseRunning, "n"
			inst := r.instanceLocked(c.id)
			memory(inst)
			if c.set != nil {
				c.set(r, inst)
			}
			s.before = func() {
				if c.during != nil {
					r.mu.Lock()
					defer r.mu.Unlock()
					c.during(r, inst)
				}
			}
			r.findReady(askElsewhere)
			if (len(s.asked) == 1) != c.asked || (len(inst.untaken) == 1) != c.read || inst.reload != c.reload || inst.state != ready {
				t.Errorf("asked %v, untaken %v, reload %v, state %d", s.asked, inst.untaken, inst.reload, inst.state)
			}
		})
	}
}

// A node that has enough to do leaves what others have in memory to them for longer.
func TestBusyNodesLeaveWorkToOthers(t *testing.T) {
	for busy, want := range map[int]int64{0: 0, busyFrom - 1: 0, busyFrom: busyLeaves.Milliseconds()} {
		s := &shelf{}
		r, err := New(s, DefaultOptions())
		if err != nil {
			t.Fatal(err)
		}
		r.phase, r.node = phaseRunning, "n"
		for i := range busy {
			switch i % 3 {
			case 0:
				r.readyLocked(r.instanceLocked("a"))
			case 1:
				r.jobs.push(&job{})
			case 2:
				r.pending = append(r.pending, &step{})
			}
			if i == 3 {
				r.jobs.push(&job{}) // the instance is ready only once
			}
		}
		if r.findReady(askElsewhere); s.query.LeaveMS != want {
			t.Errorf("with %d: left for %d ms, want %d", busy, s.query.LeaveMS, want)
		}
		r.cancel()
	}
}
