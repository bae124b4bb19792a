package replay

import (
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/duroxide/duroxide/core/history"
)

// randomProgram is an orchestration function made from a seed: nested all, race and branches over leaves of every kind,
// exceptions raised and caught, finally blocks, status and key-value calls, branches that record nothing, state shared
// between branches. Whatever it does follows from the seed and the results it was given.
func randomProgram(seed uint64) body {
	return func(g *generator) (string, error) {
		p := &randomCode{r: rand.New(rand.NewPCG(seed, uint64(g.code.begin.Execution)))}
		out := g.code.begin.Input
		for range 1 + p.r.IntN(3) {
			task := p.task(g, 4, p.r)
			v, err := g.await(&task, "root:1")
			if err != nil {
				if p.r.IntN(12) == 0 {
					return "", err
				}
				out += "!" + err.Error()
				continue
			}
			out += "," + show(v)
		}
		if p.r.IntN(3) == 0 && g.code.begin.Execution < 4 {
			_, err := g.await(&Task{Kind: TaskContinueAsNew, Input: strconv.Itoa(sum(out))}, "root:2")
			return "", err
		}
		return out, nil
	}
}

// randomCode is what all branches of one execution share.
type randomCode struct {
	r     *rand.Rand
	count int
}

func sum(s string) int {
	n := 0
	for _, c := range s {
		n += int(c)
	}
	return n
}

func (p *randomCode) leaf(g *generator, r *rand.Rand) Task {
	p.count++
	input := strconv.Itoa(p.count)
	switch k := r.IntN(40); {
	case k < 14:
		return Task{Kind: TaskActivity, Name: "work", Input: input}
	case k < 18:
		return Task{Kind: TaskTimer, DelayMS: int64(p.count)}
	case k < 24:
		return Task{Kind: TaskDequeue, Name: "q" + strconv.Itoa(r.IntN(2))}
	case k < 28:
		return Task{Kind: TaskEvent, Name: "e" + strconv.Itoa(r.IntN(2))}
	case k < 30:
		return Task{Kind: TaskGUID}
	case k < 31:
		return Task{Kind: TaskClock}
	case k < 32:
		return Task{Kind: TaskDetached, Name: "other", Instance: "d" + input, Input: input}
	case k < 35:
		t := Task{Kind: TaskChild, Name: "child", Input: input}
		if r.IntN(2) == 0 {
			t.InstanceGiven, t.Instance = true, "c"+input
		}
		return t
	default:
		policy := RetryPolicy{MaxAttempts: 1 + r.IntN(3), Backoff: Backoff(r.IntN(4)), InitialMS: 10, MaxMS: 25, Multiplier: 2, Jitter: r.Float64()}
		if r.IntN(2) == 0 {
			policy.TimeoutMS = 100
		}
		if r.IntN(2) == 0 {
			policy.TotalTimeoutMS = 300
		}
		return Task{Kind: TaskActivity, Name: "retried", Input: input, Retry: &policy}
	}
}

func (p *randomCode) task(g *generator, depth int, r *rand.Rand) Task {
	switch k := r.IntN(100); {
	case k < 10: // a branch that records nothing
		return g.branch(func(*generator) (string, error) {
			p.count++
			return strconv.Itoa(p.count), nil
		})
	case depth == 0 || k < 35:
		return p.leaf(g, r)
	case k < 55:
		return Task{Kind: TaskAll, Members: p.tasks(g, r.IntN(4), depth-1, r)}
	case k < 80:
		return Task{Kind: TaskRace, Members: p.tasks(g, 1+r.IntN(3), depth-1, r)}
	default:
		return g.branch(p.branch(depth, r.Uint64()))
	}
}

func (p *randomCode) tasks(g *generator, n, depth int, r *rand.Rand) []Task {
	tasks := make([]Task, n)
	for i := range tasks {
		tasks[i] = p.task(g, depth, r)
	}
	return tasks
}

