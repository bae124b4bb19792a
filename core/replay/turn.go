package replay

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/duroxide/duroxide/core/history"
)

// EngineVersion is written into event 1 of each execution.
const EngineVersion = "1.0.0"

// Texts that the engine makes and code can see. A workflow may pass them on, so a release that changes one changes what
// running workflows do in replay.
const (
	textActivityTimedOut = "activity timed out"
	textEmptyRace        = "race needs at least one task"
	textChildIDTooLong   = "the generated id of the child exceeds the limit of 2048 bytes: give the child an id of its own"
)

// Why messages are dropped, for the log.
const (
	whyOtherLife      = "meant for an earlier instance of this id"
	whyOtherExecution = "meant for another execution"
	whyNotOpen        = "nothing open with this schedule id"
	whyOtherKind      = "what is open with this schedule id is of another kind"
	whyNobodyWaits    = "nobody waits for an event of this name"
	whyUnknown        = "of a kind that this engine does not know"
	whyStarted        = "already started"
	whyEnded          = "the execution has ended"
	whyContinued      = "the execution continued as new"
)

// Turn applies messages one at a time, lets code run until it is blocked after each, and gives what has to be
// committed. code may be another value than at the last turn as long as it steps the same generators.
//
// A cancel goes first, wherever it stands, and ends the execution before code runs. Code that was held back (by a cut, or
// by Load) runs before the first message. Messages that the commit does not list as consumed stay in the store; a turn of
// an execution that has ended consumes everything and changes nothing.
func (x *Execution) Turn(code Code, in Input) *Commit {
	x.beginTurn(code, &in)
	if x.finished {
		for i := range in.Messages {
			if x.status != ContinuedAsNew { // what the next execution needs stays
				x.drop(x.batch.take(i), whyEnded)
			}
		}
		return x.endTurn()
	}
	if x.cursor == 0 {
		first := started(&x.identity, x.stamp)
		if e := x.append(&first); x.mismatch == nil {
			x.begin(e)
			x.paused = x.root
		}
	}
	x.lead(in.Messages)
	x.run()
	if x.ending != nil {
		x.finish()
	}
	return x.endTurn()
}

// lead takes the messages that only make the turn run, and the first cancel.
func (x *Execution) lead(messages []history.Message) {
	var cancel *history.Message
	for i := range messages {
		switch m := &messages[i]; {
		case m.Kind == history.MsgContinue:
			x.batch.take(i)
		case m.Kind == history.MsgStart:
			if x.batch.take(i); x.committed > 0 {
				x.drop(m, whyStarted)
			}
		case m.Kind == history.MsgCancel && cancel == nil:
			cancel = x.batch.take(i)
		}
	}
	if cancel != nil {
		x.cancel(cancel)
	}
}

func (x *Execution) beginTurn(code Code, in *Input) {
	x.code, x.newGUID, x.latest = code, in.NewGUID, in.Latest
	if x.newGUID == nil {
		x.newGUID = x.derivedGUID
	}
	if x.loaded != nil { // even if code disagreed with it: the terminal event goes behind all of it
		x.cursor = max(x.cursor, x.committed)
		if x.mismatch == nil {
			x.loaded = nil
		}
	}
	before := x.stamp
	x.stamp = max(x.stamp, in.NowMS)
	if x.commit == nil {
		x.commit = new(Commit)
	} else {
		x.restamp(x.stamp - before)
	}
	x.batch.begin(in.Messages)
	x.applied, x.bytes = 0, 0
}

// restamp moves what code asked for in Load to the time of the turn that commits it: changed code may go on past the end
// of the history in the very step that ends it.
func (x *Execution) restamp(later int64) {
	for i := range x.commit.Events {
		e := &x.commit.Events[i]
		e.Time += later
		if e.Kind == history.TimerCreated {
			e.FireAt += later
		}
	}
	for i := range x.commit.Timers {
		t := &x.commit.Timers[i]
		t.FireAt += later
		if n := x.open[t.Schedule]; n != nil {
			n.fireAt = t.FireAt
		}
	}
}

