package postgres

import (
	"context"
	"net/url"
	"testing"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// claimer gives the node and token by which a job is claimed.
func claimer(ctx context.Context, t *testing.T, s *Store, job int64) (node string, token history.Token) {
	t.Helper()
	var scanned tokenScanner
	err := s.pool.QueryRow(ctx, s.sql.in("SELECT coalesce(node, ''), token FROM {schema}.duroxide_jobs WHERE id = $1"), job).
		Scan(&node, &scanned)
	if err != nil {
		t.Fatal(err)
	}
	return node, scanned.token
}

func giveBack(ctx context.Context, t *testing.T, s *Store, jobs ...store.Job) {
	t.Helper()
	for i := range jobs {
		if settled, err := s.SettleJobs(ctx, []store.Settlement{{Job: jobs[i].JobRef}}); err != nil || !settled[0] {
			t.Fatal(settled, err)
		}
	}
}

// Who has lost an answer asks the store what has become of the call, and does it again when it has not come through. The
// server may be at it all the same.
func TestWhatTheServerIsStillAtIsDoneOnce(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, x *crossing, through string) string{
		"behind a pooler": func(_ *testing.T, x *crossing, through string) string {
			x.foreign = true
			return through
		},
		"as another role": func(t *testing.T, _ *crossing, through string) string {
			t.Helper()
			name, password := newRole(t, "")
			admin(t, "GRANT postgres TO "+name, "ALTER ROLE "+name+" SET role = postgres")
			u, err := url.Parse(through)
			if err != nil {
				t.Fatal(err)
			}
			u.User = url.UserPassword(name, password)
			return u.String()
		},
	} {
		t.Run(name, func(t *testing.T) {
			x, through := newCrossing(t)
			stillAtWork(t, x, prepare(t, x, through))
		})
	}
}

func stillAtWork(t *testing.T, x *crossing, through string) {
	t.Run("event", func(t *testing.T) {
		ctx := context.Background()
		s := openThrough(t, through, Options{})
		startOne(t, s, "a")
		newBarrier(t, s, "INSERT ON {schema}.duroxide_messages").lose(t, x, func() {
			stored, err := s.Enqueue(ctx, []store.Enqueue{{Instance: "a", Message: history.Message{Kind: history.MsgEvent, ID: "one", Name: "e"}}})
			if err != nil || !stored[0] {
				t.Error(stored, err)
			}
		})
		if snapshot, err := s.Load(ctx, "a", history.Token{}); err != nil || len(snapshot.Messages) != 2 {
			t.Errorf("beside the start there are, for one event: %v, %v", snapshot.Messages, err)
		}
	})
	t.Run("start", func(t *testing.T) {
		ctx := context.Background()
		s := openThrough(t, through, Options{})
		newBarrier(t, s, "INSERT ON {schema}.duroxide_messages").lose(t, x, func() {
			r, err := s.Start(ctx, store.Start{Instance: "a", Name: "flow", IfExists: store.ExistsError})
			if err != nil || !r.Started {
				t.Errorf("the only start of a new id: %v, %v", r, err)
			}
		})
	})
	t.Run("claim", func(t *testing.T) {
		ctx := context.Background()
		s := openThrough(t, through, Options{})
		steps := newSteps(t, s, 1)
		giveBack(ctx, t, s, steps.results[0].Jobs...)
		var jobs []store.Job
		newBarrier(t, s, "UPDATE ON {schema}.duroxide_jobs").lose(t, x, func() {
			var err error
			if jobs, err = s.ClaimJobs(ctx, steps.turns[0].Claim); err != nil {
				t.Error(err)
			}
		})
		node, token := claimer(ctx, t, s, steps.results[0].Jobs[0].ID)
		if node != "" && (len(jobs) == 0 || jobs[0].Token != token) {
			t.Errorf("claimed by %q, which was told of %v", node, jobs)
		}
	})
	t.Run("delete", func(t *testing.T) {
		ctx := context.Background()
		s := openThrough(t, through, Options{})
		startOne(t, s, "a")
		newBarrier(t, s, "INSERT ON {schema}.duroxide_answers").lose(t, x, func() {
			if d, err := s.Delete(ctx, "a", true); err != nil || d.Instances != 1 {
				t.Error(d, err)
			}
		})
	})
	t.Run("commit", func(t *testing.T) {
		ctx := context.Background()
		s := openThrough(t, through, Options{})
		steps := newSteps(t, s, 1)
		newBarrier(t, s, "INSERT ON {schema}.duroxide_history").lose(t, x, func() { steps.commit(t, s) })
		job := steps.results[0].Jobs[0]
		if node, token := claimer(ctx, t, s, job.ID); node != "n" || token != job.Token {
			t.Errorf("claimed by %q with %v, told %v", node, token, job.Token)
		}
	})
}

