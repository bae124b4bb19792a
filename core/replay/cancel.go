package replay

import (
	"fmt"
	"slices"

	"github.com/duroxide/duroxide/core/history"
)

// Reasons that cancel requests carry.
const (
	reasonLostRace       = "dropped_future"
	reasonFailed         = "orchestration_terminal_failed"
	reasonContinued      = "orchestration_terminal_continued_as_new"
	reasonParentCanceled = "parent canceled"
	reasonParentDropped  = "parent dropped sub-orchestration future"
)

// ending is how an execution ended, from the moment that it is known until its terminal event is written.
type ending struct {
	kind      history.Kind // terminal
	output    string       // Completed: the result; ContinuedAsNew: the next input
	failure   *history.Failure
	next      *Task // ContinuedAsNew
	byRoot    bool  // the root generator returned or raised: nothing can be open
	byCancel  bool
	byHistory bool // loaded history says so
}

// String is what code did, the end of a sentence.
func (e *ending) String() string {
	switch e.kind {
	case history.OrchestrationCompleted:
		return "returned"
	case history.OrchestrationContinuedAsNew:
		return "continued as new"
	default:
		return fmt.Sprintf("failed (%s)", e.failure.Text())
	}
}

// closing says why something is closed.
type closing uint8

const (
	lostRace   closing = iota // a call of code: matched with history
	ended                     // by continue-as-new or failure: appended by the engine, children go on
	cancelled                 // the same, and children are told
	unrecorded                // code and history disagree, so nothing is known of what is open
)

// cancel ends the execution before any code runs.
func (x *Execution) cancel(m *history.Message) {
	x.now = x.append(&history.Event{Kind: history.OrchestrationCancelRequested, Reason: m.Data, MessageID: m.ID}).Time
	x.ending = &ending{
		kind:     history.OrchestrationFailed,
		failure:  &history.Failure{Kind: history.Cancelled, Message: m.Data},
		byCancel: true,
	}
}

// closeNode closes what is still open under n, in argument order, depth first: a branch closes what it awaits, then its
// generator.
func (x *Execution) closeNode(n *node, why closing) {
	if n == nil || n.state != pending {
		return
	}
	switch n.kind {
	case nodeBranch:
		x.closeNode(n.await, why)
		if why == lostRace && x.ending != nil {
			return
		}
		n.await = nil
		x.code.Close(n.branch)
	case nodeAll, nodeRace:
		for _, k := range n.kids {
			x.closeNode(k, why)
		}
	case nodeRetry:
		for _, k := range n.retry.parts() {
			x.closeNode(k, why)
		}
	case nodeActivity, nodeTimer, nodeChild, nodeWait, nodeDequeue, nodeInstant:
		x.closeLeaf(n, why)
	}
	if why == lostRace && x.ending != nil {
		return // history disagreed on the way: what is not closed yet is closed with the execution
	}
	n.state = closed
}

func (x *Execution) closeLeaf(n *node, why closing) {
	fresh := n.id > x.committed // the store has not heard of it
	switch n.kind {
	case nodeActivity:
		if x.closeCall(history.ActivityCancelRequested, n, why) {
			if fresh {
				x.unsent = append(x.unsent, n.id)
			} else {
				x.commit.DropJobs = append(x.commit.DropJobs, n.id)
			}
		}
		delete(x.open, n.id)
	case nodeTimer: // records nothing
		delete(x.open, n.id)
		switch {
		case x.loading: // the turn that closed it dropped it too
		case fresh:
			x.unsent = append(x.unsent, n.id)
		default:
			x.commit.DropTimers = append(x.commit.DropTimers, n.id)
		}
	case nodeChild:
		delete(x.open, n.id)
		if why == ended { // it goes on as an orphan
			return
		}
		if x.closeCall(history.SubOrchestrationCancelRequested, n, why) {
			if fresh {
				x.unsent = append(x.unsent, n.id)
				return
			}
			reason := reasonParentDropped
			if why == cancelled {
				reason = reasonParentCanceled
			}
			x.send(n.name, history.Message{Kind: history.MsgCancel, Data: reason})
		}
	case nodeWait:
		x.closeCall(history.ExternalSubscribedCancelled, n, why)
		x.waits.remove(n)
	case nodeDequeue:
		x.closeCall(history.QueueSubscriptionCancelled, n, why)
		if x.dequeues.remove(n) {
			x.queueClosed(n.name)
		}
	case nodeBranch, nodeAll, nodeRace, nodeRetry, nodeInstant:
	}
}

// closeCall records that a leaf is closed and reports whether that was news.
func (x *Execution) closeCall(kind history.Kind, n *node, why closing) bool {
	call := history.Event{Kind: kind, Source: n.id}
	switch why {
	case lostRace:
		call.Reason = reasonLostRace
		_, appended := x.record(&call)
		return appended
	case ended:
		call.Reason = reasonFailed
		if x.ending.kind == history.OrchestrationContinuedAsNew {
			call.Reason = reasonContinued
		}
	case cancelled:
		call.Reason = reasonFailed
		if kind == history.SubOrchestrationCancelRequested {
			call.Reason = reasonParentCanceled
		}
	case unrecorded:
		return false
	}
	x.append(&call)
	return true
}

