package simtest_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/duroxide/duroxide/core/engine"
	"github.com/duroxide/duroxide/core/simtest"
	"github.com/duroxide/duroxide/core/store"
)

// lateClaims is a store whose first claim has looked, and answers only after a commit that inserts jobs.
type lateClaims struct {
	store.Store
	store.Inspector
	looked, committed chan struct{}
	once              struct{ claim, commit sync.Once }
}

func (s *lateClaims) ClaimJobs(ctx context.Context, c store.Claim) ([]store.Job, error) {
	jobs, err := s.Store.ClaimJobs(ctx, c)
	s.once.claim.Do(func() {
		close(s.looked)
		select {
		case <-s.committed:
		case <-ctx.Done():
		}
	})
	return jobs, err
}

func (s *lateClaims) CommitTurns(ctx context.Context, node store.NodeID, turns []store.Turn) ([]store.TurnResult, error) {
	results, err := s.Store.CommitTurns(ctx, node, turns)
	for i := range turns {
		if len(turns[i].Commit.Jobs) > 0 {
			s.once.commit.Do(func() { close(s.committed) })
		}
	}
	return results, err
}

func TestJobsThatACommitLeavesWhileAClaimIsUnderWayWaitForNoPoll(t *testing.T) {
	for i := range 5 {
		p := standard()
		under := openMemory(t)
		s := &lateClaims{
			Store: under, Inspector: under.(store.Inspector), //nolint:errcheck,forcetypeassert // every store shows its rows
			looked: make(chan struct{}), committed: make(chan struct{}),
		}
		w := newWorld(t, s, p)
		simtest.Start(t, w.store, p, func(o *engine.Options) { o.PollInterval, o.Lease = time.Hour, time.Hour })
		<-s.looked
		id := "s" + strconv.Itoa(i)
		w.start(id, "steps", "3")
		w.completes(id, "3")
	}
}
