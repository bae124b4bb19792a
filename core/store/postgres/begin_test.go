package postgres

import (
	"context"
	"errors"
	"testing"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// firstTurn makes the turn that begins an instance.
func firstTurn(id string) store.Turn {
	return store.Turn{
		Instance: id, Life: newLife(), Expect: history.NewToken(), New: history.NewToken(), Name: "flow", Version: "1.0.0", Begin: true,
		Commit: &replay.Commit{
			Execution: 1, Events: []history.Event{{ID: 1, Kind: history.OrchestrationStarted, Name: "flow"}},
			Consumed: []history.Message{{Kind: history.MsgStart}},
		},
	}
}

// A turn that begins an instance passes no fence but of what it has inserted itself, were life and turn the same: those of a start
// whose client has stored it by itself.
func TestFirstTurnDoesNotPassForAnothersStart(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	for _, group := range []bool{false, true} {
		id := map[bool]string{false: "alone", true: "grouped"}[group]
		startOne(t, s, id)
		before, err := s.Load(ctx, id, history.Token{})
		if err != nil {
			t.Fatal(err)
		}
		turn := firstTurn(id)
		turn.Life, turn.Expect = before.Life, before.Turn
		turns := []store.Turn{turn}
		if group {
			turns = append(turns, firstTurn("other"))
		}
		results, err := s.CommitTurns(ctx, "n", turns)
		if err != nil || !errors.Is(results[0].Err, store.ErrExists) {
			t.Errorf("%s: %v, %v", id, results, err)
		}
		if group && results[1].Err != nil {
			t.Error(results[1].Err)
		}
		if after, err := s.Load(ctx, id, history.Token{}); err != nil || len(after.Events) != 0 || len(after.Messages) != 1 {
			t.Errorf("%s: %+v, %v", id, after, err)
		}
	}
}

// The look-up of a group knows nothing from an instance that is not there: its id may have been in use.
func TestMissingBeginningTellsNothingOfTheGroup(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	x := newSteps(t, s, 1)
	followed := x.turns[0]
	x.commit(t, s)
	followed.Commit = &replay.Commit{Execution: 1, Consumed: followed.Commit.Consumed} // leaves no event
	for _, c := range []struct {
		name  string
		turns []store.Turn
		known bool
	}{
		{"it alone", []store.Turn{firstTurn("a")}, true},
		{"several", []store.Turn{firstTurn("a"), firstTurn("b")}, true},
		{"beside one that another turn has followed", []store.Turn{firstTurn("a"), followed}, false},
	} {
		members := make([]int, len(c.turns))
		for i := range members {
			members[i] = i
		}
		looking, err := newCommitting(s, "n", c.turns, members)
		if err != nil {
			t.Fatal(err)
		}
		if applied, known, err := looking.applied(ctx, s.pool); applied || known != c.known || err != nil {
			t.Errorf("%s: applied %v, known %v, %v", c.name, applied, known, err)
		}
	}
}

func TestBeginningWhoseAnswerIsLostIsFoundOut(t *testing.T) {
	ctx := context.Background()
	for _, group := range []bool{false, true} {
		x, through := newCrossing(t)
		s := openThrough(t, through, Options{})
		turns := []store.Turn{firstTurn("a")}
		if group {
			turns = append(turns, firstTurn("b"))
		}
		newBarrier(t, s, "INSERT ON {schema}.duroxide_history").lose(t, x, func() {
			results, err := s.CommitTurns(ctx, "n", turns)
			if err != nil {
				t.Error(err)
				return
			}
			for i := range results {
				if results[i].Err != nil {
					t.Error(results[i].Err)
				}
			}
		})
		if begun, err := s.Load(ctx, "a", history.Token{}); err != nil || len(begun.Events) != 1 || len(begun.Messages) != 0 {
			t.Error(begun, err)
		}
	}
}

func TestBeginningThatWasGivenUpNeverArrives(t *testing.T) {
	ctx := context.Background()
	x, through := newCrossing(t)
	x.held = []byte("late-id")
	s := openThrough(t, through, Options{})
	hurry, cancel := context.WithCancel(ctx)
	x.cutOff = cancel
	_, err := s.CommitTurns(hurry, "n", []store.Turn{firstTurn("late-id")})
	if !store.IsRetryable(err) || store.IsUnknown(err) {
		t.Fatal(err)
	}
	x.deliver(t)
	if _, err := s.Load(ctx, "late-id", history.Token{}); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
}

// Other jobs wait, so the older one is claimed; and what came before the start is there all the same.
func TestBeginningClaimsTheOldestJob(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	x := newSteps(t, s, 1)
	giveBack(ctx, t, s, x.results[0].Jobs...)
	mail := history.Message{Kind: history.MsgMail, Name: "q", Data: "m"}
	if kept, err := s.Enqueue(ctx, []store.Enqueue{{Instance: "a", Message: mail}}); err != nil || !kept[0] {
		t.Fatal(kept, err)
	}
	turn := firstTurn("a")
	turn.Claim = x.turns[0].Claim
	turn.Commit.Jobs = []replay.Job{{Schedule: 2, Name: "work"}}
	results, err := s.CommitTurns(ctx, "n", []store.Turn{turn})
	if err != nil || results[0].Err != nil || len(results[0].Jobs) != 1 || results[0].Jobs[0].Instance != "instance-0" {
		t.Fatal(results, err)
	}
	if queued, err := s.InstanceStats(ctx, "a"); err != nil || queued.QueuePending != 1 {
		t.Error(queued, err)
	}
}
