package postgres

import (
	"context"
	"fmt"
	"testing"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// The yardstick for the others in the same run.
func BenchmarkRoundTrip(b *testing.B) {
	s := newStore(b)
	ctx := context.Background()
	for b.Loop() {
		var one int
		if err := s.pool.QueryRow(ctx, "SELECT 1").Scan(&one); err != nil {
			b.Fatal(err)
		}
	}
}

// The commit of a step as a sequence of activities makes it: the result of one is taken, the next is inserted and
// claimed.
func BenchmarkCommitTurns(b *testing.B) {
	for _, group := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(group), func(b *testing.B) {
			s := newStore(b)
			steps := newSteps(b, s, group)
			b.ResetTimer()
			for range b.N {
				steps.commit(b, s)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*group), "us/turn")
		})
	}
}

// steps are instances that run a sequence of activities side by side.
type steps struct {
	turns   []store.Turn
	results []store.TurnResult
	next    int64
	payload string
}

func newSteps(tb testing.TB, s *Store, group int) *steps {
	tb.Helper()
	return newStepsOf(tb, s, "instance", group)
}

func newStepsOf(tb testing.TB, s *Store, name string, group int) *steps {
	tb.Helper()
	ctx := context.Background()
	claim := store.Claim{Node: "n", Limit: 1, Activities: map[string]bool{"work": true}, Tags: store.TagFilter{Untagged: true}}
	x := &steps{turns: make([]store.Turn, group), next: 2, payload: fmt.Sprintf(`{"a": "%0180d"}`, 7)}
	for i := range x.turns {
		id := fmt.Sprintf("%s-%d", name, i)
		if _, err := s.Start(ctx, store.Start{Instance: id, Name: "sequence", Input: "{}"}); err != nil {
			tb.Fatal(err)
		}
		snapshot, err := s.Load(ctx, id, history.Token{})
		if err != nil {
			tb.Fatal(err)
		}
		x.turns[i] = store.Turn{
			Instance: id, Life: snapshot.Life, Expect: snapshot.Turn, New: history.NewToken(), Name: "sequence", Version: "1.0.0",
			Claim: claim, Commit: &replay.Commit{
				Execution: 1, Events: []history.Event{{ID: 1, Kind: history.OrchestrationStarted, Name: "sequence"}},
				Consumed: snapshot.Messages, Jobs: []replay.Job{{Schedule: 1, Name: "work"}},
			},
		}
	}
	var err error
	if x.results, err = s.CommitTurns(ctx, "n", x.turns); err != nil {
		tb.Fatal(err)
	}
	return x
}

func (x *steps) commit(tb testing.TB, s *Store) {
	tb.Helper()
	for i := range x.turns {
		job := x.results[i].Jobs[0]
		x.turns[i].Expect, x.turns[i].New = x.turns[i].New, history.NewToken()
		x.turns[i].Commit = &replay.Commit{
			Execution: 1,
			Events: []history.Event{
				{ID: x.next, Kind: history.ActivityCompleted, Source: x.next - 1, Data: x.payload, Time: 1_700_000_000_000},
				{ID: x.next + 1, Kind: history.ActivityScheduled, Name: "work", Data: x.payload, Time: 1_700_000_000_000, At: "flow.py:12"},
			},
			Consumed: []history.Message{{Kind: history.MsgActivityCompleted, JobID: job.ID, JobToken: job.Token}},
			Jobs:     []replay.Job{{Schedule: x.next + 1, Name: "work", Input: x.payload}},
		}
	}
	x.next += 2
	var err error
	if x.results, err = s.CommitTurns(context.Background(), "n", x.turns); err != nil {
		tb.Fatal(err)
	}
	for i := range x.results {
		if x.results[i].Err != nil {
			tb.Fatal(x.results[i].Err)
		}
	}
}

// The least that a durable change of one row costs.
func BenchmarkBareCommit(b *testing.B) {
	s := newStore(b)
	ctx := context.Background()
	for b.Loop() {
		if _, err := s.pool.Exec(ctx, s.sql.in("UPDATE {schema}.duroxide_meta SET value = $1 WHERE key = 'min_writer'"), "1"); err != nil {
			b.Fatal(err)
		}
	}
}
