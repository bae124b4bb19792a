package storetest

import (
	"sync"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// ear keeps what it hears.
type ear struct {
	mu     sync.Mutex
	heard  store.Wake
	adopts bool
}

func (e *ear) Adopt(string, string) (store.NodeID, bool) { return nodeA, e.adopts }

func (e *ear) Wake(w store.Wake) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if w.Started != nil {
		e.heard.Started = w.Started
	}
	e.heard.Ready = append(e.heard.Ready, w.Ready...)
	e.heard.Delivered = append(e.heard.Delivered, w.Delivered...)
	e.heard.Due = append(e.heard.Due, w.Due...)
	e.heard.LostJobs = append(e.heard.LostJobs, w.LostJobs...)
	e.heard.Changed = append(e.heard.Changed, w.Changed...)
	e.heard.Ended = append(e.heard.Ended, w.Ended...)
	e.heard.Jobs = e.heard.Jobs || w.Jobs
}

// take gives what was heard since the last time.
func (e *ear) take() store.Wake {
	e.mu.Lock()
	defer e.mu.Unlock()
	w := e.heard
	e.heard = store.Wake{}
	return w
}

func (h *harness) listen(adopts bool) *ear {
	e := &ear{adopts: adopts}
	h.Cleanup(h.s.Listen(e))
	return e
}

var wakes = []scenario{
	{"starts and ends tell of which life they are", func(h *harness) {
		e := h.listen(false)
		for range 2 {
			started, err := h.s.Start(h.ctx, store.Start{Instance: "a", Name: "flow", IfExists: store.ExistsRestartIfEnded})
			h.ok(err)
			f := h.open("a")
			equal(h, "life of the start", started.Life, f.life)
			e.take()
			f.begin()
			f.commit(f.end)
			ended := e.take().Ended
			equal(h, "ends", len(ended), 1)
			equal(h, "life of the end", ended[0].Life, f.life)
		}
	}},
	{"a start wakes everybody, or is adopted by one", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		e := h.listen(false)
		h.start("a")
		w := e.take()
		equalLists(h, "ready", w.Ready, []string{"a"})
		equal(h, "adopted", w.Started == nil, true)
		adopter := h.listen(true)
		h.start("b")
		w = e.take()
		equalLists(h, "ready for the others", w.Ready, nil)
		equalLists(h, "changed", w.Changed, []string{"b"})
		w = adopter.take()
		if w.Started == nil {
			h.Fatal("not adopted")
		}
		loaded := h.load("b")
		equal(h, "life", w.Started.Life, loaded.Life)
		equal(h, "turn", w.Started.Turn, loaded.Turn)
		equal(h, "node", loaded.Node, nodeA)
		equal(h, "next event", w.Started.NextEventID, 1)
		equal(h, "message", w.Started.Messages[0], loaded.Messages[0])
		_, err := h.s.Start(h.ctx, store.Start{Instance: "c", Name: "flow", DelayMS: 60_000})
		h.ok(err)
		w = adopter.take()
		equal(h, "a delayed start is not adopted", w.Started == nil && len(w.Due) == 1, true)
	}},
	{"messages wake their instance", func(h *harness) {
		h.running("a")
		e := h.listen(false)
		h.enqueue("a", history.MsgEvent, "e", "1")
		equalLists(h, "ready", e.take().Ready, []string{"a"})
		h.enqueue("a", history.MsgMail, "q", "1")
		equalLists(h, "ready", e.take().Ready, []string{"a"})
		h.enqueue("nobody", history.MsgEvent, "e", "1")
		equalLists(h, "ready", e.take().Ready, nil)
	}},
	{"a commit wakes others, not its own instance", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		f := h.running("a")
		e := h.listen(false)
		f.commit(func(c *replay.Commit) {
			f.activity(c, replay.Job{})
			f.child(c, "child")
			f.timer(c, h.clock.Now()-1)
			c.Continue = true
		})
		w := e.take()
		equalLists(h, "ready", w.Ready, []string{"child"})
		equal(h, "jobs", w.Jobs, true)
		f.claiming(claim(nodeA, 2), func(c *replay.Commit) { f.activity(c, replay.Job{}) })
		equal(h, "claimed jobs wake nobody", e.take().Jobs, false)
		f.commit(func(c *replay.Commit) { f.set(c, "k", ptr("v")) })
		equalLists(h, "changed", e.take().Changed, []string{"a"})
		f.commit(func(c *replay.Commit) {
			for _, id := range []int64{2, 5} {
				f.event(c, history.Event{Kind: history.ActivityCancelRequested, Source: id})
				c.DropJobs = append(c.DropJobs, id)
			}
		})
		equal(h, "lost jobs", len(e.take().LostJobs), 2)
		f.commit(f.end)
		equalLists(h, "changed", e.take().Changed, []string{"a"})
	}},
	{"a settled job wakes its instance, one given back wakes the workers", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		f := h.running("a")
		f.jobs(replay.Job{}, replay.Job{})
		jobs := h.claimed(claim(nodeA, 2))
		e := h.listen(false)
		_, err := h.s.SettleJobs(h.ctx, []store.Settlement{{Job: jobs[0].JobRef, Result: completed(&jobs[0])}})
		h.ok(err)
		w := e.take()
		equalLists(h, "ready", w.Ready, []string{"a"})
		equal(h, "jobs", w.Jobs, false)
		_, err = h.s.SettleJobs(h.ctx, []store.Settlement{{Job: jobs[1].JobRef}})
		h.ok(err)
		equal(h, "jobs", e.take().Jobs, true)
	}},
	{"a deletion is heard, with the jobs it took", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		f := h.running("a")
		job := f.claiming(claim(nodeA, 1), func(c *replay.Commit) { f.activity(c, replay.Job{}) }).Jobs[0]
		e := h.listen(false)
		_, err := h.s.Delete(h.ctx, "a", true)
		h.ok(err)
		w := e.take()
		equalLists(h, "changed", w.Changed, []string{"a"})
		equalLists(h, "lost", w.LostJobs, []store.JobRef{job.JobRef})
	}},
	{"a refused turn wakes nobody", func(h *harness) {
		f := h.running("a")
		turn := f.prepare(func(c *replay.Commit) { f.activity(c, replay.Job{}); f.child(c, "child") })
		turn.Expect = history.NewToken()
		e := h.listen(false)
		equal(h, "refused", f.try(turn).Err != nil, true)
		w := e.take()
		equal(h, "heard", w.Jobs || len(w.Ready) > 0, false)
	}},
	{"nothing is heard after the end of listening", func(h *harness) {
		e := &ear{}
		cancel := h.s.Listen(e)
		cancel()
		cancel()
		h.start("a")
		equal(h, "heard", len(e.take().Ready), 0)
	}},
}
