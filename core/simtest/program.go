package simtest

import (
	"errors"
	"sync"

	"github.com/duroxide/duroxide/core/engine"
	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
)

// Orchestration is user code of an instance.
type Orchestration func(c *Context, input string) (string, error)

// Activity is user code of an activity. An error fails it with the error's text.
type Activity func(a *engine.Activity) (string, error)

// Program is the code of a runtime. It is complete before the first Start.
type Program struct {
	names          []named
	orchestrations map[string]Orchestration // "name@version"
	activities     map[string]Activity
}

type named struct{ name, version string }

// NewProgram gives an empty program.
func NewProgram() *Program {
	return &Program{orchestrations: map[string]Orchestration{}, activities: map[string]Activity{}}
}

// Orchestration adds one as version 1.0.0.
func (p *Program) Orchestration(name string, run Orchestration) { p.Version(name, "1.0.0", run) }

// Version adds an orchestration under a version.
func (p *Program) Version(name, version string, run Orchestration) {
	p.names = append(p.names, named{name, version})
	p.orchestrations[name+"@"+version] = run
}

// Activity adds an activity.
func (p *Program) Activity(name string, run Activity) { p.activities[name] = run }

// Host is the user's side of a runtime; all lanes share it.
type Host struct {
	program *Program
	mu      sync.Mutex
	execs   map[engine.ExecutionID]*execution
}

// NewHost gives a host that runs a program.
func NewHost(p *Program) *Host {
	return &Host{program: p, execs: map[engine.ExecutionID]*execution{}}
}

// Code implements [engine.Host].
func (h *Host) Code(id engine.ExecutionID) replay.Code {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.execs[id]
	if x == nil {
		x = &execution{program: h.program, branches: map[replay.Branch]*coroutine{}}
		h.execs[id] = x
	}
	return x
}

// Forget implements [engine.Host].
func (h *Host) Forget(id engine.ExecutionID) {
	h.mu.Lock()
	x := h.execs[id]
	delete(h.execs, id)
	h.mu.Unlock()
	if x != nil {
		for n := range x.branches {
			x.Close(n)
		}
	}
}

// Held counts the executions that the host holds.
func (h *Host) Held() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.execs)
}

// RunActivity implements [engine.Host].
func (h *Host) RunActivity(a *engine.Activity) engine.ActivityResult {
	run := h.program.activities[a.Name]
	if run == nil {
		return engine.ActivityResult{Failure: &history.Failure{
			Kind: history.Infrastructure, Operation: "activity", Message: "no activity " + a.Name, Activity: a.Name,
		}}
	}
	output, err := run(a)
	if errors.Is(err, errGiveBack) {
		return engine.ActivityResult{GiveBack: true}
	}
	if err != nil {
		return engine.ActivityResult{Failure: &history.Failure{
			Kind: history.ActivityError, Message: err.Error(), Activity: a.Name, Attempt: a.Attempt,
		}}
	}
	return engine.ActivityResult{Output: output}
}
