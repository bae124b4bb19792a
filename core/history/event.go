package history

import "errors"

// ErrUndecodable is wrapped by every error that says a stored event or message cannot be read by this engine.
var ErrUndecodable = errors.New("undecodable history")

// Event is one fact in the history of an execution. One struct serves all kinds; which fields a kind uses is told
// beside each field, the others are empty and not stored. Payloads are the user's text, never parsed here.
type Event struct {
	ID     int64 `json:"id"`               // position in the history, from 1, dense
	Kind   Kind  `json:"kind"`             //
	Source int64 `json:"source,omitempty"` // schedule id: on completions and cancel requests
	Time   int64 `json:"time"`             // ms since the epoch, never before that of the event in front

	// Name: OrchestrationStarted, ActivityScheduled, External*, Queue*, OrchestrationChained, SubOrchestrationScheduled;
	// key of KeyValueSet and KeyValueCleared.
	Name string `json:"name,omitempty"`
	// Version: OrchestrationStarted (resolved), SubOrchestrationScheduled and OrchestrationChained (as asked, may be empty).
	Version string `json:"version,omitempty"`
	// Data: input, output, result, event data, value, the text of a custom status. Which of them the kind tells.
	Data string `json:"data,omitempty"`
	// Fingerprint of the plain input, written when the codec's bytes differ each time; empty for plain JSON.
	Fingerprint string `json:"fingerprint,omitempty"`
	// Instance: OrchestrationChained (as given), SubOrchestrationScheduled (id of the child, generated or given).
	Instance string `json:"instance,omitempty"`
	// InstanceGiven: the user chose the child's id.
	InstanceGiven bool `json:"instance_given,omitempty"`
	// Session, Tag, TimeoutMS: ActivityScheduled. Attempt, RetryOf: an attempt of a retry policy, from 1, and the id of
	// its first attempt.
	Session   string `json:"session,omitempty"`
	Tag       string `json:"tag,omitempty"`
	TimeoutMS int64  `json:"timeout_ms,omitempty"`
	Attempt   int    `json:"attempt,omitempty"`
	RetryOf   int64  `json:"retry_of,omitempty"`
	// FireAt: TimerCreated, TimerFired; ms since the epoch.
	FireAt int64 `json:"fire_at,omitempty"`
	// Reason: OrchestrationCancelRequested and the other cancel requests.
	Reason string `json:"reason,omitempty"`
	// Cleared: CustomStatusUpdated by a reset.
	Cleared bool `json:"cleared,omitempty"`
	// MessageID: ExternalEvent, QueueEventDelivered, OrchestrationCancelRequested: the random id of the client's message.
	MessageID string `json:"message_id,omitempty"`
	// Failure: ActivityFailed, SubOrchestrationFailed, OrchestrationFailed.
	Failure *Failure `json:"failure,omitempty"`
	// At: file:line of the user's code that made the call.
	At string `json:"at,omitempty"`
	// Engine: version of the engine, OrchestrationStarted only.
	Engine string `json:"engine,omitempty"`

	// Start: OrchestrationStarted only.
	Start *Start `json:"start,omitempty"`
}

// Start is what an execution begins with, beside its name, version and input.
type Start struct {
	Parent *Parent `json:"parent,omitempty"`
	// Status and StatusVersion carried over from the execution before; Status nil = not set.
	Status        *string `json:"status,omitempty"`
	StatusVersion int64   `json:"status_version,omitempty"`
	// KV is the whole map at the end of the execution before, so that a history replays by itself.
	KV map[string]KVEntry `json:"kv,omitempty"`
}

// KVEntry is a value and the time (ms) of its last write.
type KVEntry struct {
	Value     string `json:"value"`
	UpdatedAt int64  `json:"updated_at"`
}

// Parent says whose child an instance is. Carried through every execution of the child.
type Parent struct {
	Instance  string `json:"instance"`
	Life      string `json:"life"`
	Execution int64  `json:"execution"`
	Schedule  int64  `json:"schedule"` // id of SubOrchestrationScheduled in the parent
}
