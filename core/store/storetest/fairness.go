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

// inFront is more than any query looks at in one go.
const inFront = 600

// Work is taken in the order in which it came, whoever's it is, and what cannot be done here hides nothing behind it.
var fairness = []scenario{
	{"busy instances do not push in front of others, nor does what nobody here can do", func(h *harness) {
		add := func(id string, jobs ...replay.Job) *flow {
			f := h.running(id)
			f.commit(func(c *replay.Commit) {
				for _, job := range jobs {
					f.activity(c, job)
				}
			})
			h.clock.Advance(time.Millisecond)
			return f
		}
		work := func(n int, job replay.Job) (jobs []replay.Job) {
			for range n {
				jobs = append(jobs, job)
			}
			return jobs
		}
		h.join(store.Node{ID: nodeA})
		h.join(store.Node{ID: nodeB})
		add("of others", append(work(inFront, replay.Job{Name: "elsewhere"}), work(inFront, replay.Job{Tag: "gpu"})...)...)
		add("in a session", replay.Job{Session: "held"}, replay.Job{Session: "held"})
		other := claim(nodeB, 1)
		other.MayTake = 1
		equal(h, "the session's first job, by its owner", len(h.claimed(other)), 1)
		busy := add("busy", work(10, replay.Job{})...)
		add("small", replay.Job{})
		// The busy one goes on, and adds work behind that of the small one.
		var newer store.TurnResult
		var order []string
		newer = busy.claiming(claim(nodeA, 4), func(c *replay.Commit) {
			for range 10 {
				busy.activity(c, replay.Job{})
			}
		})
		for _, j := range newer.Jobs {
			order = append(order, j.Instance)
		}
		equalLists(h, "claimed with the commit", order, []string{"busy", "busy", "busy", "busy"})
		equal(h, "the oldest of them first", newer.Jobs[0].Schedule < busy.next-10, true)
		order = nil
		for range 20 {
			got := h.claimed(claim(nodeA, 4))
			if len(got) == 0 {
				break
			}
			for _, j := range got {
				order = append(order, j.Instance)
			}
		}
		equal(h, "all that can be done here", len(order), 6+1+10)
		equal(h, "place of the small one, behind what was there before it", slices.Index(order, "small"), 6)
	}},
	{"several are claimed at a time, up to the free slots", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		f := h.running("a")
		f.commit(func(c *replay.Commit) {
			for range 100 {
				f.activity(c, replay.Job{})
			}
		})
		for _, limit := range []int{1, 7, 64} {
			equal(h, fmt.Sprintf("claimed with %d slots", limit), len(h.claimed(claim(nodeA, limit))), limit)
		}
		equal(h, "claimed with room for more than there are", len(h.claimed(claim(nodeA, 64))), 28)
	}},
	{"instances become ready in the order of their news, and none hides another", func(h *harness) {
		h.join(store.Node{ID: nodeA})
		h.join(store.Node{ID: nodeB})
		for i := range 40 {
			h.running(fmt.Sprintf("i%02d", i))
		}
		for i := range inFront {
			_, err := h.s.Start(h.ctx, store.Start{Instance: fmt.Sprintf("of others %d", i), Name: "elsewhere"})
			h.ok(err)
		}
		// One has much more to do than the others.
		var want []string
		for i := range 40 {
			h.clock.Advance(time.Millisecond)
			id := fmt.Sprintf("i%02d", 39-i)
			want = append(want, id)
			for n := range 1 + 100*(i%2) {
				h.enqueue(id, history.MsgEvent, "e", strconv.Itoa(n))
			}
		}
		h.clock.Advance(store.AffinityDelay)
		var got []string
		for len(got) < 40 {
			r, err := h.s.Ready(h.ctx, store.ReadyQuery{
				Node: nodeB, Names: []string{"flow@1.0.0"}, Limit: 8, Skip: func(id string) bool { return slices.Contains(got, id) },
			})
			h.ok(err)
			if len(r.Instances) == 0 {
				break
			}
			got = append(got, r.Instances...)
		}
		equalLists(h, "order", got, want)
	}},
}
