package engine

import (
	"sync/atomic"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// ExecutionID names a live execution between the engine and its host: unique within a runtime, never stored or reused.
type ExecutionID uint64

// Host runs user code on the thread that called RunLane, and only there. One host for each lane; what it holds
// (generators) is shared by all lanes of the runtime, so an execution may be stepped by another lane at its next turn.
type Host interface {
	// Code gives the user's side of a live execution, to be called on this thread.
	Code(ExecutionID) replay.Code
	// Forget closes what generators the execution still has, muted, and drops it.
	Forget(ExecutionID)
	// RunActivity calls the activity function and waits for it, or answers Detached when it goes on elsewhere.
	RunActivity(*Activity) ActivityResult
}

// RunID names one run of an activity between the engine and its host: unique within a runtime, never reused.
type RunID uint64

// Activity is one run of a job.
type Activity struct {
	store.Job
	Run            RunID
	WorkerID       string
	IdempotencyKey string // life/execution/schedule id: the same for every run of this scheduled attempt
	RetryKey       string // the same over all attempts of a policy
	// Cancelled is set when the result is no longer wanted, or the time-out has passed. The host may read it until it has
	// told the end of the run.
	Cancelled *atomic.Bool
}

// ActivityResult is how an activity ended. Failure nil = Output.
type ActivityResult struct {
	Output  string
	Failure *history.Failure
	// GiveBack: the process is ending and could not do it; the job goes back uncounted.
	GiveBack bool
	// Unable: the input cannot be read here. The job goes back uncounted, for a while.
	Unable bool
	// Detached: it goes on without a lane, and Runtime.EndActivity tells its end. Nothing else is set.
	Detached bool
}

// LaneKind tells what a lane is for.
type LaneKind uint8

// The kinds of lane.
const (
	LaneGeneral LaneKind = iota // turns and activities
	LaneSession                 // the activities of one held session
	LaneEnd                     // not a lane: the supervisor ends
)

// LaneRequest asks the supervisor thread to create a lane: a new thread that calls RunLane with this id.
type LaneRequest struct {
	ID   int64
	Kind LaneKind
}

// LogRecord is one line for the log. Context fields that do not apply are empty.
type LogRecord struct {
	TimeMS  int64             `json:"time"`
	Level   string            `json:"level"`  // debug, info, warn, error
	Target  string            `json:"target"` // duroxide.orchestration, duroxide.activity, duroxide.engine
	Message string            `json:"message"`
	Fields  map[string]string `json:"fields,omitempty"` // instance_id, execution_id, orchestration_name, …
}
