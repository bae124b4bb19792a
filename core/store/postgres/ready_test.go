package postgres

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// Messages of one instance, spread over the last hour.
const backlog = `INSERT INTO {schema}.duroxide_messages (id, instance_id, kind, visible_at, inserted_at, execution, name, data)
	SELECT nextval($4::text::regclass), i.id, $2, {schema}.duroxide_now() - 3600000 + n * 3600000::bigint / ($3 + 1), 1, 1, 'e', '1'
	FROM {schema}.duroxide_instances i, generate_series(1, $3) n WHERE i.instance = $1`

func addBacklog(t *testing.T, s *Store, instance, kind string, n int64) {
	t.Helper()
	if _, err := s.pool.Exec(context.Background(), s.sql.in(backlog), instance, kind, n, s.sql.quoted+".duroxide_ids"); err != nil {
		t.Fatal(err)
	}
}

func readyFor(t *testing.T, s *Store, name string, skipped ...string) []string {
	t.Helper()
	skip := func(id string) bool { return slices.Contains(skipped, id) }
	result, err := s.Ready(context.Background(), store.ReadyQuery{Node: "n", Names: []string{name, name + "@1.0.0"}, Limit: 256, Skip: skip})
	if err != nil {
		t.Fatal(err)
	}
	return result.Instances
}

var rowsRead = regexp.MustCompile(`actual rows=([\d.]+) loops=(\d+)`)

// An instance that is busy here, or that nobody here can run, may have any number of messages: what is ready behind them is
// found all the same, and costs no more the longer they are.
func TestTheBacklogOfOneInstanceHidesNoOther(t *testing.T) {
	needsExplain(t)
	schema := newSchema(t)
	p := new(plans)
	openSchema(t, schema, Options{})
	s := openSchema(t, schema, Options{MaxConns: 1, configure: p.watch})
	startOne(t, s, "busy")
	startOne(t, s, "other")
	if _, err := s.Start(context.Background(), store.Start{Instance: "elsewhere", Name: "not here"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		instance string
		n        int64
	}{{"busy", 1000}, {"busy", 140_000}, {"elsewhere", 1000}} {
		addBacklog(t, s, c.instance, "event", c.n)
		p.take()
		if found := readyFor(t, s, "flow", "busy"); !slices.Equal(found, []string{"other"}) {
			t.Errorf("behind %d messages of %s: found %q", c.n, c.instance, found)
		}
		for _, plan := range p.take() {
			checkPlan(t, "ready", plan)
			for _, m := range rowsRead.FindAllStringSubmatch(plan, -1) {
				rows, _ := strconv.ParseFloat(m[1], 64)
				loops, _ := strconv.ParseFloat(m[2], 64)
				if rows*loops > 2000 {
					t.Fatalf("behind %d messages of %s: reads %v rows:\n%s", c.n, c.instance, rows*loops, plan)
				}
			}
		}
	}
}

// Whether anybody waits for the mail that is found first says nothing about what has come since.
func TestMailThatNobodyWaitsForHidesNothing(t *testing.T) {
	s := newStore(t)
	startOne(t, s, "mailed")
	startOne(t, s, "ended")
	endInstance(t, s, "ended")
	startOne(t, s, "other")
	for _, id := range []string{"mailed", "ended"} {
		addBacklog(t, s, id, "mail", 1000)
	}
	found := readyFor(t, s, "flow")
	if slices.Sort(found); !slices.Equal(found, []string{"mailed", "other"}) {
		t.Errorf("found %q", found)
	}
	var visible int
	const left = `SELECT count(*) FROM {schema}.duroxide_messages m JOIN {schema}.duroxide_instances i ON i.id = m.instance_id
		WHERE i.instance = 'ended'`
	if err := s.pool.QueryRow(context.Background(), s.sql.in(left)).Scan(&visible); err != nil || visible != 0 {
		t.Errorf("%d messages are left of an instance that has ended: %v", visible, err)
	}
}

// endInstance commits the only turn of an instance.
func endInstance(t *testing.T, s *Store, id string) {
	t.Helper()
	ctx := context.Background()
	snapshot, err := s.Load(ctx, id, history.Token{})
	if err != nil {
		t.Fatal(err)
	}
	results, err := s.CommitTurns(ctx, "n", []store.Turn{{
		Instance: id, Life: snapshot.Life, Expect: snapshot.Turn, New: history.NewToken(), Name: "flow", Version: "1.0.0",
		Commit: &replay.Commit{
			Execution: 1, Status: replay.Completed, Output: "1", Consumed: snapshot.Messages,
			Events: []history.Event{
				{ID: 1, Kind: history.OrchestrationStarted, Name: "flow", Version: "1.0.0"}, {ID: 2, Kind: history.OrchestrationCompleted, Data: "1"},
			},
		},
	}})
	if err != nil || results[0].Err != nil {
		t.Fatal(err, results)
	}
}
