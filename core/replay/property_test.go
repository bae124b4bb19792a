package replay

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"testing"

	"github.com/duroxide/duroxide/core/history"
)

var onlySeed = flag.Uint64("replay.seed", 0, "run the random program of this seed alone")

const testNow = 1_700_000_000_000

// instance is an instance in a store: the histories of its executions, its untaken messages, and what its commits made.
// It checks each commit against what must hold between the tables of a store.
type instance struct {
	t        *testing.T
	seed     uint64
	x        *Execution
	code     *generators
	limits   limits
	done     [][]history.Event // histories of finished executions
	history  []history.Event
	waiting  []history.Message // untaken, mail left aside
	mail     []history.Message
	rows     int64
	cuts     int64
	jobs     map[int64]bool
	timers   map[int64]bool
	children map[int64]string // open, by schedule id
	kv       map[string]history.KVEntry
	status   *CustomStatus
	outcome  Status
	mailLast bool
	clock    bool // time goes on from turn to turn
	turns    int64
	used     bool // give only mail of used queues
	queues   []string
}

func newInstance(t *testing.T, seed uint64) *instance {
	in := &instance{t: t, seed: seed, limits: turnLimits, code: &generators{main: randomProgram(seed)}}
	in.mailLast = true
	in.x = New(Identity{Instance: "i", Life: "life" + strconv.FormatUint(seed, 10), Execution: 1, Name: "random", Version: "1.0.0", Input: "in"})
	in.begin()
	in.arrive(history.Message{Kind: history.MsgStart})
	return in
}

func (in *instance) begin() {
	in.jobs, in.timers, in.children, in.queues = map[int64]bool{}, map[int64]bool{}, map[int64]string{}, nil
	if in.kv == nil {
		in.kv = map[string]history.KVEntry{}
	}
}

func (in *instance) fatal(format string, args ...any) {
	in.t.Helper()
	in.t.Fatalf("random program %d (run it alone with -args -replay.seed=%d): %s\n%s", in.seed, in.seed, fmt.Sprintf(format, args...), list(in.history))
}

func list(events []history.Event) string {
	s := ""
	for i := range events {
		s += fmt.Sprintf("  %d %s data=%q\n", events[i].ID, describe(&events[i]), events[i].Data)
	}
	return s
}

// arrive puts a message into the store.
func (in *instance) arrive(m history.Message) history.Message {
	if m.Row == 0 {
		// Three rows share a millisecond, but a timer has one to itself: between a timer and mail of the same
		// millisecond there is no order that lasts.
		if in.rows++; m.Kind == history.MsgTimer {
			in.rows += 3 - in.rows%3
		}
		m.Row, m.InsertedAt, m.VisibleAt = in.rows, testNow+in.rows/3, testNow+in.rows/3
		if m.Kind == history.MsgTimer {
			in.rows += 2
		}
		if m.Kind == history.MsgMail || m.Kind == history.MsgEvent {
			m.ID = "m" + strconv.FormatInt(m.Row, 10)
			m.Data = m.ID
		}
	}
	if m.Kind == history.MsgMail {
		in.mail = append(in.mail, m)
	} else {
		in.waiting = append(in.waiting, m)
	}
	return m
}

// cut is the continue message that a commit asks for.
func (in *instance) cut() {
	in.cuts++
	in.arrive(history.Message{Kind: history.MsgContinue, Row: 1<<40 + in.cuts}) // rows of messages are part of their order
}

// evict drops the live execution, as a crash, another node or a full memory would.
func (in *instance) evict() {
	id := in.x.identity
	in.code.forget()
	if len(in.history) == 0 {
		in.x = New(id)
		return
	}
	in.code = &generators{main: randomProgram(in.seed)}
	in.x = Load(Identity{Instance: id.Instance, Life: id.Life, Execution: id.Execution}, in.code, in.history)
	if f := in.x.Mismatch(); f != nil {
		in.fatal("replay: %s", f.Text())
	}
}

func (in *instance) batch() []history.Message {
	mail := in.mail
	if in.used {
		mail = nil
		for _, m := range in.mail {
			if slices.Contains(in.queues, m.Name) {
				mail = append(mail, m)
			}
		}
	}
	all := slices.Concat(in.waiting, mail)
	if !in.mailLast {
		slices.SortStableFunc(all, func(a, b history.Message) int { return int(a.Row - b.Row) })
	}
	return all
}

