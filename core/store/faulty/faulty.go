// Package faulty wraps a store so that tests can make its methods fail, answer late, or do their work and then say that
// the outcome is unknown.
//
//	s := faulty.Wrap(real)
//	s.On(faulty.CommitTurns, faulty.Fail(err).Times(2))       // the next two calls fail without doing anything
//	s.On(faulty.CommitTurns, faulty.Unknown())                // the next call works, but reports an unknown outcome
//	gate := faulty.Hold()                                     // the next call waits ...
//	s.On(faulty.Load, gate)
//	<-gate.Reached(); gate.Open()                             // ... until the test lets it go on
//
// Faults of a method are used up in the order in which they were set.
package faulty

import (
	"context"
	"errors"
	"sync"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

// Method of a store that faults are set on.
type Method string

// The methods.
const (
	Start           Method = "start"
	Enqueue         Method = "enqueue"
	Ready           Method = "ready"
	Load            Method = "load"
	CommitTurns     Method = "commit turns"
	ClaimJobs       Method = "claim jobs"
	SettleJobs      Method = "settle jobs"
	LostJobs        Method = "lost jobs"
	CountAttempt    Method = "count attempt"
	Unclaimable     Method = "unclaimable"
	Join            Method = "join"
	Renew           Method = "renew"
	Leave           Method = "leave"
	BuryDead        Method = "bury dead"
	ReleaseSessions Method = "release sessions"
	Status          Method = "status"
)

// ErrInjected is the cause within errors made here.
var ErrInjected = errors.New("injected fault")

// Fault is what happens to a call.
type Fault struct {
	err     error // reported
	after   bool  // the call is made first
	times   int
	reached chan struct{}
	open    chan struct{}
	once    *sync.Once
}

// Fail reports err without making the call.
func Fail(err error) *Fault { return &Fault{err: err, times: 1} }

// Retryable fails as a store in passing trouble does.
func Retryable() *Fault {
	return Fail(&store.Error{Operation: "injected", Retryable: true, Err: ErrInjected})
}

// Permanent fails as a store that cannot be mended does.
func Permanent() *Fault { return Fail(&store.Error{Operation: "injected", Err: ErrInjected}) }

// Refused fails as a store does whose content can be mended by nobody: what was to be stored can never be.
func Refused() *Fault {
	return Fail(&store.Error{Operation: "injected", Refused: true, Err: ErrInjected})
}

// Unknown makes the call and then reports that its outcome is unknown.
func Unknown() *Fault {
	f := UnknownNotDone()
	f.after = true
	return f
}

// UnknownNotDone reports an unknown outcome without making the call.
func UnknownNotDone() *Fault {
	return Fail(&store.Error{Operation: "injected", Retryable: true, Unknown: true, Err: ErrInjected})
}

// Hold makes the call wait until Open, or until its context ends.
func Hold() *Fault {
	return &Fault{times: 1, reached: make(chan struct{}), open: make(chan struct{}), once: new(sync.Once)}
}

// Then makes the calls of a Hold fail once they may go on, without doing anything.
func (f *Fault) Then(err error) *Fault {
	f.err = err
	return f
}

// Times lets the fault happen n times; negative: until Clear.
func (f *Fault) Times(n int) *Fault {
	f.times = n
	return f
}

// Reached is closed when the first call has come to a Hold.
func (f *Fault) Reached() <-chan struct{} { return f.reached }

// Open lets all calls of a Hold go on. Once only.
func (f *Fault) Open() { close(f.open) }

// Store is a store with faults.
type Store struct {
	store.Store
	mu     sync.Mutex
	faults map[Method][]*Fault
	calls  map[Method]int
}

var _ store.Store = (*Store)(nil)

// Wrap makes a store that behaves as s until told otherwise.
func Wrap(s store.Store) *Store {
	return &Store{Store: s, faults: map[Method][]*Fault{}, calls: map[Method]int{}}
}

// On sets a fault behind those that the method has.
func (s *Store) On(m Method, f *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[m] = append(s.faults[m], f)
}

// Clear forgets all faults of a method.
func (s *Store) Clear(m Method) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.faults, m)
}

// Calls counts the calls of a method, failed ones included.
func (s *Store) Calls(m Method) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[m]
}

// next takes the fault for a call.
func (s *Store) next(m Method) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[m]++
	queue := s.faults[m]
	if len(queue) == 0 {
		return nil
	}
	f := queue[0]
	if f.times > 0 {
		if f.times--; f.times == 0 {
			s.faults[m] = queue[1:]
		}
	}
	return f
}

// through makes a call with the fault that is due for its method.
func through[R any](ctx context.Context, s *Store, m Method, call func() (R, error)) (R, error) {
	var none R
	f := s.next(m)
	if f == nil {
		return call()
	}
	if f.open != nil {
		f.once.Do(func() { close(f.reached) })
		select {
		case <-f.open:
		case <-ctx.Done():
			return none, context.Cause(ctx)
		}
		if f.err != nil {
			return none, f.err
		}
		return call()
	}
	if f.after {
		if _, err := call(); err != nil {
			return none, err
		}
	}
	return none, f.err
}

