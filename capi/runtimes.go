package main

import (
	"errors"
	"sync"
	"time"

	"github.com/duroxide/duroxide/core/engine"
	"github.com/duroxide/duroxide/core/store"
)

// runtimeHandle is a runtime with the log that Python pulls.
type runtimeHandle struct {
	engine   *engine.Runtime
	provider *providerHandle
	log      *logQueue

	starting sync.Mutex // held as long as a start is under way, which may outlive its caller's interest

	mu      sync.Mutex
	started bool
	begins  map[engine.ExecutionID]frame // of executions whose user code was not stepped yet
}

// awaitStart returns when no start is under way: its caller may have been interrupted and want the runtime ended.
func (rt *runtimeHandle) awaitStart() {
	rt.starting.Lock()
	defer rt.starting.Unlock()
}

// begun keeps what an execution begins with until its first step.
func (rt *runtimeHandle) begun(id engine.ExecutionID, f frame) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	rt.begins[id] = f
}

// takeBegun gives it; nil for an execution that has been stepped.
func (rt *runtimeHandle) takeBegun(id engine.ExecutionID) frame {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	f, ok := rt.begins[id]
	if ok {
		delete(rt.begins, id)
	}
	return f
}

// runtimeOptions are those of Python; times in ms.
type runtimeOptions struct {
	OrchestrationConcurrency int      `json:"orchestration_concurrency"`
	WorkerConcurrency        int      `json:"worker_concurrency"`
	PollIntervalMS           int64    `json:"dispatcher_poll_interval_ms"`
	LiveExecutions           int      `json:"live_executions"`
	MaxAttempts              int      `json:"max_attempts"`
	LeaseMS                  int64    `json:"lease_ms"`
	CancellationGraceMS      int64    `json:"activity_cancellation_grace_ms"`
	ActivityTimeoutMS        int64    `json:"activity_timeout_ms"`
	MaxSessions              int      `json:"max_sessions_per_runtime"`
	SessionIdleTimeoutMS     int64    `json:"session_idle_timeout_ms"`
	WorkerNodeID             string   `json:"worker_node_id"`
	Untagged                 bool     `json:"untagged"`
	AnyTag                   bool     `json:"any_tag"`
	Tags                     []string `json:"tags"`
	VerifyReplay             *float64 `json:"verify_replay"` // null = 1.0 in memory, 0.01 else
	BlockNondeterminism      bool     `json:"block_nondeterminism"`
	ParallelTurns            bool     `json:"parallel_turns"`
}

func milliseconds(n int64) time.Duration {
	const most = int64(100 * 365 * 24 * time.Hour / time.Millisecond)
	return time.Duration(min(n, most)) * time.Millisecond
}

func (o *runtimeOptions) engine(memory bool) engine.Options {
	e := engine.DefaultOptions()
	e.OrchestrationConcurrency = o.OrchestrationConcurrency
	e.WorkerConcurrency = o.WorkerConcurrency
	e.PollInterval = milliseconds(o.PollIntervalMS)
	e.LiveExecutions = o.LiveExecutions
	e.MaxAttempts = o.MaxAttempts
	e.Lease = milliseconds(o.LeaseMS)
	e.CancellationGrace = milliseconds(o.CancellationGraceMS)
	e.ActivityTimeout = milliseconds(o.ActivityTimeoutMS)
	e.MaxSessions = o.MaxSessions
	e.SessionIdleTimeout = milliseconds(o.SessionIdleTimeoutMS)
	e.WorkerNodeID = o.WorkerNodeID
	e.Tags = store.TagFilter{Untagged: o.Untagged, Any: o.AnyTag, Tags: o.Tags}
	e.ParallelTurns = o.ParallelTurns
	if memory {
		e.VerifyReplay = 1
	}
	e.BlockNondeterminism = o.BlockNondeterminism
	if o.VerifyReplay != nil {
		e.VerifyReplay = *o.VerifyReplay
	}
	return e
}

// engineError gives the engine's own errors their class.
func engineError(err error) error {
	var registration *engine.RegistrationError
	var option *engine.OptionError
	var state *engine.StateError
	switch {
	case errors.As(err, &registration):
		return as(classRegistration, err)
	case errors.As(err, &option):
		return as(classConfiguration, err)
	case errors.As(err, &state):
		return as(classState, err)
	}
	return err
}

// opNewRuntime makes a runtime that is not started yet; the request's handle is the provider's.
func opNewRuntime(r *request) (any, string, error) {
	p, err := provider(r)
	if err != nil {
		return nil, "", err
	}
	h, err := header[runtimeOptions](r)
	if err != nil {
		return nil, "", err
	}
	rt := &runtimeHandle{provider: p, log: newLogQueue(), begins: map[engine.ExecutionID]frame{}}
	o := h.engine(p.memory)
	o.Log = rt.log.put
	if rt.engine, err = engine.New(p.store, o); err != nil {
		return nil, "", engineError(err)
	}
	return map[string]int64{"handle": register(rt)}, "", nil
}

