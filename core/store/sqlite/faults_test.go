package sqlite

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/duroxide/duroxide/core/check"
	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// exclusively runs SQL on the writer's connection, outside of any transaction.
func exclusively(t *testing.T, s *Store, fn func(*sqlite.Conn) error) {
	t.Helper()
	if err := s.write(t.Context(), &member{operation: "test", alone: fn}); err != nil {
		t.Fatal(err)
	}
}

// begun starts instances and commits their first turn; the turns that it gives are ready to be committed next.
func begun(t *testing.T, s *Store, n, payload int) []store.Turn {
	t.Helper()
	turns := make([]store.Turn, n)
	for i := range turns {
		id := fmt.Sprintf("i-%02d", i)
		startForTest(t, s, id)
		snapshot, err := s.Load(t.Context(), id, history.Token{})
		if err != nil {
			t.Fatal(err)
		}
		now := s.Now()
		turns[i] = store.Turn{
			Instance: id, Life: snapshot.Life, Expect: snapshot.Turn, New: history.NewToken(), Name: "flow", Version: "1.0.0",
			Commit: &replay.Commit{Execution: 1, Consumed: snapshot.Messages, Events: []history.Event{
				{ID: 1, Kind: history.OrchestrationStarted, Name: "flow", Version: "1.0.0", Time: now},
			}},
		}
	}
	results, err := s.CommitTurns(t.Context(), "node", turns)
	if err != nil {
		t.Fatal(err)
	}
	for i := range turns {
		if results[i].Err != nil {
			t.Fatal(results[i].Err)
		}
		input := strings.Repeat("x", payload)
		turns[i].Expect, turns[i].New = turns[i].New, history.NewToken()
		turns[i].Commit = &replay.Commit{
			Execution: 1,
			Events:    []history.Event{{ID: 2, Kind: history.ActivityScheduled, Name: "work", Data: input, Time: s.Now()}},
			Jobs:      []replay.Job{{Schedule: 2, Name: "work", Input: input}},
		}
	}
	return turns
}

// verify compares what was answered with what is stored, and checks all invariants.
func verify(t *testing.T, s *Store, turns []store.Turn, results []store.TurnResult) (applied int) {
	t.Helper()
	for i := range turns {
		snapshot, err := s.Load(t.Context(), turns[i].Instance, history.Token{})
		if err != nil {
			t.Fatal(err)
		}
		there := snapshot.Turn == turns[i].New
		said := results != nil && results[i].Err == nil
		if there != said {
			t.Errorf("%s: applied %v, answered %v", turns[i].Instance, there, said)
		}
		if there {
			applied++
		}
		if !said && results != nil && !store.IsRetryable(results[i].Err) {
			t.Errorf("%s: %v", turns[i].Instance, results[i].Err)
		}
	}
	violations, err := check.Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range violations {
		t.Error(v)
	}
	return applied
}

func stores(t *testing.T, run func(t *testing.T, open func(t *testing.T) *Store)) {
	t.Helper()
	t.Run("file", func(t *testing.T) {
		run(t, func(t *testing.T) *Store { t.Helper(); return openForTest(t, filepath.Join(t.TempDir(), "store.db")) })
	})
	t.Run("memory", func(t *testing.T) { run(t, openMemoryForTest) })
}

