package postgres

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// asProcess makes a node's row that of a process.
func asProcess(t *testing.T, s *Store, node store.NodeID, p process) {
	t.Helper()
	_, err := s.pool.Exec(context.Background(), s.sql.in(`UPDATE {schema}.duroxide_nodes SET boot = $2, namespace = $3, pid = $4, started = $5
		WHERE node = $1`), string(node), optional(p.boot), optional(p.namespace), optionalInt(p.pid), optional(p.started))
	if err != nil {
		t.Fatal(err)
	}
}

func TestDeadProcessesOfThisMachineAreBuriedAtOnce(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	here := thisProcess()
	if !here.known() || here.pid != int64(os.Getpid()) {
		t.Fatalf("does not know itself: %+v", here)
	}
	sleeper := exec.Command("sleep", "600")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	other := here
	other.pid = int64(sleeper.Process.Pid)
	other.started, _ = processAt(other.pid)
	living := other
	zombie := exec.Command("true")
	if err := zombie.Start(); err != nil {
		t.Fatal(err)
	}
	undead := here
	undead.pid = int64(zombie.Process.Pid)
	undead.started = "1"
	until(t, "the child has ended", func() bool { _, state := processAt(undead.pid); return state == processZombie })
	changed := func(change func(*process)) process {
		p := living
		change(&p)
		return p
	}
	for _, c := range []struct {
		name string
		p    process
		dead bool
	}{
		{"this process", here, false},
		{"another that lives", living, false},
		{"a zombie", undead, true},
		{"a pid that is another's now", changed(func(p *process) { p.started = "12" }), true},
		{"a pid that is nobody's", changed(func(p *process) { p.pid = 1 << 30 }), true},
		{"another machine", changed(func(p *process) { p.boot, p.pid = "other", 1<<30 }), false},
		{"another namespace", changed(func(p *process) { p.namespace, p.pid = "pid:[1]", 1<<30 }), false},
		{"nothing known", process{}, false},
		{"start not known", changed(func(p *process) { p.started, p.pid = "", 1<<30 }), false},
	} {
		if dead := c.p.state() == processGone; dead != c.dead {
			t.Errorf("%s: dead = %v", c.name, !c.dead)
		}
	}
	ctx := context.Background()
	s := newStore(t)
	for _, node := range []store.NodeID{"self", "killed"} {
		if _, err := s.Join(ctx, store.Node{ID: node, LeaseMS: 3_600_000}); err != nil {
			t.Fatal(err)
		}
	}
	asProcess(t, s, "killed", living)
	if buried, err := s.BuryDead(ctx, "self"); err != nil || len(buried) > 0 {
		t.Fatal(buried, err)
	}
	_ = sleeper.Process.Kill()
	_ = sleeper.Wait()
	_ = zombie.Wait()
	if buried, err := s.BuryDead(ctx, "self"); err != nil || len(buried) != 1 || buried[0] != "killed" {
		t.Fatal(buried, err)
	}
}

func TestClaimsOfANodeThatWasBuriedAreFreed(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	if _, err := s.Join(ctx, store.Node{ID: "n", LeaseMS: 3_600_000}); err != nil {
		t.Fatal(err)
	}
	asProcess(t, s, "n", process{})
	if _, err := s.pool.Exec(ctx, s.sql.in("UPDATE {schema}.duroxide_nodes SET until = 0 WHERE node = 'n'")); err != nil {
		t.Fatal(err)
	}
	if buried, err := s.BuryDead(ctx, "self"); err != nil || len(buried) != 1 {
		t.Fatal(buried, err)
	}
	x := newSteps(t, s, 1) // does not know yet that it is dead, and claims
	if buried, err := s.BuryDead(ctx, "self"); err != nil || len(buried) != 1 || buried[0] != "n" {
		t.Fatal(buried, err)
	}
	claim := x.turns[0].Claim
	claim.Node = "self"
	jobs, err := s.ClaimJobs(ctx, claim)
	if err != nil || len(jobs) != 1 || !jobs[0].Suspect {
		t.Fatal(jobs, err)
	}
}

