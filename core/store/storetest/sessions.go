package storetest

import (
	"fmt"
	"time"

	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// sessionClaim of a node that may take so many sessions more, beside those it holds.
func sessionClaim(node store.NodeID, label string, mayTake int, held ...string) store.Claim {
	c := claim(node, 10)
	c.MayTake, c.Label = mayTake, label
	for _, session := range held {
		c.HeldSessions[session] = true
	}
	return c
}

func (h *harness) settle(jobs ...store.Job) {
	h.Helper()
	for i := range jobs {
		settled, err := h.s.SettleJobs(h.ctx, []store.Settlement{{Job: jobs[i].JobRef, Result: completed(&jobs[i])}})
		h.ok(err)
		equal(h, "settled", settled[0], true)
	}
}

var sessions = []scenario{
	{"a session belongs to who claims it first", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		h.join(store.Node{ID: nodeB})
		f := h.running("a")
		f.jobs(replay.Job{Session: "s"}, replay.Job{Session: "s"}, replay.Job{})
		jobs := h.claimed(sessionClaim(nodeA, "", 1))
		equalLists(h, "first of the session, and the plain one", schedules(jobs), []int64{2, 4})
		h.settle(jobs...)
		equal(h, "nothing for others", len(h.claimed(sessionClaim(nodeB, "", 5))), 0)
		equalLists(h, "the next for the owner", schedules(h.claimed(sessionClaim(nodeA, "", 0, "s"))), []int64{3})
	}},
	{"the jobs of a session run one after another, in order", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		f := h.running("a")
		f.jobs(replay.Job{Session: "s"}, replay.Job{Session: "s"}, replay.Job{Session: "s"})
		for want := int64(2); want <= 4; want++ {
			jobs := h.claimed(sessionClaim(nodeA, "", 1, "s"))
			equalLists(h, "next", schedules(jobs), []int64{want})
			equal(h, "while it runs", len(h.claimed(sessionClaim(nodeA, "", 1, "s"))), 0)
			h.settle(jobs...)
		}
	}},
	{"no more sessions are taken than asked for", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		f := h.running("a")
		f.jobs(replay.Job{Session: "s"}, replay.Job{Session: "t"}, replay.Job{Session: "u"})
		equalLists(h, "two", schedules(h.claimed(sessionClaim(nodeA, "", 2))), []int64{2, 3})
		equal(h, "none", len(h.claimed(sessionClaim(nodeA, "", 0, "s", "t"))), 0)
	}},
	{"a claim that is full takes no session", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		h.join(store.Node{ID: nodeB})
		f := h.running("a")
		f.jobs(replay.Job{}, replay.Job{}, replay.Job{Session: "s"}, replay.Job{})
		full := sessionClaim(nodeA, "", 1)
		full.Limit = 2
		equalLists(h, "the oldest, up to the limit", schedules(h.claimed(full)), []int64{2, 3})
		equalLists(h, "the session is free for others", schedules(h.claimed(sessionClaim(nodeB, "", 1))), []int64{4, 5})
	}},
	{"a released session is free at once", func(h *harness) {
		h.join(store.Node{ID: nodeA, Label: "host-1"})
		h.join(store.Node{ID: nodeB})
		f := h.running("a")
		f.jobs(replay.Job{Session: "s"}, replay.Job{Session: "s"})
		h.settle(h.claimed(sessionClaim(nodeA, "host-1", 1))...)
		h.ok(h.s.ReleaseSessions(h.ctx, nodeB, []string{"s"}))
		equal(h, "only the owner can release it", len(h.claimed(sessionClaim(nodeB, "", 1))), 0)
		h.ok(h.s.ReleaseSessions(h.ctx, nodeA, []string{"s"}))
		equalLists(h, "for the other", schedules(h.claimed(sessionClaim(nodeB, "", 1))), []int64{3})
	}},
	{"a session of which a job is claimed is not released", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		h.join(store.Node{ID: nodeB})
		f := h.running("a")
		f.jobs(replay.Job{Session: "s"}, replay.Job{Session: "s"})
		job := h.claimed(sessionClaim(nodeA, "", 1))
		h.ok(h.s.ReleaseSessions(h.ctx, nodeA, []string{"s"}))
		equal(h, "for others", len(h.claimed(sessionClaim(nodeB, "", 1))), 0)
		h.settle(job...)
		equalLists(h, "the next for its owner", schedules(h.claimed(sessionClaim(nodeA, "", 0, "s"))), []int64{3})
	}},
	{"the sessions of a dead node are free", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		h.join(store.Node{ID: nodeB, LeaseMS: 3_600_000})
		f := h.running("a")
		f.jobs(replay.Job{Session: "s"})
		equal(h, "claimed", len(h.claimed(sessionClaim(nodeA, "", 1))), 1)
		h.clock.Advance(11 * time.Second)
		_, err := h.s.BuryDead(h.ctx, nodeB)
		h.ok(err)
		equal(h, "claimed anew", len(h.claimed(sessionClaim(nodeB, "", 1))), 1)
	}},
	{"a labelled session waits a moment for its own label", func(h *harness) {
		h.join(store.Node{ID: nodeA, Label: "host-1"})
		f := h.running("a")
		f.jobs(replay.Job{Session: "s"}, replay.Job{Session: "s"})
		h.settle(h.claimed(sessionClaim(nodeA, "host-1", 1))...)
		h.ok(h.s.Leave(h.ctx, nodeA))
		h.join(store.Node{ID: nodeB, Label: "host-2", LeaseMS: 3_600_000})
		equal(h, "for another label", len(h.claimed(sessionClaim(nodeB, "host-2", 1))), 0)
		h.join(store.Node{ID: "node-c", Label: "host-1", LeaseMS: 3_600_000})
		jobs := h.claimed(sessionClaim("node-c", "host-1", 1))
		equal(h, "for its own label", len(jobs), 1)
		_, err := h.s.SettleJobs(h.ctx, []store.Settlement{{Job: jobs[0].JobRef}})
		h.ok(err)
		h.ok(h.s.Leave(h.ctx, "node-c"))
		h.clock.Advance(20 * time.Second)
		equal(h, "for another label, later", len(h.claimed(sessionClaim(nodeB, "host-2", 1))), 1)
	}},
	{"a commit claims into a session it holds, and leaves what it cannot have", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		h.join(store.Node{ID: nodeB})
		a, b := h.running("a"), h.running("b")
		r := a.claiming(sessionClaim(nodeA, "", 1), func(c *replay.Commit) { a.activity(c, replay.Job{Session: "s"}) })
		equalLists(h, "taken with the commit", schedules(r.Jobs), []int64{2})
		r = b.claiming(sessionClaim(nodeB, "", 1), func(c *replay.Commit) {
			b.activity(c, replay.Job{Session: "s"})
			b.activity(c, replay.Job{})
		})
		equalLists(h, "the other's session stays", schedules(r.Jobs), []int64{3})
		job := a.h.load("a")
		_ = job
		r = a.claiming(sessionClaim(nodeA, "", 0, "s"), func(c *replay.Commit) { a.timer(c, h.clock.Now()+60_000) })
		equal(h, "while the first runs", len(r.Jobs), 0)
	}},
	{"a commit with a session's job claims the oldest first and no more than its limit", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		older, f := h.running("older"), h.running("a")
		older.jobs(replay.Job{}, replay.Job{}, replay.Job{})
		var claimed []string
		c := sessionClaim(nodeA, "", 4)
		c.Limit = 4
		r := f.claiming(c, func(c *replay.Commit) {
			for range 3 {
				f.activity(c, replay.Job{})
			}
			f.activity(c, replay.Job{Session: "s"})
		})
		for i := range r.Jobs {
			claimed = append(claimed, fmt.Sprint(r.Jobs[i].Instance, " ", r.Jobs[i].Schedule))
		}
		equalLists(h, "claimed", claimed, []string{"older 2", "older 3", "older 4", "a 2"})
		equalLists(h, "what is left", schedules(h.claimed(c)), []int64{3, 4, 5})
	}},
}
