package replay

import "github.com/duroxide/duroxide/core/history"

// Branch names one generator of an execution: 0 is the orchestration function, the others were given as tasks.
// The numbers are drawn by the user's side, unique within a live execution and never stored.
type Branch uint32

// Code is the user's side of one execution: the root generator and its branches. Replay calls it and is never called
// by it. All calls for one execution come one after another; the thread may differ from turn to turn.
type Code interface {
	// Begin makes the root generator (branch 0) for a new or replayed execution. It runs no user code.
	Begin(Begin)
	// Resume runs the branch up to its next yield, return or exception. The first Resume of a branch carries no value.
	Resume(Branch, Resolution, Moment) Yield
	// Close closes the branch's generator with its context muted: nothing that its finally blocks call is recorded. It is
	// called for branches that lost a race, after what they awaited is closed, and for those still suspended when the
	// execution ends; never for one that was not started.
	Close(Branch)
	// SamePayload reports whether two stored payloads that differ in bytes mean the same plain value.
	SamePayload(recorded, asked string) bool
}

// Begin is what an execution of user code starts with.
type Begin struct {
	Instance  string
	Execution int64
	Life      string
	Name      string
	Version   string
	Input     string
	Start     history.Start
}

// Moment is what user code may know at a step.
type Moment struct {
	// NowMS is the time of the last applied event; it never goes back within an execution.
	NowMS int64
	// Replaying holds until code has blocked at the end of loaded history, or has made a call that is not in it.
	// Remaining counts the events ahead of the cursor: the recorded calls of this step up to and with that many are in
	// history, the one after them is the first that is new, and from it on code is live.
	Replaying bool
	Remaining int
}

// Resolution is what a yield gives back: exactly one of a value or an error.
type Resolution struct {
	// Value, when Err and Thrown are nil. The zero Value is None (also the first Resume of a branch).
	Value Value
	// Err is thrown as the exception class that its kind tells. Task is the leaf it belongs to.
	Err *history.Failure
	// Thrown is the branch whose own exception object is raised again (0 = none; the root never throws into anyone).
	Thrown Branch
}

// ValueKind tells the shape of a Value.
type ValueKind uint8

// The shapes.
const (
	ValueNone ValueKind = iota // None: timers, detached starts
	ValueText                  // Text, decoded by the user's side; of a random id a JSON string, of the clock a JSON integer
	ValueAll                   // Members in order, each with its own Err
	ValueRace                  // Members[0] is the winner's value, Index its position
)

// Value is a result on its way into user code: an encoded payload, or a composite of them.
type Value struct {
	Kind    ValueKind
	Text    string
	Index   int
	Members []Member
}

// Member is one entry of an all: a value, or the text of an error.
type Member struct {
	Value  Value
	Failed bool
	Err    string
}

// YieldKind tells how a step ended.
type YieldKind uint8

// The ends of a step.
const (
	YieldAwait  YieldKind = iota // the branch awaits Task
	YieldReturn                  // Result
	YieldRaise                   // Failure; the exception object stays with the user's side under the branch's number
	YieldFatal                   // Failure: a BaseException that is not an Exception; fails the instance
	YieldUnable                  // Failure: a payload cannot be read here; nothing is known of what code would do
)

// Yield is how a step of a branch ended, and the immediate calls it made on the way, in order.
type Yield struct {
	Kind    YieldKind
	Calls   []Immediate
	Task    *Task
	Result  string
	Failure *history.Failure
	// ErrText is str(e) of a raised exception: what an enclosing all shows.
	ErrText string
	// At is file:line of the yield.
	At string
}

// ImmediateKind names a call that needs no yield.
type ImmediateKind uint8

// The immediate calls.
const (
	CallSetStatus   ImmediateKind = iota // Value
	CallResetStatus                      //
	CallSetKV                            // Key, Value
	CallClearKV                          // Key
	CallClearAllKV                       //
	CallTrace                            // Level, Value; recorded nowhere
)

// Immediate is one call made during a step.
type Immediate struct {
	Kind  ImmediateKind
	Key   string
	Value string
	Level string // CallTrace: debug, info, warn, error
	At    string // file:line
}

// TaskKind names what code can await.
type TaskKind uint8

// The kinds of task.
const (
	TaskActivity TaskKind = iota
	TaskTimer
	TaskEvent    // wait_for_event
	TaskDequeue  // dequeue_event
	TaskChild    // sub-orchestration
	TaskDetached // start_orchestration
	TaskGUID
	TaskClock
	TaskContinueAsNew
	TaskAll
	TaskRace
	TaskBranch // a generator
)

// Task is what a yield asks for: a leaf, or a tree of them.
type Task struct {
	Kind TaskKind
	// Name: activity, event, queue, orchestration.
	Name string
	// Version: child, detached start, continue-as-new; empty = latest.
	Version string
	// Instance: detached start; child when InstanceGiven.
	Instance      string
	InstanceGiven bool
	Input         string
	Fingerprint   string
	Session       string
	Tag           string
	TimeoutMS     int64 // activity: enforced by the worker; 0 = none of its own
	DelayMS       int64 // timer
	Retry         *RetryPolicy
	Members       []Task // all, race
	Branch        Branch // branch
	At            string // file:line that made the task; empty = that of the yield
}

// RetryPolicy of an activity. Times in ms; 0 = no limit.
type RetryPolicy struct {
	MaxAttempts    int
	Backoff        Backoff
	InitialMS      int64
	MaxMS          int64
	Multiplier     float64
	Jitter         float64 // share of the delay that is drawn, 0 to 1
	TimeoutMS      int64   // each attempt
	TotalTimeoutMS int64   // all attempts and the pauses between them
}

// Backoff names how the pause between attempts grows.
type Backoff uint8

// The backoffs.
const (
	BackoffExponential Backoff = iota
	BackoffNone
	BackoffFixed
	BackoffLinear
)
