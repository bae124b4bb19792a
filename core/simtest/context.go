package simtest

import (
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
)

var (
	errGiveBack = errors.New("give back")
	errDetach   = errors.New("goes on without its lane")
	errClosed   = errors.New("branch closed")
)

// GiveBack is returned by an activity that could not do its work because its process is ending.
func GiveBack() error { return errGiveBack }

// Detach is returned by an activity that goes on without its lane. Who wrote it tells the runtime its end.
func Detach() error { return errDetach }

// Error is a failure as orchestrations see it.
type Error struct{ *history.Failure }

func (e Error) Error() string { return e.Text() }

// execution is one execution of user code: its coroutines by branch.
type execution struct {
	program  *Program
	begin    replay.Begin
	branches map[replay.Branch]*coroutine
	last     replay.Branch
}

// coroutine is one generator.
type coroutine struct {
	run    func(*Context) (string, error)
	next   func() (*replay.Task, bool)
	stop   func()
	in     replay.Resolution
	moment replay.Moment
	calls  []replay.Immediate
	result string
	err    error
}

// Context is what an orchestration is called with.
type Context struct {
	x     *execution
	co    *coroutine
	yield func(*replay.Task) bool
}

// Task is something to be awaited.
type Task struct {
	replay.Task
	run func(*Context) (string, error) // of a branch, until it is given a number
	all []Task
}

// Begin implements [replay.Code].
func (x *execution) Begin(b replay.Begin) {
	x.begin = b
	run := x.program.orchestrations[b.Name+"@"+b.Version]
	if run == nil {
		run = func(*Context, string) (string, error) {
			return "", fmt.Errorf("no orchestration %s@%s", b.Name, b.Version)
		}
	}
	x.branches[0] = &coroutine{run: func(c *Context) (string, error) { return run(c, b.Input) }}
}

// Resume implements [replay.Code].
func (x *execution) Resume(n replay.Branch, in replay.Resolution, m replay.Moment) replay.Yield {
	co := x.branches[n]
	co.in, co.moment, co.calls = in, m, nil
	if co.next == nil {
		co.next, co.stop = iter.Pull(func(yield func(*replay.Task) bool) {
			defer func() {
				if e := recover(); e != nil && e != errClosed { //nolint:errorlint // our own value
					panic(e)
				}
			}()
			co.result, co.err = co.run(&Context{x: x, co: co, yield: yield})
		})
	}
	task, more := co.next()
	y := replay.Yield{Calls: co.calls, Task: task, At: "program.go:1"}
	switch {
	case more:
		y.Kind = replay.YieldAwait
	case co.err != nil:
		y.Kind = replay.YieldRaise
		y.ErrText = co.err.Error()
		y.Failure = &history.Failure{Kind: history.OrchestrationError, Message: co.err.Error()}
	default:
		y.Kind, y.Result = replay.YieldReturn, co.result
	}
	return y
}

// Close implements [replay.Code].
func (x *execution) Close(n replay.Branch) {
	if co := x.branches[n]; co != nil && co.stop != nil {
		co.stop()
	}
}

// SamePayload implements [replay.Code]: payloads of programs are plain text.
func (x *execution) SamePayload(string, string) bool { return false }

// Await yields a task and gives its value as text: members of an all are joined by commas.
func (c *Context) Await(t Task) (string, error) {
	task := c.number(t)
	if !c.yield(&task) {
		panic(errClosed)
	}
	in := c.co.in
	switch {
	case in.Err != nil:
		return "", Error{in.Err}
	case in.Thrown != 0:
		return "", c.x.branches[in.Thrown].err
	}
	return text(in.Value), nil
}

// Race awaits the first of its tasks and gives its position and value.
func (c *Context) Race(tasks ...Task) (int, string, error) {
	task := c.number(Task{Task: replay.Task{Kind: replay.TaskRace}, all: tasks})
	if !c.yield(&task) {
		panic(errClosed)
	}
	in := c.co.in
	switch {
	case in.Err != nil:
		return 0, "", Error{in.Err}
	case in.Thrown != 0:
		return 0, "", c.x.branches[in.Thrown].err
	}
	return in.Value.Index, text(in.Value), nil
}

