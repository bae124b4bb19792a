package storetest

import (
	"errors"
	"time"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// family is a parent with a child with a child of its own.
func (h *harness) family() (parent, child, grandchild *flow) {
	h.Helper()
	parent = h.running("parent")
	parent.commitChild("child")
	child = h.open("child")
	child.begin()
	child.commitChild("grandchild")
	grandchild = h.open("grandchild")
	grandchild.begin()
	return parent, child, grandchild
}

// finish ends a family from below.
func finish(flows ...*flow) {
	for _, f := range flows {
		f.h.Helper()
		f.commit(func(c *replay.Commit) {
			f.end(c)
			if f.parent != nil {
				c.Sends = []replay.Send{f.answer()}
			}
		})
	}
}

var deletion = []scenario{
	{"an ended instance goes with all it has", func(h *harness) {
		f := h.running("a")
		f.commit(func(c *replay.Commit) { f.set(c, "k", ptr("v")) })
		f.commit(f.continueAsNew)
		f.commit(func(c *replay.Commit) { f.take(c, history.MsgContinue); f.set(c, "k", ptr("v")); f.end(c) })
		h.running("b")
		deleted, err := h.s.Delete(h.ctx, "a", false)
		h.ok(err)
		equal(h, "deleted", deleted, store.Deleted{Instances: 1, Executions: 2, Events: 6})
		_, err = h.s.Status(h.ctx, "a")
		equal(h, "not found", errors.Is(err, store.ErrNotFound), true)
		equal(h, "keys", h.value("a", "k"), "<none>")
		equalLists(h, "left", h.instances(store.InstanceQuery{}), []string{"b"})
	}},
	{"a running instance stays unless forced", func(h *harness) {
		f := h.running("a")
		f.jobs(replay.Job{})
		h.enqueue("a", history.MsgMail, "q", "1")
		_, err := h.s.Delete(h.ctx, "a", false)
		equal(h, "refused", errors.Is(err, store.ErrStillRunning), true)
		deleted, err := h.s.Delete(h.ctx, "a", true)
		h.ok(err)
		equal(h, "deleted", deleted, store.Deleted{Instances: 1, Executions: 1, Events: 2, Messages: 2})
	}},
	{"an unknown instance is told", func(h *harness) {
		_, err := h.s.Delete(h.ctx, "a", true)
		equal(h, "not found", errors.Is(err, store.ErrNotFound), true)
	}},
	{"a turn under way cannot bring a deleted instance back", func(h *harness) {
		f := h.running("a")
		_, err := h.s.Delete(h.ctx, "a", true)
		h.ok(err)
		r := f.try(f.prepare(func(c *replay.Commit) { f.activity(c, replay.Job{}) }))
		equal(h, "fenced", errors.Is(r.Err, store.ErrFenced), true)
		h.start("a")
		r = f.try(f.prepare(func(c *replay.Commit) { f.activity(c, replay.Job{}) }))
		equal(h, "fenced in the new life", errors.Is(r.Err, store.ErrFenced), true)
	}},
	{"descendants go with their root, over three levels", func(h *harness) {
		parent, child, grandchild := h.family()
		tree, err := h.s.Tree(h.ctx, "parent")
		h.ok(err)
		equalLists(h, "tree", tree, []string{"parent", "child", "grandchild"})
		_, err = h.s.Delete(h.ctx, "child", true)
		equal(h, "a child alone", errors.Is(err, store.ErrIsChild), true)
		finish(grandchild, child, parent)
		deleted, err := h.s.Delete(h.ctx, "parent", false)
		h.ok(err)
		equal(h, "instances", deleted.Instances, 3)
		equal(h, "left", len(h.instances(store.InstanceQuery{})), 0)
	}},
	{"an ended root with a running descendant stays unless forced", func(h *harness) {
		parent, _, _ := h.family()
		finish(parent)
		_, err := h.s.Delete(h.ctx, "parent", false)
		equal(h, "refused", errors.Is(err, store.ErrStillRunning), true)
		_, err = h.s.DeleteBulk(h.ctx, store.BulkFilter{})
		h.ok(err)
		equal(h, "left by bulk", len(h.instances(store.InstanceQuery{})), 3)
		_, err = h.s.Delete(h.ctx, "parent", true)
		h.ok(err)
		equal(h, "left", len(h.instances(store.InstanceQuery{})), 0)
	}},
	{"a restart goes by the same rules", func(h *harness) {
		parent, _, _ := h.family()
		finish(parent)
		_, err := h.s.Start(h.ctx, store.Start{Instance: "parent", Name: "flow", IfExists: store.ExistsRestartIfEnded})
		equal(h, "refused", errors.Is(err, store.ErrStillRunning), true)
	}},
	{"bulk deletion joins its conditions and skips what runs or is a child", func(h *harness) {
		for _, id := range []string{"a", "b", "c"} {
			f := h.running(id)
			f.commit(f.end)
			h.clock.Advance(time.Second)
		}
		h.running("running")
		parent, child, grandchild := h.family()
		finish(grandchild, child, parent)
		boundary, err := h.s.Instance(h.ctx, "c")
		h.ok(err)
		deleted, err := h.s.DeleteBulk(h.ctx, store.BulkFilter{Instances: []string{"a", "c", "running", "child", "nobody"}, CompletedBefore: boundary.UpdatedAt})
		h.ok(err)
		equal(h, "only a: c is not before its own time", deleted.Instances, 1)
		deleted, err = h.s.DeleteBulk(h.ctx, store.BulkFilter{Limit: 1})
		h.ok(err)
		equal(h, "limited", deleted.Instances, 1)
		deleted, err = h.s.DeleteBulk(h.ctx, store.BulkFilter{})
		h.ok(err)
		equal(h, "all the rest, with descendants", deleted.Instances, 4)
		equalLists(h, "left", h.instances(store.InstanceQuery{}), []string{"running"})
	}},
	{"an empty list of ids deletes nothing", func(h *harness) {
		f := h.running("a")
		f.commit(f.end)
		deleted, err := h.s.DeleteBulk(h.ctx, store.BulkFilter{Instances: []string{}})
		h.ok(err)
		equal(h, "deleted", deleted.Instances, 0)
	}},
}

// eternal continues as new so many times, a second apart.
func (h *harness) eternal(id string, times int) *flow {
	h.Helper()
	f := h.running(id)
	for range times {
		h.clock.Advance(time.Second)
		f.commit(f.continueAsNew)
	}
	return f
}

func (h *harness) executions(id string) []int64 {
	h.Helper()
	list, err := h.s.Executions(h.ctx, id)
	h.ok(err)
	numbers := make([]int64, 0, len(list))
	for i := range list {
		numbers = append(numbers, list[i].Execution)
	}
	return numbers
}

var prunes = []scenario{
	{"the last so many executions are kept", func(h *harness) {
		h.eternal("a", 5)
		pruned, err := h.s.Prune(h.ctx, "a", store.PruneOptions{KeepLast: ptr(3)})
		h.ok(err)
		equal(h, "pruned", pruned, store.Pruned{Instances: 1, Executions: 3, Events: 6})
		equalLists(h, "left", h.executions("a"), []int64{4, 5, 6})
		old, err := h.s.History(h.ctx, "a", 1)
		h.ok(err)
		equal(h, "old history", len(old), 0)
	}},
	{"the current execution is never pruned", func(h *harness) {
		for i, o := range []store.PruneOptions{{}, {KeepLast: ptr(0)}, {KeepLast: ptr(1)}, {CompletedBefore: 1 << 60}} {
			id := string(rune('a' + i))
			h.eternal(id, 2)
			_, err := h.s.Prune(h.ctx, id, o)
			h.ok(err)
			equalLists(h, "left", h.executions(id), []int64{3})
			equal(h, "its history", len(h.load(id).Events), 1)
		}
	}},
	{"conditions are joined", func(h *harness) {
		h.eternal("a", 4)
		list, err := h.s.Executions(h.ctx, "a")
		h.ok(err)
		_, err = h.s.Prune(h.ctx, "a", store.PruneOptions{KeepLast: ptr(2), CompletedBefore: list[1].CompletedAt})
		h.ok(err)
		equalLists(h, "only what ended before", h.executions("a"), []int64{2, 3, 4, 5})
	}},
	{"an unknown instance is told", func(h *harness) {
		_, err := h.s.Prune(h.ctx, "a", store.PruneOptions{})
		equal(h, "not found", errors.Is(err, store.ErrNotFound), true)
	}},
	{"bulk pruning reaches running instances and spares keys", func(h *harness) {
		f := h.eternal("a", 3)
		h.eternal("b", 3)
		f.commit(func(c *replay.Commit) { f.set(c, "k", ptr("v")) })
		pruned, err := h.s.PruneBulk(h.ctx, store.BulkFilter{Instances: []string{"a", "b"}}, store.PruneOptions{KeepLast: ptr(1)})
		h.ok(err)
		equal(h, "pruned", pruned, store.Pruned{Instances: 2, Executions: 6, Events: 12})
		equal(h, "key", h.value("a", "k"), "v")
	}},
}