// turn runs one turn over everything untaken, crashing first if asked to, and applies its commit.
func (in *instance) turn(crash bool) *Commit {
	in.t.Helper()
	messages := in.batch()
	now := int64(testNow)
	if in.turns++; in.clock {
		now += 7 * in.turns
	}
	run := func() *Commit {
		in.x.limits = in.limits
		x := in.x
		return x.Turn(in.code, Input{NowMS: now, NewGUID: func() string { return fmt.Sprint("guid ", x.identity.Execution, x.cursor) }, Messages: messages})
	}
	c := run()
	if crash {
		in.evict()
		again := run()
		if !reflect.DeepEqual(c.Events, again.Events) {
			in.fatal("the turn redone after a crash gave\n%s, not\n%s", list(again.Events), list(c.Events))
		}
		c = again
	}
	in.apply(c)
	return c
}

func (in *instance) apply(c *Commit) {
	in.t.Helper()
	for i := range c.Events {
		if want := int64(len(in.history) + 1); c.Events[i].ID != want {
			in.fatal("event %d of the commit has id %d", want, c.Events[i].ID)
		}
		in.history = append(in.history, c.Events[i])
	}
	// A regrouping may answer in the very turn that asks, which no store can: so what is new comes first.
	for _, j := range c.Jobs {
		in.jobs[j.Schedule] = true
	}
	for _, timer := range c.Timers {
		in.timers[timer.Schedule] = true
	}
	for _, s := range c.Starts {
		if s.Schedule != 0 {
			in.children[s.Schedule] = s.Instance
		}
	}
	for _, id := range c.DropJobs {
		if !in.jobs[id] {
			in.fatal("job %d dropped, which the store does not have", id)
		}
		delete(in.jobs, id)
	}
	for _, id := range c.DropTimers {
		if !in.timers[id] {
			in.fatal("timer %d dropped, which the store does not have", id)
		}
		delete(in.timers, id)
	}
	gone := map[int64]bool{}
	for _, m := range c.Consumed {
		if gone[m.Row] {
			in.fatal("message %d consumed twice", m.Row)
		}
		gone[m.Row] = true
		switch m.Kind {
		case history.MsgActivityCompleted, history.MsgActivityFailed:
			delete(in.jobs, m.Source)
		case history.MsgTimer:
			delete(in.timers, m.Source)
		case history.MsgChildCompleted, history.MsgChildFailed:
			delete(in.children, m.Source)
		}
	}
	in.waiting = slices.DeleteFunc(in.waiting, func(m history.Message) bool { return gone[m.Row] })
	in.mail = slices.DeleteFunc(in.mail, func(m history.Message) bool { return gone[m.Row] })
	in.queues = c.UsedQueues
	in.outcome = c.Status
	if c.KVClearAll {
		clear(in.kv)
	}
	for _, change := range c.KV {
		if change.Value == nil {
			delete(in.kv, change.Key)
		} else {
			in.kv[change.Key] = history.KVEntry{Value: *change.Value, UpdatedAt: change.UpdatedAt}
		}
	}
	if c.CustomStatus != nil {
		if in.status != nil && c.CustomStatus.Version <= in.status.Version {
			in.fatal("status version went from %d to %d", in.status.Version, c.CustomStatus.Version)
		}
		in.status = c.CustomStatus
	}
	if c.Status != Running {
		in.end(c)
		return
	}
	for _, s := range c.Sends {
		for id, child := range in.children {
			if child == s.Instance {
				delete(in.children, id)
			}
		}
	}
	in.checkOpen(c)
}

// checkOpen compares what the store has under way with what code waits for.
func (in *instance) checkOpen(c *Commit) {
	jobs, timers, children := map[int64]bool{}, map[int64]bool{}, map[int64]string{}
	for id, n := range in.x.open {
		switch n.kind {
		case nodeActivity:
			jobs[id] = true
		case nodeTimer:
			timers[id] = true
		default:
			children[id] = n.name
		}
	}
	if !maps.Equal(jobs, in.jobs) || !maps.Equal(timers, in.timers) || !maps.Equal(children, in.children) {
		in.fatal("code waits for activities %v, timers %v, children %v; under way are %v, %v, %v", jobs, timers, children, in.jobs, in.timers, in.children)
	}
	if open := slices.Sorted(maps.Keys(in.x.dequeues)); !slices.Equal(open, c.OpenQueues) {
		in.fatal("dequeues are open for %v, the commit says %v", open, c.OpenQueues)
	}
	if !maps.Equal(in.x.state.kv, in.kv) {
		in.fatal("the key-value map is %v, the commits made %v", in.x.state.kv, in.kv)
	}
}

