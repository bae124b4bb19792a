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
		s.r.ready.take()
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
			s.r.mu.Lock()
			s.r.loseNodeLocked()
			s.r.node = "next"
			s.r.mu.Unlock()
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
			if known := r.instances["a"]; known != nil {
				s.inst = known
			}
			if !errors.Is(b.err, store.ErrNotBegun) || b.state != beginOver || s.inst.begin != nil {
				t.Errorf("state %d, %v", b.state, b.err)
			}
			if (followed != nil) != c.follows || s.inst.reload != c.reload || (s.inst.snapshot == s.born) != c.again {
				t.Errorf("follows %v, reload %v, again %v", followed != nil, s.inst.reload, s.inst.snapshot == s.born)
			}
			if followed != nil && (followed.turn.Begin || followed.turn.Commit.Consumed[0].Row != row) {
				t.Errorf("%+v", followed.turn)
			}
			if c.again && (s.inst.state != ready || r.ready.len() != 1) {
				t.Errorf("state %d, %d ready", s.inst.state, r.ready.len())
			}
			if r.held != 0 {
				t.Errorf("%d turns are held", r.held)
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

// committingFirst makes a runtime whose client waits for the commit of a first turn.
func committingFirst(t *testing.T, results ...*job) (*Runtime, *step) {
	t.Helper()
	r, err := New(nil, DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.cancel)
	r.phase, r.node = phaseRunning, "n"
	first := store.Newborn(&store.Start{Instance: "a", Name: "flow"}, "life", history.NewToken(), "n", 0, 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.beginLocked(context.Background(), first)
	inst := r.ready.pop()
	inst.state, inst.snapshot, b.state = running, nil, beginRunning
	inst.live = &liveExecution{life: first.Life, turn: first.Turn, inst: inst}
	for _, j := range results {
		j.state, j.inst = jobTaken, inst
		r.claimed[j.ID] = j
		inst.jobs++
	}
	s := r.beganLocked(b, &step{inst: inst, live: inst.live, results: results, turn: store.Turn{
		Instance: "a", Life: first.Life, Expect: first.Turn, Commit: &replay.Commit{Consumed: first.Messages},
	}})
	inst.state = committing
	return r, s
}

// The id is in use, and this node has finished an activity of the instance that has it.
func TestResultsOutliveAFirstTurnThatIsRefused(t *testing.T) {
	kept, lost := &job{Job: store.Job{JobRef: store.JobRef{ID: 5}}}, &job{Job: store.Job{JobRef: store.JobRef{ID: 6}}}
	r, s := committingFirst(t, kept, lost)
	r.mu.Lock()
	r.bornLocked(s, store.ErrExists, []store.JobRef{{ID: 6}})
	r.mu.Unlock()
	inst := s.inst
	if len(inst.inbox) != 1 || inst.inbox[0] != kept || inst.state != ready || lost.state != jobGone {
		t.Errorf("inbox %v, state %d", inst.inbox, inst.state)
	}
	if now := r.now(); r.beginAgain <= now {
		t.Error("the next start may run code for nothing at once")
	}
}

// One of a group can never be stored: the first turn. The other is not to blame.
func TestFirstTurnFailsNoOther(t *testing.T) {
	r, s := committingFirst(t)
	f := &refuser{Store: r.store}
	r.store = f
	other := r.instanceLocked("other")
	other.state = committing
	steps := []*step{s, {inst: other, turn: store.Turn{Instance: "other", Commit: &replay.Commit{}}}}
	r.mu.Lock()
	r.beginCommitLocked(steps)
	r.mu.Unlock()
	r.commitFailed(steps, &store.Error{Operation: "commit", Refused: true, Err: errors.New("too large")})
	if f.commits != 1 || other.unstorable != "" || other.state != idle {
		t.Errorf("%d commits of the other alone, unstorable %q", f.commits, other.unstorable)
	}
}

type refuser struct {
	store.Store
	commits int
}

func (f *refuser) CommitTurns(_ context.Context, _ store.NodeID, turns []store.Turn) ([]store.TurnResult, error) {
	f.commits++
	return make([]store.TurnResult, len(turns)), nil
}

// What a refused first turn leaves ready has a lane woken for it.
func TestLaneIsWokenForWhatAFirstTurnLeaves(t *testing.T) {
	r, s := committingFirst(t)
	r.mu.Lock()
	r.beginCommitLocked([]*step{s})
	r.mu.Unlock()
	listener{r}.Wake(store.Wake{Ready: []string{"a"}})
	r.idle = append(r.idle, &lane{})
	r.commitFailed([]*step{s}, &store.Error{Operation: "commit", Retryable: true, Err: errors.New("busy")})
	if r.ready.len() != 1 || len(r.idle) != 0 {
		t.Errorf("%d ready, %d lanes idle", r.ready.len(), len(r.idle))
	}
}

// A client waits as long on a thread of its own as on one of many.
func TestClientsWaitEquallyLong(t *testing.T) {
	for _, bound := range []bool{false, true} {
		b := &beginning{bound: bound, told: make(chan struct{})}
		const patience = 5 * time.Millisecond
		begun := time.Now()
		if b.wait(context.Background(), patience) || time.Since(begun) < patience {
			t.Errorf("bound %v: gave up after %v", bound, time.Since(begun))
		}
	}
}
