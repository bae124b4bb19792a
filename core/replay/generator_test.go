package replay

import (
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/duroxide/duroxide/core/history"
)

// generators is the user's side in tests: branches are Go coroutines, so a turn stays on one goroutine as it does with
// Python's generators.
type generators struct {
	main    body
	begin   Begin
	begun   bool
	live    map[Branch]*generator
	last    Branch
	raised  map[Branch]error
	log     []string // closes and what ran while muted, in order
	resumed int
	same    func(recorded, asked string) bool
}

// body is a generator function: it awaits through g and ends with a result or an error.
type body func(g *generator) (string, error)

type generator struct {
	code    *generators
	id      Branch
	next    func() (Yield, bool)
	stop    func()
	in      Resolution
	moment  Moment
	calls   []Immediate
	suspend func(Yield) // yields, and unwinds when the generator is closed there
	started bool
	muted   bool
}

// userError is an exception; failure is what an activity or child failed with, when it came from one.
type userError struct {
	text  string
	fatal bool
}

func (e *userError) Error() string { return e.text }

var errClosed = errors.New("generator closed")

func (c *generators) Begin(b Begin) {
	*c = generators{main: c.main, begin: b, begun: true, live: map[Branch]*generator{}, raised: map[Branch]error{}, same: c.same}
	c.generate(0, c.main)
}

func (c *generators) generate(id Branch, run body) {
	g := &generator{code: c, id: id}
	g.next, g.stop = iter.Pull(func(yield func(Yield) bool) {
		defer func() {
			r := recover()
			if err, ok := r.(error); r != nil && (!ok || !errors.Is(err, errClosed)) {
				panic(r)
			}
		}()
		g.suspend = func(y Yield) {
			y.Calls, g.calls = g.calls, nil
			if !yield(y) {
				panic(errClosed)
			}
		}
		result, err := run(g)
		if g.muted {
			return
		}
		y := Yield{Kind: YieldReturn, Result: result, Calls: g.calls}
		var u *userError
		if errors.As(err, &u) {
			y.Kind, y.ErrText = YieldRaise, u.text
			y.Failure = &history.Failure{Kind: history.OrchestrationError, Message: u.text}
			if u.fatal {
				y.Kind = YieldFatal
			}
			c.raised[id] = err
		}
		yield(y)
	})
	c.live[id] = g
}

func (c *generators) Resume(b Branch, r Resolution, m Moment) Yield {
	c.resumed++
	g := c.live[b]
	g.in, g.moment, g.calls, g.started = r, m, nil, true
	y, ok := g.next()
	if !ok {
		panic(fmt.Sprintf("branch %d is over", b))
	}
	if y.Kind != YieldAwait {
		delete(c.live, b)
	}
	return y
}

func (c *generators) Close(b Branch) {
	c.log = append(c.log, fmt.Sprintf("close %d", b))
	if g := c.live[b]; g != nil {
		g.muted = true
		g.stop()
		delete(c.live, b)
	}
}

func (c *generators) SamePayload(recorded, asked string) bool {
	return c.same != nil && c.same(recorded, asked)
}

// forget closes what is left, as a host does with an execution it drops.
func (c *generators) forget() {
	for id, g := range c.live {
		g.muted = true
		g.stop()
		delete(c.live, id)
	}
}

// open counts the generators that were started and are not over.
func (c *generators) open() int {
	n := 0
	for _, g := range c.live {
		if g.started {
			n++
		}
	}
	return n
}

// await yields a task and gives what it resolves to.
func (g *generator) await(t *Task, at string) (Value, error) {
	if g.muted {
		panic(errClosed)
	}
	g.suspend(Yield{Kind: YieldAwait, Task: t, At: at})
	switch r := g.in; {
	case r.Thrown != 0:
		return Value{}, g.code.raised[r.Thrown]
	case r.Err != nil:
		return Value{}, &userError{text: r.Err.Text()}
	default:
		return r.Value, nil
	}
}

// call makes an immediate call. Muted, it is only noted.
func (g *generator) call(i Immediate) {
	if g.muted {
		g.code.log = append(g.code.log, fmt.Sprintf("muted %s %s", immediateNames[i.Kind], i.Value))
		return
	}
	g.calls = append(g.calls, i)
}

var immediateNames = map[ImmediateKind]string{
	CallSetStatus: "status", CallResetStatus: "reset_status", CallSetKV: "set", CallClearKV: "clear", CallClearAllKV: "clear_all", CallTrace: "trace",
}

// branch makes a task of a generator.
func (g *generator) branch(run body) Task {
	g.code.last++
	g.code.generate(g.code.last, run)
	return Task{Kind: TaskBranch, Branch: g.code.last}
}

// show gives a value as tests print it.
func show(v Value) string {
	switch v.Kind {
	case ValueNone:
		return "None"
	case ValueText:
		return v.Text
	case ValueRace:
		return fmt.Sprintf("{%d: %s}", v.Index, show(v.Members[0].Value))
	case ValueAll:
		parts := make([]string, len(v.Members))
		for i, m := range v.Members {
			if parts[i] = "ok " + show(m.Value); m.Failed {
				parts[i] = "err " + m.Err
			}
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	panic("no such value")
}
