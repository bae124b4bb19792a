package storetest

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// dequeue subscribes to queue q and leaves the given ones open.
func (f *flow) dequeue(c *replay.Commit, open, used []string) {
	f.event(c, history.Event{Kind: history.QueueSubscribed, Name: "q"})
	c.OpenQueues, c.UsedQueues = open, used
}

var queues = []scenario{
	{"mail that nobody waits for is kept and causes no turn", func(h *harness) {
		f := h.running("a")
		equal(h, "stored", h.enqueue("a", history.MsgMail, "q", "1"), true)
		equalLists(h, "ready", h.ready(nodeA), nil)
		equal(h, "messages", len(h.load("a").Messages), 0)
		r := f.commit(func(c *replay.Commit) { f.timer(c, h.clock.Now()+60_000) })
		equal(h, "untaken", len(r.Messages), 0)
		depths, err := h.s.QueueDepths(h.ctx)
		h.ok(err)
		equal(h, "depth", depths.Orchestrator, 0)
		stats, err := h.s.InstanceStats(h.ctx, "a")
		h.ok(err)
		equal(h, "pending", stats.QueuePending, 1)
	}},
	{"mail for an open dequeue makes the instance ready", func(h *harness) {
		f := h.running("a")
		f.commit(func(c *replay.Commit) { f.dequeue(c, []string{"q"}, []string{"q"}) })
		h.enqueue("a", history.MsgMail, "other", "0")
		equalLists(h, "ready", h.ready(nodeA), nil)
		h.enqueue("a", history.MsgMail, "q", "1")
		equalLists(h, "ready", h.ready(nodeA), []string{"a"})
		equalLists(h, "messages", kinds(h.load("a").Messages), []string{"mail:q=1"})
	}},
	{"a dequeue finds mail that came before it", func(h *harness) {
		f := h.running("a")
		h.enqueue("a", history.MsgMail, "q", "1")
		h.enqueue("a", history.MsgMail, "q", "2")
		r := f.commit(func(c *replay.Commit) { f.dequeue(c, []string{"q"}, []string{"q"}) })
		equalLists(h, "untaken", kinds(r.Messages), []string{"mail:q=1", "mail:q=2"})
		// Should this node die now, another finds it.
		equalLists(h, "ready", h.ready(nodeA), []string{"a"})
		r = f.commit(func(c *replay.Commit) {
			m := f.take(c, history.MsgMail)
			f.event(c, history.Event{Kind: history.QueueEventDelivered, Name: "q", Data: m.Data, MessageID: m.ID})
			c.UsedQueues = []string{"q"}
		})
		equalLists(h, "held mail of a used queue", kinds(r.Messages), []string{"mail:q=2"})
		equalLists(h, "held mail causes no turn", h.ready(nodeA), nil)
	}},
	{"mail comes in the order of its sending, across queues too", func(h *harness) {
		f := h.running("a")
		for i := range 6 {
			h.enqueue("a", history.MsgMail, []string{"q", "p"}[i%2], strconv.Itoa(i))
		}
		both := []string{"p", "q"}
		r := f.commit(func(c *replay.Commit) { f.dequeue(c, both, both) })
		var data []string
		for i := range r.Messages {
			data = append(data, r.Messages[i].Data)
		}
		equalLists(h, "order", data, []string{"0", "1", "2", "3", "4", "5"})
	}},
	{"a thousand mails come piece by piece, none twice, none lost", func(h *harness) {
		f := h.running("a")
		const n = 1000
		var batch []store.Enqueue
		for i := range n {
			batch = append(batch, store.Enqueue{Instance: "a", Message: history.Message{
				Kind: history.MsgMail, ID: strconv.Itoa(i), Name: "q", Data: strconv.Itoa(i),
			}})
		}
		_, err := h.s.Enqueue(h.ctx, batch)
		h.ok(err)
		q := []string{"q"}
		f.commit(func(c *replay.Commit) { f.dequeue(c, q, q) })
		var got []string
		for len(f.messages) > 0 {
			taken := slices.Clone(f.messages)
			f.commit(func(c *replay.Commit) {
				c.OpenQueues, c.UsedQueues = q, q
				for _, m := range taken {
					got = append(got, m.Data)
					f.event(c, history.Event{Kind: history.QueueEventDelivered, Name: "q", Data: m.Data, MessageID: m.ID})
					c.Consumed = append(c.Consumed, m)
				}
			})
		}
		equal(h, "mails", len(got), n)
		for i := range got {
			if got[i] != strconv.Itoa(i) {
				h.Fatalf("mail %d is %s", i, got[i])
			}
		}
	}},
	{"mail for an instance that is started later waits for it", func(h *harness) {
		equal(h, "stored", h.enqueue("a", history.MsgMail, "q", "1"), true)
		h.enqueue("a", history.MsgMail, "q", "2")
		equalLists(h, "ready", h.ready(nodeA), nil)
		f := h.running("a")
		r := f.commit(func(c *replay.Commit) { f.dequeue(c, []string{"q"}, []string{"q"}) })
		equalLists(h, "untaken", kinds(r.Messages), []string{"mail:q=1", "mail:q=2"})
	}},
	{"early mail is kept for seven days", func(h *harness) {
		h.enqueue("a", history.MsgMail, "q", "old")
		h.clock.Advance(8 * 24 * time.Hour)
		h.enqueue("a", history.MsgMail, "q", "new")
		f := h.running("a")
		r := f.commit(func(c *replay.Commit) { f.dequeue(c, []string{"q"}, []string{"q"}) })
		equalLists(h, "untaken", kinds(r.Messages), []string{"mail:q=new"})
	}},
	{"early mail is kept up to 10,000 for an id", func(h *harness) {
		batch := make([]store.Enqueue, 10_001)
		for i := range batch {
			batch[i] = store.Enqueue{Instance: "a", Message: history.Message{Kind: history.MsgMail, ID: strconv.Itoa(i), Name: "q"}}
		}
		stored, err := h.s.Enqueue(h.ctx, batch)
		h.ok(err)
		equal(h, "the last that fits", stored[9_999], true)
		equal(h, "the one too many", stored[10_000], false)
		equal(h, "another id", h.enqueue("b", history.MsgMail, "q", "1"), true)
	}},
}

