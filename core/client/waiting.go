package client

import (
	"cmp"
	"slices"
	"strings"

	"github.com/duroxide/duroxide/core/history"
)

// Waiting is something that an execution waits for: a leaf that was recorded and has neither been answered nor closed.
type Waiting struct {
	Kind    string // activity, timer, event, dequeue, sub_orchestration
	Name    string // of activity, event, queue or orchestration; empty for timers
	EventID int64  // of the event that recorded it
	Since   int64  // ms
	DueAt   int64  // ms; timers only, else 0
	Attempt int    // of a retry policy, from 1; 0 for what has none
	At      string // file:line of the user's code
}

// OpenWaits tells from a history alone what the execution waits for, in the order in which it was asked for. Nothing
// once the execution has ended.
func OpenWaits(events []history.Event) []Waiting {
	open := map[int64]Waiting{}
	// Events and mail are matched with the oldest open wait of their name.
	oldest := func(kind, name string) int64 {
		found := int64(0)
		for id, w := range open {
			if w.Kind == kind && w.Name == name && (found == 0 || id < found) {
				found = id
			}
		}
		return found
	}
	ask := func(e *history.Event, kind string) {
		open[e.ID] = Waiting{Kind: kind, Name: e.Name, EventID: e.ID, Since: e.Time, DueAt: e.FireAt, Attempt: e.Attempt, At: e.At}
	}
	for i := range events {
		e := &events[i]
		switch e.Kind {
		case history.ActivityScheduled:
			if !strings.HasPrefix(e.Name, history.SyscallPrefix) {
				ask(e, "activity")
			}
		case history.TimerCreated:
			ask(e, "timer")
		case history.ExternalSubscribed:
			ask(e, "event")
		case history.QueueSubscribed:
			ask(e, "dequeue")
		case history.SubOrchestrationScheduled:
			ask(e, "sub_orchestration")
		case history.ActivityCompleted, history.ActivityFailed, history.ActivityCancelRequested, history.TimerFired,
			history.SubOrchestrationCompleted, history.SubOrchestrationFailed, history.SubOrchestrationCancelRequested,
			history.ExternalSubscribedCancelled, history.QueueSubscriptionCancelled:
			delete(open, e.Source)
		case history.ExternalEvent:
			delete(open, cmp.Or(e.Source, oldest("event", e.Name)))
		case history.QueueEventDelivered:
			delete(open, cmp.Or(e.Source, oldest("dequeue", e.Name)))
		case history.OrchestrationCompleted, history.OrchestrationFailed, history.OrchestrationContinuedAsNew:
			return nil
		case history.KindUnknown, history.OrchestrationStarted, history.OrchestrationCancelRequested,
			history.OrchestrationChained, history.CustomStatusUpdated, history.KeyValueSet, history.KeyValueCleared,
			history.KeyValuesCleared:
		}
	}
	waits := make([]Waiting, 0, len(open))
	for _, w := range open {
		waits = append(waits, w)
	}
	slices.SortFunc(waits, func(a, b Waiting) int { return cmp.Compare(a.EventID, b.EventID) })
	return waits
}