// What was found not to have come through never does, though it is on its way.
func TestWhatArrivesAfterItWasLookedUpIsNotDone(t *testing.T) {
	t.Run("event", func(t *testing.T) {
		ctx := context.Background()
		x, through := newCrossing(t)
		x.held = []byte("id-of-the-event")
		s := openThrough(t, through, Options{})
		startOne(t, s, "a")
		stored, err := s.Enqueue(ctx, []store.Enqueue{
			{Instance: "a", Message: history.Message{Kind: history.MsgEvent, ID: string(x.held), Name: "e"}},
		})
		if err != nil || !stored[0] {
			t.Fatal(stored, err)
		}
		x.deliver(t)
		if snapshot, err := s.Load(ctx, "a", history.Token{}); err != nil || len(snapshot.Messages) != 2 {
			t.Errorf("beside the start there are, for one event: %v, %v", snapshot.Messages, err)
		}
	})
	t.Run("claim", func(t *testing.T) {
		ctx := context.Background()
		x, through := newCrossing(t)
		x.held = []byte("node-that-claims")
		s := openThrough(t, through, Options{})
		steps := newSteps(t, s, 2)
		free := []store.Job{steps.results[0].Jobs[0], steps.results[1].Jobs[0]}
		giveBack(ctx, t, s, free...)
		claim := steps.turns[0].Claim
		claim.Node = store.NodeID(x.held)
		jobs, err := s.ClaimJobs(ctx, claim)
		if err != nil || len(jobs) != 1 || jobs[0].ID != free[0].ID {
			t.Fatal(jobs, err)
		}
		x.deliver(t)
		if node, _ := claimer(ctx, t, s, free[1].ID); node != "" {
			t.Errorf("claimed by %q, which does not know", node)
		}
	})
	t.Run("commit", func(t *testing.T) {
		ctx := context.Background()
		x, through := newCrossing(t)
		x.held = []byte("name-of-the-event")
		s := openThrough(t, through, Options{})
		steps := newSteps(t, s, 2)
		free := steps.results[1].Jobs[0]
		giveBack(ctx, t, s, free)
		turn := steps.turns[0]
		turn.Expect, turn.New = turn.New, history.NewToken()
		turn.Commit = &replay.Commit{Execution: 1, Events: []history.Event{{ID: 2, Kind: history.ExternalEvent, Name: string(x.held)}}}
		hurry, cancel := context.WithCancel(ctx)
		x.cutOff = cancel // so that it is not tried again
		if _, err := s.CommitTurns(hurry, "n", []store.Turn{turn}); !store.IsRetryable(err) || store.IsUnknown(err) {
			t.Fatal(err)
		}
		x.deliver(t)
		if snapshot, err := s.Load(ctx, turn.Instance, history.Token{}); err != nil || snapshot.Turn != turn.Expect {
			t.Errorf("the turn is %v, told %v, %v", snapshot.Turn, turn.Expect, err)
		}
		if node, _ := claimer(ctx, t, s, free.ID); node != "" {
			t.Errorf("claimed by %q, which does not know", node)
		}
	})
}

// A call that was given up is remembered for as long as it may be on its way.
func TestGivenUpCallsAreForgottenInTime(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := s.pool.Exec(ctx, s.sql.in(sql), args...); err != nil {
			t.Fatal(err)
		}
	}
	exec(callVoid, 1)
	exec(callVoid, 2)
	exec(callVoid, 2)
	exec("UPDATE {schema}.duroxide_voided SET voided_at = voided_at - 3600001 WHERE call = 1")
	exec(callVoid, 3)
	var left []int64
	if err := s.pool.QueryRow(ctx, s.sql.in("SELECT array_agg(call ORDER BY call) FROM {schema}.duroxide_voided")).Scan(&left); err != nil {
		t.Fatal(err)
	}
	if len(left) != 2 || left[0] != 2 || left[1] != 3 {
		t.Errorf("remembered: %v", left)
	}
	exec(callConfirm, 1)
	if _, err := s.pool.Exec(ctx, s.sql.in(callConfirm), 2); sqlState(err) != "DX003" {
		t.Errorf("confirmed though given up: %v", err)
	}
}
