package replay

import (
	"strconv"

	"github.com/duroxide/duroxide/core/history"
)

// nodeKind tells what a node of the await tree is.
type nodeKind uint8

const (
	nodeBranch nodeKind = iota // a generator; the root is one
	nodeAll
	nodeRace
	nodeRetry
	// Leaves: what history answers.
	nodeActivity
	nodeTimer
	nodeChild
	nodeWait
	nodeDequeue
	nodeInstant // resolved by its own start
)

// nodeState of a node.
type nodeState uint8

const (
	pending nodeState = iota
	succeeded
	failed
	closed // lost a race, or the execution ended
)

// node is one thing awaited. Each has one parent, so a resolved leaf reaches the code that awaits it along a line: there
// is no ready queue and no choice of order.
type node struct {
	kind   nodeKind
	state  nodeState
	slot   int // position among the parent's members
	parent *node

	kids    []*node // all, race: one for each member, nil until it is started
	waiting int     // all: members that are not resolved
	branch  Branch  // branch: the generator
	await   *node   // branch: what it awaits, or will be resumed with
	retry   *retry  // retry

	id     int64  // leaf: its schedule id
	fireAt int64  // timer
	name   string // wait, dequeue: what it subscribes to; child: its instance

	// The result, once succeeded or failed.
	value   Value
	failure *history.Failure
	thrown  Branch // failed: the branch whose exception it is; then failure is nil
	text    string // failed: str of the exception
}

func (n *node) succeed(v Value) { n.state, n.value = succeeded, v }

func (n *node) fail(f *history.Failure) { n.state, n.failure, n.text = failed, f, f.Text() }

// member is the node's result as an entry of an all.
func (n *node) member() Member {
	if n.state == failed {
		return Member{Failed: true, Err: n.text}
	}
	return Member{Value: n.value}
}

// resolution is what a branch is resumed with after it awaited n; n may be nil before its first step.
func (n *node) resolution() Resolution {
	switch {
	case n == nil:
		return Resolution{}
	case n.state == failed:
		return Resolution{Err: n.failure, Thrown: n.thrown}
	default:
		return Resolution{Value: n.value}
	}
}

// advance resumes a branch until it is blocked or over.
func (x *Execution) advance(n *node) {
	for {
		if x.mustPause() {
			x.paused = n
			return
		}
		resolution := n.await.resolution()
		n.await = nil
		y := x.code.Resume(n.branch, resolution, x.moment())
		if !x.immediates(y.Calls) {
			return
		}
		switch y.Kind {
		case YieldAwait:
			a := x.start(y.Task, n, 0, y.At)
			if x.ending != nil || a.state == pending {
				return
			}
		case YieldReturn:
			n.succeed(Value{Kind: ValueText, Text: y.Result})
			if n == x.root {
				x.ending = &ending{kind: history.OrchestrationCompleted, output: y.Result, byRoot: true}
			}
			return
		case YieldRaise:
			n.state, n.thrown, n.text = failed, n.branch, y.ErrText
			if n == x.root {
				x.ending = &ending{kind: history.OrchestrationFailed, failure: raised(y.Failure), byRoot: true}
			}
			return
		case YieldFatal:
			n.state = closed
			x.ending = &ending{kind: history.OrchestrationFailed, failure: raised(y.Failure)}
			return
		case YieldUnable:
			n.state = closed
			x.mismatch = raised(y.Failure)
			x.ending = &ending{kind: history.OrchestrationFailed, failure: x.mismatch}
			return
		}
	}
}

// raised guards against a user's side that raises without saying what.
func raised(f *history.Failure) *history.Failure {
	if f == nil {
		return &history.Failure{Kind: history.OrchestrationError}
	}
	return f
}

func (x *Execution) moment() Moment {
	m := Moment{NowMS: x.now, Replaying: x.replaying}
	if ahead := int64(len(x.loaded)) - x.cursor; ahead > 0 {
		m.Remaining = int(ahead)
	}
	return m
}