// end verifies a finished execution and begins the next one, if any.
func (in *instance) end(c *Commit) {
	in.t.Helper()
	id := in.x.identity
	if n := in.code.open(); n > 0 {
		in.fatal("%d generators were left open at the end", n)
	}
	in.code.forget()
	code := &generators{main: randomProgram(in.seed)}
	if f := Verify(id, code, in.history); f != nil {
		in.fatal("the finished history does not verify: %s", f.Text())
	}
	code.forget()
	in.done = append(in.done, in.history)
	in.history = nil
	if c.Status != ContinuedAsNew {
		in.waiting, in.mail = nil, nil
		return
	}
	in.history = []history.Event{*c.Next}
	in.begin()
	in.outcome = Running
	id.Execution++
	in.code = &generators{main: randomProgram(in.seed)}
	in.x = Load(Identity{Instance: id.Instance, Life: id.Life, Execution: id.Execution}, in.code, in.history)
	in.cut()
}

// record runs the program with messages drawn at random and gives, for each execution, the messages in the order in which
// they were to be applied.
func record(t *testing.T, seed uint64) (*instance, [][]history.Message) {
	r := rand.New(rand.NewPCG(seed, 99))
	in := newInstance(t, seed)
	var orders [][]history.Message
	var order []history.Message
	seen, answered := map[int64]nodeKind{}, map[int64]bool{}
	for n := 0; in.outcome == Running; n++ {
		execution := in.x.identity.Execution
		if len(in.history) > 0 { // else the start comes alone
			var given []history.Message
			if n > 250 || r.IntN(200) == 0 {
				given = append(given, in.arrive(history.Message{Kind: history.MsgCancel, Data: "enough", ID: "c"}))
			} else {
				for range 1 + r.IntN(5) {
					given = append(given, in.arrive(randomMessage(in.x, seen, answered, r)))
				}
			}
			order = append(order, given...)
		}
		c := in.turn(false)
		if in.outcome != Running || in.x.identity.Execution != execution {
			for _, d := range c.Dropped { // arrived behind the end: another grouping would have dropped others
				if d.Why == whyContinued {
					order = slices.DeleteFunc(order, func(m history.Message) bool { return m.Row == d.Message.Row })
				}
			}
			orders = append(orders, order)
			order, n = nil, 0
			seen, answered = map[int64]nodeKind{}, map[int64]bool{}
		}
	}
	return in, orders
}

// regroup gives the same messages in the same order, in turns drawn from r. Evictions and crashes are drawn apart, so that
// two runs can differ in them alone.
func regroup(t *testing.T, seed uint64, orders [][]history.Message, r *rand.Rand, evict, crash float64, clock bool) *instance {
	in := newInstance(t, seed)
	in.clock = clock
	trouble := rand.New(rand.NewPCG(seed, 11))
	in.mailLast = r.IntN(2) == 0
	if r.IntN(2) == 0 {
		in.limits = limits{messages: 1 + r.IntN(5), events: int64(1 + r.IntN(6)), bytes: int64(1 + r.IntN(100))}
	}
	turn := func() {
		if trouble.Float64() < evict {
			in.evict()
		}
		// A cut turn is followed by others before anything new arrives, or together with it.
		if c := in.turn(trouble.Float64() < crash); c.Continue && c.Status == Running {
			in.cut()
		}
	}
	turn()
	for i, order := range orders {
		execution := int64(i + 1)
		for len(order) > 0 && in.outcome == Running && in.x.identity.Execution == execution {
			n := min(1+r.IntN(7), len(order))
			if k := slices.IndexFunc(order[:n], isCancel); k >= 0 { // it would go first: let all that came before be done
				unbegun := i > 0 && k == 0 && len(order) == len(orders[i])
				for in.outcome == Running && len(in.waiting) > 0 && !unbegun {
					turn()
				}
				n = max(k, 1)
			}
			for _, m := range order[:n] {
				in.arrive(m)
			}
			order = order[n:]
			turn()
		}
		for in.outcome == Running && in.x.identity.Execution == execution && len(in.waiting) > 0 {
			turn()
		}
		for _, m := range order { // mail that came after the end
			if m.Kind == history.MsgMail && in.outcome == Running {
				in.arrive(m)
			}
		}
		if in.outcome == Running && in.x.identity.Execution == execution+1 && len(in.history) == 1 && !slices.ContainsFunc(orders[i+1][:min(1, len(orders[i+1]))], isCancel) {
			turn()
		}
	}
	return in
}

