package replay

// Limits that user code meets. The user's side checks them at the call, so that the call itself raises; they stand here
// so that there is one place to read them from.
const (
	MaxCustomStatusBytes = 262144 // UTF-8
	MaxKVKeys            = 150    // of an instance
	MaxKVValueBytes      = 65536  // UTF-8
	MaxTagBytes          = 256    // UTF-8
	MaxWorkerTags        = 5      // a worker may serve
	MaxIDBytes           = 1024   // an identifier where something is created
	MaxNamedIDBytes      = 2048   // an identifier where something is only named: generated child ids grow with depth
)

// limits bound one turn. They are looked at only before code is resumed and never inside the start of a composite, so a
// turn may pass them by what one step of code, or the start of one tree of tasks, asks for.
type limits struct {
	messages int   // applied
	events   int64 // appended
	bytes    int64 // of payloads in those events
}

var turnLimits = limits{messages: 1000, events: 1000, bytes: 16 << 20}

// overLimits reports whether the turn has done enough. What remains is done by the next one, which a continue message
// brings about.
func (x *Execution) overLimits() bool {
	return x.applied >= x.limits.messages || x.cursor-x.committed >= x.limits.events || x.bytes >= x.limits.bytes
}

// mustPause reports whether code must not be resumed now: the turn is long enough, or loaded history is at its end and
// what comes next belongs to a turn.
func (x *Execution) mustPause() bool {
	if x.starting > 0 {
		return false
	}
	if x.loading {
		return x.cursor == int64(len(x.loaded))
	}
	return x.overLimits()
}
