package replay

import "github.com/duroxide/duroxide/core/history"

// Input is everything from outside that a turn depends on. Replay itself reads no clock and draws no random number.
type Input struct {
	// NowMS is the store's time at the start of the turn.
	NowMS int64
	// NewGUID draws a random UUID (36 characters).
	NewGUID func() string
	// Latest resolves the version of the next execution at continue-as-new: the latest this node has registered.
	// ok is false when the node knows no version of the name.
	Latest func(name string) (version string, ok bool)
	// Messages in the order they are to be applied, cancel first. Mail may stand at the end: it is applied before an other
	// message that became visible later. All untaken mail of the queues in the last commit's UsedQueues is given each time.
	Messages []history.Message
}

// Status of an execution after a turn.
type Status uint8

// The statuses. ContinuedAsNew is that of the execution; the instance stays Running.
const (
	Running Status = iota
	Completed
	Failed
	ContinuedAsNew
)

var statusNames = [...]string{"Running", "Completed", "Failed", "ContinuedAsNew"}

func (s Status) String() string { return statusNames[s] }

// Commit is what a turn asks the store to make durable, all or nothing. Nothing in it may be acted on before the store
// has said that it is applied: jobs are not run, other instances not told, clients not answered.
type Commit struct {
	Execution int64
	// Events to append to the execution's history, dense after what was there.
	Events []history.Event
	// Jobs, Timers, Starts and Sends that come into being.
	Jobs   []Job
	Timers []Timer
	Starts []Start
	Sends  []Send
	// DropJobs and DropTimers: schedule ids of closed leaves. When the execution ended (Status is not Running) all of
	// its jobs and timers go, listed or not.
	DropJobs   []int64
	DropTimers []int64
	// Consumed are the messages that go, each with an event of its own or dropped; all others stay. On Completed and
	// Failed every message of the instance goes, listed or not. May be Input.Messages itself.
	Consumed []history.Message

	Status Status
	// Output: Completed (result), ContinuedAsNew (next input). Failure: Failed.
	Output  string
	Failure *history.Failure

	// CustomStatus is set when the turn changed it.
	CustomStatus *CustomStatus
	// KV are the changes in order. KVClearAll forgets everything before them.
	KVClearAll bool
	KV         []KVChange

	// OpenQueues names, sorted, the queues that have an open dequeue after this turn. UsedQueues those that have one or
	// had one in this execution.
	OpenQueues []string
	UsedQueues []string

	// Next is event 1 of the next execution: Status is ContinuedAsNew. The store also inserts a continue message for it.
	Next *history.Event
	// Continue asks for a continue message: the turn was cut, code has something to run without news.
	Continue bool

	// Traces to log once the commit is applied.
	Traces []Immediate
	// Dropped tells of messages that were consumed without a taker, for the log.
	Dropped []Dropped
}

// Job is an activity to run.
type Job struct {
	Schedule  int64 // event id of ActivityScheduled
	Name      string
	Input     string
	Session   string
	Tag       string
	TimeoutMS int64
	Attempt   int   // of a retry policy, from 1
	RetryOf   int64 // schedule id of the policy's first attempt; 0 = no policy
}

// Timer to deliver.
type Timer struct {
	Schedule int64
	FireAt   int64 // ms
}

// Start of another instance. Child starts answer a conflict with MsgChildFailed to the parent, detached ones ignore it.
type Start struct {
	Instance string
	Name     string
	Version  string // as asked; empty = latest
	Input    string
	Schedule int64 // of a child: its SubOrchestrationScheduled here; 0 = detached
}

// Send is a message to another instance: the end of a child, a cancel.
type Send struct {
	Instance string
	Message  history.Message
}

// CustomStatus after a turn; Text nil = reset. Version grows by one for each set or reset.
type CustomStatus struct {
	Text    *string
	Version int64
}

// KVChange is the last write of a key in the turn; Value nil = cleared.
type KVChange struct {
	Key       string
	Value     *string
	UpdatedAt int64 // ms
}

// Dropped is a message that nobody took.
type Dropped struct {
	Message history.Message
	Why     string
}
