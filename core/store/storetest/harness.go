package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duroxide/duroxide/core/check"
	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// Clock stands still unless it is moved, so that no scenario depends on how long it takes. A store under test takes its
// time from Now.
type Clock struct{ now atomic.Int64 }

func newClock() *Clock {
	c := new(Clock)
	c.now.Store(time.Now().UnixMilli())
	return c
}

// Now in ms since the epoch.
func (c *Clock) Now() int64 { return c.now.Load() }

// Advance moves the clock forward.
func (c *Clock) Advance(d time.Duration) { c.now.Add(d.Milliseconds()) }

// Open gives an empty store on the clock. It is closed by the test that asked for it.
type Open func(t *testing.T, clock *Clock) store.Store

// Run runs the whole suite.
func Run(t *testing.T, open Open) {
	t.Helper()
	for _, subject := range []struct {
		name      string
		scenarios []scenario
	}{
		{"turns", turns}, {"continue", continues}, {"starts", starts}, {"begins", begins}, {"queues", queues}, {"order", ordering}, {"activities", activities},
		{"sessions", sessions}, {"leases", leases}, {"wake", wakes}, {"kv", kv}, {"deletion", deletion}, {"prune", prunes},
		{"fairness", fairness}, {"revive", revives}, {"query", queries}, {"concurrency", concurrency},
	} {
		t.Run(subject.name, func(t *testing.T) {
			for _, s := range subject.scenarios {
				t.Run(s.name, func(t *testing.T) {
					h := &harness{T: t, clock: newClock(), ctx: t.Context(), joined: map[store.NodeID]bool{}}
					h.s = open(t, h.clock)
					s.run(h)
					if h.s == nil {
						return
					}
					h.checkInvariants()
					if err := h.s.Close(); err != nil {
						t.Errorf("close: %v", err)
					}
				})
			}
		})
	}
}

// scenario is a promise of the contract.
type scenario struct {
	name string
	run  func(*harness)
}

const (
	nodeA store.NodeID = "node-a"
	nodeB store.NodeID = "node-b"
)

// harness is what scenarios work with; all its methods end the test when the store says no.
type harness struct {
	*testing.T
	s      store.Store
	clock  *Clock
	ctx    context.Context //nolint:containedctx // the test's
	joined map[store.NodeID]bool
}

func (h *harness) ok(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *harness) checkInvariants() {
	h.Helper()
	violations, err := check.Run(context.Background(), h.s)
	h.ok(err)
	for _, v := range violations {
		h.Errorf("invariant: %s", v)
	}
}