// The disk gets full at one page after the other, so that it hits every statement of every member of the group once.
func TestAFullDiskFailsOnlyWhatDidNotFit(t *testing.T) {
	stores(t, func(t *testing.T, open func(t *testing.T) *Store) {
		t.Helper()
		const members = 6
		partly := false
		for room := 0; ; room++ {
			s := open(t)
			turns := begun(t, s, members, 3000)
			exclusively(t, s, func(c *sqlite.Conn) error {
				pages := int64(0)
				_, err := prepared(c, "PRAGMA page_count").first(func(row *sqlite.Stmt) { pages = row.ColumnInt64(0) })
				return errors.Join(err, prepared(c, fmt.Sprintf("PRAGMA max_page_count = %d", pages+int64(room))).exec())
			})
			results, err := s.CommitTurns(t.Context(), "node", turns)
			if err != nil && !store.IsRetryable(err) || store.IsUnknown(err) {
				t.Fatalf("room for %d pages: %v", room, err)
			}
			applied := verify(t, s, turns, results)
			partly = partly || applied > 0 && applied < members
			if applied == members {
				break
			}
			exclusively(t, s, func(c *sqlite.Conn) error { return prepared(c, "PRAGMA max_page_count = 1000000").exec() })
			var rest []store.Turn
			for i := range turns {
				if results == nil || results[i].Err != nil {
					rest = append(rest, turns[i])
				}
			}
			again, err := s.CommitTurns(t.Context(), "node", rest)
			if err != nil {
				t.Fatal(err)
			}
			if verify(t, s, rest, again) != len(rest) {
				t.Fatal("not applied when there was room again")
			}
		}
		if !partly {
			t.Error("no group was applied in part: the redo one by one was not tried")
		}
	})
}

