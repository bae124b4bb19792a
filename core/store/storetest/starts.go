package storetest

import (
	"errors"
	"time"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

var starts = []scenario{
	{"an instance is running from the moment it was started", func(h *harness) {
		h.start("a")
		status, err := h.s.Status(h.ctx, "a")
		h.ok(err)
		equal(h, "status", status.Status, replay.Running)
		s := h.load("a")
		equal(h, "name", s.Name, "flow")
		equal(h, "version, not yet resolved", s.Version, "")
		equal(h, "next event", s.NextEventID, 1)
		equalLists(h, "messages", kinds(s.Messages), []string{"start"})
		equal(h, "input", s.Messages[0].Data, `"in"`)
		equal(h, "events", len(s.Events), 0)
	}},
	{"the version is resolved by the first turn", func(h *harness) {
		h.running("a")
		equal(h, "version", h.load("a").Version, "1.0.0")
	}},
	{"an id in use starts nothing", func(h *harness) {
		h.start("a")
		life := h.load("a").Life
		for _, c := range []struct {
			policy store.IfExists
			err    error
		}{{store.ExistsIgnore, nil}, {store.ExistsError, store.ErrExists}, {store.ExistsRestartIfEnded, nil}} {
			r, err := h.s.Start(h.ctx, store.Start{Instance: "a", Name: "other", IfExists: c.policy})
			equal(h, "error", errors.Is(err, c.err), true)
			equal(h, "started", r.Started, false)
		}
		s := h.load("a")
		equal(h, "life", s.Life, life)
		equal(h, "messages", len(s.Messages), 1)
	}},
	{"an ended instance can be started afresh", func(h *harness) {
		f := h.running("a")
		f.commit(f.end)
		r, err := h.s.Start(h.ctx, store.Start{Instance: "a", Name: "flow", Input: "2"})
		h.ok(err)
		equal(h, "plain start", r.Started, false)
		r, err = h.s.Start(h.ctx, store.Start{Instance: "a", Name: "flow", Input: "2", IfExists: store.ExistsRestartIfEnded})
		h.ok(err)
		equal(h, "restart", r.Started, true)
		s := h.load("a")
		equal(h, "another life", s.Life != f.life, true)
		equal(h, "execution", s.Execution, 1)
		equal(h, "events", len(s.Events), 0)
	}},
	{"a delayed start waits, and events for it too", func(h *harness) {
		_, err := h.s.Start(h.ctx, store.Start{Instance: "a", Name: "flow", DelayMS: 5000})
		h.ok(err)
		equal(h, "stored", h.enqueue("a", history.MsgEvent, "e", "1"), true)
		equalLists(h, "ready", h.ready(nodeA), nil)
		s := h.load("a")
		equal(h, "messages", len(s.Messages), 0)
		equal(h, "due", s.NextDue > h.clock.Now(), true)
		h.clock.Advance(6 * time.Second)
		equalLists(h, "ready", h.ready(nodeA), []string{"a"})
		equalLists(h, "messages", kinds(h.load("a").Messages), []string{"start", "event:e=1"})
	}},
	{"only a cancel makes a delayed instance run", func(h *harness) {
		_, err := h.s.Start(h.ctx, store.Start{Instance: "a", Name: "flow", DelayMS: 5000})
		h.ok(err)
		h.enqueue("a", history.MsgCancel, "", "changed my mind")
		equalLists(h, "ready", h.ready(nodeA), []string{"a"})
		equalLists(h, "messages", kinds(h.load("a").Messages), []string{"cancel", "start"})
	}},
	{"events and cancels create no instance", func(h *harness) {
		equal(h, "event", h.enqueue("a", history.MsgEvent, "e", "1"), false)
		equal(h, "cancel", h.enqueue("a", history.MsgCancel, "", ""), false)
		_, err := h.s.Load(h.ctx, "a", history.Token{})
		equal(h, "not found", errors.Is(err, store.ErrNotFound), true)
		h.start("b")
		equalLists(h, "others are not held up", h.ready(nodeA), []string{"b"})
	}},
	{"an ended instance takes no messages", func(h *harness) {
		f := h.running("a")
		f.commit(f.end)
		for _, kind := range []history.MessageKind{history.MsgEvent, history.MsgMail, history.MsgCancel} {
			equal(h, kind.String(), h.enqueue("a", kind, "n", "1"), false)
		}
		equalLists(h, "ready", h.ready(nodeA), nil)
	}},
	{"a child is started with its parent's commit, and linked", func(h *harness) {
		parent := h.running("parent")
		schedule := parent.commitChild("child")
		s := h.load("child")
		equal(h, "parent", *s.Parent, history.Parent{Instance: "parent", Life: parent.life, Execution: 1, Schedule: schedule})
		equalLists(h, "ready", h.ready(nodeA), []string{"child"})
	}},
	{"a child whose id is in use fails at once", func(h *harness) {
		h.start("child")
		parent := h.running("parent")
		var schedule int64
		r := parent.commit(func(c *replay.Commit) { schedule = parent.child(c, "child") })
		equalLists(h, "untaken", kinds(r.Messages), []string{"child_failed"})
		equal(h, "answers", r.Messages[0].Source, schedule)
		equal(h, "text", r.Messages[0].Failure.Text(), "instance already exists")
		equal(h, "the other is nobody's child", h.load("child").Parent == nil, true)
	}},
	{"a detached start ignores an id in use", func(h *harness) {
		h.start("other")
		life := h.load("other").Life
		f := h.running("a")
		r := f.commit(func(c *replay.Commit) {
			for _, id := range []string{"other", "new"} {
				f.event(c, history.Event{Kind: history.OrchestrationChained, Name: "flow", Instance: id})
				c.Starts = append(c.Starts, replay.Start{Instance: id, Name: "flow"})
			}
		})
		equal(h, "untaken", len(r.Messages), 0)
		equal(h, "life", h.load("other").Life, life)
		equal(h, "no parent", h.load("new").Parent == nil, true)
	}},
	{"an answer to an earlier life of the parent is dropped", func(h *harness) {
		parent := h.running("parent")
		parent.commitChild("child")
		child := h.open("child")
		child.begin()
		turn := child.prepare(func(c *replay.Commit) {
			child.end(c)
			send := child.answer()
			send.Message.Life = "an earlier one"
			c.Sends = []replay.Send{send}
			_ = c
		})
		h.ok(child.try(turn).Err)
		equal(h, "messages", len(h.load("parent").Messages), 0)
		_, err := h.s.Delete(h.ctx, "parent", true) // it would wait for ever
		h.ok(err)
	}},
	{"a cancel reaches a child", func(h *harness) {
		parent := h.running("parent")
		schedule := parent.commitChild("child")
		parent.commit(func(c *replay.Commit) {
			parent.event(c, history.Event{Kind: history.SubOrchestrationCancelRequested, Source: schedule})
			c.Sends = []replay.Send{{Instance: "child", Message: history.Message{Kind: history.MsgCancel, Data: "parent canceled"}}}
		})
		equalLists(h, "messages", kinds(h.load("child").Messages), []string{"cancel", "start"})
	}},
}
