package storetest

import (
	"errors"
	"time"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// jobs schedules activities, all unclaimed.
func (f *flow) jobs(jobs ...replay.Job) {
	f.h.Helper()
	f.commit(func(c *replay.Commit) {
		for _, j := range jobs {
			f.activity(c, j)
		}
	})
}

func completed(job *store.Job) *history.Message {
	return &history.Message{
		Kind: history.MsgActivityCompleted, Life: job.Life, Execution: job.Execution, Source: job.Schedule, Data: `"done"`,
	}
}

var activities = []scenario{
	{"a job comes with all that its activity may ask", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		f := h.running("a")
		f.jobs(replay.Job{Name: "work", Input: "1", TimeoutMS: 50, Attempt: 2, RetryOf: 2})
		job := h.claimed(claim(nodeA, 1))[0]
		equal(h, "job", job.Job, replay.Job{Schedule: 2, Name: "work", Input: "1", TimeoutMS: 50, Attempt: 2, RetryOf: 2})
		equal(h, "instance", job.Instance, "a")
		equal(h, "life", job.Life, f.life)
		equal(h, "execution", job.Execution, 1)
		equal(h, "orchestration", job.OrchestrationName+"@"+job.OrchestrationVersion, "flow@1.0.0")
		equal(h, "suspect", job.Suspect, false)
	}},
	{"a claimed job is nobody else's, the oldest goes first", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		h.join(store.Node{ID: nodeB})
		f := h.running("a")
		f.jobs(replay.Job{}, replay.Job{}, replay.Job{})
		equalLists(h, "first", schedules(h.claimed(claim(nodeA, 1))), []int64{2})
		equalLists(h, "the others", schedules(h.claimed(claim(nodeB, 5))), []int64{3, 4})
		equal(h, "no more", len(h.claimed(claim(nodeA, 5))), 0)
	}},
	{"a commit claims its own new jobs", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		f := h.running("a")
		r := f.claiming(claim(nodeA, 2), func(c *replay.Commit) {
			for range 3 {
				f.activity(c, replay.Job{Input: "i"})
			}
		})
		equalLists(h, "claimed", schedules(r.Jobs), []int64{2, 3})
		equal(h, "complete", r.Jobs[0].Instance == "a" && r.Jobs[0].Life == f.life && r.Jobs[0].Input == "i", true)
		equalLists(h, "left", schedules(h.claimed(claim(nodeA, 5))), []int64{4})
	}},
	{"a commit with free slots claims older work first", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		a, b := h.running("a"), h.running("b")
		a.jobs(replay.Job{Input: "old"})
		r := b.claiming(claim(nodeA, 1), func(c *replay.Commit) { b.activity(c, replay.Job{Input: "new"}) })
		equal(h, "claimed", len(r.Jobs), 1)
		equal(h, "the older", r.Jobs[0].Input, "old")
		equal(h, "for its own instance", r.Jobs[0].Instance, "a")
		r = b.claiming(claim(nodeA, 1), func(c *replay.Commit) { b.end(c) })
		equal(h, "the end drops what was left", len(r.Jobs), 0)
	}},
	{"a commit that ends its instance fills free slots too", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		a, b := h.running("a"), h.running("b")
		a.jobs(replay.Job{Input: "old"})
		r := b.claiming(claim(nodeA, 1), func(c *replay.Commit) { b.end(c) })
		equal(h, "claimed", len(r.Jobs), 1)
	}},
	{"a settled job becomes a message", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		f := h.running("a")
		f.jobs(replay.Job{})
		job := h.claimed(claim(nodeA, 1))[0]
		e := h.listen(false)
		settled, err := h.s.SettleJobs(h.ctx, []store.Settlement{{Job: job.JobRef, Result: completed(&job)}})
		h.ok(err)
		equal(h, "settled", settled[0], true)
		s := h.load("a")
		w := e.take()
		equalLists(h, "ready", w.Ready, []string{"a"})
		equal(h, "delivered", len(w.Delivered), 1)
		equal(h, "delivered to", w.Delivered[0].Instance, "a")
		equal(h, "delivered message", w.Delivered[0].Message, s.Messages[0])
		equalLists(h, "messages", kinds(s.Messages), []string{"activity_completed"})
		equal(h, "answers", s.Messages[0].Source, job.Schedule)
		equal(h, "result", s.Messages[0].Data, `"done"`)
		equal(h, "belongs to", s.Messages[0].Life, f.life)
		settled, err = h.s.SettleJobs(h.ctx, []store.Settlement{{Job: job.JobRef, Result: completed(&job)}})
		h.ok(err)
		equal(h, "a second time", settled[0], false)
		equal(h, "delivered a second time", len(e.take().Delivered), 0)
	}},
	{"a failure survives settling", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		f := h.running("a")
		f.jobs(replay.Job{})
		job := h.claimed(claim(nodeA, 1))[0]
		m := completed(&job)
		m.Kind, m.Data, m.Failure = history.MsgActivityFailed, "", &history.Failure{Kind: history.ActivityError, Message: "no", Type: "E", NonRetryable: true}
		e := h.listen(false)
		_, err := h.s.SettleJobs(h.ctx, []store.Settlement{{Job: job.JobRef, Result: m}})
		h.ok(err)
		read := h.load("a").Messages[0]
		equal(h, "failure", *read.Failure, *m.Failure)
		delivered := e.take().Delivered[0].Message
		equal(h, "failure delivered", *delivered.Failure, *read.Failure)
		delivered.Failure, read.Failure = nil, nil
		equal(h, "delivered", delivered, read)
	}},
	{"a job given back keeps its place, or waits its delay", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		f := h.running("a")
		f.jobs(replay.Job{}, replay.Job{})
		jobs := h.claimed(claim(nodeA, 2))
		_, err := h.s.SettleJobs(h.ctx, []store.Settlement{{Job: jobs[0].JobRef, DelayMS: 5000}, {Job: jobs[1].JobRef}})
		h.ok(err)
		equalLists(h, "at once", schedules(h.claimed(claim(nodeA, 5))), []int64{3})
		h.clock.Advance(6 * time.Second)
		equalLists(h, "after the delay", schedules(h.claimed(claim(nodeA, 5))), []int64{2})
	}},
	{"a token that is no longer good settles nothing", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		f := h.running("a")
		f.jobs(replay.Job{})
		old := h.claimed(claim(nodeA, 1))[0]
		_, err := h.s.SettleJobs(h.ctx, []store.Settlement{{Job: old.JobRef}})
		h.ok(err)
		now := h.claimed(claim(nodeA, 1))[0]
		settled, err := h.s.SettleJobs(h.ctx, []store.Settlement{{Job: old.JobRef, Result: completed(&old)}, {Job: now.JobRef, Result: completed(&now)}})
		h.ok(err)
		equalLists(h, "settled", settled, []bool{false, true})
		equal(h, "one message", len(h.load("a").Messages), 1)
		lost, err := h.s.LostJobs(h.ctx, []store.JobRef{old.JobRef})
		h.ok(err)
		equal(h, "lost", len(lost), 1)
	}},
	{"a job of a deleted instance cannot be settled", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		f := h.running("a")
		f.jobs(replay.Job{})
		job := h.claimed(claim(nodeA, 1))[0]
		_, err := h.s.Delete(h.ctx, "a", true)
		h.ok(err)
		h.start("a")
		settled, err := h.s.SettleJobs(h.ctx, []store.Settlement{{Job: job.JobRef, Result: completed(&job)}})
		h.ok(err)
		equal(h, "settled", settled[0], false)
		equalLists(h, "messages of the new life", kinds(h.load("a").Messages), []string{"start"})
	}},
	{"only registered activities are claimed, however many others wait in front", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		f := h.running("a")
		var many []replay.Job
		for range 500 {
			many = append(many, replay.Job{Name: "elsewhere"})
		}
		f.jobs(append(many, replay.Job{Name: "work"})...)
		equalLists(h, "claimed", schedules(h.claimed(claim(nodeA, 5))), []int64{502})
	}},
	{"tag filters take exactly their set", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		f := h.running("a")
		f.jobs(replay.Job{}, replay.Job{Tag: "gpu"}, replay.Job{Tag: "eu"}, replay.Job{Tag: "us"})
		for _, c := range []struct {
			name   string
			filter store.TagFilter
			want   []int64
		}{
			{"none", store.TagFilter{}, nil},
			{"untagged", store.TagFilter{Untagged: true}, []int64{2}},
			{"two tags", store.TagFilter{Tags: []string{"gpu", "us"}}, []int64{3, 5}},
			{"untagged and one", store.TagFilter{Untagged: true, Tags: []string{"eu"}}, []int64{2, 4}},
			{"any", store.TagFilter{Any: true}, []int64{2, 3, 4, 5}},
		} {
			q := claim(nodeA, 10)
			q.Tags = c.filter
			jobs := h.claimed(q)
			equalLists(h, c.name, schedules(jobs), c.want)
			var back []store.Settlement
			for i := range jobs {
				back = append(back, store.Settlement{Job: jobs[i].JobRef})
			}
			_, err := h.s.SettleJobs(h.ctx, back)
			h.ok(err)
		}
	}},
	{"system calls run whatever tags a node serves", func(h *harness) {
		f := h.running("a")
		const name = history.SyscallPrefix + "test"
		f.jobs(replay.Job{}, replay.Job{Name: name}, replay.Job{Name: name, Session: "s"})
		for _, filter := range []store.TagFilter{{}, {Tags: []string{"gpu"}}} {
			q := sessionClaim(nodeA, "", 1)
			q.Tags, q.Activities = filter, map[string]bool{"work": true, name: true}
			jobs := h.claimed(q)
			equalLists(h, "claimed", schedules(jobs), []int64{3, 4})
			for i := range jobs {
				_, err := h.s.SettleJobs(h.ctx, []store.Settlement{{Job: jobs[i].JobRef}})
				h.ok(err)
			}
		}
		g := h.running("b")
		q := claim(nodeA, 5)
		q.Tags, q.Activities = store.TagFilter{}, map[string]bool{"work": true, name: true}
		r := g.claiming(q, func(c *replay.Commit) {
			g.activity(c, replay.Job{})
			g.activity(c, replay.Job{Name: name})
		})
		equal(h, "claimed by a commit, with the older one", len(r.Jobs), 2)
	}},
	{"written attempts are counted, others not", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		f := h.running("a")
		f.jobs(replay.Job{})
		job := h.claimed(claim(nodeA, 1))[0]
		equal(h, "a claim counts nothing", job.Attempts, 0)
		for want := 1; want <= 2; want++ {
			n, err := h.s.CountAttempt(h.ctx, store.Suspect{Job: &job.JobRef})
			h.ok(err)
			equal(h, "attempts", n, want)
		}
		_, err := h.s.SettleJobs(h.ctx, []store.Settlement{{Job: job.JobRef}})
		h.ok(err)
		job = h.claimed(claim(nodeA, 1))[0]
		equal(h, "undone by an uncounted return", job.Attempts, 1)
		_, err = h.s.SettleJobs(h.ctx, []store.Settlement{{Job: job.JobRef, Counted: true}})
		h.ok(err)
		job = h.claimed(claim(nodeA, 1))[0]
		equal(h, "kept by a counted one", job.Attempts, 1)
		_, err = h.s.CountAttempt(h.ctx, store.Suspect{Job: &store.JobRef{ID: job.ID, Token: history.NewToken()}})
		equal(h, "another token", errors.Is(err, store.ErrJobsLost), true)
	}},
	{"a turn's written attempts end with its commit", func(h *harness) {
		f := h.running("a")
		for want := 1; want <= 3; want++ {
			n, err := h.s.CountAttempt(h.ctx, store.Suspect{Instance: "a", Turn: f.turn})
			h.ok(err)
			equal(h, "attempts", n, want)
		}
		equal(h, "suspect", h.load("a").Suspect, true)
		_, err := h.s.CountAttempt(h.ctx, store.Suspect{Instance: "a", Turn: history.NewToken()})
		equal(h, "another turn", errors.Is(err, store.ErrFenced), true)
		f.commit(func(c *replay.Commit) { f.timer(c, h.clock.Now()+60_000) })
		equal(h, "suspect after a commit", h.load("a").Suspect, false)
		n, err := h.s.CountAttempt(h.ctx, store.Suspect{Instance: "a", Turn: f.turn})
		h.ok(err)
		equal(h, "attempts after a commit", n, 1)
	}},
	{"work that nobody can do is told, with a clock that registrations restart", func(h *harness) {
		list, err := h.s.Unclaimable(h.ctx)
		h.ok(err)
		equal(h, "without nodes", len(list), 0)
		h.join(store.Node{ID: nodeA, LeaseMS: 3_600_000, Orchestrations: []string{"flow@1.0.0"}, Activities: []string{"work"}})
		f := h.running("a")
		f.jobs(replay.Job{Name: "work"}, replay.Job{Name: "nowhere"})
		_, err = h.s.Start(h.ctx, store.Start{Instance: "b", Name: "unknown"})
		h.ok(err)
		_, err = h.s.Start(h.ctx, store.Start{Instance: "c", Name: "flow", Version: "9.0.0"})
		h.ok(err)
		list, err = h.s.Unclaimable(h.ctx)
		h.ok(err)
		found := map[string]store.Unclaimable{}
		for _, u := range list {
			found[u.Instance+" "+u.Name] = u
		}
		equal(h, "found", len(found), 3)
		equal(h, "a job", found["a nowhere"].Job != 0, true)
		equal(h, "a name", found["b unknown"].Job, 0)
		equal(h, "a version", found["c flow"].Version, "9.0.0")
		h.clock.Advance(200 * time.Second)
		h.join(store.Node{ID: nodeB, LeaseMS: 3_600_000, Orchestrations: []string{"flow@1.0.0"}})
		list, err = h.s.Unclaimable(h.ctx)
		h.ok(err)
		for _, u := range list {
			equal(h, "since the newcomer", h.clock.Now()-u.SinceMS < 10_000, true)
		}
	}},
}
