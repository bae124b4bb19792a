package simtest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/duroxide/duroxide/core/engine"
	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/simtest"
	"github.com/duroxide/duroxide/core/store"
)

// chaos is a store whose calls fail at random: before anything was done, or after, when the caller cannot know.
type chaos struct {
	store.Store
	mu   sync.Mutex
	rand *rand.Rand
	over bool
	// slow: calls take up to some ms, sometimes 50, and leases are lost all the time.
	slow bool
}

type fault uint8

const (
	faultNone fault = iota
	faultBefore
	faultUnknownBefore
	faultUnknownAfter
	faultFenced
)

func (s *chaos) draw() fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return faultNone
	}
	switch n := s.rand.IntN(100); {
	case n < 4:
		return faultBefore
	case n < 6:
		return faultUnknownBefore
	case n < 8:
		return faultUnknownAfter
	case n < 11:
		return faultFenced
	}
	return faultNone
}

// late makes some calls take their time.
func (s *chaos) late() {
	s.mu.Lock()
	n := s.rand.IntN(100)
	quick := s.over || !s.slow || n > 21
	s.mu.Unlock()
	if !quick {
		time.Sleep(time.Duration(n*n) * 100 * time.Microsecond) //nolint:forbidigo // a slow store is what is tested
	}
}

// losesLease says that a renewal finds the node buried.
func (s *chaos) losesLease() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.over && s.slow && s.rand.IntN(100) < 60
}

// spared runs something without faults.
func (s *chaos) spared(run func()) {
	s.mu.Lock()
	was := s.over
	s.over = true
	s.mu.Unlock()
	run()
	s.mu.Lock()
	s.over = was
	s.mu.Unlock()
}

func (s *chaos) calm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
}

// call runs one call of the store under a fault.
func call[T any](s *chaos, f fault, run func() (T, error)) (T, error) {
	var none T
	trouble := &store.Error{Operation: "chaos", Retryable: true, Err: errors.New("drawn")}
	switch f {
	case faultBefore:
		return none, trouble
	case faultUnknownBefore:
		trouble.Unknown = true
		return none, trouble
	case faultUnknownAfter:
		if _, err := run(); err != nil {
			return none, err
		}
		trouble.Unknown = true
		return none, trouble
	case faultNone, faultFenced:
	}
	return run()
}

func (s *chaos) CommitTurns(ctx context.Context, n store.NodeID, turns []store.Turn) ([]store.TurnResult, error) {
	s.late()
	defer s.late()
	f := s.draw()
	if f == faultFenced { // one member comes too late
		results, err := s.Store.CommitTurns(ctx, n, turns[1:])
		if err != nil {
			return nil, err
		}
		return append([]store.TurnResult{{Err: store.ErrFenced}}, results...), nil
	}
	return call(s, f, func() ([]store.TurnResult, error) { return s.Store.CommitTurns(ctx, n, turns) })
}

func (s *chaos) ClaimJobs(ctx context.Context, c store.Claim) ([]store.Job, error) {
	s.late()
	defer s.late()
	return call(s, s.draw(), func() ([]store.Job, error) { return s.Store.ClaimJobs(ctx, c) })
}

func (s *chaos) SettleJobs(ctx context.Context, l []store.Settlement) ([]bool, error) {
	return call(s, s.draw(), func() ([]bool, error) { return s.Store.SettleJobs(ctx, l) })
}

func (s *chaos) Load(ctx context.Context, instance string, have history.Token) (*store.Snapshot, error) {
	return call(s, s.draw(), func() (*store.Snapshot, error) { return s.Store.Load(ctx, instance, have) })
}

func (s *chaos) Ready(ctx context.Context, q store.ReadyQuery) (store.ReadyResult, error) {
	return call(s, s.draw(), func() (store.ReadyResult, error) { return s.Store.Ready(ctx, q) })
}

func (s *chaos) LostJobs(ctx context.Context, l []store.JobRef) ([]store.JobRef, error) {
	return call(s, s.draw(), func() ([]store.JobRef, error) { return s.Store.LostJobs(ctx, l) })
}