func isCancel(m history.Message) bool { return m.Kind == history.MsgCancel }

func programs() uint64 {
	switch {
	case raceDetector:
		return 300
	case testing.Short():
		return 500
	}
	return 10_000
}

// TestHistoryDependsOnlyOnTheOrderOfMessages runs random programs, then gives the same messages in the same order under
// other turn boundaries, with evictions, crashes and cut turns. The histories must be the same to the byte, and each
// finished one must replay from its first event. With -race or -short there are fewer programs.
func TestHistoryDependsOnlyOnTheOrderOfMessages(t *testing.T) {
	if *onlySeed != 0 {
		tryRegroupings(t, *onlySeed)
		return
	}
	shards := uint64(runtime.GOMAXPROCS(0))
	for shard := range shards {
		t.Run("shard", func(t *testing.T) {
			t.Parallel()
			events, ends := 0, map[Status]int{}
			for seed := 1 + shard; seed <= programs(); seed += shards {
				in := tryRegroupings(t, seed)
				events += len(slices.Concat(in.done...))
				ends[in.outcome]++
			}
			t.Logf("%d events, ends %v", events, ends)
		})
	}
}

func tryRegroupings(t *testing.T, seed uint64) *instance {
	t.Helper()
	a, orders := record(t, seed)
	for k, chance := range []struct{ evict, crash float64 }{{0, 0}, {1, 0}, {0.5, 0.5}} {
		b := regroup(t, seed, orders, rand.New(rand.NewPCG(seed, uint64(k))), chance.evict, chance.crash, false)
		if len(b.done) != len(a.done) {
			t.Fatalf("random program %d, regrouping %d: %d executions instead of %d", seed, k, len(b.done), len(a.done))
		}
		for i := range a.done {
			if !reflect.DeepEqual(a.done[i], b.done[i]) {
				t.Fatalf("random program %d (run it alone with -args -replay.seed=%d): regrouping %d of execution %d gave\n%s\nnot\n%s",
					seed, seed, k, i+1, list(b.done[i]), list(a.done[i]))
			}
		}
		if !reflect.DeepEqual(a.kv, b.kv) || !reflect.DeepEqual(a.status, b.status) {
			t.Fatalf("random program %d, regrouping %d: status or key-value map differ", seed, k)
		}
	}
	return a
}

// TestTimeInCodeReplays lets time go on from turn to turn: what code sees of it, and what is stamped with it, must be the
// same whether code lives on or is replayed before each turn.
func TestTimeInCodeReplays(t *testing.T) {
	for seed := uint64(1); seed <= programs()/10; seed++ {
		_, orders := record(t, seed)
		group := func() *rand.Rand { return rand.New(rand.NewPCG(seed, 3)) }
		a := regroup(t, seed, orders, group(), 0, 0, true)
		b := regroup(t, seed, orders, group(), 0.7, 0.3, true)
		if !reflect.DeepEqual(a.done, b.done) || !reflect.DeepEqual(a.kv, b.kv) {
			t.Fatalf("random program %d: with evictions\n%s\n%v, without\n%s\n%v", seed, list(slices.Concat(b.done...)), b.kv, list(slices.Concat(a.done...)), a.kv)
		}
	}
}

// TestMailIsDeliveredOnceAndInOrder gives, as a store does, only the mail of queues that were used in the last commit.
func TestMailIsDeliveredOnceAndInOrder(t *testing.T) {
	for seed := uint64(1); seed <= programs()/10; seed++ {
		_, orders := record(t, seed)
		in := newInstance(t, seed)
		in.used = true
		r := rand.New(rand.NewPCG(seed, 5))
		in.turn(false)
		for _, order := range orders {
			for _, m := range order {
				if in.outcome != Running || m.Kind != history.MsgMail && m.Kind != history.MsgEvent {
					continue
				}
				in.arrive(m)
				if r.IntN(3) == 0 {
					if r.IntN(3) == 0 {
						in.evict()
					}
					in.turn(false)
				}
			}
		}
		last := map[string]int64{}
		for _, h := range append(in.done, in.history) {
			for i := range h {
				if h[i].Kind != history.QueueEventDelivered {
					continue
				}
				row, err := strconv.ParseInt(h[i].MessageID[1:], 10, 64)
				if err != nil || row <= last[h[i].Name] {
					t.Fatalf("random program %d: message %s of queue %s delivered after %d", seed, h[i].MessageID, h[i].Name, last[h[i].Name])
				}
				last[h[i].Name] = row
			}
		}
	}
}
