package history

import "fmt"

// FailureKind says what went wrong, and with it who may see it. The names are stored.
type FailureKind string

// The failure kinds, grouped by category.
const (
	// Application: code can catch it; Text is the message as it is.
	ActivityError      FailureKind = "activity"      // an activity raised, or returned what cannot be encoded
	ActivityTimeout    FailureKind = "timeout"       // an attempt or a whole policy ran out of time
	OrchestrationError FailureKind = "orchestration" // the orchestration function raised
	Cancelled          FailureKind = "cancelled"     // the instance was cancelled
	// Configuration.
	Nondeterminism FailureKind = "nondeterminism"
	// Poison: the same work brought the process down again and again, or nobody can run it.
	PoisonOrchestration FailureKind = "poison_orchestration"
	PoisonActivity      FailureKind = "poison_activity"
	PoisonHistory       FailureKind = "poison_history"
	// Infrastructure.
	Infrastructure FailureKind = "infrastructure"
)

// Category groups failure kinds by who is told.
type Category uint8

// The categories. Only CategoryApplication reaches a try/except in the user's orchestration; the others end it.
const (
	CategoryApplication Category = iota
	CategoryConfiguration
	CategoryPoison
	CategoryInfrastructure
)

// Failure is everything known about an error. It replays equal, so nothing in it depends on the process that made it
// but for what the user's own code put there.
type Failure struct {
	Kind    FailureKind `json:"kind"`
	Message string      `json:"message"`
	// Type and Traceback of the Python exception.
	Type      string `json:"type,omitempty"`
	Traceback string `json:"traceback,omitempty"`
	// Activity that failed and its attempt, from 1.
	Activity string `json:"activity,omitempty"`
	Attempt  int    `json:"attempt,omitempty"`
	// NonRetryable: no retry policy tries again.
	NonRetryable bool `json:"non_retryable,omitempty"`
	// Operation of an infrastructure failure.
	Operation string `json:"operation,omitempty"`
	// At: file:line of the user's code where it was noticed (nondeterminism) or that was waiting.
	At string `json:"at,omitempty"`
	// Instance: the child that failed.
	Instance string `json:"instance,omitempty"`
}

// Category says who is told of the failure.
func (f *Failure) Category() Category {
	switch f.Kind {
	case ActivityError, ActivityTimeout, OrchestrationError, Cancelled:
		return CategoryApplication
	case Nondeterminism:
		return CategoryConfiguration
	case PoisonOrchestration, PoisonActivity, PoisonHistory:
		return CategoryPoison
	case Infrastructure:
		return CategoryInfrastructure
	}
	return CategoryApplication
}

// Text is what users see: in str(e), in the error of a status.
func (f *Failure) Text() string {
	switch f.Kind {
	case Cancelled:
		return "canceled: " + f.Message
	case ActivityTimeout:
		return "timeout: " + f.Message
	case Nondeterminism:
		return "nondeterministic: " + f.Message
	case PoisonOrchestration, PoisonActivity, PoisonHistory:
		return "poison: " + f.Message
	case Infrastructure:
		return fmt.Sprintf("infrastructure:%s: %s", f.Operation, f.Message)
	case ActivityError, OrchestrationError:
	}
	return f.Message
}
