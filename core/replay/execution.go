package replay

import (
	"github.com/duroxide/duroxide/core/history"
)

// Identity of an execution: what its event 1 holds or will hold.
type Identity struct {
	Instance  string
	Life      string
	Execution int64
	Name      string
	Version   string // resolved
	Input     string
	Start     history.Start
}

// Execution is one execution of user code between turns: its cursor, its tree of open awaits, its subscriptions.
// It is valid only as long as the instance's turn token in the store is the one its last commit wrote; after a refused
// commit, or one whose outcome is unknown, it must be dropped, because a generator cannot be rewound.
//
// An Execution keeps no message from one turn to the next. Mail that no dequeue has taken is a row of the store, and
// each turn must be given again, in order, all untaken mail of the queues in the last Commit.UsedQueues; mail of a queue
// that this turn uses for the first time comes with the next.
//
// It is not safe for concurrent use.
type Execution struct {
	identity Identity
	limits   limits
	code     Code // of the turn under way

	// loaded is the recorded history while code has not yet caught up with it, nil from then on. Event i+1 is loaded[i].
	loaded    []history.Event
	cursor    int64 // events matched or appended
	committed int64 // events that were there before this turn
	loading   bool  // in Load: code is not resumed past the end of loaded
	verifying bool  // in Verify: nothing may be appended
	replaying bool  // what is_replaying says: until code has blocked at the end of loaded, or appended a call

	mismatch *history.Failure
	ending   *ending // code or the engine has ended the execution; its terminal event may not be written yet
	finished bool    // the terminal event is in the history
	status   Status  // once finished

	now   int64 // time of the last applied event
	stamp int64 // time of the events that are appended now

	root     *node
	starting int   // composites whose members are being started
	paused   *node // branch that has something to be resumed with, held back
	open     map[int64]*node
	waits    subscriptions
	dequeues subscriptions

	openQueues []string // sorted; replaced, never changed, because commits hold them
	usedQueues []string

	state state // status and KV

	payload int64 // bytes delivered to code

	// The turn under way.
	commit  *Commit
	newGUID func() string
	latest  func(name string) (version string, ok bool)
	batch   batch
	applied int
	bytes   int64
	unsent  []int64 // scheduled in this turn and closed in it
}

// New makes an execution that has no history yet. Its first Turn writes event 1.
func New(id Identity) *Execution {
	x := &Execution{identity: id, limits: turnLimits}
	x.root = &node{kind: nodeBranch}
	x.open = make(map[int64]*node)
	return x
}

// Load replays recorded events against code, up to where all code is blocked at their end. It always gives an
// execution: when code and history disagree, the next Turn commits the nondeterminism failure.
//
// Name, version, input and start are those of event 1, whatever id says. A history that ends where a turn was cut leaves
// code something to run, and so may one that does not: whether code had run after the last event is not recorded. The
// next Turn runs it first.
func Load(id Identity, code Code, events []history.Event) *Execution {
	x := load(id, code, events, false)
	x.code = nil
	return x
}

// Verify replays a whole history and reports how code differs from it; nil when it is consumed exactly. Nothing is
// recorded. The generators that are left are the caller's to close.
func Verify(id Identity, code Code, events []history.Event) *history.Failure {
	return load(id, code, events, true).mismatch
}

// Mismatch is the nondeterminism that Load found; nil when history and code agree. Of another kind it says that a payload
// could not be read, in Load or in the last turn: then what the turn gave is not to be committed, unless it was cancelled.
func (x *Execution) Mismatch() *history.Failure { return x.mismatch }

// PayloadBytes is the size of the payloads delivered to code so far: what a live execution holds in memory, about.
func (x *Execution) PayloadBytes() int64 { return x.payload }

// Events is the number of events of the execution.
func (x *Execution) Events() int64 { return x.cursor }

func load(id Identity, code Code, events []history.Event, verifying bool) *Execution {
	x := New(id)
	x.code, x.loaded, x.loading, x.verifying = code, events, true, verifying
	x.newGUID = x.derivedGUID
	if fault := corruption(events); fault != "" {
		x.corrupted(fault)
		return x
	}
	first := &events[0]
	x.identity.Name, x.identity.Version, x.identity.Input = first.Name, first.Version, first.Data
	if first.Start != nil {
		x.identity.Start = *first.Start
	}
	x.committed = int64(len(events))
	x.replaying = len(events) > 1 // event 1 alone was written by the end of the execution before: no code has run
	x.stamp = events[len(events)-1].Time
	x.commit = new(Commit)
	x.begin(first)
	x.cursor = 1
	x.replay()
	x.loading = false
	if last := &events[len(events)-1]; last.Kind.IsTerminal() {
		x.endedAlready(last) // whatever code does now
	}
	if x.ending == nil && x.paused == nil {
		x.replaying = false
	}
	return x
}

// begin makes the root generator.
func (x *Execution) begin(started *history.Event) {
	x.now = started.Time
	x.state = newState(&x.identity.Start)
	x.payload = int64(len(x.identity.Input))
	x.code.Begin(Begin{
		Instance: x.identity.Instance, Execution: x.identity.Execution, Life: x.identity.Life,
		Name: x.identity.Name, Version: x.identity.Version, Input: x.identity.Input, Start: x.identity.Start,
	})
}

// replay brings code to where the loaded history ends.
func (x *Execution) replay() {
	x.advance(x.root)
	for x.ending == nil && x.cursor < int64(len(x.loaded)) {
		x.replayEvent(&x.loaded[x.cursor])
	}
	if x.ending != nil && x.mismatch == nil {
		x.matchEnding()
	}
}

// replayEvent applies the event at the cursor. All code is blocked.
func (x *Execution) replayEvent(e *history.Event) {
	switch {
	case endsWhateverCodeDoes(e):
		x.ending = &ending{byHistory: true}
	case e.Kind.IsTerminal():
		x.notEmitted(e)
	case isNews(e.Kind):
		taker := x.taker(e)
		if x.ending != nil {
			return
		}
		x.cursor++
		x.deliver(taker, e)
	default:
		x.notEmitted(e)
	}
}

// isNews reports whether events of the kind come from outside and are applied while code is blocked.
func isNews(k history.Kind) bool {
	switch k {
	case history.ActivityCompleted, history.ActivityFailed, history.TimerFired, history.ExternalEvent,
		history.QueueEventDelivered, history.SubOrchestrationCompleted, history.SubOrchestrationFailed:
		return true
	default:
		return false
	}
}

// isCancelRequest reports whether the kind tells of something closed: a loser of a race, or what was open at the end.
func isCancelRequest(k history.Kind) bool {
	switch k {
	case history.ActivityCancelRequested, history.ExternalSubscribedCancelled, history.QueueSubscriptionCancelled,
		history.SubOrchestrationCancelRequested:
		return true
	default:
		return false
	}
}

// endsWhateverCodeDoes reports whether the engine, and not code, ended the execution at this event. Code may have
// changed since, and what it would do here no longer matters.
func endsWhateverCodeDoes(e *history.Event) bool {
	if e.Kind == history.OrchestrationFailed {
		return e.Failure != nil && e.Failure.Category() != history.CategoryApplication
	}
	return e.Kind == history.OrchestrationCancelRequested
}
