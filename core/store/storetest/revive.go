package storetest

import (
	"errors"
	"time"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// fail ends an instance as code that does not fit its history does.
func (f *flow) fail(kind history.FailureKind, before ...history.Event) {
	f.h.Helper()
	f.commit(func(c *replay.Commit) {
		for _, e := range before {
			f.event(c, e)
		}
		c.Status, c.Failure = replay.Failed, &history.Failure{Kind: kind, Message: "x"}
		f.event(c, history.Event{Kind: history.OrchestrationFailed, Failure: c.Failure})
		if f.parent != nil {
			m := f.answer()
			m.Message.Kind, m.Message.Data, m.Message.Failure = history.MsgChildFailed, "", c.Failure
			c.Sends = []replay.Send{m}
		}
	})
}

// revive opens a failed instance again, as a client does.
func (h *harness) revive(id string) (*flow, error) {
	h.Helper()
	s := h.load(id)
	plan, err := replay.Reopen(s.Events)
	if err != nil {
		return nil, err
	}
	r := store.Revival{Instance: id, Life: s.Life, Execution: s.Execution, Expect: s.Turn, New: history.NewToken(), Reopening: *plan}
	if err := h.s.Revive(h.ctx, r); err != nil {
		return nil, err
	}
	return h.open(id), nil
}

func (h *harness) revived(id string) *flow {
	h.Helper()
	f, err := h.revive(id)
	h.ok(err)
	return f
}

func (h *harness) block(f *flow, reason string) error {
	return h.s.Block(h.ctx, store.Block{Instance: f.id, Life: f.life, Turn: f.turn, Reason: reason, At: "flow.py:7"})
}

var revives = []scenario{
	{"a blocked instance is told and listed until it goes on", func(h *harness) {
		f := h.running("a")
		h.running("b")
		before := h.clock.Now()
		h.ok(h.block(f, "does not fit"))
		h.clock.Advance(time.Second)
		h.ok(h.block(f, "does not fit either")) // by another node, later
		s, err := h.s.Status(h.ctx, "a")
		h.ok(err)
		if s.Blocked == nil {
			h.Fatal("status does not tell that it is blocked")
		}
		equal(h, "reason", *s.Blocked, store.Blocked{Reason: "does not fit either", At: "flow.py:7", SinceMS: s.Blocked.SinceMS})
		equal(h, "since the first", s.Blocked.SinceMS >= before && s.Blocked.SinceMS < before+1000, true)
		equal(h, "status", s.Status, replay.Running)
		i, err := h.s.Instance(h.ctx, "a")
		h.ok(err)
		equal(h, "told with the instance", i.Blocked != nil && i.Blocked.Reason == "does not fit either", true)
		equalLists(h, "blocked", h.instances(store.InstanceQuery{Blocked: ptr(true)}), []string{"a"})
		equalLists(h, "not blocked", h.instances(store.InstanceQuery{Blocked: ptr(false)}), []string{"b"})
		f.commit(func(c *replay.Commit) { f.activity(c, replay.Job{}) })
		equalLists(h, "blocked after a commit", h.instances(store.InstanceQuery{Blocked: ptr(true)}), nil)
		h.ok(h.block(h.open("b"), "another"))
		_, err = h.s.Delete(h.ctx, "b", true)
		h.ok(err)
	}},
	{"what another turn has changed is not blocked", func(h *harness) {
		f := h.running("a")
		stale := *f
		f.commit(func(c *replay.Commit) { f.activity(c, replay.Job{}) })
		equal(h, "fenced", errors.Is(h.block(&stale, "x"), store.ErrFenced), true)
		f.commit(f.end)
		equal(h, "ended", errors.Is(h.block(f, "x"), store.ErrFenced), true)
		equalLists(h, "blocked", h.instances(store.InstanceQuery{Blocked: ptr(true)}), nil)
	}},
	{"a revived instance has its jobs, timers and queues again", func(h *harness) {
		f := h.running("a")
		due := h.clock.Now() + 60_000
		var activity, timer int64
		f.commit(func(c *replay.Commit) {
			activity = f.activity(c, replay.Job{Input: `"i"`, Attempt: 2, RetryOf: 2})
			timer = f.timer(c, due)
			f.event(c, history.Event{Kind: history.QueueSubscribed, Name: "q"})
			c.OpenQueues, c.UsedQueues = []string{"q"}, []string{"q"}
		})
		events := f.next - 1
		f.fail(history.Nondeterminism, history.Event{Kind: history.ActivityCancelRequested, Source: activity, Reason: "orchestration_terminal_failed"})
		equal(h, "mail for an ended one", h.enqueue("a", history.MsgMail, "q", "1"), false)
		f = h.revived("a")
		s := h.load("a")
		equal(h, "ended", s.Ended, false)
		equal(h, "events", int64(len(s.Events)), events)
		equalLists(h, "messages", kinds(s.Messages), []string{"continue"})
		equal(h, "next due", s.NextDue, due)
		status, err := h.s.Status(h.ctx, "a")
		h.ok(err)
		equal(h, "status", status.Status, replay.Running)
		equal(h, "failure", status.Failure == nil, true)
		equalLists(h, "ready", h.ready(nodeA), []string{"a"})
		jobs := h.claimed(claim(nodeA, 10))
		equalLists(h, "jobs", schedules(jobs), []int64{activity})
		equal(h, "attempt", jobs[0].Attempt, 2)
		equal(h, "input", jobs[0].Input, `"i"`)
		h.enqueue("a", history.MsgMail, "q", "1")
		h.clock.Advance(61 * time.Second)
		f = h.open("a")
		equal(h, "timer fires", len(f.messages) >= 3, true)
		f.commit(func(c *replay.Commit) {
			f.take(c, history.MsgContinue)
			f.take(c, history.MsgMail)
			fired := f.take(c, history.MsgTimer)
			equal(h, "timer", fired.Source, timer)
			f.event(c, history.Event{Kind: history.TimerFired, Source: timer, FireAt: due})
			f.result(c, &jobs[0])
			f.end(c)
		})
	}},
	{"history goes on behind what was kept of a turn", func(h *harness) {
		f := h.running("a")
		var schedule int64
		f.commit(func(c *replay.Commit) {
			schedule = f.activity(c, replay.Job{})
			c.Status, c.Failure = replay.Failed, &history.Failure{Kind: history.Infrastructure, Operation: "x"}
			c.Jobs = nil
			f.event(c, history.Event{Kind: history.OrchestrationFailed, Failure: c.Failure})
		})
		f = h.revived("a")
		equal(h, "next event", f.next, schedule+1)
		jobs := h.claimed(claim(nodeA, 10))
		f.commit(func(c *replay.Commit) { f.take(c, history.MsgContinue); f.result(c, &jobs[0]); f.end(c) })
		events, err := h.s.History(h.ctx, "a", 1)
		h.ok(err)
		for i := range events {
			equal(h, "event id", events[i].ID, int64(i+1))
		}
		equal(h, "events", len(events), 4)
	}},
	{"one that was given up before it began begins", func(h *harness) {
		h.start("a")
		f := h.open("a")
		f.commit(func(c *replay.Commit) {
			f.started(c)
			c.Status, c.Failure = replay.Failed, &history.Failure{Kind: history.PoisonOrchestration}
			f.event(c, history.Event{Kind: history.OrchestrationFailed, Failure: c.Failure})
		})
		f = h.revived("a")
		equal(h, "next event", f.next, 1)
		equalLists(h, "messages", kinds(f.messages), []string{"start"})
		equal(h, "input", f.messages[0].Data, `"in"`)
		f.begin()
	}},
	{"children answer a revived parent", func(h *harness) {
		parent := h.running("parent")
		for _, id := range []string{"ended", "failed", "running", "deleted"} {
			parent.commitChild(id)
			child := h.open(id)
			child.begin()
		}
		parent.fail(history.Nondeterminism)
		finish(h.open("ended"))
		h.open("failed").fail(history.Nondeterminism)
		parent = h.revived("parent")
		equalLists(h, "messages", kinds(parent.messages), []string{"child_completed", "child_failed", "continue"})
		running := h.open("running")
		finish(running)
		parent = h.open("parent")
		equalLists(h, "messages", kinds(parent.messages), []string{"child_completed", "child_failed", "continue", "child_completed"})
	}},
	{"children that had not begun when their parent failed begin when it is revived", func(h *harness) {
		parent := h.running("parent")
		h.running("taken")
		var schedules []int64
		parent.commit(func(c *replay.Commit) {
			for _, id := range []string{"unborn", "taken"} {
				schedules = append(schedules, parent.event(c, history.Event{
					Kind: history.SubOrchestrationScheduled, Name: "flow", Version: "1.0.0", Instance: id, Data: `"for the child"`,
				}))
			}
			c.Status, c.Failure = replay.Failed, &history.Failure{Kind: history.Infrastructure, Operation: "x"}
			parent.event(c, history.Event{Kind: history.OrchestrationFailed, Failure: c.Failure})
		})
		parent = h.revived("parent")
		equalLists(h, "messages", kinds(parent.messages), []string{"child_failed", "continue"})
		equal(h, "refused", parent.messages[0].Source, schedules[1])
		child := h.open("unborn")
		equalLists(h, "messages of the child", kinds(child.messages), []string{"start"})
		equal(h, "its input", child.messages[0].Data, `"for the child"`)
		equal(h, "its version", h.load("unborn").Version, "1.0.0")
		child.begin()
		finish(child)
		parent = h.open("parent")
		equalLists(h, "messages", kinds(parent.messages), []string{"child_failed", "continue", "child_completed"})
		equal(h, "answered", parent.messages[2].Source, schedules[0])
	}},
	{"only what failed by no fault of its own is revived, and once", func(h *harness) {
		f := h.running("a")
		_, err := h.revive("a")
		equal(h, "running", errors.Is(err, replay.ErrNotFailed), true)
		f.fail(history.OrchestrationError)
		_, err = h.revive("a")
		equal(h, "own failure", errors.Is(err, replay.ErrOwnFailure), true)
		h.running("b").fail(history.Nondeterminism)
		s := h.load("b")
		plan, err := replay.Reopen(s.Events)
		h.ok(err)
		r := store.Revival{Instance: "b", Life: s.Life, Execution: 1, Expect: s.Turn, New: history.NewToken(), Reopening: *plan}
		h.ok(h.s.Revive(h.ctx, r))
		r.New = history.NewToken()
		equal(h, "again", errors.Is(h.s.Revive(h.ctx, r), store.ErrFenced), true)
	}},
}
