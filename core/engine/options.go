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
	// BlockNondeterminism: an instance whose code does not fit its history keeps it and stays Running, is logged and
	// listed in Health, and goes on when code that fits it is deployed. Else it fails.
	BlockNondeterminism bool
	VerifyReplay        float64 // share of live executions replayed when they end; 0.01
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

// check gives an *OptionError for the first value that is out of range.
func (o *Options) check() error {
	refuse := func(option, text string) error { return &OptionError{Option: option, Text: text} }
	switch {
	case o.OrchestrationConcurrency < 1:
		return refuse("orchestration_concurrency", "must be at least 1")
	case o.WorkerConcurrency < 1:
		return refuse("worker_concurrency", "must be at least 1")
	case o.PollInterval <= 0:
		return refuse("dispatcher_poll_interval_ms", "must be more than 0")
	case o.LiveExecutions < 0:
		return refuse("live_executions", "must not be negative")
	case o.LiveBytes < 0:
		return refuse("live_bytes", "must not be negative")
	case o.MaxAttempts < 1:
		return refuse("max_attempts", "must be at least 1")
	case o.Lease < time.Second:
		return refuse("lease", "must be at least 1 s")
	case o.CancellationGrace < 0:
		return refuse("activity_cancellation_grace_ms", "must not be negative")
	case o.ActivityTimeout < 0:
		return refuse("activity_timeout_ms", "must not be negative")
	case o.MaxSessions < 0:
		return refuse("max_sessions_per_runtime", "must not be negative")
	case o.SessionIdleTimeout <= 0:
		return refuse("session_idle_timeout_ms", "must be more than 0")
	case len(o.Tags.Tags) > maxTags:
		return refuse("worker_tag_filter", "a worker can subscribe to at most 5 tags")
	case o.VerifyReplay < 0 || o.VerifyReplay > 1:
		return refuse("verify_replay", "must be between 0 and 1")
	case o.StuckAfter <= 0:
		return refuse("stuck_after", "must be more than 0")
	}
	return nil
}

const maxTags = 5