func (s *chaos) CountAttempt(ctx context.Context, w store.Suspect) (int, error) {
	return call(s, s.draw(), func() (int, error) { return s.Store.CountAttempt(ctx, w) })
}

func (s *chaos) ReleaseSessions(ctx context.Context, n store.NodeID, sessions []string) error {
	return callOnly(s, func() error { return s.Store.ReleaseSessions(ctx, n, sessions) })
}

func (s *chaos) Renew(ctx context.Context, l *store.Lease) error {
	if s.losesLease() {
		return store.ErrNodeLost
	}
	return callOnly(s, func() error { return s.Store.Renew(ctx, l) })
}

func (s *chaos) Leave(ctx context.Context, n store.NodeID) error {
	s.late()
	return callOnly(s, func() error { return s.Store.Leave(ctx, n) })
}

func callOnly(s *chaos, run func() error) error {
	_, err := call(s, s.draw(), func() (struct{}, error) { return struct{}{}, run() })
	return err
}

// TestEverythingEndsRightUnderChaos runs mixed work while storage calls fail, commits are refused and leases are lost,
// on one node and on two. Whatever happens, each instance ends with its right result, and its history replays.
func TestEverythingEndsRightUnderChaos(t *testing.T) {
	p := standard()
	p.Orchestration("child", func(c *simtest.Context, in string) (string, error) {
		if _, err := c.Await(c.Timer(3)); err != nil {
			return "", err
		}
		return c.Await(c.Activity("echo", in))
	})
	p.Orchestration("mixed", func(c *simtest.Context, in string) (string, error) {
		all, err := c.Await(c.All(
			c.Activity("echo", "a"), c.Child("child", "b"), c.Timer(2),
			c.Branch(func(c *simtest.Context) (string, error) {
				if _, err := c.Await(c.Activity("greet", "c")); err != nil {
					return "", err
				}
				return c.Await(c.Activity("echo", "d").OnSession("s"))
			})))
		if err != nil {
			return "", err
		}
		m, err := c.Await(c.Dequeue("q"))
		if err != nil {
			return "", err
		}
		i, _, err := c.Race(c.Activity("echo", "e"), c.Event("never"))
		if err != nil {
			return "", err
		}
		out := fmt.Sprint(all, m, i)
		if in == "last" {
			return out, nil
		}
		if _, err := c.Await(c.Detached("steps", c.Instance()+"-steps", "4")); err != nil {
			return "", err
		}
		return c.Await(c.Activity("echo", out))
	})
	for seed := range uint64(6) {
		for _, live := range []int{100, 3, 0} {
			t.Run(fmt.Sprintf("seed=%d/live=%d", seed, live), func(t *testing.T) {
				w := newWorld(t, openFile(t, filepath.Join(t.TempDir(), "chaos.db")), p)
				s := &chaos{Store: w.store, rand: rand.New(rand.NewPCG(seed, uint64(live)))}
				quiet := func(o *engine.Options) { o.LiveExecutions, o.Log, o.Lease = live, nil, 2*time.Second }
				nodes := []*simtest.Node{simtest.Start(t, s, p, quiet)}
				if seed%2 == 1 {
					nodes = append(nodes, simtest.Start(t, s, p, quiet))
				}
				const n = 12
				for i := range n {
					w.start("m"+strconv.Itoa(i), "mixed", []string{"first", "last"}[i%2])
					w.must(w.client.EnqueueEvent(w.ctx, "m"+strconv.Itoa(i), "q", "mail"))
				}
				for i := range n {
					w.completes("m"+strconv.Itoa(i), "a,b,,dmail0")
					if i%2 == 0 {
						w.completes("m"+strconv.Itoa(i)+"-steps", "4")
					}
				}
				s.calm()
				failures := int64(0)
				for _, node := range nodes {
					failures += node.Metrics().OrchFailures
				}
				if failures != 0 {
					t.Errorf("%d instances failed", failures)
				}
			})
		}
	}
}