func (p *randomCode) branch(depth int, seed uint64) body {
	return func(g *generator) (result string, err error) {
		r := rand.New(rand.NewPCG(seed, 7))
		defer func() {
			if !g.muted || r.IntN(2) == 0 { // finally runs when closed too, and what it calls then must leave no trace
				g.call(Immediate{Kind: CallSetStatus, Value: "finally"})
			}
		}()
		out := ""
		for range 1 + r.IntN(3) {
			switch r.IntN(12) {
			case 0, 1:
				g.call(Immediate{Kind: CallSetStatus, Value: "s" + strconv.Itoa(r.IntN(9))})
			case 2:
				g.call(Immediate{Kind: CallResetStatus})
			case 3:
				g.call(Immediate{Kind: CallSetKV, Key: "k" + strconv.Itoa(r.IntN(3)), Value: strconv.Itoa(p.count)})
			case 4:
				g.call(Immediate{Kind: CallClearKV, Key: "k" + strconv.Itoa(r.IntN(3))})
			case 5:
				g.call(Immediate{Kind: CallTrace, Value: "seen"})
			case 6:
				if r.IntN(4) == 0 {
					g.call(Immediate{Kind: CallClearAllKV})
				}
			}
			task := p.task(g, depth-1, r)
			v, err := g.await(&task, "branch:1")
			text := show(v)
			if err != nil {
				text = "caught " + err.Error()
			}
			out += text + ";"
			if r.IntN(5) == 0 {
				p.count++
			}
			if sum(text)%4 == 0 { // what is done next depends on what was given and on what other branches did
				task = Task{Kind: TaskActivity, Name: "extra", Input: fmt.Sprint(p.count, text)}
				if v, err = g.await(&task, "branch:2"); err == nil {
					out += show(v)
				}
			}
			switch x := r.IntN(400); {
			case x < 28:
				return "", &userError{text: fmt.Sprint("boom ", p.count)}
			case x < 30:
				return "", &userError{text: "fatal", fatal: true}
			case x < 34 && g.code.begin.Execution < 4:
				task = Task{Kind: TaskContinueAsNew, Input: "from a branch"}
				_, _ = g.await(&task, "branch:3")
			}
		}
		return out, nil
	}
}

// randomMessage is news for an execution: an answer to something open, a late one, an event, a message of a queue.
func randomMessage(x *Execution, seen map[int64]nodeKind, answered map[int64]bool, r *rand.Rand) history.Message {
	if r.IntN(4) > 0 {
		var ids []int64
		late := r.IntN(4) == 0
		for id := int64(1); id <= x.cursor; id++ {
			if n := x.open[id]; n != nil {
				seen[id] = n.kind
			}
			if _, ok := seen[id]; ok && !answered[id] && (late || x.open[id] != nil) {
				ids = append(ids, id)
			}
		}
		if len(ids) > 0 {
			id := ids[r.IntN(len(ids))]
			answered[id] = true
			return answer(x, id, seen[id], r)
		}
	}
	if r.IntN(2) == 0 {
		return history.Message{Kind: history.MsgMail, Name: "q" + strconv.Itoa(r.IntN(2))}
	}
	return history.Message{Kind: history.MsgEvent, Name: "e" + strconv.Itoa(r.IntN(2))}
}

func answer(x *Execution, id int64, kind nodeKind, r *rand.Rand) history.Message {
	m := history.Message{Source: id, Life: x.identity.Life, Execution: x.identity.Execution, Data: "r" + strconv.FormatInt(id, 10)}
	failing := r.IntN(4) == 0
	f := &history.Failure{Kind: history.ActivityError, Message: "f" + strconv.FormatInt(id, 10), NonRetryable: r.IntN(4) == 0}
	switch r.IntN(150) {
	case 0:
		f.Kind, failing = history.Infrastructure, true
	case 1:
		f.Kind, failing = history.ActivityTimeout, true
	}
	switch kind {
	case nodeTimer:
		m.Kind, m.Data = history.MsgTimer, ""
		return m
	case nodeChild:
		if m.Kind = history.MsgChildCompleted; failing {
			m.Kind = history.MsgChildFailed
		}
	default:
		if m.Kind = history.MsgActivityCompleted; failing {
			m.Kind = history.MsgActivityFailed
		}
	}
	if failing {
		m.Data, m.Failure = "", f
	}
	return m
}