// only is through for methods that give nothing but an error.
func only(ctx context.Context, s *Store, m Method, call func() error) error {
	_, err := through(ctx, s, m, func() (struct{}, error) { return struct{}{}, call() })
	return err
}

// Start implements [store.Store].
func (s *Store) Start(ctx context.Context, st store.Start) (store.StartResult, error) {
	return through(ctx, s, Start, func() (store.StartResult, error) { return s.Store.Start(ctx, st) })
}

// Enqueue implements [store.Store].
func (s *Store) Enqueue(ctx context.Context, messages []store.Enqueue) ([]bool, error) {
	return through(ctx, s, Enqueue, func() ([]bool, error) { return s.Store.Enqueue(ctx, messages) })
}

// Ready implements [store.Store].
func (s *Store) Ready(ctx context.Context, q store.ReadyQuery) (store.ReadyResult, error) {
	return through(ctx, s, Ready, func() (store.ReadyResult, error) { return s.Store.Ready(ctx, q) })
}

// Load implements [store.Store].
func (s *Store) Load(ctx context.Context, instance string, have history.Token) (*store.Snapshot, error) {
	return through(ctx, s, Load, func() (*store.Snapshot, error) { return s.Store.Load(ctx, instance, have) })
}

// CommitTurns implements [store.Store].
func (s *Store) CommitTurns(ctx context.Context, node store.NodeID, turns []store.Turn) ([]store.TurnResult, error) {
	return through(ctx, s, CommitTurns, func() ([]store.TurnResult, error) { return s.Store.CommitTurns(ctx, node, turns) })
}

// ClaimJobs implements [store.Store].
func (s *Store) ClaimJobs(ctx context.Context, c store.Claim) ([]store.Job, error) {
	return through(ctx, s, ClaimJobs, func() ([]store.Job, error) { return s.Store.ClaimJobs(ctx, c) })
}

// SettleJobs implements [store.Store].
func (s *Store) SettleJobs(ctx context.Context, settlements []store.Settlement) ([]bool, error) {
	return through(ctx, s, SettleJobs, func() ([]bool, error) { return s.Store.SettleJobs(ctx, settlements) })
}

// LostJobs implements [store.Store].
func (s *Store) LostJobs(ctx context.Context, jobs []store.JobRef) ([]store.JobRef, error) {
	return through(ctx, s, LostJobs, func() ([]store.JobRef, error) { return s.Store.LostJobs(ctx, jobs) })
}

// CountAttempt implements [store.Store].
func (s *Store) CountAttempt(ctx context.Context, w store.Suspect) (int, error) {
	return through(ctx, s, CountAttempt, func() (int, error) { return s.Store.CountAttempt(ctx, w) })
}

// Unclaimable implements [store.Store].
func (s *Store) Unclaimable(ctx context.Context) ([]store.Unclaimable, error) {
	return through(ctx, s, Unclaimable, func() ([]store.Unclaimable, error) { return s.Store.Unclaimable(ctx) })
}

// Join implements [store.Store].
func (s *Store) Join(ctx context.Context, n store.Node) (*store.Lease, error) {
	return through(ctx, s, Join, func() (*store.Lease, error) { return s.Store.Join(ctx, n) })
}

// Renew implements [store.Store].
func (s *Store) Renew(ctx context.Context, l *store.Lease) error {
	return only(ctx, s, Renew, func() error { return s.Store.Renew(ctx, l) })
}

// Leave implements [store.Store].
func (s *Store) Leave(ctx context.Context, node store.NodeID) error {
	return only(ctx, s, Leave, func() error { return s.Store.Leave(ctx, node) })
}

// BuryDead implements [store.Store].
func (s *Store) BuryDead(ctx context.Context, self store.NodeID) ([]store.NodeID, error) {
	return through(ctx, s, BuryDead, func() ([]store.NodeID, error) { return s.Store.BuryDead(ctx, self) })
}

// ReleaseSessions implements [store.Store].
func (s *Store) ReleaseSessions(ctx context.Context, node store.NodeID, sessions []string) error {
	return only(ctx, s, ReleaseSessions, func() error { return s.Store.ReleaseSessions(ctx, node, sessions) })
}

// Status implements [store.Queries].
func (s *Store) Status(ctx context.Context, instance string) (*store.Status, error) {
	return through(ctx, s, Status, func() (*store.Status, error) { return s.Store.Status(ctx, instance) })
}

// Inspect implements [store.Inspector] when the wrapped store does.
func (s *Store) Inspect(ctx context.Context, instance string) (*store.Rows, error) {
	inspector, ok := s.Store.(store.Inspector)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return inspector.Inspect(ctx, instance)
}

// InspectShared implements [store.Inspector] when the wrapped store does.
func (s *Store) InspectShared(ctx context.Context) (*store.SharedRows, error) {
	inspector, ok := s.Store.(store.Inspector)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return inspector.InspectShared(ctx)
}