// An interrupt in one member rolls the whole transaction back; the others must stand all the same.
func TestAnInterruptedMemberSpoilsNoOther(t *testing.T) {
	stores(t, func(t *testing.T, open func(t *testing.T) *Store) {
		t.Helper()
		for _, victim := range []int{0, 2, 4} {
			s := open(t)
			interrupt := make(chan struct{})
			members := make([]*member, 5)
			for i := range members {
				members[i] = &member{operation: "test", run: func(tx *tx) error {
					err := prepared(tx.Conn, "INSERT INTO duroxide_meta (key, value) VALUES (?, '')").text(fmt.Sprintf("key-%d", i)).exec()
					if err != nil || i != victim {
						return err
					}
					tx.SetInterrupt(interrupt)
					defer tx.SetInterrupt(nil)
					go close(interrupt)
					defer func() { interrupt = make(chan struct{}) }()
					return prepared(tx.Conn, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000000)
						INSERT INTO duroxide_taken (message_id) SELECT i FROM n`).exec()
				}}
			}
			if err := s.file.write(t.Context(), members...); err != nil {
				t.Fatal(err)
			}
			for i, m := range members {
				there := false
				exclusively(t, s, func(c *sqlite.Conn) (err error) {
					there, err = prepared(c, "SELECT 1 FROM duroxide_meta WHERE key = ?").text(fmt.Sprintf("key-%d", i)).
						first(func(*sqlite.Stmt) {})
					return err
				})
				if i == victim {
					if sqlite.ErrCode(m.err) != sqlite.ResultInterrupt || !store.IsRetryable(m.err) || there {
						t.Errorf("victim: %v, stored %v", m.err, there)
					}
				} else if m.err != nil || !there {
					t.Errorf("member %d beside victim %d: %v, stored %v", i, victim, m.err, there)
				}
			}
		}
	})
}

// Errors that leave the transaction alone are undone by the member's savepoint.
func TestAFailedMemberIsUndoneAlone(t *testing.T) {
	stores(t, func(t *testing.T, open func(t *testing.T) *Store) {
		t.Helper()
		s := open(t)
		fail := errors.New("no")
		members := make([]*member, 5)
		for i := range members {
			members[i] = &member{operation: "test", run: func(tx *tx) error {
				err := prepared(tx.Conn, "INSERT INTO duroxide_meta (key, value) VALUES (?, '')").text(fmt.Sprintf("key-%d", i)).exec()
				if i%2 == 1 {
					return errors.Join(err, fail)
				}
				return err
			}}
		}
		if err := s.file.write(t.Context(), members...); err != nil {
			t.Fatal(err)
		}
		for i, m := range members {
			if errors.Is(m.err, fail) != (i%2 == 1) {
				t.Errorf("member %d: %v", i, m.err)
			}
		}
		exclusively(t, s, func(c *sqlite.Conn) error {
			_, err := prepared(c, "SELECT count(*) FROM duroxide_meta WHERE key LIKE 'key-%'").first(func(row *sqlite.Stmt) {
				if n := row.ColumnInt(0); n != 3 {
					t.Errorf("%d rows", n)
				}
			})
			return err
		})
	})
}

// failCommit makes the COMMIT of the next group report an error before or after it was done.
func failCommit(s *Store, done bool) {
	s.file.commitHook = func(c *sqlite.Conn) error {
		s.file.commitHook = nil
		if done {
			if err := prepared(c, "COMMIT").exec(); err != nil {
				return err
			}
		}
		return errors.New("disk I/O error")
	}
}

func TestAnUnknownCommitIsLookedUp(t *testing.T) {
	for _, done := range []bool{true, false} {
		t.Run(fmt.Sprintf("done %v", done), func(t *testing.T) {
			s := openForTest(t, filepath.Join(t.TempDir(), "store.db"))
			turns := begun(t, s, 3, 100)
			failCommit(s, done)
			results, err := s.CommitTurns(t.Context(), "node", turns)
			if done != (err == nil) || store.IsUnknown(err) {
				t.Fatalf("done %v: %v", done, err)
			}
			if applied := verify(t, s, turns, results); (applied == 3) != done {
				t.Errorf("%d applied", applied)
			}
			failCommit(s, done)
			r, err := s.Start(t.Context(), store.Start{Instance: "new", Name: "flow"})
			if done != (err == nil && r.Started) || store.IsUnknown(err) {
				t.Errorf("start: %v %v", r, err)
			}
			failCommit(s, done)
			stored, err := s.Enqueue(t.Context(), []store.Enqueue{{Instance: "i-00", Message: history.Message{
				Kind: history.MsgEvent, ID: "message", Name: "e",
			}}})
			if done != (err == nil && stored[0]) || store.IsUnknown(err) {
				t.Errorf("enqueue: %v %v", stored, err)
			}
			if _, err := s.Join(t.Context(), store.Node{ID: "node", LeaseMS: 60_000}); err != nil {
				t.Fatal(err)
			}
			failCommit(s, done)
			claim := store.Claim{Node: "node", Limit: 1, Activities: map[string]bool{"work": true}, Tags: store.TagFilter{Untagged: true}}
			jobs, err := s.ClaimJobs(t.Context(), claim)
			if done && (err != nil || len(jobs) != 1) {
				t.Errorf("claim: %v %v", jobs, err)
			}
		})
	}
}

func TestAFailedCommitInMemoryIsRolledBack(t *testing.T) {
	s := openMemoryForTest(t)
	turns := begun(t, s, 1, 100)
	failCommit(s, false)
	_, err := s.CommitTurns(t.Context(), "node", turns)
	if err == nil || store.IsUnknown(err) {
		t.Fatalf("commit: %v", err)
	}
	if applied := verify(t, s, turns, nil); applied != 0 {
		t.Error("applied")
	}
	results, err := s.CommitTurns(t.Context(), "node", turns)
	if err != nil || results[0].Err != nil {
		t.Fatal(err, results)
	}
}

func TestABigMemberCommitsAlone(t *testing.T) {
	f := &file{queue: []*member{{}, {}, {bytes: 2 << 20}, {}, {alone: func(*sqlite.Conn) error { return nil }}, {}}}
	for _, want := range []int{2, 1, 1, 1, 1} {
		if got := len(f.take(nextGroup)); got != want {
			t.Errorf("group of %d, want %d", got, want)
		}
	}
	for range groupSize + 1 {
		f.queue = append(f.queue, &member{})
	}
	if got := len(f.take(nextGroup)); got != groupSize {
		t.Errorf("group of %d", got)
	}
}

func TestOpeningInMemoryIsQuick(t *testing.T) {
	best := time.Hour
	for range 10 {
		began := time.Now()
		s, err := OpenMemory(Options{})
		if err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(began))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if best > 100*time.Millisecond {
		t.Errorf("takes %v", best)
	}
	t.Logf("takes %v", best)
}
