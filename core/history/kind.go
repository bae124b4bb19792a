package history

import "fmt"

// Kind names what an event records. The names are stored, so they never change.
type Kind uint8

// The event kinds. A new kind is added at the end of its group and to kindNames; the exhaustive linter then shows
// every switch that has to learn it.
const (
	KindUnknown Kind = iota

	// Life of an execution.
	OrchestrationStarted         // always event 1
	OrchestrationCompleted       // terminal
	OrchestrationFailed          // terminal
	OrchestrationContinuedAsNew  // terminal for this execution
	OrchestrationCancelRequested // from here on every event is made by the engine

	// Activities. guid and clock are recorded as ActivityScheduled + ActivityCompleted with a name that begins with
	// SyscallPrefix.
	ActivityScheduled
	ActivityCompleted
	ActivityFailed
	ActivityCancelRequested

	// Durable timers.
	TimerCreated
	TimerFired

	// Positional external events.
	ExternalSubscribed
	ExternalEvent
	ExternalSubscribedCancelled

	// Event queues.
	QueueSubscribed
	QueueEventDelivered
	QueueSubscriptionCancelled

	// Other instances.
	OrchestrationChained // detached start
	SubOrchestrationScheduled
	SubOrchestrationCompleted
	SubOrchestrationFailed
	SubOrchestrationCancelRequested

	// State that clients can read.
	CustomStatusUpdated
	KeyValueSet
	KeyValueCleared
	KeyValuesCleared
)

// SyscallPrefix begins the names of activities that are not the user's.
const SyscallPrefix = "__duroxide_syscall:"

// Names of the system calls that the engine answers itself, inside the turn.
const (
	SyscallNewGUID = SyscallPrefix + "new_guid"
	SyscallUTCNow  = SyscallPrefix + "utc_now_ms"
)

var kindNames = [...]string{
	KindUnknown:                     "Unknown",
	OrchestrationStarted:            "OrchestrationStarted",
	OrchestrationCompleted:          "OrchestrationCompleted",
	OrchestrationFailed:             "OrchestrationFailed",
	OrchestrationContinuedAsNew:     "OrchestrationContinuedAsNew",
	OrchestrationCancelRequested:    "OrchestrationCancelRequested",
	ActivityScheduled:               "ActivityScheduled",
	ActivityCompleted:               "ActivityCompleted",
	ActivityFailed:                  "ActivityFailed",
	ActivityCancelRequested:         "ActivityCancelRequested",
	TimerCreated:                    "TimerCreated",
	TimerFired:                      "TimerFired",
	ExternalSubscribed:              "ExternalSubscribed",
	ExternalEvent:                   "ExternalEvent",
	ExternalSubscribedCancelled:     "ExternalSubscribedCancelled",
	QueueSubscribed:                 "QueueSubscribed",
	QueueEventDelivered:             "QueueEventDelivered",
	QueueSubscriptionCancelled:      "QueueSubscriptionCancelled",
	OrchestrationChained:            "OrchestrationChained",
	SubOrchestrationScheduled:       "SubOrchestrationScheduled",
	SubOrchestrationCompleted:       "SubOrchestrationCompleted",
	SubOrchestrationFailed:          "SubOrchestrationFailed",
	SubOrchestrationCancelRequested: "SubOrchestrationCancelRequested",
	CustomStatusUpdated:             "CustomStatusUpdated",
	KeyValueSet:                     "KeyValueSet",
	KeyValueCleared:                 "KeyValueCleared",
	KeyValuesCleared:                "KeyValuesCleared",
}

var kindsByName = func() map[string]Kind {
	m := make(map[string]Kind, len(kindNames))
	for k, name := range kindNames {
		m[name] = Kind(k)
	}
	return m
}()

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// MarshalText gives the stored name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText refuses a name this engine does not know: the history was written by a newer one.
func (k *Kind) UnmarshalText(text []byte) error {
	known, ok := kindsByName[string(text)]
	if !ok || known == KindUnknown {
		return fmt.Errorf("%w: event kind %q", ErrUndecodable, text)
	}
	*k = known
	return nil
}

// IsTerminal reports whether the kind ends an execution.
func (k Kind) IsTerminal() bool {
	return k == OrchestrationCompleted || k == OrchestrationFailed || k == OrchestrationContinuedAsNew
}
