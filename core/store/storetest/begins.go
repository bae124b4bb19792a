package storetest

import (
	"context"
	"errors"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// unborn is an instance whose first turn is committed with its start.
func (h *harness) unborn(id string) *flow {
	start := store.Start{Instance: id, Name: "flow", Input: `"in"`}
	s := store.Newborn(&start, history.NewToken().String(), history.NewToken(), nodeA, 0, h.clock.Now())
	return &flow{h: h, id: id, life: s.Life, turn: s.Turn, execution: 1, next: 1, node: nodeA, messages: s.Messages}
}

// first makes the turn that begins the instance.
func (f *flow) first(build func(*replay.Commit)) store.Turn {
	turn := f.prepare(func(c *replay.Commit) {
		f.started(c)
		if build != nil {
			build(c)
		}
	})
	turn.Begin = true
	return turn
}

// mailWanted makes a turn wait for the mail of a queue.
func (f *flow) mailWanted(c *replay.Commit) {
	f.event(c, history.Event{Kind: history.QueueSubscribed, Name: "q"})
	c.OpenQueues, c.UsedQueues = []string{"q"}, []string{"q"}
}

// midwife adopts what is started, and takes it with its first turn, or says what became of it.
type midwife struct {
	ear
	h       *harness
	commits bool
	says    error
	taken   []*store.Snapshot
	unbegun []*store.Snapshot
}

func (m *midwife) Unbegun(s *store.Snapshot) { m.unbegun = append(m.unbegun, s) }

func (m *midwife) Begin(ctx context.Context, s *store.Snapshot) error {
	m.taken = append(m.taken, s)
	if m.commits {
		f := &flow{h: m.h, id: s.Instance, life: s.Life, turn: s.Turn, execution: 1, next: 1, node: nodeA, messages: s.Messages}
		results, err := m.h.s.CommitTurns(ctx, nodeA, []store.Turn{f.first(nil)})
		if err != nil {
			return err
		}
		if results[0].Err != nil {
			return results[0].Err
		}
	}
	return m.says
}

func (h *harness) midwife(commits bool, says error) *midwife {
	m := &midwife{ear: ear{adopts: true}, h: h, commits: commits, says: says}
	h.Cleanup(h.s.Listen(m))
	return m
}

var errLost = &store.Error{Operation: "commit", Unknown: true, Err: errors.New("the answer was lost")}

var begins = []scenario{
	{"who adopts a start may commit it with the first turn", func(h *harness) {
		m := h.midwife(true, nil)
		r, err := h.s.Start(h.ctx, store.Start{Instance: "a", Name: "flow", Input: `"in"`})
		h.ok(err)
		equal(h, "started", r.Started, true)
		s := h.load("a")
		equal(h, "life", r.Life, s.Life)
		equal(h, "events", len(s.Events), 1)
		equal(h, "messages", len(s.Messages), 0)
		equal(h, "node", m.taken[0].Node, nodeA)
		equal(h, "told as started too", m.take().Started == nil, true)

		r, err = h.s.Start(h.ctx, store.Start{Instance: "a", Name: "flow"})
		h.ok(err)
		equal(h, "started again", r.Started, false)
		_, err = h.s.Start(h.ctx, store.Start{Instance: "a", Name: "flow", IfExists: store.ExistsError})
		equal(h, "exists", errors.Is(err, store.ErrExists), true)
	}},
	{"a start that was not begun is stored by itself", func(h *harness) {
		m := h.midwife(false, store.ErrNotBegun)
		r, err := h.s.Start(h.ctx, store.Start{Instance: "a", Name: "flow"})
		h.ok(err)
		equal(h, "started", r.Started, true)
		equalLists(h, "messages", kinds(h.load("a").Messages), []string{"start"})
		equal(h, "told", m.take().Started.Life, r.Life)
		equal(h, "and that it was not begun", m.unbegun[0].Life, r.Life)
	}},
	{"only what can run at once is begun", func(h *harness) {
		m := h.midwife(false, errLost)
		for _, s := range []store.Start{{Instance: "a", DelayMS: 5000}, {Instance: "b", IfExists: store.ExistsRestartIfEnded}} {
			s.Name = "flow"
			_, err := h.s.Start(h.ctx, s)
			h.ok(err)
		}
		equal(h, "taken", len(m.taken), 0)
	}},
	{"a start of which nobody knows whether it was begun is found out", func(h *harness) {
		for _, did := range []bool{true, false} {
			for _, policy := range []store.IfExists{store.ExistsIgnore, store.ExistsError} {
				id := map[bool]string{true: "begun", false: "lost"}[did] + map[store.IfExists]string{store.ExistsError: "-error"}[policy]
				m := h.midwife(did, errLost)
				m.adopts = true
				r, err := h.s.Start(h.ctx, store.Start{Instance: id, Name: "flow", IfExists: policy})
				h.ok(err)
				equal(h, id+": started", r.Started, true)
				equal(h, id+": life", r.Life, h.load(id).Life)
				equal(h, id+": events", len(h.load(id).Events), map[bool]int{true: 1}[did])
				m.adopts = false
			}
		}
		h.start("other")
		h.midwife(false, errLost)
		r, err := h.s.Start(h.ctx, store.Start{Instance: "other", Name: "flow"})
		h.ok(err)
		equal(h, "another's", r.Started, false)
	}},
	{"an instance begins with its first turn", func(h *harness) {
		f := h.unborn("a")
		turn := f.first(func(c *replay.Commit) { f.activity(c, replay.Job{}) })
		turn.Claim = claim(nodeA, 1)
		h.present(nodeA)
		r := f.try(turn)
		h.ok(r.Err)
		equalLists(h, "claimed", schedules(r.Jobs), []int64{2})
		equal(h, "untaken", len(r.Messages), 0)
		s := h.load("a")
		equal(h, "life", s.Life, f.life)
		equal(h, "turn", s.Turn, turn.New)
		equal(h, "version", s.Version, "1.0.0")
		equal(h, "events", len(s.Events), 2)
		equal(h, "messages", len(s.Messages), 0)
		equalLists(h, "ready", h.ready(nodeB), nil)
		row, err := h.s.Instance(h.ctx, "a")
		h.ok(err)
		equal(h, "status", row.Status, replay.Running)
		equal(h, "created", row.CreatedAt, h.clock.Now())
		executions, err := h.s.Executions(h.ctx, "a")
		h.ok(err)
		equal(h, "began", executions[0].StartedAt, h.clock.Now())
		f.commit(func(c *replay.Commit) { f.result(c, &r.Jobs[0]); f.end(c) })
	}},
	{"an instance can begin and end in one commit", func(h *harness) {
		f := h.unborn("a")
		h.ok(f.try(f.first(f.end)).Err)
		s, err := h.s.Status(h.ctx, "a")
		h.ok(err)
		equal(h, "status", s.Status, replay.Completed)
		equal(h, "output", s.Output, `"out"`)
		equal(h, "ended", h.load("a").Ended, true)
	}},
	{"an instance can begin and continue as new in one commit", func(h *harness) {
		f := h.unborn("a")
		h.ok(f.try(f.first(func(c *replay.Commit) {
			c.Status, c.Output = replay.ContinuedAsNew, `"next"`
			f.event(c, history.Event{Kind: history.OrchestrationContinuedAsNew, Data: c.Output})
			c.Next = &history.Event{
				ID: 1, Time: h.clock.Now(), Kind: history.OrchestrationStarted, Name: "flow", Version: "1.0.0", Data: c.Output, Start: &history.Start{},
			}
		})).Err)
		s := h.load("a")
		equal(h, "execution", s.Execution, 2)
		equalLists(h, "messages", kinds(s.Messages), []string{"continue"})
		executions, err := h.s.Executions(h.ctx, "a")
		h.ok(err)
		equal(h, "executions", len(executions), 2)
	}},
	{"a first turn brings all that a turn can", func(h *harness) {
		f := h.unborn("a")
		h.ok(f.try(f.first(func(c *replay.Commit) {
			f.timer(c, h.clock.Now()+5000)
			f.child(c, "child")
			f.activity(c, replay.Job{Tag: "gpu"})
			f.activity(c, replay.Job{Session: "s"})
			f.mailWanted(c)
			f.set(c, "k", ptr("v"))
			f.event(c, history.Event{Kind: history.CustomStatusUpdated, Data: "v"})
			c.CustomStatus = &replay.CustomStatus{Text: ptr("v"), Version: 1}
		})).Err)
		s, err := h.s.Status(h.ctx, "a")
		h.ok(err)
		equal(h, "custom status", *s.CustomStatus, "v")
		equal(h, "value", h.value("a", "k"), "v")
		equal(h, "next due", h.load("a").NextDue > h.clock.Now(), true)
		equal(h, "child's parent", h.load("child").Parent.Life, f.life)
		depths, err := h.s.QueueDepths(h.ctx)
		h.ok(err)
		equal(h, "jobs", depths.Worker, 2)
	}},
	{"a first turn changes nothing where the id is in use", func(h *harness) {
		ended := h.running("ended")
		ended.commit(ended.end)
		h.start("waiting")
		h.running("running")
		for _, id := range []string{"ended", "waiting", "running"} {
			before := h.load(id)
			f := h.unborn(id)
			r := f.try(f.first(func(c *replay.Commit) {
				f.activity(c, replay.Job{})
				f.child(c, "child")
			}))
			equal(h, id+": exists", errors.Is(r.Err, store.ErrExists), true)
			after := h.load(id)
			equal(h, id+": life", after.Life, before.Life)
			equal(h, id+": turn", after.Turn, before.Turn)
		}
		_, err := h.s.Load(h.ctx, "child", history.Token{})
		equal(h, "no child", errors.Is(err, store.ErrNotFound), true)
		depths, err := h.s.QueueDepths(h.ctx)
		h.ok(err)
		equal(h, "jobs", depths.Worker, 0)
	}},
	{"first turns share a group with others, and each has its own outcome", func(h *harness) {
		h.start("used")
		old := h.running("old")
		fresh, used, last := h.unborn("fresh"), h.unborn("used"), h.unborn("last")
		turns := []store.Turn{
			last.first(last.end), used.first(nil), old.prepare(old.end), fresh.first(func(c *replay.Commit) { fresh.activity(c, replay.Job{}) }),
		}
		results, err := h.s.CommitTurns(h.ctx, nodeA, turns)
		h.ok(err)
		h.ok(results[0].Err)
		equal(h, "in use", errors.Is(results[1].Err, store.ErrExists), true)
		h.ok(results[2].Err)
		h.ok(results[3].Err)
		equal(h, "old has ended", h.load("old").Ended, true)
		equal(h, "last has ended", h.load("last").Ended, true)
		equal(h, "fresh", len(h.load("fresh").Events), 2)
	}},
	{"mail that came before is there after the first turn", func(h *harness) {
		for _, group := range []bool{false, true} {
			id := map[bool]string{false: "alone", true: "grouped"}[group]
			equal(h, "kept", h.enqueue(id, history.MsgMail, "q", "early"), true)
			f := h.unborn(id)
			turns := []store.Turn{f.first(f.mailWanted)}
			if group {
				other := h.unborn("other")
				turns = append(turns, other.first(other.end))
			}
			results, err := h.s.CommitTurns(h.ctx, nodeA, turns)
			h.ok(err)
			h.ok(results[0].Err)
			equalLists(h, "untaken", kinds(results[0].Messages), []string{"mail:q=early"})
		}
	}},
	{"mail that came before does not outlive an instance that begins and ends at once", func(h *harness) {
		h.enqueue("a", history.MsgMail, "q", "early")
		f := h.unborn("a")
		h.ok(f.try(f.first(f.end)).Err)
		equal(h, "later mail", h.enqueue("a", history.MsgMail, "q", "late"), false)
		equal(h, "messages", len(h.load("a").Messages), 0)
	}},
	{"the beginning of an instance is news for those who wait for it", func(h *harness) {
		news := h.listen(false)
		f := h.unborn("a")
		h.ok(f.try(f.first(nil)).Err)
		equalLists(h, "changed", news.take().Changed, []string{"a"})
	}},
	{"of many who begin an id one does, whichever way", func(h *harness) {
		outcomes := make([]bool, 24)
		h.together(len(outcomes), func(i int) error {
			if i%2 == 0 {
				r, err := h.s.Start(h.ctx, store.Start{Instance: "a", Name: "flow"})
				outcomes[i] = r.Started
				return err
			}
			f := h.unborn("a")
			results, err := h.s.CommitTurns(h.ctx, nodeA, []store.Turn{f.first(nil)})
			if err != nil {
				return err
			}
			if outcomes[i] = results[0].Err == nil; !outcomes[i] && !errors.Is(results[0].Err, store.ErrExists) {
				return results[0].Err
			}
			return nil
		})
		begun := 0
		for _, did := range outcomes {
			if did {
				begun++
			}
		}
		equal(h, "begun", begun, 1)
	}},
}
