package sqlite

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// The commit of a step as a sequence of activities makes it: the result of one is taken, the next is inserted and
// claimed.
func BenchmarkCommitTurns(b *testing.B) {
	for _, group := range []int{1, 8, 64} {
		for _, where := range []string{"file", "memory"} {
			b.Run(fmt.Sprintf("%s/%d", where, group), func(b *testing.B) {
				s := benchStore(b, where)
				ctx := b.Context()
				if _, err := s.Join(ctx, store.Node{ID: "n", LeaseMS: 3_600_000}); err != nil {
					b.Fatal(err)
				}
				claim := store.Claim{Node: "n", Limit: 1, Activities: map[string]bool{"work": true}, Tags: store.TagFilter{Untagged: true}}
				turns := make([]store.Turn, group)
				for i := range turns {
					id := fmt.Sprintf("instance-%d", i)
					if _, err := s.Start(ctx, store.Start{Instance: id, Name: "sequence", Input: "{}"}); err != nil {
						b.Fatal(err)
					}
					snapshot, err := s.Load(ctx, id, history.Token{})
					if err != nil {
						b.Fatal(err)
					}
					turns[i] = store.Turn{
						Instance: id, Life: snapshot.Life, Expect: snapshot.Turn, New: history.NewToken(), Name: "sequence", Version: "1.0.0",
						Claim: claim, Commit: &replay.Commit{
							Execution: 1, Events: []history.Event{{ID: 1, Kind: history.OrchestrationStarted, Name: "sequence"}},
							Consumed: snapshot.Messages, Jobs: []replay.Job{{Schedule: 1, Name: "work"}},
						},
					}
				}
				results, err := s.CommitTurns(ctx, "n", turns)
				if err != nil {
					b.Fatal(err)
				}
				payload := string(make([]byte, 0, 200)) + "{\"a\": \"" + fmt.Sprintf("%0180d", 7) + "\"}"
				took := make([]time.Duration, 0, b.N)
				b.ResetTimer()
				next := int64(2)
				for range b.N {
					for i := range turns {
						job := results[i].Jobs[0]
						turns[i].Expect, turns[i].New = turns[i].New, history.NewToken()
						turns[i].Commit = &replay.Commit{
							Execution: 1,
							Events: []history.Event{
								{ID: next, Kind: history.ActivityCompleted, Source: next - 1, Data: payload, Time: 1_700_000_000_000},
								{ID: next + 1, Kind: history.ActivityScheduled, Name: "work", Data: payload, Time: 1_700_000_000_000, At: "flow.py:12"},
							},
							Consumed: []history.Message{{Kind: history.MsgActivityCompleted, JobID: job.ID, JobToken: job.Token}},
							Jobs:     []replay.Job{{Schedule: next + 1, Name: "work", Input: payload}},
						}
					}
					next += 2
					begun := time.Now()
					if results, err = s.CommitTurns(ctx, "n", turns); err != nil {
						b.Fatal(err)
					}
					took = append(took, time.Since(begun))
					for i := range results {
						if results[i].Err != nil {
							b.Fatal(results[i].Err)
						}
					}
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*group), "us/turn")
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us/commit")
				b.ReportMetric(float64(took[len(took)*95/100].Microseconds()), "p95-us/commit")
				b.ReportMetric(float64(took[len(took)-1].Microseconds()), "max-us/commit")
			})
		}
	}
}

func benchStore(b *testing.B, where string) *Store {
	b.Helper()
	var s *Store
	var err error
	if where == "file" {
		s, err = Open(filepath.Join(b.TempDir(), "bench.db"), Options{})
	} else {
		s, err = OpenMemory(Options{})
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}