// finish closes what is open and writes the terminal event.
func (x *Execution) finish() {
	c, end := x.commit, x.ending
	switch {
	case end.byRoot:
	case x.mismatch != nil:
		x.closeNode(x.root, unrecorded)
		if end.byCancel {
			x.closeRecorded()
		}
	case end.byCancel:
		x.closeNode(x.root, cancelled)
	default:
		x.closeNode(x.root, ended)
	}
	// Jobs and timers of the execution go with it, listed or not; what it scheduled last is recorded and never begins.
	// Detached starts are not part of it.
	c.Jobs, c.Timers, c.DropJobs, c.DropTimers = nil, nil, nil, nil
	c.Starts = detached(c.Starts)
	x.unsent = x.unsent[:0]

	terminal := history.Event{Kind: end.kind, Data: end.output, Failure: end.failure}
	c.Output, c.Failure = end.output, end.failure
	switch end.kind {
	case history.OrchestrationCompleted:
		x.status = Completed
		x.tellParent(history.Message{Kind: history.MsgChildCompleted, Data: end.output})
	case history.OrchestrationContinuedAsNew:
		x.status = ContinuedAsNew
		terminal.Fingerprint = end.next.Fingerprint
		c.Next = x.next(end.next)
	default:
		x.status = Failed
		x.tellParent(childFailed(x.identity.Instance, end.failure))
	}
	x.append(&terminal)
	x.finished = true
	x.paused = nil
	x.root, x.open, x.loaded, x.openQueues, x.usedQueues = nil, nil, nil, nil, nil
	x.waits, x.dequeues = nil, nil
}

// closeRecorded closes what history says is open, when a cancel reaches an execution whose code no longer fits it: the
// children must hear of it all the same.
func (x *Execution) closeRecorded() {
	for _, call := range openCalls(x.loaded) {
		n := &node{id: call.ID, name: call.Name}
		switch call.Kind {
		case history.ActivityScheduled:
			n.kind = nodeActivity
		case history.SubOrchestrationScheduled:
			n.kind, n.name = nodeChild, call.Instance
		case history.ExternalSubscribed:
			n.kind = nodeWait
		default:
			n.kind = nodeDequeue
		}
		x.closeLeaf(n, cancelled)
	}
}

// openCalls are the activities, children, waits and dequeues that history neither answers nor closes, in order.
func openCalls(events []history.Event) []*history.Event {
	var open []*history.Event
	for i := range events {
		e := &events[i]
		switch {
		case e.Kind == history.ActivityScheduled, e.Kind == history.SubOrchestrationScheduled, e.Kind == history.ExternalSubscribed,
			e.Kind == history.QueueSubscribed:
			open = append(open, e)
		case isNews(e.Kind) || isCancelRequest(e.Kind):
			answered := func(call *history.Event) bool {
				if e.Kind == history.ExternalEvent {
					return call.Kind == history.ExternalSubscribed && call.Name == e.Name
				}
				return call.ID == e.Source
			}
			if k := slices.IndexFunc(open, answered); k >= 0 {
				open = slices.Delete(open, k, k+1)
			}
		}
	}
	return open
}

func detached(starts []Start) []Start {
	var kept []Start
	for _, s := range starts {
		if s.Schedule == 0 {
			kept = append(kept, s)
		}
	}
	return kept
}

// tellParent sends the end of a child to who waits for it.
func (x *Execution) tellParent(m history.Message) {
	if p := x.identity.Start.Parent; p != nil {
		m.Life, m.Execution, m.Source = p.Life, p.Execution, p.Schedule
		x.send(p.Instance, m)
	}
}

func (x *Execution) send(instance string, m history.Message) {
	x.commit.Sends = append(x.commit.Sends, Send{Instance: instance, Message: m})
}

func childFailed(instance string, f *history.Failure) history.Message {
	told := *f
	told.Instance = instance
	return history.Message{Kind: history.MsgChildFailed, Failure: &told}
}

// next makes event 1 of the next execution. The mailbox needs no carrying: mail stays where it is.
func (x *Execution) next(t *Task) *history.Event {
	version := t.Version
	if version == "" {
		version = x.identity.Version
		if x.latest != nil {
			if latest, ok := x.latest(x.identity.Name); ok {
				version = latest
			}
		}
	}
	return &history.Event{
		ID: 1, Kind: history.OrchestrationStarted, Time: x.stamp, Name: x.identity.Name, Version: version,
		Data: t.Input, Fingerprint: t.Fingerprint, Engine: EngineVersion,
		Start: &history.Start{Parent: x.identity.Start.Parent, Status: x.state.status, StatusVersion: x.state.version, KV: x.state.kv},
	}
}

func started(id *Identity, nowMS int64) history.Event {
	start := id.Start
	return history.Event{
		ID: 1, Kind: history.OrchestrationStarted, Time: nowMS, Name: id.Name, Version: id.Version, Data: id.Input,
		Engine: EngineVersion, Start: &start,
	}
}
