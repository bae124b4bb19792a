package storetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

var queries = []scenario{
	{"turns are read for many at once", func(h *harness) {
		reader, ok := h.s.(store.TurnReader)
		if !ok {
			h.Skip("the store tells no turns")
		}
		asked := []string{"nobody", `"quoted" <&>`}
		for i := range 3 {
			id := fmt.Sprintf("a-%d", i)
			h.start(id)
			asked = append(asked, id)
		}
		for range 3_000 { // more than a store may read in one go
			asked = append(asked, "nobody")
		}
		turns, err := reader.Turns(h.ctx, asked)
		h.ok(err)
		equal(h, "turns", len(turns), 3)
		for _, id := range asked[2:5] {
			equal(h, "turn of "+id, turns[id], h.load(id).Turn)
		}
		h.running("b")
		before, err := reader.Turns(h.ctx, []string{"a-0", "b"})
		h.ok(err)
		h.open("a-0").begin()
		after, err := reader.Turns(h.ctx, []string{"a-0", "b"})
		h.ok(err)
		equal(h, "a commit changes the turn", before["a-0"] != after["a-0"], true)
		equal(h, "of no other instance", before["b"], after["b"])
	}},
	{"messages are read for many at once", func(h *harness) {
		reader, ok := h.s.(store.Refresher)
		if !ok {
			h.Skip("the store reads one after another")
		}
		turns := map[string]history.Token{"nobody": history.NewToken()}
		ask := func(f *flow) { turns[f.id] = f.turn }
		quiet, moved, ended := h.running("quiet"), h.running("moved"), h.running("ended")
		ask(quiet)
		ask(moved)
		moved.commit(func(c *replay.Commit) { moved.timer(c, h.clock.Now()+5000) })
		ended.commit(ended.end)
		ask(ended)
		sleeping, reading := h.running("sleeping"), h.running("reading")
		sleeping.commit(func(c *replay.Commit) { sleeping.timer(c, h.clock.Now()+5000) })
		ask(sleeping)
		reading.commit(reading.mailWanted)
		ask(reading)
		for _, id := range []string{"moved", "sleeping", "reading"} {
			h.enqueue(id, history.MsgEvent, "e", "1")
			h.enqueue(id, history.MsgCancel, "", "enough")
			h.enqueue(id, history.MsgMail, "q", "2")
			h.enqueue(id, history.MsgMail, "other", "3")
		}
		read, err := reader.Refresh(h.ctx, turns)
		h.ok(err)
		got := map[string]*store.Snapshot{}
		for _, s := range read {
			got[s.Instance] = s
		}
		equal(h, "read", len(got), 3)
		for _, f := range []*flow{quiet, sleeping, reading} {
			s, want := got[f.id], h.load(f.id)
			equal(h, f.id+": life", s.Life, f.life)
			equal(h, f.id+": turn", s.Turn, f.turn)
			equal(h, f.id+": due", s.NextDue, want.NextDue)
			equalLists(h, f.id+": messages", kinds(s.Messages), kinds(want.Messages))
		}
	}},
	{"lists filter, sort and page", func(h *harness) {
		for i := range 5 {
			f := h.running(fmt.Sprintf("a-%d", i))
			if i < 2 {
				f.commit(f.end)
			}
			h.clock.Advance(time.Second)
		}
		_, err := h.s.Start(h.ctx, store.Start{Instance: "b-%_x", Name: "other", Version: "2.0.0"})
		h.ok(err)
		equalLists(h, "newest first", h.instances(store.InstanceQuery{}), []string{"b-%_x", "a-4", "a-3", "a-2", "a-1", "a-0"})
		equalLists(h, "oldest first", h.instances(store.InstanceQuery{OldestFirst: true, Limit: 2}), []string{"a-0", "a-1"})
		equalLists(h, "by status", h.instances(store.InstanceQuery{Status: ptr(replay.Completed)}), []string{"a-1", "a-0"})
		equalLists(h, "by name", h.instances(store.InstanceQuery{Name: "other"}), []string{"b-%_x"})
		equalLists(h, "by version", h.instances(store.InstanceQuery{Version: "2.0.0"}), []string{"b-%_x"})
		equalLists(h, "by prefix", h.instances(store.InstanceQuery{IDPrefix: "b-%"}), []string{"b-%_x"})
		equalLists(h, "a prefix is no pattern", h.instances(store.InstanceQuery{IDPrefix: "_"}), nil)
		third, err := h.s.Instance(h.ctx, "a-2")
		h.ok(err)
		equalLists(h, "by time", h.instances(store.InstanceQuery{Name: "flow", CreatedAfter: third.CreatedAt}), []string{"a-4", "a-3"})
		equalLists(h, "by time", h.instances(store.InstanceQuery{CreatedBefore: third.CreatedAt}), []string{"a-1", "a-0"})
		var all []string
		q := store.InstanceQuery{Limit: 2}
		for {
			page, err := h.s.Instances(h.ctx, q)
			h.ok(err)
			for i := range page.Items {
				all = append(all, page.Items[i].Instance)
			}
			if q.Cursor = page.Next; q.Cursor == "" {
				break
			}
			_, err = h.s.Start(h.ctx, store.Start{Instance: fmt.Sprintf("later-%d", len(all)), Name: "flow"})
			h.ok(err)
		}
		equalLists(h, "pages, undisturbed by newcomers", all, []string{"b-%_x", "a-4", "a-3", "a-2", "a-1", "a-0"})
		_, err = h.s.Instances(h.ctx, store.InstanceQuery{Cursor: "nonsense"})
		equal(h, "a strange cursor is an error", err != nil, true)
	}},
	{"an instance is told in full", func(h *harness) {
		before := h.clock.Now()
		parent, child, _ := h.family()
		_ = parent
		h.clock.Advance(time.Second)
		finish(child)
		i, err := h.s.Instance(h.ctx, "child")
		h.ok(err)
		equal(h, "name", i.Name+"@"+i.Version, "flow@1.0.0")
		equal(h, "status", i.Status, replay.Completed)
		equal(h, "output", i.Output, `"out"`)
		equal(h, "parent", i.Parent, "parent")
		equal(h, "created", i.CreatedAt >= before, true)
		equal(h, "updated later", i.UpdatedAt >= i.CreatedAt+1000, true)
		_, err = h.s.Instance(h.ctx, "nobody")
		equal(h, "not found", errors.Is(err, store.ErrNotFound), true)
		equalLists(h, "children", h.instances(store.InstanceQuery{Parent: "parent"}), []string{"child"})
		_, err = h.s.Tree(h.ctx, "nobody")
		equal(h, "not found", errors.Is(err, store.ErrNotFound), true)
		list, err := h.s.Executions(h.ctx, "nobody")
		h.ok(err)
		equal(h, "executions of nobody", len(list), 0)
	}},
	{"executions have their times", func(h *harness) {
		f := h.running("a")
		h.clock.Advance(time.Second)
		f.commit(f.continueAsNew)
		h.clock.Advance(time.Second)
		f.commit(func(c *replay.Commit) { f.take(c, history.MsgContinue); f.end(c) })
		list, err := h.s.Executions(h.ctx, "a")
		h.ok(err)
		for i := range list {
			took := list[i].CompletedAt - list[i].StartedAt
			equal(h, fmt.Sprintf("execution %d took about a second, not %d ms", i+1, took), took >= 1000 && took < 5000, true)
		}
		equal(h, "events", list[1].EventCount, 2)
	}},
	{"figures are exact", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		a := h.running("a")
		a.jobs(replay.Job{}, replay.Job{}, replay.Job{Session: "s"})
		h.claimed(claim(nodeA, 1))
		a.commit(func(c *replay.Commit) { a.timer(c, h.clock.Now()+60_000); a.set(c, "key", ptr("value")) })
		h.enqueue("a", history.MsgEvent, "e", "1")
		h.enqueue("a", history.MsgMail, "q", "1")
		b := h.eternal("b", 1)
		b.commit(func(c *replay.Commit) { b.take(c, history.MsgContinue); b.end(c) })
		f := h.running("c")
		f.commit(func(c *replay.Commit) {
			c.Status, c.Failure = replay.Failed, &history.Failure{Kind: history.Cancelled, Message: "x"}
			f.event(c, history.Event{Kind: history.OrchestrationFailed, Failure: c.Failure})
		})
		m, err := h.s.SystemMetrics(h.ctx)
		h.ok(err)
		equal(h, "metrics", m, store.SystemMetrics{
			TotalInstances: 3, TotalExecutions: 4, RunningInstances: 1, CompletedInstances: 1, FailedInstances: 1, TotalEvents: 12,
		})
		d, err := h.s.QueueDepths(h.ctx)
		h.ok(err)
		equal(h, "depths", d, store.QueueDepths{Orchestrator: 1, Worker: 2, Timer: 1})
		waiting, err := h.s.WaitingJobs(h.ctx)
		h.ok(err)
		equal(h, "activities that wait", len(waiting), 1)
		equal(h, "waits since", waiting[0].SinceMS > 0 && waiting[0].SinceMS <= h.clock.Now(), true)
		stats, err := h.s.InstanceStats(h.ctx, "a")
		h.ok(err)
		equal(h, "events", stats.HistoryEvents, 6)
		equal(h, "bytes", stats.HistoryBytes > 300, true)
		equal(h, "pending", stats.QueuePending, 1)
		equal(h, "keys", stats.KVKeys, 1)
		equal(h, "key bytes", stats.KVBytes, 5)
		_, err = h.s.InstanceStats(h.ctx, "nobody")
		equal(h, "not found", errors.Is(err, store.ErrNotFound), true)
	}},
	{"a closed store says so, and closes twice", func(h *harness) {
		h.start("a")
		h.ok(h.s.Close())
		h.ok(h.s.Close())
		_, err := h.s.Start(h.ctx, store.Start{Instance: "b", Name: "flow"})
		equal(h, "start", errors.Is(err, store.ErrClosed), true)
		_, err = h.s.Status(h.ctx, "a")
		equal(h, "status", errors.Is(err, store.ErrClosed), true)
		_, err = h.s.Load(h.ctx, "a", history.Token{})
		equal(h, "load", errors.Is(err, store.ErrClosed), true)
		h.s = nil
	}},
}
