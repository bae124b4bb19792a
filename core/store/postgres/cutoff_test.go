package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// A process is stopped when it has sent a commit whose answer does not fit into the buffers on the way: the server cannot
// end the commit, and its locks stay. The role may do nothing that others may not.
func TestAStoppedNodeThatDoesNotReadItsAnswerIsBuried(t *testing.T) {
	if server == nil {
		t.Skip("needs a superuser")
	}
	ctx := context.Background()
	name, password := newRole(t, "")
	schema := newSchema(t)
	admin(t, "GRANT CREATE ON DATABASE postgres TO "+name)
	w, through := newWire(t)
	defer w.stopped.Store(false)
	open := func(from string) *Store {
		u, err := url.Parse(from)
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword(name, password)
		s, err := Open(ctx, u.String(), Options{Schema: schema})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	d, s := open(testURL), open(through)
	if _, err := s.Join(ctx, store.Node{ID: "n", LeaseMS: 500}); err != nil {
		t.Fatal(err)
	}
	x := newSteps(t, s, 2)
	payload := strings.Repeat("x", 256<<10)
	mail := make([]store.Enqueue, 80)
	for i := range mail {
		mail[i] = store.Enqueue{Instance: "instance-0", Message: history.Message{Kind: history.MsgMail, ID: fmt.Sprint(i), Name: "q", Data: payload}}
	}
	if _, err := d.Enqueue(ctx, mail); err != nil {
		t.Fatal(err)
	}
	job := x.results[0].Jobs[0]
	turn := x.turns[0]
	turn.Expect, turn.New, turn.Claim = turn.New, history.NewToken(), store.Claim{}
	turn.Commit = &replay.Commit{
		Execution: 1, UsedQueues: []string{"q"}, OpenQueues: []string{"q"},
		Consumed: []history.Message{{Kind: history.MsgActivityCompleted, JobID: job.ID, JobToken: job.Token}},
		Events:   []history.Event{{ID: 2, Kind: history.ActivityCompleted, Source: 1, Data: "1"}},
	}
	w.stopped.Store(true)
	committed := make(chan error, 1)
	go func() {
		results, err := s.CommitTurns(ctx, "n", []store.Turn{turn})
		if err == nil {
			err = results[0].Err
		}
		committed <- err
	}()
	until(t, "the server waits for who is stopped", func() bool {
		stuck, err := exists(ctx, d.pool, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE usename = current_user AND wait_event = 'ClientWrite')`)
		return err == nil && stuck
	})
	until(t, "its lease is over", func() bool {
		over, err := exists(ctx, d.pool, d.sql.in("SELECT until < {schema}.duroxide_now() FROM {schema}.duroxide_nodes"))
		return err == nil && over
	})
	if buried, err := d.BuryDead(ctx, "other"); err != nil || !slices.Equal(buried, []store.NodeID{"n"}) {
		t.Fatalf("buried %q: %v", buried, err)
	}
	claim := x.turns[0].Claim
	claim.Node, claim.Limit = "other", 5
	if jobs, err := d.ClaimJobs(ctx, claim); err != nil || len(jobs) != 2 {
		t.Errorf("%d jobs are free: %v", len(jobs), err)
	}
	w.stopped.Store(false)
	select {
	case err := <-committed:
		if !errors.Is(err, store.ErrJobsLost) {
			t.Errorf("the commit of who was stopped: %v", err)
		}
	case <-time.After(bounded):
		t.Error("the commit of who was stopped never ends")
	}
}

// What a node does that lives in the process of a dead one is not broken off.
func TestLivingNodesOfTheSameProcessAreNotCutOff(t *testing.T) {
	ctx := context.Background()
	schema := newSchema(t)
	s, other := openSchema(t, schema, Options{}), openSchema(t, schema, Options{})
	for _, node := range []store.Node{{ID: "lapsed", LeaseMS: 1}, {ID: "living", LeaseMS: 60_000}} {
		if _, err := s.Join(ctx, node); err != nil {
			t.Fatal(err)
		}
	}
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	slept := make(chan error, 1)
	go func() {
		_, err := c.Exec(ctx, "SELECT pg_sleep(1)")
		slept <- err
	}()
	until(t, "it is at work", func() bool {
		at, err := exists(ctx, other.pool, "SELECT state = 'active' FROM pg_stat_activity WHERE pid = $1", int64(c.Conn().PgConn().PID()))
		return err == nil && at
	})
	until(t, "the lapsed one is buried", func() bool {
		buried, err := other.BuryDead(ctx, "nobody")
		if err != nil {
			t.Fatal(err)
		}
		return slices.Equal(buried, []store.NodeID{"lapsed"})
	})
	if err := <-slept; err != nil {
		t.Error(err)
	}
}

func TestOneThatCannotBeBuriedKeepsNoOtherFromIt(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	for _, node := range []store.NodeID{"a", "b", "c"} {
		if _, err := s.Join(ctx, store.Node{ID: node, LeaseMS: 10_000}); err != nil {
			t.Fatal(err)
		}
	}
	for _, sql := range []string{
		"UPDATE {schema}.duroxide_nodes SET until = 0",
		`CREATE FUNCTION {schema}.keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '% stays', old.node; END $$`,
		`CREATE TRIGGER keep BEFORE DELETE ON {schema}.duroxide_nodes FOR EACH ROW WHEN (old.node < 'c') EXECUTE FUNCTION {schema}.keep()`,
	} {
		if _, err := s.pool.Exec(ctx, s.sql.in(sql)); err != nil {
			t.Fatal(err)
		}
	}
	buried, err := s.BuryDead(ctx, "other")
	if !slices.Equal(buried, []store.NodeID{"c"}) || err == nil || !strings.Contains(err.Error(), "stays") {
		t.Fatalf("buried %q: %v", buried, err)
	}
}
