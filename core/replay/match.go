package replay

import (
	"fmt"
	"strings"

	"github.com/duroxide/duroxide/core/history"
)

// record is where every call of user code passes, live and in replay: inside loaded history the event at the cursor must
// be this call, at its end the call is appended. The event is nil when the execution ended over it. It is only valid
// until the next record.
func (x *Execution) record(call *history.Event) (e *history.Event, appended bool) {
	if x.cursor < int64(len(x.loaded)) {
		e = &x.loaded[x.cursor]
		if endsWhateverCodeDoes(e) {
			x.ending = &ending{byHistory: true}
			return nil, false
		}
		if what := x.difference(e, call); what != "" {
			x.mismatched(call.At, "%s: %s, %s%s", mismatchPrefix(e, call), recorded(e), asked(call), what)
			return nil, false
		}
		x.cursor++
		return e, false
	}
	if x.verifying {
		x.mismatched(call.At, "schedule mismatch: history ends at event %d, %s", x.cursor, asked(call))
		return nil, false
	}
	return x.append(call), true
}

// append adds an event to the commit under way.
func (x *Execution) append(e *history.Event) *history.Event {
	x.cursor++
	e.ID, e.Time = x.cursor, x.stamp
	x.bytes += int64(len(e.Data))
	x.replaying = false
	if x.commit.Events == nil {
		x.commit.Events = make([]history.Event, 0, 2) // a step that takes one result and schedules one activity
	}
	x.commit.Events = append(x.commit.Events, *e)
	return &x.commit.Events[len(x.commit.Events)-1]
}

// difference tells in which way a call is not the recorded one; empty when it is. The text is the end of a sentence.
// What is not compared: the length of a timer, the text of a status, the id of a child that was generated, the version
// that a child resolved to, times of writing.
func (x *Execution) difference(e, call *history.Event) string {
	const same, sameCall = "", " instead"
	if e.Kind != call.Kind || e.Name != call.Name {
		return sameCall
	}
	switch call.Kind {
	case history.ActivityScheduled:
		switch {
		case !x.samePayload(e, call):
			return " with another input"
		case e.Session != call.Session:
			return fmt.Sprintf(" in session %q instead of %q", call.Session, e.Session)
		case e.Tag != call.Tag:
			return fmt.Sprintf(" with tag %q instead of %q", call.Tag, e.Tag)
		}
	case history.SubOrchestrationScheduled:
		switch {
		case !x.samePayload(e, call):
			return " with another input"
		case e.Version != call.Version:
			return fmt.Sprintf(" in version %q instead of %q", call.Version, e.Version)
		case e.InstanceGiven != call.InstanceGiven:
			if call.InstanceGiven {
				return fmt.Sprintf(" as %q instead of a generated id", call.Instance)
			}
			return fmt.Sprintf(" with a generated id instead of %q", e.Instance)
		case e.InstanceGiven && e.Instance != call.Instance:
			return fmt.Sprintf(" as %q instead of %q", call.Instance, e.Instance)
		}
	case history.OrchestrationChained:
		switch {
		case !x.samePayload(e, call):
			return " with another input"
		case e.Version != call.Version:
			return fmt.Sprintf(" in version %q instead of %q", call.Version, e.Version)
		case e.Instance != call.Instance:
			return fmt.Sprintf(" as %q instead of %q", call.Instance, e.Instance)
		}
	case history.KeyValueSet:
		if !x.samePayload(e, call) {
			return " with another value"
		}
	case history.CustomStatusUpdated:
		if e.Cleared != call.Cleared {
			return sameCall
		}
	case history.ActivityCompleted, history.ActivityCancelRequested, history.ExternalSubscribedCancelled,
		history.QueueSubscriptionCancelled, history.SubOrchestrationCancelRequested:
		if e.Source != call.Source {
			return sameCall
		}
	default: // position and name are all there is
	}
	return same
}

// samePayload compares inputs by their plain values: a codec that encrypts gives other bytes each time.
func (x *Execution) samePayload(e, call *history.Event) bool {
	if e.Data == call.Data {
		return true
	}
	if e.Fingerprint != "" && call.Fingerprint != "" {
		return e.Fingerprint == call.Fingerprint
	}
	return x.code.SamePayload(e.Data, call.Data)
}

// mismatched ends the execution as nondeterministic.
func (x *Execution) mismatched(at, format string, args ...any) {
	x.mismatch = &history.Failure{Kind: history.Nondeterminism, Message: fmt.Sprintf(format, args...), At: at}
	x.ending = &ending{kind: history.OrchestrationFailed, failure: x.mismatch}
}

// notEmitted is called when all code is blocked and the recorded event is not one that comes from outside.
func (x *Execution) notEmitted(e *history.Event) {
	switch {
	case e.Kind.IsTerminal():
		x.mismatched(e.At, "history ended but code did not: %s, code is still waiting", recorded(e))
	case isCancelRequest(e.Kind):
		x.mismatched(e.At, "%s: %s, code did not drop it", mismatchPrefix(e, nil), recorded(e))
	case e.Kind == history.OrchestrationChained:
		x.mismatched(e.At, "history OrchestrationChained but no emitted action: %s, code is waiting", recorded(e))
	default:
		x.mismatched(e.At, "history schedule but no emitted action: %s, code is waiting", recorded(e))
	}
}

