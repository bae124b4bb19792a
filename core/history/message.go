package history

// MessageKind names what a message brings to an instance. The names are stored.
type MessageKind uint8

// The message kinds.
const (
	MessageUnknown       MessageKind = iota
	MsgStart                         // begin execution 1; always the first of its batch
	MsgContinue                      // engine-made: code has something to run without news (a cut turn, execution n+1)
	MsgCancel                        // client or parent
	MsgEvent                         // positional external event
	MsgMail                          // message of an event queue
	MsgTimer                         // a timer is due
	MsgActivityCompleted             //
	MsgActivityFailed                //
	MsgChildCompleted                //
	MsgChildFailed                   //
)

var messageKindNames = [...]string{
	MessageUnknown: "unknown", MsgStart: "start", MsgContinue: "continue", MsgCancel: "cancel", MsgEvent: "event",
	MsgMail: "mail", MsgTimer: "timer", MsgActivityCompleted: "activity_completed", MsgActivityFailed: "activity_failed",
	MsgChildCompleted: "child_completed", MsgChildFailed: "child_failed",
}

func (k MessageKind) String() string {
	if int(k) < len(messageKindNames) {
		return messageKindNames[k]
	}
	return "unknown"
}

// ParseMessageKind is the inverse of String; MessageUnknown for a name this engine does not know.
func ParseMessageKind(name string) MessageKind {
	for k, n := range messageKindNames {
		if n == name {
			return MessageKind(k)
		}
	}
	return MessageUnknown
}

// Message is one piece of news for an instance: a row of the store, or the result of an activity that has just come in
// on this node and will become durable with the turn that takes it.
type Message struct {
	Kind MessageKind
	// Row is the row in the store; 0 for an activity result handed over in memory.
	Row int64
	// JobID and JobToken name the claimed job that a result in memory settles; JobID 0 for stored messages.
	JobID    int64
	JobToken Token
	// ID is the random id that a client gave (events, mail, cancels); empty for engine-made messages.
	ID string

	// Life and Execution the message belongs to; empty and 0 for messages of clients.
	Life      string
	Execution int64
	// Source is the schedule id that the message answers: timers, activities, children.
	Source int64
	// Name of the event or queue.
	Name string
	// Data: event data, result, child's output; cancel reason.
	Data string
	// Failure: MsgActivityFailed, MsgChildFailed.
	Failure *Failure

	VisibleAt  int64 // ms: due time; the time of insertion for those due at once
	InsertedAt int64 // ms
}
