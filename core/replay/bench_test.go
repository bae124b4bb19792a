package replay

import (
	"runtime"
	"strconv"
	"testing"

	"github.com/duroxide/duroxide/core/history"
)

// chain is user code without cost of its own: one activity after the other.
type chain struct {
	task  Task
	steps int
	left  int
}

func newChain(steps int) *chain {
	return &chain{task: Task{Kind: TaskActivity, Name: "charge", Input: `{"order": 7}`, At: "orders.py:42"}, steps: steps}
}

func (c *chain) Begin(Begin)                     { c.left = c.steps }
func (c *chain) Close(Branch)                    {}
func (c *chain) SamePayload(string, string) bool { return false }
func (c *chain) Resume(Branch, Resolution, Moment) Yield {
	if c.left--; c.left < 0 {
		return Yield{Kind: YieldReturn, Result: "done"}
	}
	return Yield{Kind: YieldAwait, Task: &c.task}
}

func step(x *Execution, code Code, batch []history.Message) *Commit {
	batch[0] = history.Message{Kind: history.MsgActivityCompleted, Life: "L", Execution: 1, Source: x.Events(), Data: `{"paid": true}`}
	return x.Turn(code, Input{NowMS: 1_700_000_000_000, Messages: batch})
}

// BenchmarkStep is a turn that delivers one result and schedules one activity.
func BenchmarkStep(b *testing.B) {
	code := newChain(1 << 60)
	x := New(Identity{Instance: "i", Life: "L", Execution: 1})
	x.Turn(code, Input{NowMS: 1})
	b.ReportAllocs()
	for b.Loop() {
		batch := make([]history.Message, 1)
		if c := step(x, code, batch); len(c.Jobs) != 1 {
			b.Fatal("no job")
		}
	}
}

// BenchmarkMail is a turn that takes one message of a queue and waits for the next.
func BenchmarkMail(b *testing.B) {
	code := newChain(1 << 60)
	code.task = Task{Kind: TaskDequeue, Name: "q"}
	x := New(Identity{Instance: "i", Life: "L", Execution: 1})
	x.Turn(code, Input{NowMS: 1})
	b.ReportAllocs()
	for b.Loop() {
		c := x.Turn(code, Input{NowMS: 1_700_000_000_000, Messages: []history.Message{{Kind: history.MsgMail, Name: "q", Data: "x"}}})
		if len(c.Events) != 2 {
			b.Fatal("not taken")
		}
	}
}

// BenchmarkFanOut is an all of 900 activities, started in one turn and completed in another; for each activity.
func BenchmarkFanOut(b *testing.B) {
	task := Task{Kind: TaskAll, Members: make([]Task, 900)}
	for i := range task.Members {
		task.Members[i] = Task{Kind: TaskActivity, Name: "charge", Input: strconv.Itoa(i)}
	}
	b.ReportAllocs()
	for b.Loop() {
		code := newChain(1)
		code.task = task
		x := New(Identity{Instance: "i", Life: "L", Execution: 1})
		c := x.Turn(code, Input{NowMS: 1})
		batch := make([]history.Message, 0, len(c.Jobs))
		for _, j := range c.Jobs {
			batch = append(batch, history.Message{Kind: history.MsgActivityCompleted, Source: j.Schedule, Data: "1"})
		}
		if c = x.Turn(code, Input{NowMS: 2, Messages: batch}); c.Status != Completed {
			b.Fatal("not completed")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/900, "ns/activity")
}

// BenchmarkLoad replays a history of 10,000 steps; for each event.
func BenchmarkLoad(b *testing.B) {
	events := chainHistory(10_000)
	b.ReportAllocs()
	for b.Loop() {
		if f := Load(Identity{Instance: "i", Life: "L", Execution: 1}, newChain(1<<60), events).Mismatch(); f != nil {
			b.Fatal(f.Text())
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(events)), "ns/event")
}

func chainHistory(steps int) []history.Event {
	code := newChain(1 << 60)
	x := New(Identity{Instance: "i", Life: "L", Execution: 1})
	events := x.Turn(code, Input{NowMS: 1}).Events
	batch := make([]history.Message, 1)
	for range steps {
		events = append(events, step(x, code, batch).Events...)
	}
	return events
}

// TestLiveExecutionKeepsNoHistory runs 10,000 steps and looks at what is still held: it must not grow with them.
func TestLiveExecutionKeepsNoHistory(t *testing.T) {
	held := func(steps int) int64 {
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		code := newChain(1 << 60)
		x := New(Identity{Instance: "i", Life: "L", Execution: 1})
		x.Turn(code, Input{NowMS: 1})
		batch := make([]history.Message, 1)
		for range steps {
			step(x, code, batch)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if len(x.open) != 1 || x.loaded != nil {
			t.Errorf("%d leaves and %d events are held", len(x.open), len(x.loaded))
		}
		runtime.KeepAlive(x)
		return int64(after.HeapAlloc) - int64(before.HeapAlloc)
	}
	held(100) // what the test itself needs
	if few, many := held(100), held(10_000); many > few+64<<10 {
		t.Errorf("%d bytes are held after 100 steps, %d after 10,000", few, many)
	}
}

// TestStepAllocatesLittle keeps the live path cheap.
func TestStepAllocatesLittle(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	code := newChain(1 << 60)
	x := New(Identity{Instance: "i", Life: "L", Execution: 1})
	x.Turn(code, Input{NowMS: 1})
	batch := make([]history.Message, 1)
	if n := testing.AllocsPerRun(1000, func() { step(x, code, batch) }); n > 5 {
		t.Errorf("a step allocates %.0f times", n)
	}
}
