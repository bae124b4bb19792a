package faulty

import (
	"context"
	"sync"

	"github.com/duroxide/duroxide/core/store"
)

// Mortal is a store as a process sees it that will be killed: so many writes get through, then none does. What the
// process was told is on disk, what it was not told is lost, and its node is never signed off: whoever comes next has to
// find out that it died. A node on it holds a lease of one millisecond, so that nobody has to wait for that.
type Mortal struct {
	store.Store

	mu   sync.Mutex
	left int
	dead chan struct{}
}

var _ store.Store = (*Mortal)(nil)

// Kill gives a view of s through which n writes get through. Closing the view leaves s open.
func Kill(s store.Store, n int) *Mortal {
	m := &Mortal{Store: s, left: n, dead: make(chan struct{})}
	if n <= 0 {
		close(m.dead)
	}
	return m
}

// Dead is closed when the last write has got through.
func (m *Mortal) Dead() <-chan struct{} { return m.dead }

// Left is how many writes still get through.
func (m *Mortal) Left() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return max(m.left, 0)
}

// live makes a write unless the process is dead; the last write that gets through kills it.
func live[R any](m *Mortal, call func() (R, error)) (R, error) {
	var none R
	m.mu.Lock()
	m.left--
	left := m.left
	m.mu.Unlock()
	if left < 0 {
		return none, &store.Error{Operation: "write after death", Retryable: true, Err: ErrInjected}
	}
	if left == 0 {
		defer close(m.dead)
	}
	return call()
}

// quick makes a write that is no commit of work: it does not count, but the dead do not make it.
func quick(m *Mortal, call func() error) error {
	select {
	case <-m.dead:
		return &store.Error{Operation: "write after death", Retryable: true, Err: ErrInjected}
	default:
		return call()
	}
}

// Start implements [store.Store].
func (m *Mortal) Start(ctx context.Context, s store.Start) (store.StartResult, error) {
	return live(m, func() (store.StartResult, error) { return m.Store.Start(ctx, s) })
}

// Enqueue implements [store.Store].
func (m *Mortal) Enqueue(ctx context.Context, messages []store.Enqueue) ([]bool, error) {
	return live(m, func() ([]bool, error) { return m.Store.Enqueue(ctx, messages) })
}

// CommitTurns implements [store.Store].
func (m *Mortal) CommitTurns(ctx context.Context, node store.NodeID, turns []store.Turn) ([]store.TurnResult, error) {
	return live(m, func() ([]store.TurnResult, error) { return m.Store.CommitTurns(ctx, node, turns) })
}

// ClaimJobs implements [store.Store]. It asks for work more often than it gets any, so it does not count.
func (m *Mortal) ClaimJobs(ctx context.Context, c store.Claim) (jobs []store.Job, err error) {
	err = quick(m, func() error {
		jobs, err = m.Store.ClaimJobs(ctx, c)
		return err
	})
	return jobs, err
}

// SettleJobs implements [store.Store].
func (m *Mortal) SettleJobs(ctx context.Context, settlements []store.Settlement) ([]bool, error) {
	return live(m, func() ([]bool, error) { return m.Store.SettleJobs(ctx, settlements) })
}

// CountAttempt implements [store.Store].
func (m *Mortal) CountAttempt(ctx context.Context, w store.Suspect) (int, error) {
	return live(m, func() (int, error) { return m.Store.CountAttempt(ctx, w) })
}

// Join implements [store.Store].
func (m *Mortal) Join(ctx context.Context, n store.Node) (lease *store.Lease, err error) {
	n.LeaseMS = 1
	err = quick(m, func() error {
		lease, err = m.Store.Join(ctx, n)
		return err
	})
	return lease, err
}

// Renew implements [store.Store].
func (m *Mortal) Renew(ctx context.Context, l *store.Lease) error {
	return quick(m, func() error { return m.Store.Renew(ctx, l) })
}

// Leave implements [store.Store].
func (m *Mortal) Leave(ctx context.Context, node store.NodeID) error {
	return quick(m, func() error { return m.Store.Leave(ctx, node) })
}

// BuryDead implements [store.Store].
func (m *Mortal) BuryDead(ctx context.Context, self store.NodeID) (buried []store.NodeID, err error) {
	err = quick(m, func() error {
		buried, err = m.Store.BuryDead(ctx, self)
		return err
	})
	return buried, err
}

// ReleaseSessions implements [store.Store].
func (m *Mortal) ReleaseSessions(ctx context.Context, node store.NodeID, sessions []string) error {
	return quick(m, func() error { return m.Store.ReleaseSessions(ctx, node, sessions) })
}

// Close leaves the store open: a process that dies closes nothing.
func (m *Mortal) Close() error { return nil }
