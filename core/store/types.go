package store

import (
	"cmp"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
)

// NodeID names a node: random, fresh for each start of a runtime. Empty = none.
type NodeID string

// Start of an instance by a client.
type Start struct {
	Instance string
	Name     string
	Version  string // as asked; empty = latest
	Input    string
	DelayMS  int64
	IfExists IfExists
}

// IfExists says what a start does when the id is in use.
type IfExists uint8

// The choices.
const (
	ExistsIgnore         IfExists = iota // nothing happens
	ExistsError                          // ErrExists
	ExistsRestartIfEnded                 // deleted under the rules of Delete and started afresh; a running one is left alone
)

// StartResult tells whether the instance was started now.
type StartResult struct {
	Started bool
	Life    string // of what was started; empty where the store does not tell it
}

// Enqueue is a client's message to an instance.
type Enqueue struct {
	Instance string
	Message  history.Message // Kind, ID, Name, Data
}

// ReadyQuery asks for instances with something to do.
type ReadyQuery struct {
	Node  NodeID
	Names []string // registered orchestrations, "name" and "name@version"; see Snapshot.Name
	Limit int
	// Skip are instances this node is already busy with.
	Skip func(instance string) bool
	// HorizonMS: timers due within it are listed in ReadyResult.Due.
	HorizonMS int64
	// LeaveMS: what another live node committed last is left to it for so long after its message became visible; 0 = AffinityDelay.
	LeaveMS int64
}

// Leaves is LeaveMS or what stands for it, in ms.
func (q *ReadyQuery) Leaves() int64 { return cmp.Or(q.LeaveMS, AffinityDelay.Milliseconds()) }

// ReadyResult of a query.
type ReadyResult struct {
	Instances []string // claimed for the node where another had them
	Due       []DueInstance
}

// Snapshot is an instance as a turn needs it.
type Snapshot struct {
	Instance  string
	Life      string
	Turn      history.Token
	Execution int64
	Name      string
	Version   string // resolved once event 1 is written, as asked before
	Parent    *history.Parent
	Ended     bool // Completed or Failed: its messages are to be dropped
	// Undecodable is the reason why Events, or one of the messages, could not be read; that message is not among Messages.
	Undecodable string
	NextEventID int64
	// CustomStatus and its version, from the row.
	CustomStatus        *string
	CustomStatusVersion int64
	// Events of the current execution; nil when the caller's have matched Turn.
	Events []history.Event
	// Messages that are untaken, in the order they are to be applied: cancel first, then those due (a timer before the
	// first message inserted after its due time), then mail of the queues in the row's used queues.
	Messages []history.Message
	// NextDue is the time of the earliest message not yet due; 0 = none.
	NextDue int64
	// Suspect: a node died over it; an attempt is counted before its turn runs.
	Suspect  bool
	Attempts int // written attempts of suspect work
	// Node that committed last.
	Node NodeID
}

// Turn is a commit on its way to the store.
type Turn struct {
	Instance string
	Life     string
	Expect   history.Token // the turn that the execution was loaded with or last committed
	New      history.Token
	Name     string
	Version  string // resolved
	Commit   *replay.Commit
	// Begin: the instance is not in the store yet. It is inserted with Life and Expect, as Start does, and the turn applied to
	// it: both, or neither. ErrExists, instead of ErrFenced, when its id is in use.
	Begin bool
	// Claim: how many of the oldest eligible jobs, the turn's own included, to claim for the node on the way.
	Claim Claim
}

// Refused is the error of a turn whose instance is not as it was loaded.
func (t *Turn) Refused() error {
	if t.Begin {
		return ErrExists
	}
	return ErrFenced
}

// TurnResult of one commit.
type TurnResult struct {
	// Err is nil when applied; ErrFenced when the instance has another life or turn, or is gone; ErrExists for the beginning of one
	// whose id is in use; ErrJobsLost when only consumed jobs were not claimed so any more (they are in LostJobs, nothing was
	// applied); an *Error when storing this turn failed while others of the group were stored.
	Err      error
	LostJobs []JobRef
	// Messages untaken after the commit, in the order to be applied, and the next due time (0 = none).
	Messages []history.Message
	NextDue  int64
	// Jobs claimed on the way.
	Jobs []Job
}

// Claim of jobs.
type Claim struct {
	Node NodeID
	// Limit on how many; 0 = none.
	Limit int
	// Activities registered on the node.
	Activities map[string]bool
	// Tags the node serves.
	Tags TagFilter
	// Sessions: held are those the node owns; MayTake how many more it may take; Label of the node (worker_node_id).
	HeldSessions map[string]bool
	MayTake      int
	Label        string
}

// TagFilter says which jobs a node takes.
type TagFilter struct {
	Untagged bool
	Any      bool
	Tags     []string
}

// JobRef names a claimed job.
type JobRef struct {
	ID    int64
	Token history.Token
}

// Job is a claimed activity.
type Job struct {
	JobRef
	Instance  string
	Life      string
	Execution int64
	// OrchestrationName and OrchestrationVersion that scheduled it.
	OrchestrationName    string
	OrchestrationVersion string
	replay.Job
	Suspect  bool
	Attempts int // written attempts
}

// Settlement ends a claimed job without a turn.
type Settlement struct {
	Job JobRef
	// Result to insert as a message for the job's instance; nil gives the job back.
	Result *history.Message
	// DelayMS before a job given back may be claimed again.
	DelayMS int64
	// Counted: the give-back keeps the written attempt; else it is undone.
	Counted bool
}

// Suspect names suspect work: an instance, or a job.
type Suspect struct {
	Instance string
	Turn     history.Token
	Job      *JobRef
}

