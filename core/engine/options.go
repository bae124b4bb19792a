package engine

import (
	"time"

	"github.com/duroxide/duroxide/core/store"
)

// Options of a runtime. DefaultOptions has the defaults; New checks ranges and contradictions.
type Options struct {
	OrchestrationConcurrency int           // turns at once where threads can run at once; 4
	WorkerConcurrency        int           // activities at once; 8
	PollInterval             time.Duration // fall-back for work that another process stored; 100 ms
	LiveExecutions           int           // suspended executions kept in memory; 10,000; 0 = none
	LiveBytes                int64         // payload bytes they may hold; 256 MiB
	MaxAttempts              int           // written attempts of suspect work; 10
	Lease                    time.Duration // of the node; 10 s, at least 1 s
	CancellationGrace        time.Duration // after which a cancelled activity that goes on loses its slot; 10 s
	ActivityTimeout          time.Duration // for activities without one of their own; 0 = none
	MaxSessions              int           // held at once, idle included; 10
	SessionIdleTimeout       time.Duration // 5 min
	WorkerNodeID             string        // label for sessions; empty = none
	Tags                     store.TagFilter
	VerifyReplay             float64 // share of live executions replayed when they end; 0.01
	// ParallelTurns: threads run user code truly at once (free-threaded builds).
	ParallelTurns bool
	// StuckAfter: a turn that stays in user code so long is reported and its lane replaced; 5 s.
	StuckAfter time.Duration
	// Log takes log records; it must not block. Nil drops them.
	Log func(LogRecord)
}

// DefaultOptions gives the defaults named beside the fields.
func DefaultOptions() Options {
	return Options{
		OrchestrationConcurrency: 4, WorkerConcurrency: 8, PollInterval: 100 * time.Millisecond,
		LiveExecutions: 10_000, LiveBytes: 256 << 20, MaxAttempts: 10, Lease: 10 * time.Second,
		CancellationGrace: 10 * time.Second, MaxSessions: 10, SessionIdleTimeout: 5 * time.Minute,
		Tags: store.TagFilter{Untagged: true}, VerifyReplay: 0.01, StuckAfter: 5 * time.Second,
	}
}