func text(v replay.Value) string {
	switch v.Kind {
	case replay.ValueNone:
		return ""
	case replay.ValueText:
		return v.Text
	case replay.ValueRace:
		return text(v.Members[0].Value)
	case replay.ValueAll:
	}
	parts := make([]string, len(v.Members))
	for i, m := range v.Members {
		if m.Failed {
			parts[i] = "err:" + m.Err
		} else {
			parts[i] = text(m.Value)
		}
	}
	return strings.Join(parts, ",")
}

// number gives branches their numbers, in the order in which the task names them.
func (c *Context) number(t Task) replay.Task {
	task := t.Task
	if t.run != nil {
		c.x.last++
		task.Branch = c.x.last
		c.x.branches[task.Branch] = &coroutine{run: t.run}
	}
	for _, m := range t.all {
		task.Members = append(task.Members, c.number(m))
	}
	return task
}

// Activity makes an activity task.
func (c *Context) Activity(name, input string) Task {
	return Task{Task: replay.Task{Kind: replay.TaskActivity, Name: name, Input: input}}
}

// OnSession runs the activity on a session.
func (t Task) OnSession(id string) Task { t.Session = id; return t }

// Tagged runs the activity on workers with the tag.
func (t Task) Tagged(tag string) Task { t.Tag = tag; return t }

// TimingOut gives the activity a time-out.
func (t Task) TimingOut(ms int64) Task { t.TimeoutMS = ms; return t }

// Retrying gives the activity a retry policy.
func (t Task) Retrying(p replay.RetryPolicy) Task { t.Retry = &p; return t }

// Timer makes a durable timer.
func (c *Context) Timer(ms int64) Task {
	return Task{Task: replay.Task{Kind: replay.TaskTimer, DelayMS: ms}}
}

// Event waits for an external event.
func (c *Context) Event(name string) Task {
	return Task{Task: replay.Task{Kind: replay.TaskEvent, Name: name}}
}

// Dequeue waits for mail of a queue.
func (c *Context) Dequeue(queue string) Task {
	return Task{Task: replay.Task{Kind: replay.TaskDequeue, Name: queue}}
}

// Child starts a sub-orchestration.
func (c *Context) Child(name, input string) Task {
	return Task{Task: replay.Task{Kind: replay.TaskChild, Name: name, Input: input}}
}

// Detached starts another instance.
func (c *Context) Detached(name, instance, input string) Task {
	return Task{Task: replay.Task{Kind: replay.TaskDetached, Name: name, Instance: instance, Input: input}}
}

// ContinueAsNew ends the execution and begins the next.
func (c *Context) ContinueAsNew(input string) Task {
	return Task{Task: replay.Task{Kind: replay.TaskContinueAsNew, Input: input}}
}

// GUID draws a random id.
func (c *Context) GUID() Task { return Task{Task: replay.Task{Kind: replay.TaskGUID}} }

// All awaits all of its tasks.
func (c *Context) All(tasks ...Task) Task {
	return Task{Task: replay.Task{Kind: replay.TaskAll}, all: tasks}
}

// Branch makes a task of code with awaits of its own.
func (c *Context) Branch(run func(*Context) (string, error)) Task {
	return Task{Task: replay.Task{Kind: replay.TaskBranch}, run: run}
}

// Instance is the id of the instance.
func (c *Context) Instance() string { return c.x.begin.Instance }

// SetStatus sets the custom status.
func (c *Context) SetStatus(status string) { c.call(replay.CallSetStatus, "", status) }

// SetKV sets a value.
func (c *Context) SetKV(key, value string) { c.call(replay.CallSetKV, key, value) }

func (c *Context) call(kind replay.ImmediateKind, key, value string) {
	c.co.calls = append(c.co.calls, replay.Immediate{Kind: kind, Key: key, Value: value, At: "program.go:1"})
}