// Unclaimable is work that no live node can run.
type Unclaimable struct {
	Job      int64 // 0 = a turn
	Instance string
	Name     string
	Version  string
	SinceMS  int64
}

// Node is a runtime's row.
type Node struct {
	ID      NodeID
	Label   string
	LeaseMS int64
	// Orchestrations ("name@version") and Activities registered.
	Orchestrations []string
	Activities     []string
}

// Lease is a node's hold on its row.
type Lease struct {
	Node    Node
	Counter int64
	Until   int64 // ms, store time
	// Waiting is what was in the store at the last renewal. Nil: this store does not look, and has to be asked.
	Waiting *Waiting
}

// Waiting tells a node whether asking for work would find any. It may tell too much: work that others can do counts too.
type Waiting struct {
	Ready   bool  // messages are due
	Jobs    bool  // jobs are unclaimed
	NextDue int64 // ms, store time: the earliest message that is due later; 0 = none
}

// Status is what clients see of an instance.
type Status struct {
	Instance            string
	Life                string        // in Wake.Ended, where the store tells it; else empty
	Status              replay.Status // Running, Completed or Failed
	Output              string
	Failure             *history.Failure
	CustomStatus        *string
	CustomStatusVersion int64
	Execution           int64
	Blocked             *Blocked // nil: it is not
}

// Blocked says why an instance waits for other code.
type Blocked struct {
	Reason  string
	At      string // file:line of the user's code, where known
	SinceMS int64
}

// Block is news of a blocked instance.
type Block struct {
	Instance   string
	Life       string
	Turn       history.Token // that its history was loaded with
	Reason, At string
}

// Revival opens a failed instance again.
type Revival struct {
	Instance  string
	Life      string
	Execution int64
	Expect    history.Token // the turn that its history was loaded with
	New       history.Token
	replay.Reopening
}

// Instance is one row of a list.
type Instance struct {
	Instance  string
	Name      string
	Version   string
	Execution int64
	Status    replay.Status
	Output    string
	Failure   *history.Failure
	CreatedAt int64
	UpdatedAt int64
	Parent    string
	Blocked   *Blocked // nil: it is not
}

// InstanceQuery filters and pages. Zero fields do not filter.
type InstanceQuery struct {
	Name, Version, IDPrefix, Parent string
	Status                          *replay.Status
	ExecutionStatus                 *replay.Status // of the current execution's row
	CreatedAfter, CreatedBefore     int64
	UpdatedAfter, UpdatedBefore     int64
	Blocked                         *bool
	OldestFirst                     bool
	Limit                           int // 0 = no limit
	Cursor                          string
}

// InstancePage of a list.
type InstancePage struct {
	Items []Instance
	Next  string // empty = the last page
}

// Execution is one row of an instance's executions.
type Execution struct {
	Execution   int64
	Status      replay.Status
	Output      string
	Failure     *history.Failure
	StartedAt   int64
	CompletedAt int64 // 0 = running
	EventCount  int64
}

// SystemMetrics counts everything in the store.
type SystemMetrics struct {
	TotalInstances, TotalExecutions, RunningInstances, CompletedInstances, FailedInstances, TotalEvents int64
}

// QueueDepths counts what waits: due messages without mail that nobody waits for, unclaimed jobs, timers not yet due.
type QueueDepths struct{ Orchestrator, Worker, Timer int64 }

// WaitingJobs are the due unclaimed jobs of one activity and tag.
type WaitingJobs struct {
	Name, Tag string
	SinceMS   int64 // when the oldest became due
}

// InstanceStats of the current execution.
type InstanceStats struct {
	HistoryEvents, HistoryBytes, QueuePending, KVKeys, KVBytes int64
}

// Deleted counts what a deletion removed.
type Deleted struct{ Instances, Executions, Events, Messages int64 }

// Add counts what another deletion removed.
func (d *Deleted) Add(other Deleted) {
	d.Instances += other.Instances
	d.Executions += other.Executions
	d.Events += other.Events
	d.Messages += other.Messages
}

// BulkFilter chooses instances; conditions are joined by and.
type BulkFilter struct {
	Instances       []string
	CompletedBefore int64 // ms; 0 = any
	Limit           int   // 0 = 1000
}

// PruneOptions choose executions; conditions are joined by and. The current execution always stays.
type PruneOptions struct {
	KeepLast        *int
	CompletedBefore int64 // ms; 0 = any
}

// Pruned counts what pruning removed.
type Pruned struct{ Instances, Executions, Events int64 }

// AnswerOf makes the message by which a child that has ended answers its revived parent, from the row of the child: nil
// when it still runs and will answer itself.
func (r *Revival) AnswerOf(child *replay.OpenChild, status, output, failure string, now int64) (*history.Message, error) {
	m := &history.Message{Execution: r.Execution, Source: child.Schedule, VisibleAt: now, InsertedAt: now}
	switch status {
	case replay.Completed.String():
		m.Kind, m.Data = history.MsgChildCompleted, output
	case replay.Failed.String():
		f, err := history.DecodeFailure(failure)
		if err != nil {
			return nil, err
		}
		m.Kind, m.Failure = history.MsgChildFailed, f
		m.Failure.Instance = child.Instance
	default:
		return nil, nil //nolint:nilnil // no message is the answer
	}
	return m, nil
}

// ChildRefused tells a parent that the id of a child is in use.
func ChildRefused(execution, schedule int64, child string, now int64) *history.Message {
	return &history.Message{
		Kind: history.MsgChildFailed, Execution: execution, Source: schedule, VisibleAt: now, InsertedAt: now,
		Failure: &history.Failure{Kind: history.OrchestrationError, Message: ErrExists.Error(), Instance: child, NonRetryable: true},
	}
}
