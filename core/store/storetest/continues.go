package storetest

import (
	"errors"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// continueAsNew ends the execution and begins the next.
func (f *flow) continueAsNew(c *replay.Commit) {
	c.Status, c.Output = replay.ContinuedAsNew, `"again"`
	f.event(c, history.Event{Kind: history.OrchestrationContinuedAsNew, Data: c.Output})
	c.Next = &history.Event{
		ID: 1, Kind: history.OrchestrationStarted, Name: "flow", Version: "1.0.0", Data: c.Output, Time: f.h.clock.Now(),
		Start: &history.Start{Parent: f.parent},
	}
}

var continues = []scenario{
	{"the next execution begins in the same commit", func(h *harness) {
		f := h.running("a")
		r := f.commit(f.continueAsNew)
		equalLists(h, "untaken", kinds(r.Messages), []string{"continue"})
		equal(h, "for execution", r.Messages[0].Execution, 2)
		s := h.load("a")
		equal(h, "execution", s.Execution, 2)
		equal(h, "events", len(s.Events), 1)
		equal(h, "input", s.Events[0].Data, `"again"`)
		status, err := h.s.Status(h.ctx, "a")
		h.ok(err)
		equal(h, "status", status.Status, replay.Running)
		executions, err := h.s.Executions(h.ctx, "a")
		h.ok(err)
		equal(h, "executions", len(executions), 2)
		equal(h, "first", executions[0].Status, replay.ContinuedAsNew)
		equal(h, "its output", executions[0].Output, `"again"`)
		equal(h, "its events", executions[0].EventCount, 2)
		equal(h, "second", executions[1].Status, replay.Running)
		old, err := h.s.History(h.ctx, "a", 1)
		h.ok(err)
		equal(h, "old history", len(old), 2)
	}},
	{"mail and cancels stay, everything else of the old execution goes", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		f := h.running("a")
		job := f.claiming(claim(nodeA, 1), func(c *replay.Commit) {
			f.activity(c, replay.Job{})
			f.timer(c, h.clock.Now()+1)
			f.event(c, history.Event{Kind: history.QueueSubscribed, Name: "q"})
			c.OpenQueues, c.UsedQueues = []string{"q"}, []string{"q"}
		}).Jobs[0]
		h.enqueue("a", history.MsgEvent, "e", "1")
		h.enqueue("a", history.MsgMail, "q", "1")
		h.enqueue("a", history.MsgCancel, "", "stop")
		r := f.commit(f.continueAsNew)
		equalLists(h, "untaken", kinds(r.Messages), []string{"cancel", "continue"})
		f.commit(func(c *replay.Commit) { f.take(c, history.MsgContinue); f.take(c, history.MsgCancel) })
		equalLists(h, "mail alone does not make it run", h.ready(nodeA), nil)
		r = f.commit(func(c *replay.Commit) {
			f.event(c, history.Event{Kind: history.QueueSubscribed, Name: "q"})
			c.OpenQueues, c.UsedQueues = []string{"q"}, []string{"q"}
		})
		equalLists(h, "mail is there for the next dequeue", kinds(r.Messages), []string{"mail:q=1"})
		settled, err := h.s.SettleJobs(h.ctx, []store.Settlement{{Job: job.JobRef, Result: &history.Message{
			Kind: history.MsgActivityCompleted, Life: f.life, Execution: 1, Source: job.Schedule,
		}}})
		h.ok(err)
		equal(h, "the old job is gone", settled[0], false)
	}},
	{"a turn of the old execution is fenced", func(h *harness) {
		f := h.running("a")
		late := f.prepare(func(c *replay.Commit) { f.timer(c, h.clock.Now()) })
		f.commit(f.continueAsNew)
		equal(h, "fenced", errors.Is(f.try(late).Err, store.ErrFenced), true)
	}},
	{"an answer to the old execution is dropped", func(h *harness) {
		parent := h.running("parent")
		parent.commit(func(c *replay.Commit) { parent.child(c, "child") })
		child := h.open("child")
		child.begin()
		parent.commit(parent.continueAsNew)
		parent.commit(func(c *replay.Commit) { parent.take(c, history.MsgContinue) })
		child.commit(func(c *replay.Commit) { child.end(c); c.Sends = []replay.Send{child.answer()} })
		equal(h, "messages of the parent", len(h.load("parent").Messages), 0)
	}},
	{"a child keeps its parent through its executions", func(h *harness) {
		parent := h.running("parent")
		schedule := parent.commitChild("child")
		child := h.open("child")
		child.begin()
		child.commit(child.continueAsNew)
		child = h.open("child")
		equal(h, "link", child.parent != nil && child.parent.Schedule == schedule, true)
		child.commit(func(c *replay.Commit) {
			child.take(c, history.MsgContinue)
			child.end(c)
			c.Sends = []replay.Send{child.answer()}
		})
		s := h.load("parent")
		equalLists(h, "messages of the parent", kinds(s.Messages), []string{"child_completed"})
		equal(h, "answers", s.Messages[0].Source, schedule)
	}},
	{"status and keys are carried", func(h *harness) {
		f := h.running("a")
		f.commit(func(c *replay.Commit) {
			f.event(c, history.Event{Kind: history.CustomStatusUpdated, Data: "s"})
			c.CustomStatus = &replay.CustomStatus{Text: ptr("s"), Version: 1}
			f.event(c, history.Event{Kind: history.KeyValueSet, Name: "k", Data: "v"})
			c.KV = []replay.KVChange{{Key: "k", Value: ptr("v"), UpdatedAt: 1}}
		})
		f.commit(func(c *replay.Commit) {
			f.continueAsNew(c)
			c.Next.Start.Status, c.Next.Start.StatusVersion = ptr("s"), 1
			c.Next.Start.KV = map[string]history.KVEntry{"k": {Value: "v", UpdatedAt: 1}}
		})
		s := h.load("a")
		equal(h, "status", *s.CustomStatus, "s")
		equal(h, "version", s.CustomStatusVersion, 1)
		all, err := h.s.KVAll(h.ctx, "a")
		h.ok(err)
		equal(h, "key", all["k"], "v")
	}},
}

func (f *flow) commitChild(id string) (schedule int64) {
	f.h.Helper()
	f.commit(func(c *replay.Commit) { schedule = f.child(c, id) })
	return schedule
}
