package replay

import "github.com/duroxide/duroxide/core/history"

// Identity of an execution: what its event 1 holds or will hold.
type Identity struct {
	Instance  string
	Life      string
	Execution int64
	Name      string
	Version   string // resolved
	Input     string
	Start     history.Start
}

// Execution is one execution of user code between turns: its cursor, its tree of open awaits, its subscriptions.
// It is valid only as long as the instance's turn token in the store is the one its last commit wrote; after a refused
// commit, or one whose outcome is unknown, it must be dropped, because a generator cannot be rewound.
type Execution struct {
	identity Identity
}

// New makes an execution that has no history yet. Its first Turn writes event 1.
func New(id Identity) *Execution { return &Execution{identity: id} }

// Load replays recorded events against code, up to where all code is blocked at their end. It always gives an
// execution: when code and history disagree, the next Turn commits the nondeterminism failure.
func Load(id Identity, code Code, events []history.Event) *Execution {
	panic("being written")
}

// Verify replays a whole history and reports how code differs from it; nil when it is consumed exactly. Nothing is
// recorded.
func Verify(id Identity, code Code, events []history.Event) *history.Failure {
	panic("being written")
}

// Turn applies messages one at a time, lets code run until it is blocked after each, and gives what has to be
// committed. code may be another value than at the last turn as long as it steps the same generators.
func (x *Execution) Turn(code Code, in Input) *Commit { panic("being written") }

// Mismatch is the nondeterminism that Load found; nil when history and code agree.
func (x *Execution) Mismatch() *history.Failure { return nil }

// PayloadBytes is the size of the payloads delivered to code so far: what a live execution holds in memory, about.
func (x *Execution) PayloadBytes() int64 { return 0 }

// Events is the number of events of the execution.
func (x *Execution) Events() int64 { return 0 }