// run lets code run until it is blocked and applies the next message, until there is none, the execution has ended or
// the turn is cut.
func (x *Execution) run() {
	if n := x.paused; n != nil && x.ending == nil {
		x.paused = nil
		x.advance(n)
		if x.ending == nil && n.state != pending {
			x.bubble(n)
		}
	}
	for x.ending == nil && x.paused == nil {
		x.replaying = false
		m := x.batch.takeNext(x.dequeues)
		if m == nil {
			return
		}
		x.applied++
		x.apply(m)
	}
}

// apply makes a message an event, now that all code is blocked, and carries it to the leaf that takes it. A completion
// that no open leaf takes leaves no trace in history.
func (x *Execution) apply(m *history.Message) {
	switch {
	case m.Life != "" && m.Life != x.identity.Life:
		x.drop(m, whyOtherLife)
		return
	case m.Execution != 0 && m.Execution != x.identity.Execution:
		x.drop(m, whyOtherExecution)
		return
	}
	e := history.Event{Source: m.Source, Data: m.Data}
	switch m.Kind {
	case history.MsgStart, history.MsgContinue, history.MsgCancel: // taken before code ran
		return
	case history.MessageUnknown:
		x.drop(m, whyUnknown)
		return
	case history.MsgActivityCompleted:
		e.Kind = history.ActivityCompleted
	case history.MsgActivityFailed:
		e.Kind, e.Failure = history.ActivityFailed, failureOf(m, history.ActivityError)
	case history.MsgTimer:
		e.Kind = history.TimerFired
	case history.MsgChildCompleted:
		e.Kind = history.SubOrchestrationCompleted
	case history.MsgChildFailed:
		e.Kind, e.Failure = history.SubOrchestrationFailed, failureOf(m, history.OrchestrationError)
	case history.MsgEvent:
		e.Kind, e.Name, e.MessageID = history.ExternalEvent, m.Name, m.ID
	case history.MsgMail:
		e.Kind, e.Name, e.MessageID = history.QueueEventDelivered, m.Name, m.ID
	}
	n, fault := x.find(&e)
	if fault != noFault {
		x.drop(m, whyDropped[fault])
		return
	}
	switch {
	case n == nil:
		x.drop(m, whyNobodyWaits)
	case n.kind == nodeTimer:
		e.FireAt, e.Data = n.fireAt, ""
	case n.kind == nodeDequeue:
		e.Source = n.id
	}
	x.deliver(n, x.append(&e))
}

func failureOf(m *history.Message, kind history.FailureKind) *history.Failure {
	if m.Failure == nil {
		return &history.Failure{Kind: kind}
	}
	return m.Failure
}

// deliver resolves the leaf that takes an event, if any, and lets code react. Failures that are not the application's end
// the execution: no except clause sees them.
func (x *Execution) deliver(n *node, e *history.Event) {
	x.now = e.Time
	if n == nil {
		return
	}
	switch n.kind {
	case nodeWait:
		x.waits.remove(n)
	case nodeDequeue:
		if x.dequeues.remove(n) {
			x.queueClosed(n.name)
		}
	default:
		delete(x.open, n.id)
	}
	x.payload += int64(len(e.Data))
	switch {
	case e.Failure == nil && n.kind == nodeTimer:
		n.succeed(Value{})
	case e.Failure == nil:
		n.succeed(Value{Kind: ValueText, Text: e.Data})
	case e.Failure.Category() != history.CategoryApplication:
		n.fail(e.Failure)
		x.ending = &ending{kind: history.OrchestrationFailed, failure: e.Failure}
		return
	default:
		n.fail(e.Failure)
	}
	x.bubble(n)
}

// fault says why nothing can take an event.
type fault uint8

const (
	noFault fault = iota
	notOpen
	otherKind
)

var whyDropped = [...]string{notOpen: whyNotOpen, otherKind: whyOtherKind}