func runtimeOf(r *request) (*runtimeHandle, error) { return lookup[runtimeHandle](r.handle) }

func opRegisterActivity(r *request) (any, string, error) {
	rt, err := runtimeOf(r)
	if err != nil {
		return nil, "", err
	}
	h, err := header[struct {
		Blocks  bool `json:"b"`
		Syscall bool `json:"s"`
	}](r)
	if err != nil {
		return nil, "", err
	}
	if h.Syscall {
		rt.engine.RegisterSyscall(r.body)
		return nil, "", nil
	}
	return nil, "", engineError(rt.engine.RegisterActivity(r.body, h.Blocks))
}

func opRegisterOrchestration(r *request) (any, string, error) {
	rt, err := runtimeOf(r)
	if err != nil {
		return nil, "", err
	}
	h, err := header[struct {
		Name    string `json:"n"`
		Version string `json:"v"`
	}](r)
	if err != nil {
		return nil, "", err
	}
	return nil, "", engineError(rt.engine.RegisterOrchestration(h.Name, h.Version))
}

func opStartRuntime(r *request) (any, string, error) {
	rt, err := runtimeOf(r)
	if err != nil {
		return nil, "", err
	}
	rt.starting.Lock()
	defer rt.starting.Unlock()
	if err := rt.provider.borrow(); err != nil {
		return nil, "", err
	}
	if err := rt.engine.Start(r.ctx); err != nil {
		rt.provider.giveBack()
		return nil, "", engineError(err)
	}
	rt.mu.Lock()
	rt.started = true
	rt.mu.Unlock()
	return nil, "", nil
}

// opSupervise parks the supervisor thread until a lane is wanted.
func opSupervise(r *request) (any, string, error) {
	rt, err := runtimeOf(r)
	if err != nil {
		return nil, "", err
	}
	q := rt.engine.Supervise()
	return [2]int64{q.ID, int64(q.Kind)}, "", nil
}

// opLaneFailed tells that Python could not make the thread of a lane.
func opLaneFailed(r *request) (any, string, error) {
	rt, err := runtimeOf(r)
	if err != nil {
		return nil, "", err
	}
	kind, err := header[int64](r)
	if err != nil {
		return nil, "", err
	}
	rt.engine.LaneFailed(engine.LaneKind(kind))
	return nil, "", nil
}

// opExiting tells the runtime that the process is ending.
func opExiting(r *request) (any, string, error) {
	rt, err := runtimeOf(r)
	if err != nil {
		return nil, "", err
	}
	rt.engine.Exiting()
	return nil, "", nil
}

// opShutdown drains and ends the runtime; TimeoutMS bounds the draining.
func opShutdown(r *request) (any, string, error) {
	rt, err := runtimeOf(r)
	if err != nil {
		return nil, "", err
	}
	h, err := header[waitRequest](r)
	if err != nil {
		return nil, "", err
	}
	rt.awaitStart()
	drained := rt.engine.Shutdown(milliseconds(h.TimeoutMS))
	rt.mu.Lock()
	started := rt.started
	rt.started = false
	rt.mu.Unlock()
	if started {
		rt.provider.giveBack()
	}
	rt.log.close()
	return drained, "", nil
}

// opReleaseRuntime forgets a runtime that has ended or was never started.
func opReleaseRuntime(r *request) (any, string, error) {
	rt, err := runtimeOf(r)
	if err != nil {
		return nil, "", nil //nolint:nilerr // released before: nothing to do
	}
	rt.log.close()
	release(r.handle)
	return nil, "", nil
}

func opMetrics(r *request) (any, string, error) {
	rt, err := runtimeOf(r)
	if err != nil {
		return nil, "", err
	}
	return rt.engine.Metrics(), "", nil
}

func opCounters(r *request) (any, string, error) {
	rt, err := runtimeOf(r)
	if err != nil {
		return nil, "", err
	}
	return rt.engine.Counters(), "", nil
}

func opHealth(r *request) (any, string, error) {
	rt, err := runtimeOf(r)
	if err != nil {
		return nil, "", err
	}
	return rt.engine.Health(r.ctx), "", nil
}

// opPullLogs parks Python's log thread until there are records; none = the runtime has ended. The header names the
// least level that is wanted of each target.
func opPullLogs(r *request) (any, string, error) {
	rt, err := runtimeOf(r)
	if err != nil {
		return []engine.LogRecord{}, "", nil //nolint:nilerr // released: the log has ended
	}
	levels, err := header[map[string]string](r)
	if err != nil {
		return nil, "", err
	}
	rt.log.setLeast(levels)
	return rt.log.pull(), "", nil
}

// opLog takes a record that was made in Python: a trace of an activity, a warning of the driver.
func opLog(r *request) (any, string, error) {
	rt, err := runtimeOf(r)
	if err != nil {
		return nil, "", nil //nolint:nilerr // the log has ended
	}
	rec, err := header[engine.LogRecord](r)
	if err != nil {
		return nil, "", err
	}
	rec.Message = r.body
	rt.log.put(rec)
	return nil, "", nil
}
