package engine

import (
	"container/list"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// instState is where an instance is in the dispatcher; the package comment draws it.
type instState uint8

const (
	idle instState = iota
	ready
	running
	committing
)

// instance is what a node knows of an instance it works on. Guarded by the runtime's mutex; live, untaken, left and
// snapshot belong to the lane or committer that has the instance while it is running or committing.
type instance struct {
	id    string
	state instState
	live  *liveExecution
	// snapshot, when set, holds all the next turn needs: a start that was adopted, or what continue-as-new left.
	snapshot *store.Snapshot
	// untaken are the messages that the last commit returned; left those of them that a turn saw and did not take:
	// they alone are no reason for another turn.
	untaken []history.Message
	left    map[int64]bool
	// inbox are activity results that are in no commit yet.
	inbox []*job
	// reload: something was stored for the instance that this node has not read.
	reload bool
	// awarded: the store gave the instance to this node, though another committed last.
	awarded bool
	// jobs of it that this node has claimed and not settled.
	jobs int
	// expected counts commits under way that start the instance.
	expected int
	// failures in a row of reading or committing it.
	failures int
	// begin is the start of the instance that waits for its first turn.
	begin *beginning
	// unstorable is why its last turn could never be stored.
	unstorable string
	// counted is the written attempt of a suspect turn that has not run yet.
	counted                      int
	countedFor                   history.Token
	holdsSuspect, holdsExclusive bool
}

// known reports whether forgetting the entry would lose anything.
func (i *instance) known() bool {
	return i.state != idle || i.live != nil || i.snapshot != nil || len(i.inbox) > 0 || i.jobs > 0 || i.failures > 0 || i.unstorable != "" || i.counted > 0 || i.expected > 0
}

// instanceLocked gives the entry of an instance, made when new.
func (r *Runtime) instanceLocked(id string) *instance {
	inst := r.instances[id]
	if inst == nil {
		inst = &instance{id: id}
		r.instances[id] = inst
	}
	return inst
}

// releaseLocked drops the entry when it holds nothing.
func (r *Runtime) releaseLocked(inst *instance) {
	if !inst.known() && r.instances[inst.id] == inst {
		delete(r.instances, inst.id)
	}
}

// readyLocked queues an idle instance for a turn. Lanes are woken by spreadLocked.
func (r *Runtime) readyLocked(inst *instance) {
	if inst.state == idle {
		inst.state = ready
		r.ready.push(inst)
	}
}

// liveExecution is suspended user code between two turns. It is valid only while the instance's life and turn in the
// store are these.
type liveExecution struct {
	id    ExecutionID
	x     *replay.Execution
	inst  *instance
	life  string
	turn  history.Token
	exec  int64
	name  string
	ver   string
	bytes int64
	place *list.Element // in lives.order; nil while it is not counted
}

// lives are the suspended executions in memory, the most recently used first.
type lives struct {
	order    *list.List
	bytes    int64
	max      int
	maxBytes int64
}

func newLives(count int, bytes int64) lives {
	return lives{order: list.New(), max: count, maxBytes: bytes}
}

// keepLocked counts an execution as suspended after a turn and evicts those used longest ago. It reports whether this
// one may stay.
func (r *Runtime) keepLocked(e *liveExecution) bool {
	l := &r.live
	if l.max == 0 || r.phase >= phaseClosing {
		return false
	}
	size := e.x.PayloadBytes()
	if e.place == nil {
		e.place = l.order.PushFront(e)
	} else {
		l.order.MoveToFront(e.place)
	}
	l.bytes += size - e.bytes
	e.bytes = size
	for l.order.Len() > l.max || (l.bytes > l.maxBytes && l.order.Len() > 1) {
		victim := l.order.Back()
		// Those in a turn now are not suspended; the one to evict is the oldest that is.
		for victim != nil && busyState(executionAt(victim)) {
			victim = victim.Prev()
		}
		if victim == nil {
			break
		}
		old := executionAt(victim)
		r.verifyLocked(old.inst.id, old)
		r.forgetLocked(old)
		if old == e {
			return false
		}
		r.releaseLocked(old.inst)
	}
	return true
}

// executionAt reads the list, which holds nothing else.
func executionAt(place *list.Element) *liveExecution {
	e, _ := place.Value.(*liveExecution)
	return e
}

func busyState(e *liveExecution) bool {
	return e.inst.state == running || e.inst.state == committing
}

// forgetLocked drops a live execution; its generators are closed on a lane.
func (r *Runtime) forgetLocked(e *liveExecution) {
	if e.place != nil {
		r.live.order.Remove(e.place)
		r.live.bytes -= e.bytes
		e.place, e.bytes = nil, 0
	}
	if e.inst.live == e {
		e.inst.live = nil
	}
	r.forgets = append(r.forgets, e.id)
}
