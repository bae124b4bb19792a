package storetest

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

var turns = []scenario{
	{"a commit is visible as a whole", func(h *harness) {
		f := h.running("a")
		text := "half way"
		r := f.commit(func(c *replay.Commit) {
			f.activity(c, replay.Job{Input: "1"})
			f.timer(c, h.clock.Now()+60_000)
			f.event(c, history.Event{Kind: history.CustomStatusUpdated, Data: text})
			c.CustomStatus = &replay.CustomStatus{Text: &text, Version: 1}
			f.event(c, history.Event{Kind: history.KeyValueSet, Name: "k", Data: "v"})
			c.KV = []replay.KVChange{{Key: "k", Value: ptr("v"), UpdatedAt: h.clock.Now()}}
		})
		equal(h, "untaken", len(r.Messages), 0)
		equal(h, "a next due time", r.NextDue > h.clock.Now(), true)
		events, err := h.s.History(h.ctx, "a", 0)
		h.ok(err)
		equal(h, "events", len(events), 5)
		status, err := h.s.Status(h.ctx, "a")
		h.ok(err)
		equal(h, "custom status", *status.CustomStatus, text)
		equal(h, "its version", status.CustomStatusVersion, 1)
		value, err := h.s.KVValue(h.ctx, "a", "k")
		h.ok(err)
		equal(h, "key", *value, "v")
		equal(h, "jobs", len(h.claimed(claim(nodeA, 5))), 1)
	}},
	{"a turn with another token is fenced and leaves nothing", func(h *harness) {
		f := h.running("a")
		late := f.prepare(func(c *replay.Commit) { f.activity(c, replay.Job{}) })
		f.commit(func(c *replay.Commit) { f.timer(c, h.clock.Now()+60_000) })
		results, err := h.s.CommitTurns(h.ctx, nodeB, []store.Turn{late})
		h.ok(err)
		if !errors.Is(results[0].Err, store.ErrFenced) {
			h.Fatalf("late turn: %v", results[0].Err)
		}
		equal(h, "jobs of the late turn", len(h.claimed(claim(nodeA, 5))), 0)
		equal(h, "node", h.load("a").Node, nodeA)
	}},
	{"a turn with another life is fenced", func(h *harness) {
		f := h.running("a")
		late := f.prepare(func(c *replay.Commit) { f.activity(c, replay.Job{}) })
		late.Life = "another"
		equal(h, "fenced", errors.Is(f.try(late).Err, store.ErrFenced), true)
	}},
	{"a turn of an unknown instance is fenced", func(h *harness) {
		f := h.running("a")
		late := f.prepare(func(c *replay.Commit) { f.activity(c, replay.Job{}) })
		late.Instance = "nobody"
		equal(h, "fenced", errors.Is(f.try(late).Err, store.ErrFenced), true)
		equal(h, "rows made", len(h.instances(store.InstanceQuery{})), 1)
	}},
	{"of two turns from the same state one wins, in one group too", func(h *harness) {
		f := h.running("a")
		first := f.prepare(func(c *replay.Commit) { f.timer(c, h.clock.Now()+60_000) })
		second := f.prepare(func(c *replay.Commit) { f.timer(c, h.clock.Now()+60_000) })
		results, err := h.s.CommitTurns(h.ctx, nodeA, []store.Turn{first, second})
		h.ok(err)
		h.ok(results[0].Err)
		equal(h, "second fenced", errors.Is(results[1].Err, store.ErrFenced), true)
	}},
	{"a lost job refuses its turn by name and no other of the group", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		a, b := h.running("a"), h.running("b")
		jobA := a.claiming(claim(nodeA, 1), func(c *replay.Commit) { a.activity(c, replay.Job{}) }).Jobs[0]
		jobB := b.claiming(claim(nodeA, 1), func(c *replay.Commit) { b.activity(c, replay.Job{}) }).Jobs[0]
		settled, err := h.s.SettleJobs(h.ctx, []store.Settlement{{Job: jobA.JobRef}})
		h.ok(err)
		equal(h, "given back", settled[0], true)
		turnA := a.prepare(func(c *replay.Commit) { a.result(c, &jobA); a.timer(c, h.clock.Now()+60_000) })
		turnB := b.prepare(func(c *replay.Commit) { b.result(c, &jobB) })
		results, err := h.s.CommitTurns(h.ctx, nodeA, []store.Turn{turnA, turnB})
		h.ok(err)
		equal(h, "refused", errors.Is(results[0].Err, store.ErrJobsLost), true)
		equalLists(h, "lost", results[0].LostJobs, []store.JobRef{jobA.JobRef})
		h.ok(results[1].Err)
		b.applied(turnB, results[1])
		events, err := h.s.History(h.ctx, "a", 0)
		h.ok(err)
		equal(h, "events of the refused", len(events), 2)
		equal(h, "the turn still stands", h.load("a").Turn, a.turn)
	}},
	{"only consumed messages go", func(h *harness) {
		h.running("a")
		h.enqueue("a", history.MsgEvent, "one", "1")
		h.enqueue("a", history.MsgEvent, "two", "2")
		f := h.open("a")
		r := f.commit(func(c *replay.Commit) {
			m := f.take(c, history.MsgEvent)
			f.event(c, history.Event{Kind: history.ExternalEvent, Name: m.Name, Data: m.Data, MessageID: m.ID})
		})
		equalLists(h, "left", kinds(r.Messages), []string{"event:two=2"})
	}},
	{"a commit returns what arrived since the load", func(h *harness) {
		f := h.running("a")
		h.enqueue("a", history.MsgCancel, "", "enough")
		r := f.commit(func(c *replay.Commit) { f.timer(c, h.clock.Now()+60_000) })
		equalLists(h, "untaken", kinds(r.Messages), []string{"cancel"})
	}},
	{"a commit returns what another member of its group sent", func(h *harness) {
		parent := h.running("parent")
		parent.commit(func(c *replay.Commit) { parent.child(c, "child") })
		child := h.open("child")
		child.begin()
		answer := child.prepare(func(c *replay.Commit) {
			child.end(c)
			c.Sends = []replay.Send{child.answer()}
		})
		turn := parent.prepare(func(c *replay.Commit) { parent.timer(c, h.clock.Now()+60_000) })
		results, err := h.s.CommitTurns(h.ctx, nodeA, []store.Turn{turn, answer})
		h.ok(err)
		h.ok(results[0].Err)
		h.ok(results[1].Err)
		equalLists(h, "untaken of the parent", kinds(results[0].Messages), []string{"child_completed"})
	}},
	{"a turn without events only drops messages", func(h *harness) {
		h.running("a")
		h.enqueue("a", history.MsgEvent, "one", "1")
		f := h.open("a")
		r := f.commit(func(c *replay.Commit) { f.take(c, history.MsgEvent) })
		equal(h, "untaken", len(r.Messages), 0)
		equal(h, "next event", h.load("a").NextEventID, 2)
	}},
	{"the end takes all messages, jobs and timers with it", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		f := h.running("a")
		job := f.claiming(claim(nodeA, 1), func(c *replay.Commit) {
			f.activity(c, replay.Job{})
			f.activity(c, replay.Job{})
			f.timer(c, h.clock.Now()+60_000)
		}).Jobs[0]
		h.enqueue("a", history.MsgEvent, "e", "1")
		h.enqueue("a", history.MsgMail, "q", "1")
		f.commit(f.end)
		inspector, ok := h.s.(store.Inspector)
		if !ok {
			h.Fatal("the store shows no rows")
		}
		rows, err := inspector.Inspect(h.ctx, "a")
		h.ok(err)
		equal(h, "messages", len(rows.Messages), 0)
		equal(h, "jobs", len(rows.Jobs), 0)
		lost, err := h.s.LostJobs(h.ctx, []store.JobRef{job.JobRef})
		h.ok(err)
		equal(h, "the claimed job is lost", len(lost), 1)
		status, err := h.s.Status(h.ctx, "a")
		h.ok(err)
		equal(h, "status", status.Status, replay.Completed)
		equal(h, "output", status.Output, `"out"`)
	}},
	{"a failed end keeps its failure", func(h *harness) {
		f := h.running("a")
		failure := &history.Failure{Kind: history.OrchestrationError, Message: "boom", Type: "ValueError", Traceback: "line 1"}
		f.commit(func(c *replay.Commit) {
			c.Status, c.Failure = replay.Failed, failure
			f.event(c, history.Event{Kind: history.OrchestrationFailed, Failure: failure})
		})
		status, err := h.s.Status(h.ctx, "a")
		h.ok(err)
		equal(h, "status", status.Status, replay.Failed)
		equal(h, "failure", *status.Failure, *failure)
	}},
	{"dropped jobs never run and claimed ones are lost", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		f := h.running("a")
		var first, second int64
		r := f.claiming(claim(nodeA, 1), func(c *replay.Commit) {
			first = f.activity(c, replay.Job{})
			second = f.activity(c, replay.Job{})
		})
		f.commit(func(c *replay.Commit) {
			for _, id := range []int64{first, second} {
				f.event(c, history.Event{Kind: history.ActivityCancelRequested, Source: id})
				c.DropJobs = append(c.DropJobs, id)
			}
		})
		equal(h, "left to claim", len(h.claimed(claim(nodeA, 5))), 0)
		lost, err := h.s.LostJobs(h.ctx, []store.JobRef{r.Jobs[0].JobRef})
		h.ok(err)
		equal(h, "lost", len(lost), 1)
	}},
	{"dropped timers do not fire", func(h *harness) {
		f := h.running("a")
		var one, two int64
		f.commit(func(c *replay.Commit) {
			one = f.timer(c, h.clock.Now()+1000)
			two = f.timer(c, h.clock.Now()+2000)
		})
		f.commit(func(c *replay.Commit) { c.DropTimers = []int64{one} })
		h.clock.Advance(3000 * 1e6)
		s := h.load("a")
		equal(h, "due", len(s.Messages), 1)
		equal(h, "the other one", s.Messages[0].Source, two)
	}},
	{"a cut turn comes again", func(h *harness) {
		f := h.running("a")
		r := f.commit(func(c *replay.Commit) { f.timer(c, h.clock.Now()+60_000); c.Continue = true })
		equalLists(h, "untaken", kinds(r.Messages), []string{"continue"})
		equalLists(h, "ready", h.ready(nodeA), []string{"a"})
	}},
	{"history comes back event by event, by execution", func(h *harness) {
		f := h.running("a")
		for range 5 {
			f.commit(func(c *replay.Commit) { f.timer(c, h.clock.Now()+60_000); f.timer(c, h.clock.Now()+60_000) })
		}
		s := h.load("a")
		equal(h, "events", len(s.Events), 11)
		for i := range s.Events {
			equal(h, "id", s.Events[i].ID, int64(i)+1)
		}
		equal(h, "start of event 1", s.Events[0].Start != nil, true)
		same, err := h.s.Load(h.ctx, "a", s.Turn)
		h.ok(err)
		equal(h, "history is left out for who has it", same.Events == nil, true)
		other, err := h.s.History(h.ctx, "a", 7)
		h.ok(err)
		equal(h, "unknown execution", len(other), 0)
	}},
	{"a big group is applied in order", func(h *harness) {
		const n = 200
		flows := make([]*flow, n)
		group := make([]store.Turn, n)
		for i := range flows {
			flows[i] = h.running(fmt.Sprintf("i-%03d", i))
			group[i] = flows[i].prepare(func(c *replay.Commit) { flows[i].activity(c, replay.Job{Input: strconv.Itoa(i)}) })
		}
		results, err := h.s.CommitTurns(h.ctx, nodeA, group)
		h.ok(err)
		for i := range results {
			h.ok(results[i].Err)
		}
		h.join(store.Node{ID: nodeA})
		for i, job := range h.claimed(claim(nodeA, n)) {
			equal(h, "first in, first out", job.Input, strconv.Itoa(i))
		}
	}},
	{"payloads of many megabytes and odd text survive", func(h *harness) {
		f := h.running("a")
		odd := "\"quote\" \u2028 \U0001F600 \t </script> \\u0000"
		big := string(make([]byte, 0))
		for len(big) < 3<<20 {
			big += odd + big
		}
		f.commit(func(c *replay.Commit) { f.activity(c, replay.Job{Input: big}) })
		h.join(store.Node{ID: nodeA})
		jobs := h.claimed(claim(nodeA, 1))
		equal(h, "input of the job", jobs[0].Input == big, true)
		equal(h, "input in the history", h.load("a").Events[1].Data == big, true)
	}},
}

func ptr[V any](v V) *V { return &v }

// child schedules a sub-orchestration.
func (f *flow) child(c *replay.Commit, id string) int64 {
	schedule := f.event(c, history.Event{Kind: history.SubOrchestrationScheduled, Name: "flow", Instance: id, Data: `"in"`})
	c.Starts = append(c.Starts, replay.Start{Instance: id, Name: "flow", Input: `"in"`, Schedule: schedule})
	return schedule
}

// answer of a child that has completed, to its parent.
func (f *flow) answer() replay.Send {
	return replay.Send{Instance: f.parent.Instance, Message: history.Message{
		Kind: history.MsgChildCompleted, Life: f.parent.Life, Execution: f.parent.Execution, Source: f.parent.Schedule, Data: `"out"`,
	}}
}

func (h *harness) instances(q store.InstanceQuery) []string {
	h.Helper()
	page, err := h.s.Instances(h.ctx, q)
	h.ok(err)
	names := make([]string, 0, len(page.Items))
	for i := range page.Items {
		names = append(names, page.Items[i].Instance)
	}
	return names
}
