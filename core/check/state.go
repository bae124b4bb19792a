package check

import (
	"context"
	"maps"
	"strings"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// checkState folds the events of the current execution and compares what clients read with the outcome.
func (c *checker) checkState(h *store.ExecutionHistory) {
	n := h.Execution.Execution
	kv := map[string]string{}
	var text *string
	version := int64(0)
	for i := range h.Events {
		e := &h.Events[i]
		if e.Kind == history.OrchestrationStarted && e.Start != nil {
			text, version = e.Start.Status, e.Start.StatusVersion
			for key, entry := range e.Start.KV {
				kv[key] = entry.Value
			}
		}
		if e.Kind == history.CustomStatusUpdated {
			version++
			if text = &e.Data; e.Cleared {
				text = nil
			}
		}
		switch e.Kind { //nolint:exhaustive // only what changes keys
		case history.KeyValueSet:
			kv[e.Name] = e.Data
		case history.KeyValueCleared:
			delete(kv, e.Name)
		case history.KeyValuesCleared:
			clear(kv)
		}
	}
	if len(h.Events) > 0 && !maps.Equal(kv, c.rows.KV) {
		c.report(n, "the events set keys %v, the rows have %v", kv, c.rows.KV)
	}
	status := &c.rows.Status
	if status.CustomStatusVersion != version {
		c.report(n, "custom status has version %d, the events make it %d", status.CustomStatusVersion, version)
	}
	if (status.CustomStatus == nil) != (text == nil) || text != nil && *text != *status.CustomStatus {
		c.report(n, "custom status differs from what the events set")
	}
}

// checkWork compares jobs and messages with what the current execution waits for.
func (c *checker) checkWork(h *store.ExecutionHistory) {
	n := h.Execution.Execution
	if h.Status == replay.Completed || h.Status == replay.Failed {
		if jobs, messages := len(c.rows.Jobs), len(c.rows.Messages); jobs+messages > 0 {
			c.report(n, "has ended with %d jobs and %d messages left", jobs, messages)
		}
		return
	}
	closedBy := closed(h.Events)
	coming := map[int64]bool{} // schedule ids that something will answer
	isOpen := func(schedule int64, kind history.Kind) bool {
		return schedule >= 1 && schedule <= int64(len(h.Events)) && h.Events[schedule-1].Kind == kind && closedBy[schedule] == nil
	}
	for _, job := range c.rows.Jobs {
		if job.Execution != n || !isOpen(job.Schedule, history.ActivityScheduled) {
			c.report(n, "job %d is for event %d of execution %d, which waits for no activity", job.ID, job.Schedule, job.Execution)
		}
		if coming[job.Schedule] {
			c.report(n, "event %d has two jobs", job.Schedule)
		}
		coming[job.Schedule] = true
	}
	for i := range c.rows.Messages {
		m := &c.rows.Messages[i]
		if m.Execution != 0 && m.Execution != n {
			c.report(n, "message %d (%s) is for execution %d", m.Row, m.Kind, m.Execution)
		}
		if m.Kind == history.MsgTimer && !isOpen(m.Source, history.TimerCreated) {
			c.report(n, "timer %d is for event %d, which waits for no timer", m.Row, m.Source)
		}
		if m.Source != 0 {
			coming[m.Source] = true
		}
	}
	if len(h.Events) == 0 {
		c.checkStartWaits(n)
		return
	}
	for i := range h.Events {
		e := &h.Events[i]
		if e.Kind == history.ActivityScheduled && closedBy[e.ID] == nil && !coming[e.ID] &&
			!strings.HasPrefix(e.Name, history.SyscallPrefix) {
			c.report(n, "activity %q of event %d is open, but has neither job nor result", e.Name, e.ID)
		}
	}
}

// checkStartWaits: an instance without history has to have the message that begins it.
func (c *checker) checkStartWaits(n int64) {
	for i := range c.rows.Messages {
		if k := c.rows.Messages[i].Kind; k == history.MsgStart || k == history.MsgContinue {
			return
		}
	}
	c.report(n, "has not begun and has no message that would begin it")
}

// checkChildren: every open child is there and will answer, or has answered.
func (c *checker) checkChildren(ctx context.Context, s store.Inspector, h *store.ExecutionHistory) error {
	if h.Status != replay.Running {
		return nil
	}
	closedBy := closed(h.Events)
	answered := map[int64]bool{}
	for i := range c.rows.Messages {
		answered[c.rows.Messages[i].Source] = true
	}
	for i := range h.Events {
		e := &h.Events[i]
		if e.Kind != history.SubOrchestrationScheduled || closedBy[e.ID] != nil || answered[e.ID] {
			continue
		}
		child, err := s.Inspect(ctx, e.Instance)
		if err != nil {
			return err
		}
		if child != nil && !child.Snapshot.Ended && child.Snapshot.Parent != nil && child.Snapshot.Parent.Schedule == e.ID &&
			child.Snapshot.Parent.Life == c.rows.Snapshot.Life {
			continue
		}
		// The child may have answered since this instance was read.
		again, err := s.Inspect(ctx, c.instance)
		if err != nil {
			return err
		}
		if again == nil || again.Snapshot.Turn != c.rows.Snapshot.Turn || len(again.Messages) != len(c.rows.Messages) {
			continue
		}
		c.report(h.Execution.Execution, "child %q of event %d is open, but nothing will answer it", e.Instance, e.ID)
	}
	return nil
}

// checkParent: the link of a child leads to the event that started it.
func (c *checker) checkParent(ctx context.Context, s store.Inspector) error {
	link := c.rows.Snapshot.Parent
	if link == nil {
		return nil
	}
	parent, err := s.Inspect(ctx, link.Instance)
	if err != nil {
		return err
	}
	if parent == nil || parent.Snapshot.Life != link.Life {
		c.report(0, "its parent %q is not there any more", link.Instance)
		return nil
	}
	for i := range parent.Histories {
		h := &parent.Histories[i]
		if h.Execution.Execution != link.Execution {
			continue // pruned, or not this one
		}
		if link.Schedule < 1 || link.Schedule > int64(len(h.Events)) {
			c.report(0, "event %d of its parent %q is not there", link.Schedule, link.Instance)
		} else if e := &h.Events[link.Schedule-1]; e.Kind != history.SubOrchestrationScheduled || e.Instance != c.instance {
			c.report(0, "event %d of its parent %q did not start it", link.Schedule, link.Instance)
		}
	}
	return nil
}