func TestNodesShareJobsWithoutTakingOneTwice(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	const nodes, jobs = 4, 400
	start := func(id string, n int) {
		startOne(t, s, id) //nolint:contextcheck // the test has its own
		snapshot, err := s.Load(ctx, id, history.Token{})
		if err != nil {
			t.Fatal(err)
		}
		m := &replay.Commit{Execution: 1, Consumed: snapshot.Messages, Events: []history.Event{{ID: 1, Kind: history.OrchestrationStarted}}}
		for i := range n {
			m.Events = append(m.Events, history.Event{ID: int64(i + 2), Kind: history.ActivityScheduled, Name: "work"})
			m.Jobs = append(m.Jobs, replay.Job{Schedule: int64(i + 2), Name: "work", Tag: []string{"", "a", "b"}[i%3]})
		}
		results, err := s.CommitTurns(ctx, "n", []store.Turn{{
			Instance: id, Life: snapshot.Life, Expect: snapshot.Turn, New: history.NewToken(), Name: "flow", Version: "1.0.0", Commit: m,
		}})
		if err != nil || results[0].Err != nil {
			t.Fatal(results, err)
		}
	}
	start("wide", jobs)
	var mu sync.Mutex
	taken := map[int64]int{}
	var all sync.WaitGroup
	for n := range nodes {
		all.Go(func() {
			claim := store.Claim{
				Node: store.NodeID(fmt.Sprint("node-", n)), Limit: 7, Activities: map[string]bool{"work": true},
				Tags: store.TagFilter{Untagged: true, Tags: []string{"a", "b"}},
			}
			for {
				got, err := s.ClaimJobs(ctx, claim)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for i := range got {
					taken[got[i].ID]++
				}
				done := len(taken) == jobs
				mu.Unlock()
				if done || t.Failed() {
					return
				}
			}
		})
	}
	all.Wait()
	for id, n := range taken {
		if n > 1 {
			t.Errorf("job %d was claimed %d times", id, n)
		}
	}
}

// Instances that send to each other, start the same children and are deleted, all at once, from several nodes in groups:
// whatever the order of locks, each write ends well.
func TestCrossingWritesEndWell(t *testing.T) {
	ctx := context.Background()
	schema := newSchema(t)
	const rounds, size = 25, 6
	setup := openSchema(t, schema, Options{})
	for i := range size {
		startOne(t, setup, fmt.Sprint("peer-", i))
	}
	var all sync.WaitGroup
	for n := range 3 {
		s := openSchema(t, schema, Options{MaxConns: 2})
		all.Go(func() {
			for round := range rounds {
				var turns []store.Turn
				for i := range size {
					snapshot, err := s.Load(ctx, fmt.Sprint("peer-", (i+n)%size), history.Token{})
					if err != nil {
						t.Error(err)
						return
					}
					next := fmt.Sprint("peer-", (i+n+1)%size)
					turns = append(turns, store.Turn{
						Instance: snapshot.Instance, Life: snapshot.Life, Expect: snapshot.Turn, New: history.NewToken(), Name: "flow", Version: "1",
						Commit: &replay.Commit{
							Execution: 1, Consumed: snapshot.Messages,
							Starts: []replay.Start{
								{Instance: "shared-" + strconv.Itoa(round%5), Name: "flow"}, {Instance: "shared-" + strconv.Itoa((round+i)%5), Name: "flow"},
							},
							Sends: []replay.Send{{Instance: next, Message: history.Message{Kind: history.MsgCancel, Data: "x"}}},
						},
					})
				}
				results, err := s.CommitTurns(ctx, store.NodeID(fmt.Sprint("n", n)), turns)
				if err != nil {
					t.Error(err)
					return
				}
				for i := range results {
					if err := results[i].Err; err != nil && err != store.ErrFenced { //nolint:errorlint // as it is
						t.Error(err)
					}
				}
				if _, err := s.Delete(ctx, "shared-"+strconv.Itoa(round%5), true); err != nil && err != store.ErrNotFound { //nolint:errorlint // as it is
					t.Error(err)
				}
				mail := []store.Enqueue{
					{Instance: "shared-1", Message: history.Message{Kind: history.MsgMail, ID: fmt.Sprint(n, round), Name: "q"}},
					{Instance: "shared-0", Message: history.Message{Kind: history.MsgMail, ID: fmt.Sprint(n, round, "b"), Name: "q"}},
				}
				if _, err := s.Enqueue(ctx, mail); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	shared, err := setup.InspectShared(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for table, n := range shared.Orphans {
		if n > 0 {
			t.Errorf("%d rows of %s without an instance", n, table)
		}
	}
}
