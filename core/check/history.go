package check

import (
	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// answers tells which kind of event a completion or a closing answers; false for the others.
func answers(k history.Kind) (scheduled history.Kind, ok bool) {
	switch k {
	case history.ActivityCompleted, history.ActivityFailed, history.ActivityCancelRequested:
		return history.ActivityScheduled, true
	case history.TimerFired:
		return history.TimerCreated, true
	case history.ExternalSubscribedCancelled:
		return history.ExternalSubscribed, true
	case history.QueueSubscriptionCancelled:
		return history.QueueSubscribed, true
	case history.SubOrchestrationCompleted, history.SubOrchestrationFailed, history.SubOrchestrationCancelRequested:
		return history.SubOrchestrationScheduled, true
	case history.KindUnknown, history.OrchestrationStarted, history.OrchestrationCompleted, history.OrchestrationFailed,
		history.OrchestrationContinuedAsNew, history.OrchestrationCancelRequested, history.ActivityScheduled,
		history.TimerCreated, history.ExternalSubscribed, history.ExternalEvent, history.QueueSubscribed,
		history.QueueEventDelivered, history.OrchestrationChained, history.SubOrchestrationScheduled,
		history.CustomStatusUpdated, history.KeyValueSet, history.KeyValueCleared, history.KeyValuesCleared:
	}
	return history.KindUnknown, false
}

// closed gives for each schedule id the event that answered or closed it.
func closed(events []history.Event) map[int64]*history.Event {
	m := map[int64]*history.Event{}
	for i := range events {
		if _, ok := answers(events[i].Kind); ok {
			m[events[i].Source] = &events[i]
		}
	}
	return m
}

func (c *checker) checkExecutions() {
	previous := int64(0)
	for i := range c.rows.Histories {
		h := &c.rows.Histories[i]
		n := h.Execution.Execution
		// Pruning takes the oldest executions, so that what is left has no gap.
		if n <= previous || i > 0 && n != previous+1 {
			c.report(n, "execution follows execution %d", previous)
		}
		previous = n
		current := n == c.rows.Snapshot.Execution
		c.checkEvents(h, current)
		if want := int64(len(h.Events)); h.EventCount != want {
			c.report(n, "row counts %d events, there are %d", h.EventCount, want)
		}
		if !current && h.Status != replay.ContinuedAsNew {
			c.report(n, "an earlier execution is %s", h.Status)
		}
		if current && c.rows.Snapshot.NextEventID != int64(len(h.Events))+1 {
			c.report(n, "the next event is %d after %d events", c.rows.Snapshot.NextEventID, len(h.Events))
		}
	}
	if previous > c.rows.Snapshot.Execution {
		c.report(previous, "execution is later than the current one, %d", c.rows.Snapshot.Execution)
	}
}

func (c *checker) checkEvents(h *store.ExecutionHistory, current bool) {
	n := h.Execution.Execution
	if len(h.Events) == 0 {
		// Until the first turn has run there is only the start message.
		if !current || c.rows.Snapshot.Ended {
			c.report(n, "no history")
		}
		return
	}
	answered := map[int64]int64{}
	for i := range h.Events {
		e := &h.Events[i]
		if e.ID != int64(i)+1 {
			c.report(n, "event %d stands at position %d", e.ID, i+1)
			return
		}
		if (e.Kind == history.OrchestrationStarted) != (i == 0) {
			c.report(n, "event %d is %s", e.ID, e.Kind)
		}
		if e.Kind.IsTerminal() && i != len(h.Events)-1 {
			c.report(n, "event %d (%s) is terminal and not the last", e.ID, e.Kind)
		}
		if i > 0 && e.Time < h.Events[i-1].Time {
			c.report(n, "event %d is older than the one in front of it", e.ID)
		}
		scheduled, ok := answers(e.Kind)
		if !ok {
			continue
		}
		if e.Source < 1 || e.Source >= e.ID || h.Events[e.Source-1].Kind != scheduled {
			c.report(n, "event %d (%s) answers %d, which is no %s before it", e.ID, e.Kind, e.Source, scheduled)
			continue
		}
		if other := answered[e.Source]; other != 0 {
			c.report(n, "events %d and %d both answer %d", other, e.ID, e.Source)
		}
		answered[e.Source] = e.ID
	}
	c.checkEnd(h)
}

// checkEnd compares the last event with the status of the row.
func (c *checker) checkEnd(h *store.ExecutionHistory) {
	n, last := h.Execution.Execution, &h.Events[len(h.Events)-1]
	var status replay.Status
	switch last.Kind {
	case history.OrchestrationCompleted:
		status = replay.Completed
	case history.OrchestrationFailed:
		status = replay.Failed
	case history.OrchestrationContinuedAsNew:
		status = replay.ContinuedAsNew
	default:
		status = replay.Running
	}
	if h.Status != status {
		c.report(n, "the row says %s, the history ends with %s", h.Status, last.Kind)
	}
	switch status {
	case replay.Completed, replay.ContinuedAsNew:
		if h.Output != last.Data {
			c.report(n, "output of the row and of the last event differ")
		}
	case replay.Failed:
		if h.Failure == nil || last.Failure == nil || h.Failure.Text() != last.Failure.Text() {
			c.report(n, "failure of the row and of the last event differ")
		}
	case replay.Running:
	}
	if ended := status != replay.Running; ended != (h.CompletedAt != 0) {
		c.report(n, "%s, but completed at %d", status, h.CompletedAt)
	}
}