// start begins a task under parent: leaves record their call, composites start their members in argument order, depth
// first, each branch run to its first block before the next member starts. The node is in the tree before anything is
// recorded, so that an end in the middle finds it.
func (x *Execution) start(t *Task, parent *node, slot int, at string) *node {
	if t.At != "" {
		at = t.At
	}
	n := &node{parent: parent, slot: slot}
	if parent.kind == nodeBranch {
		parent.await = n
	} else if parent.kids != nil {
		parent.kids[slot] = n
	}
	switch t.Kind {
	case TaskActivity:
		if t.Retry != nil {
			x.startRetry(n, t, at)
		} else {
			x.startActivity(n, t, at, 0, 0)
		}
	case TaskTimer:
		x.startTimer(n, t.DelayMS, at)
	case TaskEvent:
		n.kind, n.name = nodeWait, t.Name
		if e, _ := x.record(&history.Event{Kind: history.ExternalSubscribed, Name: t.Name, At: at}); e != nil {
			n.id = e.ID
			x.waits.add(n)
		}
	case TaskDequeue:
		n.kind, n.name = nodeDequeue, t.Name
		if e, _ := x.record(&history.Event{Kind: history.QueueSubscribed, Name: t.Name, At: at}); e != nil {
			n.id = e.ID
			x.dequeues.add(n)
			x.queueOpened(t.Name)
		}
	case TaskChild:
		x.startChild(n, t, at)
	case TaskDetached:
		n.kind = nodeInstant
		call := history.Event{Kind: history.OrchestrationChained, Name: t.Name, Version: t.Version, Instance: t.Instance, Data: t.Input, Fingerprint: t.Fingerprint, At: at}
		if e, appended := x.record(&call); appended {
			x.commit.Starts = append(x.commit.Starts, Start{Instance: e.Instance, Name: t.Name, Version: t.Version, Input: t.Input})
		}
		n.succeed(Value{})
	case TaskGUID:
		x.startInstant(n, history.SyscallNewGUID, at)
	case TaskClock:
		x.startInstant(n, history.SyscallUTCNow, at)
	case TaskContinueAsNew:
		n.kind = nodeInstant
		next := *t
		x.ending = &ending{kind: history.OrchestrationContinuedAsNew, output: t.Input, next: &next}
	case TaskAll:
		n.kind = nodeAll
		x.startMembers(n, t.Members, at)
		x.settleAll(n)
	case TaskRace:
		n.kind = nodeRace
		x.startMembers(n, t.Members, at)
		x.settleRace(n)
	case TaskBranch:
		n.kind, n.branch = nodeBranch, t.Branch
		x.advance(n)
	}
	return n
}

func (x *Execution) startMembers(n *node, members []Task, at string) {
	n.kids = make([]*node, len(members))
	n.waiting = len(members)
	x.starting++
	for i := range members {
		k := x.start(&members[i], n, i, at)
		if x.ending != nil {
			break
		}
		if k.state != pending {
			n.waiting--
		}
	}
	x.starting--
}

func (x *Execution) startActivity(n *node, t *Task, at string, attempt int, retryOf int64) {
	n.kind = nodeActivity
	call := history.Event{
		Kind: history.ActivityScheduled, Name: t.Name, Data: t.Input, Fingerprint: t.Fingerprint, Session: t.Session, Tag: t.Tag,
		TimeoutMS: t.TimeoutMS, Attempt: attempt, RetryOf: retryOf, At: at,
	}
	if attempt == 1 {
		call.RetryOf = x.cursor + 1
	}
	e, appended := x.record(&call)
	if e == nil {
		return
	}
	n.id = e.ID
	x.open[n.id] = n
	if appended {
		x.commit.Jobs = append(x.commit.Jobs, Job{
			Schedule: n.id, Name: t.Name, Input: t.Input, Session: t.Session, Tag: t.Tag, TimeoutMS: t.TimeoutMS,
			Attempt: attempt, RetryOf: call.RetryOf,
		})
	}
}

func (x *Execution) startTimer(n *node, delayMS int64, at string) {
	n.kind = nodeTimer
	e, appended := x.record(&history.Event{Kind: history.TimerCreated, FireAt: dueTime(x.stamp, delayMS), At: at})
	if e == nil {
		return
	}
	n.id, n.fireAt = e.ID, e.FireAt
	x.open[n.id] = n
	if appended {
		x.commit.Timers = append(x.commit.Timers, Timer{Schedule: n.id, FireAt: n.fireAt})
	}
}

// maxDelayMS keeps due times far from overflow: 285,000 years.
const maxDelayMS = 1 << 53

