package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// A client does not wait for ever for the first turn. What is left of the turn follows the start that it has stored by itself, or is
// thrown away when there is none.
func TestFirstTurnFollowsItsStart(t *testing.T) {
	const row = 7
	retime(t, func(i *timing) { i.beginSoon, i.beginLong = 0, 0 })
	type scene struct {
		r     *Runtime
		inst  *instance
		first *store.Snapshot
		born  *store.Snapshot
	}
	taken := func(s *scene) *beginning { // by a lane, which does not come back at once
		s.inst.state, s.inst.snapshot, s.inst.begin.state = running, nil, beginRunning
		s.inst.live = &liveExecution{life: s.first.Life, turn: s.first.Turn, inst: s.inst}
		return s.inst.begin
	}
	ends := func(s *scene, b *beginning) *step { // the lane comes back
		s.r.mu.Lock()
		defer s.r.mu.Unlock()
		return s.r.beganLocked(b, &step{inst: s.inst, live: s.inst.live, epoch: 0, turn: store.Turn{
			Instance: s.inst.id, Life: s.first.Life, Commit: &replay.Commit{Consumed: s.first.Messages},
		}})
	}
	started := func(s *scene) { listener{s.r}.Wake(store.Wake{Started: s.born}) }
	for _, c := range []struct {
		name    string
		do      func(*testing.T, *scene) *step
		follows bool
		reload  bool
		again   bool // it is done anew from the start that was stored
	}{
		{name: "stored, then ended", follows: true, do: func(t *testing.T, s *scene) *step {
			t.Helper()
			b := taken(s)
			s.r.withdraw(b, true)
			started(s)
			listener{s.r}.Unbegun(s.first)
			return ends(s, b)
		}},
		{name: "ended, then stored", follows: true, do: func(t *testing.T, s *scene) *step {
			t.Helper()
			b := taken(s)
			s.r.withdraw(b, true)
			if ends(s, b) != nil {
				t.Error("committed before its start is stored")
			}
			started(s)
			listener{s.r}.Unbegun(s.first)
			if len(s.r.pending) != 1 {
				t.Fatal("not committed")
			}
			return s.r.pending[0]
		}},
		{name: "ended, and not stored", reload: true, do: func(t *testing.T, s *scene) *step {
			t.Helper()
			b := taken(s)
			s.r.withdraw(b, true)
			ends(s, b)
			listener{s.r}.Unbegun(s.first)
			return nil
		}},
		{name: "not stored, then ended", reload: true, do: func(t *testing.T, s *scene) *step {
			t.Helper()
			b := taken(s)
			s.r.withdraw(b, true)
			listener{s.r}.Unbegun(s.first)
			return ends(s, b)
		}},
		{name: "stored, and nothing came of the turn", reload: true, do: func(t *testing.T, s *scene) *step {
			t.Helper()
			b := taken(s)
			s.r.withdraw(b, true)
			started(s)
			s.r.mu.Lock()
			defer s.r.mu.Unlock()
			s.inst.state = idle
			return s.r.beganLocked(b, nil)
		}},
		{name: "ended, then the node was lost, then stored", again: true, do: func(t *testing.T, s *scene) *step {
			t.Helper()
			b := taken(s)
			s.r.withdraw(b, true)
			ends(s, b)
			s.r.epoch++
			started(s)
			return nil
		}},
		{name: "no lane had it", again: true, do: func(t *testing.T, s *scene) *step {
			t.Helper()
			s.r.withdraw(s.inst.begin, false)
			if s.inst.snapshot != nil {
				t.Error("it is still to be run")
			}
			started(s)
			return nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := New(nil, DefaultOptions())
			if err != nil {
				t.Fatal(err)
			}
			defer r.cancel()
			r.phase, r.node = phaseRunning, "n"
			start := &store.Start{Instance: "a", Name: "flow"}
			s := &scene{r: r, first: store.Newborn(start, "life", history.NewToken(), "n", 0, 1)}
			s.born = store.Newborn(start, "life", s.first.Turn, "n", row, 2)
			r.mu.Lock()
			b := r.beginLocked(context.Background(), s.first)
			r.mu.Unlock()
			s.inst = b.inst
			followed := c.do(t, s)
			if !errors.Is(b.err, store.ErrNotBegun) || b.state != beginOver || s.inst.begin != nil {
				t.Errorf("state %d, %v", b.state, b.err)
			}
			if (followed != nil) != c.follows || s.inst.reload != c.reload || (s.inst.snapshot == s.born) != c.again {
				t.Errorf("follows %v, reload %v, again %v", followed != nil, s.inst.reload, s.inst.snapshot == s.born)
			}
			if followed != nil && (followed.turn.Begin || followed.turn.Commit.Consumed[0].Row != row) {
				t.Errorf("%+v", followed.turn)
			}
			if c.again && s.inst.state != ready {
				t.Errorf("state %d", s.inst.state)
			}
		})
	}
}

// Other work of the process goes before.
func TestStartsBeginOnlyWhenNothingElseIsUnderWay(t *testing.T) {
	for name, set := range map[string]func(*Runtime){
		"another instance is ready":   func(r *Runtime) { r.readyLocked(r.instanceLocked("b")) },
		"a turn waits for its commit": func(r *Runtime) { r.pending = append(r.pending, &step{}) },
		"a commit is under way":       func(r *Runtime) { r.inflight++ },
		"a job waits":                 func(r *Runtime) { r.jobs.push(&job{}) },
		"the store is in trouble":     func(r *Runtime) { r.trouble.on = true },
		"the lease is doubtful":       func(r *Runtime) { r.lease.doubtful = true },
		"one did so in vain":          func(r *Runtime) { r.beginAgain = r.now() + int64(time.Hour) },
		"it is another node by now":   func(r *Runtime) { r.node = "other" },
		"the process is ending":       func(r *Runtime) { r.exiting = true },
		"the runtime is stopping":     func(r *Runtime) { r.phase = phaseDraining },
		"the id is known here":        func(r *Runtime) { r.instanceLocked("a").jobs = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			r, err := New(nil, DefaultOptions())
			if err != nil {
				t.Fatal(err)
			}
			defer r.cancel()
			r.phase, r.node = phaseRunning, "n"
			set(r)
			first := store.Newborn(&store.Start{Instance: "a", Name: "flow"}, "life", history.NewToken(), "n", 0, 1)
			if err := (listener{r}).Begin(context.Background(), first); !errors.Is(err, store.ErrNotBegun) {
				t.Errorf("%v", err)
			}
		})
	}
}
