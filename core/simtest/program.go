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
	detached       map[string]bool
}

type named struct{ name, version string }

// NewProgram gives an empty program.
func NewProgram() *Program {
	return &Program{orchestrations: map[string]Orchestration{}, activities: map[string]Activity{}, detached: map[string]bool{}}
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

// DetachedActivity adds an activity that holds no lane while it runs.
func (p *Program) DetachedActivity(name string, run Activity) {
	p.activities[name] = run
	p.detached[name] = true
}

// Host is the user's side of a runtime; all lanes share it.
type Host struct {
	program *Program
	runtime *engine.Runtime // nil where no activity runs
	away    sync.WaitGroup  // activities that go on without a lane
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

// Go runs what belongs to an activity that has left its lane. The node's Stop waits for it.
func (h *Host) Go(run func()) { h.away.Go(run) }

// RunActivity implements [engine.Host].
func (h *Host) RunActivity(a *engine.Activity) engine.ActivityResult {
	run := h.program.activities[a.Name]
	if run == nil {
		return engine.ActivityResult{Failure: &history.Failure{
			Kind: history.Infrastructure, Operation: "activity", Message: "no activity " + a.Name, Activity: a.Name,
		}}
	}
	if h.program.detached[a.Name] {
		h.Go(func() {
			output, err := run(a)
			h.runtime.EndActivity(a.Run, ended(a, output, err))
		})
		return engine.ActivityResult{Detached: true}
	}
	output, err := run(a)
	return ended(a, output, err)
}

func ended(a *engine.Activity, output string, err error) engine.ActivityResult {
	switch {
	case errors.Is(err, errGiveBack):
		return engine.ActivityResult{GiveBack: true}
	case errors.Is(err, errDetach):
		return engine.ActivityResult{Detached: true}
	}
	if err != nil {
		return engine.ActivityResult{Failure: &history.Failure{
			Kind: history.ActivityError, Message: err.Error(), Activity: a.Name, Attempt: a.Attempt,
		}}
	}
	return engine.ActivityResult{Output: output}
}