func dueTime(now, delayMS int64) int64 { return now + min(max(delayMS, 0), maxDelayMS) }

// childID is the id of a child that was given none. Schedule ids start again with each execution, so a later one is part
// of the id: an instance that starts a child and continues as new again and again never meets its own earlier child.
func (x *Execution) childID() string {
	id := strconv.FormatInt(x.cursor+1, 10)
	if x.identity.Execution > 1 {
		id = strconv.FormatInt(x.identity.Execution, 10) + "_" + id
	}
	return x.identity.Instance + "::sub::" + id
}

func (x *Execution) startChild(n *node, t *Task, at string) {
	n.kind = nodeChild
	call := history.Event{
		Kind: history.SubOrchestrationScheduled, Name: t.Name, Version: t.Version, Data: t.Input, Fingerprint: t.Fingerprint,
		Instance: t.Instance, InstanceGiven: t.InstanceGiven, At: at,
	}
	if !t.InstanceGiven {
		call.Instance = x.childID()
		if len(call.Instance) > MaxNamedIDBytes {
			n.kind = nodeInstant
			n.fail(&history.Failure{Kind: history.OrchestrationError, Message: textChildIDTooLong})
			return
		}
	}
	e, appended := x.record(&call)
	if e == nil {
		return
	}
	n.id, n.name = e.ID, e.Instance
	x.open[n.id] = n
	if appended {
		x.commit.Starts = append(x.commit.Starts, Start{Instance: n.name, Name: t.Name, Version: t.Version, Input: t.Input, Schedule: n.id})
	}
}

// startInstant records a built-in call with its answer as the very next event. Both are JSON: the id a string, the time
// an integer of ms.
func (x *Execution) startInstant(n *node, name, at string) {
	n.kind = nodeInstant
	e, appended := x.record(&history.Event{Kind: history.ActivityScheduled, Name: name, At: at})
	if e == nil {
		return
	}
	n.id = e.ID
	answer := history.Event{Kind: history.ActivityCompleted, Source: n.id}
	if appended {
		if name == history.SyscallNewGUID {
			answer.Data = strconv.Quote(x.newGUID())
		} else {
			answer.Data = strconv.FormatInt(x.stamp, 10)
		}
	}
	if e, _ = x.record(&answer); e != nil {
		x.now = e.Time
		n.succeed(Value{Kind: ValueText, Text: e.Data})
	}
}

// settleAll resolves an all when every member is resolved.
func (x *Execution) settleAll(n *node) {
	if x.ending != nil || n.waiting > 0 {
		return
	}
	members := make([]Member, len(n.kids))
	for i, k := range n.kids {
		members[i] = k.member()
	}
	n.kids = nil
	n.succeed(Value{Kind: ValueAll, Members: members})
}

// settleRace resolves a race when any member is resolved, the lowest first, and closes the others before anything is
// resumed.
func (x *Execution) settleRace(n *node) {
	if x.ending != nil {
		return
	}
	if len(n.kids) == 0 {
		n.fail(&history.Failure{Kind: history.OrchestrationError, Message: textEmptyRace})
		return
	}
	var winner *node
	for _, k := range n.kids {
		if k.state != pending {
			winner = k
			break
		}
	}
	if winner == nil {
		return
	}
	for _, k := range n.kids {
		x.closeNode(k, lostRace)
		if x.ending != nil {
			return
		}
	}
	n.kids = nil
	if winner.state == failed {
		n.state, n.failure, n.thrown, n.text = failed, winner.failure, winner.thrown, winner.text
		return
	}
	n.succeed(Value{Kind: ValueRace, Index: winner.slot, Members: []Member{{Value: winner.value}}})
}

// bubble carries a resolved node's result upward: composites settle, branches advance, until something is blocked.
func (x *Execution) bubble(n *node) {
	for n.parent != nil {
		p := n.parent
		switch p.kind {
		case nodeBranch:
			x.advance(p)
		case nodeAll:
			p.waiting--
			x.settleAll(p)
		case nodeRace:
			x.settleRace(p)
		case nodeRetry:
			x.stepRetry(p, n)
		case nodeActivity, nodeTimer, nodeChild, nodeWait, nodeDequeue, nodeInstant: // leaves have no members
		}
		if x.ending != nil || p.state == pending {
			return
		}
		n = p
	}
}