// find gives the open leaf that an event resolves. A positional event may have none.
func (x *Execution) find(e *history.Event) (*node, fault) {
	var want nodeKind
	switch e.Kind {
	case history.ExternalEvent:
		return x.waits.oldest(e.Name), noFault
	case history.QueueEventDelivered:
		n := x.dequeues.oldest(e.Name)
		if n == nil || e.Source != 0 && e.Source != n.id {
			return nil, notOpen
		}
		return n, noFault
	case history.TimerFired:
		want = nodeTimer
	case history.SubOrchestrationCompleted, history.SubOrchestrationFailed:
		want = nodeChild
	default:
		want = nodeActivity
	}
	n := x.open[e.Source]
	switch {
	case n == nil:
		return nil, notOpen
	case n.kind != want:
		return nil, otherKind
	}
	return n, noFault
}

// taker is find for a recorded event: that nothing takes it is nondeterminism.
func (x *Execution) taker(e *history.Event) *node {
	n, fault := x.find(e)
	switch fault {
	case notOpen:
		x.mismatched("", "completion without open schedule: %s", recorded(e))
	case otherKind:
		x.mismatched("", "completion kind mismatch: expected %s, %s", leafNames[x.open[e.Source].kind], recorded(e))
	case noFault:
	}
	return n
}

var leafNames = map[nodeKind]string{nodeActivity: "activity", nodeTimer: "timer", nodeChild: "suborchestration"}

func (x *Execution) drop(m *history.Message, why string) {
	x.commit.Dropped = append(x.commit.Dropped, Dropped{Message: *m, Why: why})
}

// endTurn hands out the commit and forgets everything that belongs to the turn alone.
func (x *Execution) endTurn() *Commit {
	c := x.commit
	c.Execution, c.Status = x.identity.Execution, Running
	if x.finished {
		c.Status = x.status
	}
	c.Continue = x.paused != nil
	c.OpenQueues, c.UsedQueues = x.openQueues, x.usedQueues
	if len(x.unsent) > 0 {
		x.keepBack(c)
	}
	if c.Status == ContinuedAsNew {
		x.leaveToNext()
	}
	c.Consumed = x.batch.consumedMessages()
	x.batch.messages = nil
	x.committed = x.cursor
	x.commit, x.code, x.newGUID, x.latest = nil, nil, nil, nil
	return c
}

// keepBack takes out what was scheduled and closed in the same turn: it never begins.
func (x *Execution) keepBack(c *Commit) {
	unsent := func(schedule int64) bool { return slices.Contains(x.unsent, schedule) }
	if len(x.unsent) > 8 {
		set := make(map[int64]bool, len(x.unsent))
		for _, id := range x.unsent {
			set[id] = true
		}
		unsent = func(schedule int64) bool { return set[schedule] }
	}
	c.Jobs = slices.DeleteFunc(c.Jobs, func(j Job) bool { return unsent(j.Schedule) })
	c.Timers = slices.DeleteFunc(c.Timers, func(t Timer) bool { return unsent(t.Schedule) })
	c.Starts = slices.DeleteFunc(c.Starts, func(s Start) bool { return s.Schedule != 0 && unsent(s.Schedule) })
	x.unsent = x.unsent[:0]
}

// leaveToNext consumes what the next execution must not see. Mail and cancels wait for it.
func (x *Execution) leaveToNext() {
	b := &x.batch
	for i := range b.messages {
		if b.taken[i] || b.messages[i].Kind == history.MsgMail || b.messages[i].Kind == history.MsgCancel {
			continue
		}
		x.drop(b.take(i), whyContinued)
	}
}

// derivedGUID is for code that asks for a random id where no source of randomness is at hand: in Load, past the end of a
// history that it had no business to pass. The life is random, so the id cannot be guessed.
func (x *Execution) derivedGUID() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%d/%d", x.identity.Life, x.identity.Instance, x.identity.Execution, x.cursor))
	sum[6] = sum[6]&0x0f | 0x80 // version 8: made by a rule of one's own
	sum[8] = sum[8]&0x3f | 0x80
	h := hex.EncodeToString(sum[:16])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
