package store

import (
	"context"

	"github.com/duroxide/duroxide/core/history"
)

// Inspector is implemented by stores that show their rows, for the check of invariants. Nothing else needs it.
type Inspector interface {
	// Inspect gives the rows that belong to an instance, in one snapshot; nil when there is no such instance.
	Inspect(ctx context.Context, instance string) (*Rows, error)
	// InspectShared gives the rows that belong to no single instance.
	InspectShared(ctx context.Context) (*SharedRows, error)
}

// Rows of one instance.
type Rows struct {
	Snapshot Snapshot // without Events
	Status   Status
	Jobs     []JobRow
	Messages []MessageRow
	// Histories of all executions that are kept, oldest first; the current one is always among them.
	Histories []ExecutionHistory
	KV        map[string]string
}

// ExecutionHistory is one execution with its events.
type ExecutionHistory struct {
	Execution
	Events []history.Event
}

// JobRow is a stored job.
type JobRow struct {
	ID, Execution, Schedule int64
	Session                 string
	Node                    NodeID // that has claimed it; empty = nobody
}

// MessageRow is a stored message. VisibleAt is 0 for mail that nobody waits for.
type MessageRow struct {
	history.Message
	VisibleAt int64
}

// SharedRows are nodes, sessions, and rows without an instance (there should be none).
type SharedRows struct {
	Nodes    []NodeID
	Sessions map[string]NodeID // empty = free
	// Claims are the nodes that have claimed jobs.
	Claims []NodeID
	// Orphans counts rows of jobs, messages, history, executions, keys and statuses whose instance does not exist.
	Orphans map[string]int64
}