// matchEnding checks that history ends as code did, when code ended in replay.
func (x *Execution) matchEnding() {
	if x.ending.byHistory {
		return
	}
	at := x.cursor
	if !x.ending.byRoot { // closed by the engine when the execution ended, so code need not account for it
		for at < int64(len(x.loaded)) && isCancelRequest(x.loaded[at].Kind) {
			at++
		}
	}
	if at >= int64(len(x.loaded)) {
		if x.verifying {
			x.mismatched("", "schedule mismatch: history goes on after event %d, code %s", x.cursor, x.ending)
		}
		return
	}
	e := &x.loaded[at]
	switch {
	case endsWhateverCodeDoes(e):
	case !e.Kind.IsTerminal():
		x.mismatched(e.At, "returned before history was used up: %s, code %s", recorded(e), x.ending)
	case e.Kind != x.ending.kind:
		x.mismatched("", "history ended in another way: %s, code %s", recorded(e), x.ending)
	case !x.sameOutput(e):
		x.mismatched("", "history ended in another way: %s, code %s with another value", recorded(e), x.ending)
	}
}

func (x *Execution) sameOutput(e *history.Event) bool {
	if e.Kind == history.OrchestrationFailed {
		return true // texts of exceptions may hold addresses and lines
	}
	call := history.Event{Data: x.ending.output}
	if x.ending.next != nil {
		call.Fingerprint = x.ending.next.Fingerprint
	}
	return x.samePayload(e, &call)
}

// endedAlready notes that the terminal event was loaded. Turns change nothing any more.
func (x *Execution) endedAlready(terminal *history.Event) {
	x.finished = true
	x.cursor = terminal.ID
	switch terminal.Kind {
	case history.OrchestrationCompleted:
		x.status = Completed
	case history.OrchestrationContinuedAsNew:
		x.status = ContinuedAsNew
	default:
		x.status = Failed
	}
}

// mismatchPrefix gives the words by which a mismatch is known; call is nil when code made none.
func mismatchPrefix(e, call *history.Event) string {
	if call != nil && isCancelRequest(call.Kind) || isCancelRequest(e.Kind) {
		kind, before, now := e.Kind, "[]", "[]"
		if isCancelRequest(e.Kind) {
			before = fmt.Sprintf("[%d]", e.Source)
		}
		if call != nil && isCancelRequest(call.Kind) {
			kind, now = call.Kind, fmt.Sprintf("[%d]", call.Source)
		}
		return fmt.Sprintf("cancellation mismatch (%s): baseline_dropped_future_cancel_requests=%s ctx_cancelled_in_replayed_segment=%s",
			cancelGroup(kind), before, now)
	}
	for _, side := range []*history.Event{call, e} {
		if side == nil {
			continue
		}
		switch side.Kind {
		case history.CustomStatusUpdated:
			return "custom status mismatch"
		case history.KeyValueSet:
			return "kv set mismatch"
		case history.KeyValueCleared:
			return "kv clear mismatch"
		case history.KeyValuesCleared:
			return "kv clear_all mismatch"
		default:
		}
	}
	return "schedule mismatch"
}

func cancelGroup(k history.Kind) string {
	switch k {
	case history.ActivityCancelRequested:
		return "activities"
	case history.SubOrchestrationCancelRequested:
		return "sub-orchestrations"
	case history.QueueSubscriptionCancelled:
		return "persistent waits"
	default:
		return "external waits"
	}
}

// recorded says what history holds.
func recorded(e *history.Event) string {
	s := fmt.Sprintf("event %d is %s", e.ID, describe(e))
	if e.At != "" {
		s += " recorded at " + e.At
	}
	return s
}

// asked says what code does now.
func asked(call *history.Event) string {
	s := "code asks for " + describe(call)
	if call.At != "" {
		s += " at " + call.At
	}
	return s
}

func describe(e *history.Event) string {
	var b strings.Builder
	b.WriteString(e.Kind.String())
	if e.Name != "" {
		fmt.Fprintf(&b, " %q", e.Name)
	}
	if e.Kind == history.CustomStatusUpdated && e.Cleared {
		b.WriteString(" by a reset")
	}
	if e.Source != 0 {
		fmt.Fprintf(&b, " of event %d", e.Source)
	}
	return b.String()
}

// corruption tells what is wrong with loaded events before any code sees them; empty when nothing is.
func corruption(events []history.Event) string {
	if len(events) == 0 {
		return "empty"
	}
	if events[0].Kind != history.OrchestrationStarted {
		return "first event must be OrchestrationStarted"
	}
	cancelled := false
	for i := range events {
		e := &events[i]
		last := i == len(events)-1
		switch {
		case e.ID != int64(i+1):
			return fmt.Sprintf("event %d stands where event %d belongs", e.ID, i+1)
		case e.Kind == history.OrchestrationStarted && i > 0:
			return fmt.Sprintf("event %d is a second OrchestrationStarted", e.ID)
		case e.Kind == history.KindUnknown || e.Kind > history.KeyValuesCleared:
			return fmt.Sprintf("event %d is of no known kind", e.ID)
		case e.Kind.IsTerminal() && !last:
			return fmt.Sprintf("event %d follows the terminal event", e.ID+1)
		case (e.Kind == history.ActivityFailed || e.Kind == history.SubOrchestrationFailed || e.Kind == history.OrchestrationFailed) && e.Failure == nil:
			return fmt.Sprintf("event %d is a failure without details", e.ID)
		}
		cancelled = cancelled || e.Kind == history.OrchestrationCancelRequested
		if last && cancelled && !e.Kind.IsTerminal() {
			return "cancelled without a terminal event"
		}
	}
	return ""
}

// corrupted makes an execution that never runs code and fails at its next turn.
func (x *Execution) corrupted(fault string) {
	x.mismatched("", "corrupted history: %s", fault)
	x.root.state = closed
	x.commit = new(Commit)
	for i := range x.loaded { // the terminal event must not meet an id that is taken
		x.cursor = max(x.cursor, x.loaded[i].ID)
		x.stamp = max(x.stamp, x.loaded[i].Time)
	}
	x.committed = x.cursor
	x.loading = false
	x.loaded = nil
}