func equal[V comparable](h *harness, what string, got, want V) {
	h.Helper()
	if got != want {
		h.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func equalLists[V comparable](h *harness, what string, got, want []V) {
	h.Helper()
	if !slices.Equal(got, want) {
		h.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func (h *harness) start(id string) {
	h.Helper()
	r, err := h.s.Start(h.ctx, store.Start{Instance: id, Name: "flow", Input: `"in"`})
	h.ok(err)
	equal(h, "started", r.Started, true)
}

func (h *harness) load(id string) *store.Snapshot {
	h.Helper()
	snapshot, err := h.s.Load(h.ctx, id, history.Token{})
	h.ok(err)
	return snapshot
}

// enqueue sends a client's message and says whether it was stored.
func (h *harness) enqueue(id string, kind history.MessageKind, name, data string) bool {
	h.Helper()
	stored, err := h.s.Enqueue(h.ctx, []store.Enqueue{{Instance: id, Message: history.Message{
		Kind: kind, ID: history.NewToken().String(), Name: name, Data: data,
	}}})
	h.ok(err)
	return stored[0]
}

func (h *harness) join(n store.Node) *store.Lease {
	h.Helper()
	if n.LeaseMS == 0 {
		n.LeaseMS = 10_000
	}
	lease, err := h.s.Join(h.ctx, n)
	h.ok(err)
	h.joined[n.ID] = true
	return lease
}

// present makes sure that a node which claims has joined, in scenarios that are about something else.
func (h *harness) present(node store.NodeID) {
	h.Helper()
	if node != "" && !h.joined[node] {
		h.join(store.Node{ID: node, LeaseMS: 3_600_000})
	}
}

func (h *harness) ready(node store.NodeID) []string {
	h.Helper()
	r, err := h.s.Ready(h.ctx, store.ReadyQuery{Node: node, Names: []string{"flow", "flow@1.0.0"}, Limit: 1000})
	h.ok(err)
	slices.Sort(r.Instances)
	return r.Instances
}

// claim of a node that can do everything untagged.
func claim(node store.NodeID, limit int) store.Claim {
	return store.Claim{
		Node: node, Limit: limit, Activities: map[string]bool{"work": true}, Tags: store.TagFilter{Untagged: true},
		HeldSessions: map[string]bool{},
	}
}

func (h *harness) claimed(c store.Claim) []store.Job {
	h.Helper()
	h.present(c.Node)
	jobs, err := h.s.ClaimJobs(h.ctx, c)
	h.ok(err)
	return jobs
}

func schedules(jobs []store.Job) []int64 {
	ids := make([]int64, 0, len(jobs))
	for i := range jobs {
		ids = append(ids, jobs[i].Schedule)
	}
	return ids
}

// flow is an instance as a node that runs it sees it.
type flow struct {
	h         *harness
	id, life  string
	turn      history.Token
	execution int64
	next      int64
	node      store.NodeID
	parent    *history.Parent
	messages  []history.Message // untaken, as the last commit said
	nextDue   int64
}

// open loads an instance.
func (h *harness) open(id string) *flow {
	h.Helper()
	s := h.load(id)
	return &flow{
		h: h, id: id, life: s.Life, turn: s.Turn, execution: s.Execution, next: s.NextEventID, node: nodeA, messages: s.Messages,
		parent: s.Parent, nextDue: s.NextDue,
	}
}

// running starts an instance and commits its first turn.
func (h *harness) running(id string) *flow {
	h.Helper()
	h.start(id)
	f := h.open(id)
	f.begin()
	return f
}

// begin commits the first turn of an instance that was started.
func (f *flow) begin() {
	f.h.Helper()
	f.commit(func(c *replay.Commit) { f.started(c) })
}

// started adds event 1 and takes the start message.
func (f *flow) started(c *replay.Commit) {
	f.event(c, history.Event{
		Kind: history.OrchestrationStarted, Name: "flow", Version: "1.0.0", Data: `"in"`, Start: &history.Start{Parent: f.parent},
	})
	f.take(c, history.MsgStart)
}

// event appends with the next id.
func (f *flow) event(c *replay.Commit, e history.Event) int64 {
	e.ID = f.next + int64(len(c.Events))
	e.Time = f.h.clock.Now()
	c.Events = append(c.Events, e)
	return e.ID
}

// take consumes the first known message of the kind.
func (f *flow) take(c *replay.Commit, kind history.MessageKind) history.Message {
	f.h.Helper()
	for i := range f.messages {
		if f.messages[i].Kind == kind {
			c.Consumed = append(c.Consumed, f.messages[i])
			return f.messages[i]
		}
	}
	f.h.Fatalf("no %s message among %v", kind, kinds(f.messages))
	return history.Message{}
}

// activity schedules one, with its job.
func (f *flow) activity(c *replay.Commit, job replay.Job) int64 {
	if job.Name == "" {
		job.Name = "work"
	}
	job.Schedule = f.event(c, history.Event{
		Kind: history.ActivityScheduled, Name: job.Name, Data: job.Input, Session: job.Session, Tag: job.Tag,
		TimeoutMS: job.TimeoutMS, Attempt: job.Attempt, RetryOf: job.RetryOf,
	})
	c.Jobs = append(c.Jobs, job)
	return job.Schedule
}

// result takes the result of a claimed job from memory.
func (f *flow) result(c *replay.Commit, job *store.Job) {
	f.event(c, history.Event{Kind: history.ActivityCompleted, Source: job.Schedule, Data: `"done"`})
	c.Consumed = append(c.Consumed, history.Message{
		Kind: history.MsgActivityCompleted, JobID: job.ID, JobToken: job.Token, Life: f.life, Execution: f.execution,
		Source: job.Schedule, Data: `"done"`,
	})
}

func (f *flow) timer(c *replay.Commit, at int64) int64 {
	id := f.event(c, history.Event{Kind: history.TimerCreated, FireAt: at})
	c.Timers = append(c.Timers, replay.Timer{Schedule: id, FireAt: at})
	return id
}

// end completes the instance.
func (f *flow) end(c *replay.Commit) {
	c.Status, c.Output = replay.Completed, `"out"`
	f.event(c, history.Event{Kind: history.OrchestrationCompleted, Data: c.Output})
}

// prepare makes a turn without committing it.
func (f *flow) prepare(build func(*replay.Commit)) store.Turn {
	c := &replay.Commit{Execution: f.execution}
	build(c)
	return store.Turn{
		Instance: f.id, Life: f.life, Expect: f.turn, New: history.NewToken(), Name: "flow", Version: "1.0.0", Commit: c,
	}
}

// applied moves on after a commit.
func (f *flow) applied(turn store.Turn, r store.TurnResult) {
	f.turn = turn.New
	f.next += int64(len(turn.Commit.Events))
	f.messages, f.nextDue = r.Messages, r.NextDue
	if turn.Commit.Status == replay.ContinuedAsNew {
		f.execution++
		f.next = 2
	}
}

// try commits a turn and gives what the store said.
func (f *flow) try(turn store.Turn) store.TurnResult {
	f.h.Helper()
	results, err := f.h.s.CommitTurns(f.h.ctx, f.node, []store.Turn{turn})
	f.h.ok(err)
	if results[0].Err == nil {
		f.applied(turn, results[0])
	}
	return results[0]
}

// commit commits a turn that must be applied.
func (f *flow) commit(build func(*replay.Commit)) store.TurnResult {
	f.h.Helper()
	return f.claiming(store.Claim{}, build)
}

// claiming commits a turn with free slots.
func (f *flow) claiming(claim store.Claim, build func(*replay.Commit)) store.TurnResult {
	f.h.Helper()
	f.h.present(claim.Node)
	turn := f.prepare(build)
	turn.Claim = claim
	r := f.try(turn)
	f.h.ok(r.Err)
	return r
}

func kinds(messages []history.Message) []string {
	names := make([]string, 0, len(messages))
	for i := range messages {
		name := messages[i].Kind.String()
		if messages[i].Name != "" {
			name = fmt.Sprintf("%s:%s=%s", name, messages[i].Name, messages[i].Data)
		}
		names = append(names, name)
	}
	return names
}

// within waits for a condition that another goroutine brings about.
func (h *harness) within(what string, done <-chan struct{}) {
	h.Helper()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		h.Fatalf("%s did not happen", what)
	}
}