var ordering = []scenario{
	{"messages keep the order of their arrival", func(h *harness) {
		h.running("a")
		for i := range 5 {
			h.enqueue("a", history.MsgEvent, "e", strconv.Itoa(i))
		}
		equalLists(h, "messages", kinds(h.load("a").Messages), []string{"event:e=0", "event:e=1", "event:e=2", "event:e=3", "event:e=4"})
	}},
	{"cancel comes first, start before all others", func(h *harness) {
		h.start("a")
		h.enqueue("a", history.MsgEvent, "e", "1")
		h.enqueue("a", history.MsgCancel, "", "")
		equalLists(h, "messages", kinds(h.load("a").Messages), []string{"cancel", "start", "event:e=1"})
	}},
	{"a due timer goes before what came after its due time, behind what came before", func(h *harness) {
		f := h.running("a")
		f.commit(func(c *replay.Commit) { f.timer(c, h.clock.Now()+10_000); f.timer(c, h.clock.Now()+5_000) })
		h.enqueue("a", history.MsgEvent, "early", "")
		h.clock.Advance(20 * time.Second)
		h.enqueue("a", history.MsgEvent, "late", "")
		s := h.load("a")
		equalLists(h, "messages", kinds(s.Messages), []string{"event:early=", "timer", "timer", "event:late="})
		equal(h, "the earlier timer first", s.Messages[1].Source, 3)
	}},
	{"a timer is not due before its time", func(h *harness) {
		f := h.running("a")
		at := h.clock.Now() + 60_000
		r := f.commit(func(c *replay.Commit) { f.timer(c, at); f.timer(c, at+1000) })
		equal(h, "next due", r.NextDue, at)
		equalLists(h, "ready", h.ready(nodeA), nil)
		q := store.ReadyQuery{Node: nodeA, Names: []string{"flow@1.0.0"}, Limit: 10, HorizonMS: 120_000}
		ready, err := h.s.Ready(h.ctx, q)
		h.ok(err)
		equalLists(h, "listed as due soon", ready.Due, []store.DueInstance{{Instance: "a", Due: at}})
		q.HorizonMS = 1000
		ready, err = h.s.Ready(h.ctx, q)
		h.ok(err)
		equal(h, "not within a second", len(ready.Due), 0)
		h.clock.Advance(61 * time.Second)
		equalLists(h, "ready", h.ready(nodeA), []string{"a"})
	}},
	{"a timer in the past is due at once", func(h *harness) {
		f := h.running("a")
		r := f.commit(func(c *replay.Commit) { f.timer(c, h.clock.Now()-1) })
		equalLists(h, "untaken", kinds(r.Messages), []string{"timer"})
	}},
	{"only registered names are ready", func(h *harness) {
		h.start("a")
		_, err := h.s.Start(h.ctx, store.Start{Instance: "b", Name: "other"})
		h.ok(err)
		_, err = h.s.Start(h.ctx, store.Start{Instance: "c", Name: "flow", Version: "2.0.0"})
		h.ok(err)
		equalLists(h, "ready", h.ready(nodeA), []string{"a"})
		r, err := h.s.Ready(h.ctx, store.ReadyQuery{Node: nodeA, Names: []string{"flow@2.0.0"}, Limit: 10})
		h.ok(err)
		equalLists(h, "of the other version", r.Instances, []string{"c"})
	}},
	{"busy instances are skipped and the limit holds", func(h *harness) {
		for i := range 5 {
			h.start(fmt.Sprintf("i%d", i))
		}
		r, err := h.s.Ready(h.ctx, store.ReadyQuery{Node: nodeA, Names: []string{"flow"}, Limit: 2, Skip: func(id string) bool { return id == "i0" }})
		h.ok(err)
		equal(h, "found", len(r.Instances), 2)
		equal(h, "without the busy one", slices.Contains(r.Instances, "i0"), false)
	}},
	{"others leave a message to the node that committed last, for a moment", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		h.join(store.Node{ID: nodeB})
		h.running("a")
		h.enqueue("a", history.MsgEvent, "e", "1")
		equalLists(h, "for another node", h.ready(nodeB), nil)
		equalLists(h, "for its own", h.ready(nodeA), []string{"a"})
		h.clock.Advance(store.AffinityDelay)
		equalLists(h, "for another node, later", h.ready(nodeB), []string{"a"})
		equal(h, "it is taken over", h.load("a").Node, nodeB)
	}},
	{"a node may ask to leave it for longer, but not what a dead one had", func(h *harness) {
		asks := func(want ...string) {
			h.Helper()
			r, err := h.s.Ready(h.ctx, store.ReadyQuery{Node: nodeB, Names: []string{"flow", "flow@1.0.0"}, Limit: 10, LeaveMS: 1000})
			h.ok(err)
			equalLists(h, "ready", r.Instances, want)
		}
		h.join(store.Node{ID: nodeA})
		h.join(store.Node{ID: nodeB})
		h.running("a")
		h.enqueue("a", history.MsgEvent, "e", "1")
		h.clock.Advance(999 * time.Millisecond)
		asks()
		h.clock.Advance(time.Millisecond)
		asks("a")
		h.running("b")
		h.enqueue("b", history.MsgEvent, "e", "1")
		h.ok(h.s.Leave(h.ctx, nodeA))
		r, err := h.s.Ready(h.ctx, store.ReadyQuery{Node: nodeB, Names: []string{"flow@1.0.0"}, Limit: 10, LeaveMS: 1000})
		h.ok(err)
		equal(h, "the dead node's", slices.Contains(r.Instances, "b"), true)
	}},
	{"of two nodes that find an instance one gets it", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		h.join(store.Node{ID: nodeB})
		h.start("a")
		equalLists(h, "first", h.ready(nodeB), []string{"a"})
		equalLists(h, "second", h.ready(nodeA), nil)
	}},
}
