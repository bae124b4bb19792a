package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// What can never be stored is the trouble of its own turn: here a child whose id no index takes.
func TestTurnThatCannotBeStoredFailsAlone(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	x := newSteps(t, s, 4)
	id := make([]byte, 8000)
	for i := range id {
		id[i] = byte('a' + rand.N(26))
	}
	turns := slices.Clone(x.turns)
	for i := range turns {
		turns[i].Expect, turns[i].New = x.turns[i].New, history.NewToken()
		turns[i].Commit = &replay.Commit{Execution: 1, Events: []history.Event{{ID: 2, Kind: history.ExternalEvent}}}
	}
	turns[2].Commit.Starts = []replay.Start{{Instance: string(id), Name: "flow"}}
	results, err := s.CommitTurns(ctx, "n", turns)
	if err != nil {
		t.Fatal(err)
	}
	for i := range results {
		if i != 2 && results[i].Err != nil {
			t.Errorf("turn %d: %v", i, results[i].Err)
		}
	}
	var e *store.Error
	if !errors.As(results[2].Err, &e) || e.Retryable || e.Unknown {
		t.Errorf("the turn that cannot be stored: %v", results[2].Err)
	}
	if _, err := s.CommitTurns(ctx, "n", turns[2:3]); err == nil || store.IsRetryable(err) {
		t.Errorf("alone: %v", err)
	}
	snapshot, err := s.Load(ctx, turns[2].Instance, history.Token{})
	if err != nil || snapshot.Turn != turns[2].Expect {
		t.Errorf("its instance has moved on: %v", err)
	}
}

// Of a group each member is answered for itself, and those that can be applied are.
func TestMembersOfAGroupAreAnsweredOneByOne(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	x := newSteps(t, s, 6)
	gone := x.results[4].Jobs[0]
	if settled, err := s.SettleJobs(ctx, []store.Settlement{{Job: gone.JobRef}}); err != nil || !settled[0] {
		t.Fatal(settled, err)
	}
	for i := range x.turns {
		x.turns[i].Expect, x.turns[i].New = x.turns[i].New, history.NewToken()
		job := x.results[i].Jobs[0]
		x.turns[i].Commit = &replay.Commit{
			Execution: 1, Events: []history.Event{{ID: 2, Kind: history.ActivityCompleted, Source: 1}},
			Consumed: []history.Message{{Kind: history.MsgActivityCompleted, JobID: job.ID, JobToken: job.Token}},
		}
		x.turns[i].Claim.Limit = 0
	}
	x.turns[1].Expect = history.NewToken()
	x.turns[3].Instance = "nobody"
	slices.Reverse(x.turns) // answers come in the order of the turns, not of the locks
	results, err := s.CommitTurns(ctx, "n", x.turns)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(results)
	for i, want := range []error{nil, store.ErrFenced, nil, store.ErrFenced, store.ErrJobsLost, nil} {
		if !errors.Is(results[i].Err, want) {
			t.Errorf("turn %d: %v, want %v", i, results[i].Err, want)
		}
	}
	if lost := results[4].LostJobs; len(lost) != 1 || lost[0] != gone.JobRef {
		t.Errorf("lost: %v", lost)
	}
}

// Mail whose sender saw its instance running may be stored beside the turn that ends it. Nobody sees it from then on, and
// who comes upon it removes it.
func TestMailThatCrossesTheEndOfItsInstanceIsDiscarded(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	x := newSteps(t, s, 1)
	x.turns[0].Expect, x.turns[0].New = x.turns[0].New, history.NewToken()
	x.turns[0].Commit = &replay.Commit{Execution: 1, Status: replay.Completed, Events: []history.Event{{ID: 2, Kind: history.OrchestrationCompleted}}}
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(ctx) }()
	enqueue := s.sql.in("SELECT stored FROM {schema}.duroxide_enqueue(1, ARRAY[$1], ARRAY['mail'], ARRAY['id'], ARRAY['q'], ARRAY['1'])")
	var stored bool
	if err := tx.QueryRow(ctx, enqueue, x.turns[0].Instance).Scan(&stored); err != nil || !stored {
		t.Fatal("the mail is stored while the instance runs:", stored, err)
	}
	if results, err := s.CommitTurns(ctx, "n", x.turns); err != nil || results[0].Err != nil {
		t.Fatal(results, err)
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	left := func() (rows int) {
		t.Helper()
		if err := s.pool.QueryRow(ctx, s.sql.in("SELECT count(*) FROM {schema}.duroxide_messages")).Scan(&rows); err != nil {
			t.Fatal(err)
		}
		return rows
	}
	if left() != 1 {
		t.Fatal("the mail and the end did not cross")
	}
	stats, err := s.InstanceStats(ctx, x.turns[0].Instance)
	if err != nil || stats.QueuePending != 0 {
		t.Errorf("counted: %+v, %v", stats, err)
	}
	rows, err := s.Inspect(ctx, x.turns[0].Instance)
	if err != nil || len(rows.Messages) != 0 {
		t.Errorf("seen: %v, %v", rows, err)
	}
	ready, err := s.Ready(ctx, store.ReadyQuery{Node: "n", Names: []string{"sequence@1.0.0"}, Limit: 10})
	if err != nil || len(ready.Instances) != 0 || left() != 0 {
		t.Errorf("come upon: %v, %v, %d left", ready, err, left())
	}
}

// Two groups that share instances never wait for each other: also one in which an execution continues as new has locked
// nothing behind the row that it waits for.
func TestGroupsLockRowsInTheOrderOfTheirIDs(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	x := newSteps(t, s, 3)
	for i := range x.turns {
		x.turns[i].Expect, x.turns[i].New, x.turns[i].Claim = x.turns[i].New, history.NewToken(), store.Claim{}
		x.turns[i].Commit = &replay.Commit{Execution: 1, Events: []history.Event{{ID: 2, Kind: history.ExternalEvent, Name: "e"}}}
	}
	x.turns[1].Commit.Status = replay.ContinuedAsNew
	x.turns[1].Commit.Next = &history.Event{ID: 1, Kind: history.OrchestrationStarted, Name: "sequence", Version: "1.0.0"}
	slices.Reverse(x.turns)
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(ctx) }()
	lock := s.sql.in("SELECT FROM {schema}.duroxide_instances WHERE instance = $1 FOR NO KEY UPDATE NOWAIT")
	if _, err := tx.Exec(ctx, lock, "instance-0"); err != nil {
		t.Fatal(err)
	}
	committed := make(chan error, 1)
	go func() {
		results, err := s.CommitTurns(ctx, "n", x.turns)
		for i := range results {
			err = errors.Join(err, results[i].Err)
		}
		committed <- err
	}()
	conn, err := s.pool.Acquire(ctx) // a transaction sees always the same of others
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	seen := &barrier{conn: conn.Conn(), schema: s.schema}
	until(t, "the group waits", func() bool { return len(seen.processes(t, "wait_event_type = 'Lock'")) > 0 })
	for _, behind := range []string{"instance-1", "instance-2"} {
		if _, err := tx.Exec(ctx, lock, behind); err != nil {
			t.Errorf("%s: %v", behind, err)
			break
		}
	}
	_ = tx.Rollback(ctx)
	if err := <-committed; err != nil {
		t.Fatal(err)
	}
	executions, err := s.Executions(ctx, "instance-1")
	if err != nil || len(executions) != 2 {
		t.Errorf("%v, %v", executions, err)
	}
}
