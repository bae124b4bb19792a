package postgres

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/duroxide/duroxide/core/store"
)

// together lets calls that come while others are under way share the next one: many callers at once cost few round trips
// and few commits. Who finds a flight free goes at once and alone, so that a single caller never waits for company.
type together[Q, A any] struct {
	operation string
	isWrite   bool
	// run does the work of all and answers in order. It fails for all alike.
	run func(ctx context.Context, questions []Q) ([]A, error)
	// weigh gives about how many bytes a question sends, for those that may be large.
	weigh func(Q) int

	mu      sync.Mutex
	flying  int
	waiting []*rider[Q, A]
}

const (
	flights    = 2    // side by side: one is made up while the other waits for the disk
	writeSeats = 64   // callers of one flight that writes: rows stay locked as long as it takes
	readSeats  = 1024 // of one that reads
)

// rider is one caller.
type rider[Q, A any] struct {
	ctx      context.Context //nolint:containedctx // of the call that it stands for
	question Q
	answer   A
	err      error
	lead     chan []*rider[Q, A] // gets the group that this caller is to take along
	done     chan struct{}
}

// do answers one question. When ctx ends while the call is under way its outcome is still waited for, for a while.
func (t *together[Q, A]) do(ctx context.Context, question Q) (A, error) {
	r := &rider[Q, A]{ctx: ctx, question: question, lead: make(chan []*rider[Q, A], 1), done: make(chan struct{})}
	t.mu.Lock()
	if t.flying < flights {
		t.flying++
		t.mu.Unlock()
		t.fly([]*rider[Q, A]{r})
		return r.answer, r.err
	}
	t.waiting = append(t.waiting, r)
	t.mu.Unlock()
	select {
	case group := <-r.lead:
		t.fly(group)
		return r.answer, r.err
	case <-r.done:
		return r.answer, r.err
	case <-ctx.Done():
	}
	t.mu.Lock()
	i := slices.Index(t.waiting, r)
	if i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
	}
	t.mu.Unlock()
	var none A
	if i >= 0 {
		return none, context.Cause(ctx)
	}
	patience := time.NewTimer(graceAfter)
	defer patience.Stop()
	select {
	case group := <-r.lead: // others ride along
		t.fly(group)
		return r.answer, r.err
	case <-r.done:
		return r.answer, r.err
	case <-patience.C:
		return none, &store.Error{Operation: t.operation, Retryable: true, Unknown: t.isWrite, Err: context.Cause(ctx)}
	}
}

// fly makes the call of a group, of which the first is the caller.
func (t *together[Q, A]) fly(group []*rider[Q, A]) {
	t.answer(group)
	t.mu.Lock()
	if n := t.boarding(); n > 0 {
		next := slices.Clone(t.waiting[:n])
		t.waiting = slices.Delete(t.waiting, 0, n)
		next[0].lead <- next
	} else {
		t.flying--
	}
	t.mu.Unlock()
	for _, r := range group[1:] {
		close(r.done)
	}
}

// boarding is how many of those that wait go along with the next: not too many, nor too heavy.
func (t *together[Q, A]) boarding() int {
	most := min(len(t.waiting), t.seats())
	if t.weigh == nil {
		return most
	}
	bytes := 0
	for n, r := range t.waiting[:most] {
		if bytes += t.weigh(r.question); n > 0 && bytes > groupBytes {
			return n
		}
	}
	return most
}

func (t *together[Q, A]) seats() int {
	if t.isWrite {
		return writeSeats
	}
	return readSeats
}

func (t *together[Q, A]) answer(group []*rider[Q, A]) {
	questions := make([]Q, len(group))
	for i, r := range group {
		questions[i] = r.question
	}
	ctx, over := untilAllGone(group)
	answers, err := t.run(ctx, questions)
	over()
	if err != nil && len(group) > 1 && !store.IsRetryable(err) && !store.IsUnknown(err) && !isAnswer(err) {
		// What can never be done is the trouble of one, not of those beside it.
		for _, r := range group {
			t.answer([]*rider[Q, A]{r})
		}
		return
	}
	for i, r := range group {
		if r.err = err; err == nil {
			r.answer = answers[i]
		}
	}
}

// untilAllGone gives a context that ends when the last of the group has given up.
func untilAllGone[Q, A any](group []*rider[Q, A]) (context.Context, func()) {
	if len(group) == 1 {
		return group[0].ctx, func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(group[0].ctx))
	var left atomic.Int64
	left.Store(int64(len(group)))
	stops := make([]func() bool, len(group))
	for i, r := range group {
		stops[i] = context.AfterFunc(r.ctx, func() {
			if left.Add(-1) == 0 {
				cancel()
			}
		})
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel()
	}
}
