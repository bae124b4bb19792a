package storetest

import (
	"errors"
	"time"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

var leases = []scenario{
	{"a lease is extended by renewals", func(h *harness) {
		lease := h.join(store.Node{ID: nodeA})
		for range 3 {
			h.clock.Advance(6 * time.Second)
			h.ok(h.s.Renew(h.ctx, lease))
			equal(h, "until", lease.Until > h.clock.Now()+8000, true)
		}
		buried, err := h.s.BuryDead(h.ctx, nodeB)
		h.ok(err)
		equal(h, "buried", len(buried), 0)
	}},
	{"a lease is extended by commits", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		f := h.running("a")
		for range 3 {
			h.clock.Advance(6 * time.Second)
			f.commit(func(c *replay.Commit) { f.timer(c, h.clock.Now()+60_000) })
		}
		buried, err := h.s.BuryDead(h.ctx, nodeB)
		h.ok(err)
		equal(h, "buried", len(buried), 0)
	}},
	{"commits do not take the lease from its holder", func(h *harness) {
		lease := h.join(store.Node{ID: nodeA})
		f := h.running("a")
		h.clock.Advance(6 * time.Second)
		f.commit(func(c *replay.Commit) { f.timer(c, h.clock.Now()+60_000) })
		h.ok(h.s.Renew(h.ctx, lease))
	}},
	{"a node whose lease is over is buried once, and told when it renews", func(h *harness) {
		lease := h.join(store.Node{ID: nodeA})
		h.clock.Advance(11 * time.Second)
		buried, err := h.s.BuryDead(h.ctx, nodeB)
		h.ok(err)
		equalLists(h, "buried", buried, []store.NodeID{nodeA})
		buried, err = h.s.BuryDead(h.ctx, nodeB)
		h.ok(err)
		equal(h, "again", len(buried), 0)
		equal(h, "renewal", errors.Is(h.s.Renew(h.ctx, lease), store.ErrNodeLost), true)
	}},
	{"nobody buries himself", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		h.clock.Advance(time.Hour)
		buried, err := h.s.BuryDead(h.ctx, nodeA)
		h.ok(err)
		equal(h, "buried", len(buried), 0)
	}},
	{"what a dead node had claimed is free and suspect, other work is not", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		h.join(store.Node{ID: nodeB, LeaseMS: 3_600_000})
		running, waiting, healthy := h.running("running"), h.running("waiting"), h.running("healthy")
		running.claiming(claim(nodeA, 1), func(c *replay.Commit) { running.activity(c, replay.Job{}) })
		h.enqueue("waiting", history.MsgEvent, "e", "1")
		healthy.jobs(replay.Job{})
		_ = waiting
		h.clock.Advance(11 * time.Second)
		buried, err := h.s.BuryDead(h.ctx, nodeB)
		h.ok(err)
		equalLists(h, "buried", buried, []store.NodeID{nodeA})
		equal(h, "instance of the job", h.load("running").Suspect, true)
		equal(h, "instance with news", h.load("waiting").Suspect, true)
		equal(h, "instance without", h.load("healthy").Suspect, false)
		for _, job := range h.claimed(claim(nodeB, 5)) {
			equal(h, "job of "+job.Instance, job.Suspect, job.Instance == "running")
		}
		equalLists(h, "ready at once", h.ready(nodeB), []string{"waiting"})
	}},
	{"what a node claims after it was buried is free again", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		h.join(store.Node{ID: nodeB, LeaseMS: 3_600_000})
		f := h.running("a")
		h.clock.Advance(11 * time.Second)
		_, err := h.s.BuryDead(h.ctx, nodeB)
		h.ok(err)
		f.claiming(sessionClaim(nodeA, "", 5), func(c *replay.Commit) {
			f.activity(c, replay.Job{})
			f.activity(c, replay.Job{Session: "s"})
		})
		_, err = h.s.BuryDead(h.ctx, nodeB)
		h.ok(err)
		equal(h, "for who is there", len(h.claimed(sessionClaim(nodeB, "", 5))), 2)
	}},
	{"a session that a node takes after it was buried is free again", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		h.join(store.Node{ID: nodeB, LeaseMS: 3_600_000})
		f := h.running("a")
		h.clock.Advance(11 * time.Second)
		_, err := h.s.BuryDead(h.ctx, nodeB)
		h.ok(err)
		f.jobs(replay.Job{Session: "s"})
		h.settle(h.claimed(sessionClaim(nodeA, "", 5))...)
		_, err = h.s.BuryDead(h.ctx, nodeB)
		h.ok(err)
		f.jobs(replay.Job{Session: "s"})
		equal(h, "for who is there", len(h.claimed(sessionClaim(nodeB, "", 5))), 1)
	}},
	{"a late turn of a dead node is refused when its jobs were claimed anew", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		h.join(store.Node{ID: nodeB, LeaseMS: 3_600_000})
		f := h.running("a")
		job := f.claiming(claim(nodeA, 1), func(c *replay.Commit) { f.activity(c, replay.Job{}) }).Jobs[0]
		h.clock.Advance(11 * time.Second)
		_, err := h.s.BuryDead(h.ctx, nodeB)
		h.ok(err)
		again := h.claimed(claim(nodeB, 1))[0]
		r := f.try(f.prepare(func(c *replay.Commit) { f.result(c, &job) }))
		equal(h, "refused", errors.Is(r.Err, store.ErrJobsLost), true)
		f.node = nodeB
		f.commit(func(c *replay.Commit) { f.result(c, &again) })
		equal(h, "healthy again", h.load("a").Suspect, false)
	}},
	{"a node that leaves frees its work, unsuspected", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		h.join(store.Node{ID: nodeB})
		f := h.running("a")
		f.claiming(claim(nodeA, 1), func(c *replay.Commit) { f.activity(c, replay.Job{}) })
		h.enqueue("a", history.MsgEvent, "e", "1")
		h.ok(h.s.Leave(h.ctx, nodeA))
		jobs := h.claimed(claim(nodeB, 1))
		equal(h, "job", len(jobs), 1)
		equal(h, "suspect", jobs[0].Suspect || h.load("a").Suspect, false)
		equalLists(h, "ready at once", h.ready(nodeB), []string{"a"})
	}},
	{"a store that demands newer writers is told by its error", func(h *harness) {
		lease := h.join(store.Node{ID: nodeA})
		demand, ok := h.s.(interface{ RaiseMinWriter(int) error })
		if !ok {
			h.Skip("the provider cannot raise it")
		}
		h.ok(demand.RaiseMinWriter(1000))
		equal(h, "renewal", errors.Is(h.s.Renew(h.ctx, lease), store.ErrTooOld), true)
	}},
}
