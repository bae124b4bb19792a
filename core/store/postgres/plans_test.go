package postgres

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// plans collects how the server ran each statement, those inside functions too.
type plans struct {
	mu   sync.Mutex
	seen []string
}

func (p *plans) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := p.seen
	p.seen = nil
	return seen
}

func (p *plans) watch(c *pgxpool.Config) {
	c.ConnConfig.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if strings.Contains(n.Message, "plan:") {
			p.mu.Lock()
			p.seen = append(p.seen, n.Message)
			p.mu.Unlock()
		}
	}
	mark := c.AfterConnect
	c.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		for _, sql := range []string{
			"LOAD 'auto_explain'", "SET auto_explain.log_min_duration = 0", "SET auto_explain.log_nested_statements = on",
			"SET auto_explain.log_analyze = on", "SET auto_explain.log_timing = off", "SET client_min_messages = log",
		} {
			if _, err := conn.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return mark(ctx, conn)
	}
}

// A store with much in it that does not concern the work at hand: ended and sleeping instances, mail nobody reads, jobs
// that no node here can do.
//
//nolint:dupword // columns
const ballast = `
	INSERT INTO {schema}.duroxide_instances (instance, life, turn, execution, name, version, status, next_event, node, created_at, updated_at, started_at)
		SELECT 'ballast-' || n, 'life-' || n, gen_random_uuid(), 1, 'flow', '1.0.0', CASE n % 4 WHEN 0 THEN 'Running' ELSE 'Completed' END, 5, '', n, n, n
		FROM generate_series(1, 20000) n;
	INSERT INTO {schema}.duroxide_history (instance_id, execution, first_event, last_event, events)
		SELECT i.id, 1, e, e, '[]' FROM {schema}.duroxide_instances i CROSS JOIN generate_series(1, 4) e WHERE i.instance LIKE 'ballast-%';
	INSERT INTO {schema}.duroxide_messages (id, instance_id, kind, visible_at, inserted_at, execution, source)
		SELECT nextval('{literal}.duroxide_ids'), i.id, 'timer', {schema}.duroxide_now() + 86400000, 0, 1, 3
		FROM {schema}.duroxide_instances i CROSS JOIN generate_series(1, 3) WHERE i.status = 'Running' AND i.instance LIKE 'ballast-%';
	INSERT INTO {schema}.duroxide_messages (id, instance_id, kind, inserted_at, name)
		SELECT nextval('{literal}.duroxide_ids'), i.id, 'mail', 0, 'q' FROM {schema}.duroxide_instances i WHERE i.status = 'Running' AND i.instance LIKE 'ballast-%';
	INSERT INTO {schema}.duroxide_jobs (id, instance_id, execution, schedule, name, input, lane, visible_at)
		SELECT nextval('{literal}.duroxide_ids'), i.id, 1, 2, 'elsewhere-' || i.id % 3, '', i.id % 3, 0
		FROM {schema}.duroxide_instances i WHERE i.status = 'Running' AND i.instance LIKE 'ballast-%';`

var removedRows = regexp.MustCompile(`Rows Removed by (?:Join )?Filter: (\d+)`)

func TestHotStatementsTouchOnlyWhatTheyNeed(t *testing.T) {
	needsExplain(t)
	ctx := context.Background()
	for _, analyzed := range []bool{false, true} {
		t.Run("statistics "+strconv.FormatBool(analyzed), func(t *testing.T) {
			p := new(plans)
			// The plans are made while the tables are empty, and have to be right when they are not.
			schema := newSchema(t)                                               //nolint:contextcheck // tests clean up on their own time
			openSchema(t, schema, Options{})                                     //nolint:contextcheck // migrations reset the settings of their connection
			s := openSchema(t, schema, Options{MaxConns: 1, configure: p.watch}) //nolint:contextcheck // tests clean up on their own time
			x := newSteps(t, s, 4)                                               //nolint:contextcheck // tests clean up on their own time
			hot := hotOperations(t, s, x)                                        //nolint:contextcheck // tests clean up on their own time
			for range 7 {                                                        // generic plans come with the sixth call
				for _, op := range hot {
					op.run()
				}
			}
			if _, err := s.pool.Exec(ctx, s.sql.in(strings.ReplaceAll(ballast, "{literal}", strings.ReplaceAll(s.sql.quoted, "'", "''")))); err != nil {
				t.Fatal(err)
			}
			if analyzed {
				if _, err := s.pool.Exec(ctx, "ANALYZE"); err != nil {
					t.Fatal(err)
				}
			}
			for _, op := range hot {
				p.take()
				op.run()
				seen := p.take()
				if len(seen) == 0 {
					t.Fatalf("%s: no plan was seen", op.name)
				}
				for _, plan := range seen {
					checkPlan(t, op.name, plan)
				}
			}
		})
	}
}

// needsExplain skips the test where the server does not tell how it runs the statements inside functions.
func needsExplain(t *testing.T) {
	t.Helper()
	if server == nil {
		t.Skip("needs a superuser")
	}
	conn, err := pgx.Connect(context.Background(), testURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(context.Background(), "LOAD 'auto_explain'"); err != nil {
		t.Skip("this server comes without auto_explain: ", err)
	}
}

func checkPlan(t *testing.T, name, plan string) {
	t.Helper()
	for _, table := range []string{"instances", "messages", "jobs", "history", "kv", "taken", "early_mail", "sessions", "voided"} {
		if strings.Contains(plan, "Seq Scan on duroxide_"+table) {
			t.Errorf("%s reads all %s:\n%s", name, table, plan)
			return
		}
	}
	if strings.Contains(plan, "\nJIT:") {
		t.Errorf("%s is compiled each time:\n%s", name, plan)
		return
	}
	for _, m := range removedRows.FindAllStringSubmatch(plan, -1) {
		if n, _ := strconv.Atoi(m[1]); n > 100 {
			t.Errorf("%s reads %d rows in vain:\n%s", name, n, plan)
			return
		}
	}
}

type operation struct {
	name string
	run  func()
}

func hotOperations(t *testing.T, s *Store, x *steps) []operation {
	ctx := context.Background()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	lease, err := s.Join(ctx, store.Node{ID: store.NodeID("joined-" + strconv.Itoa(int(time.Now().UnixNano()))), LeaseMS: 10_000})
	ok(err)
	return []operation{
		{"renewal", func() { ok(s.Renew(ctx, lease)) }},
		{"commit of a group", func() { x.commit(t, s) }},
		{"start with the first turn", func() {
			results, err := s.CommitTurns(ctx, "n", []store.Turn{firstTurn("first-" + history.NewToken().String())})
			ok(err)
			ok(results[0].Err)
		}},
		{"starts in a group", func() {
			results, err := s.CommitTurns(ctx, "n", []store.Turn{
				firstTurn("first-" + history.NewToken().String()), firstTurn("first-" + history.NewToken().String()),
			})
			ok(err)
			ok(results[0].Err)
			ok(results[1].Err)
		}},
		{"load", func() {
			_, err := s.Load(ctx, "instance-1", history.Token{})
			ok(err)
		}},
		{"messages of many", func() {
			turns := map[string]history.Token{}
			for i := range x.turns {
				turns[x.turns[i].Instance] = x.turns[i].Expect
			}
			_, err := s.Refresh(ctx, turns)
			ok(err)
		}},
		{"ready", func() {
			_, err := s.Ready(ctx, store.ReadyQuery{Node: "n", Names: []string{"sequence@1.0.0", "flow@1.0.0"}, Limit: 256, HorizonMS: 60_000})
			ok(err)
		}},
		{"ready behind a backlog", func() {
			q := store.ReadyQuery{Node: "n", Names: []string{"sequence@1.0.0", "flow@1.0.0"}, Limit: 256}
			ok(s.read(ctx, "look", func(ctx context.Context, db querier) error {
				_, err := s.look(ctx, db, &q, window{limit: 2048, spans: true})
				return err
			}))
		}},
		{"claim", func() {
			_, err := s.ClaimJobs(ctx, x.turns[0].Claim)
			ok(err)
		}},
		{"lost jobs", func() {
			_, err := s.LostJobs(ctx, []store.JobRef{x.results[0].Jobs[0].JobRef})
			ok(err)
		}},
		{"enqueue", func() {
			n++
			_, err := s.Enqueue(ctx, []store.Enqueue{
				{Instance: "instance-1", Message: history.Message{Kind: history.MsgEvent, ID: strconv.Itoa(n), Name: "e"}},
				{Instance: "nobody", Message: history.Message{Kind: history.MsgEvent, ID: strconv.Itoa(n), Name: "e"}},
			})
			ok(err)
		}},
		{"start, step and end", func() {
			n++
			s.older.Store(0)
			id := "short-" + strconv.Itoa(n)
			_, err := s.Start(ctx, store.Start{Instance: id, Name: "sequence"})
			ok(err)
			snapshot, err := s.Load(ctx, id, history.Token{})
			ok(err)
			results, err := s.CommitTurns(ctx, "n", []store.Turn{{
				Instance: id, Life: snapshot.Life, Expect: snapshot.Turn, New: history.NewToken(), Name: "sequence", Version: "1.0.0",
				Claim: x.turns[0].Claim, Commit: &replay.Commit{
					Execution: 1, Events: []history.Event{{ID: 1, Kind: history.OrchestrationStarted}}, Consumed: snapshot.Messages,
					Jobs: []replay.Job{{Schedule: 1, Name: "work"}},
				},
			}})
			ok(err)
			settled, err := s.SettleJobs(ctx, []store.Settlement{{Job: results[0].Jobs[0].JobRef, Result: &history.Message{
				Kind: history.MsgActivityCompleted, Life: snapshot.Life, Execution: 1, Source: 1,
			}}})
			ok(err)
			if !settled[0] {
				t.Fatal("not settled")
			}
			snapshot, err = s.Load(ctx, id, history.Token{})
			ok(err)
			_, err = s.CommitTurns(ctx, "n", []store.Turn{{
				Instance: id, Life: snapshot.Life, Expect: snapshot.Turn, New: history.NewToken(), Name: "sequence", Version: "1.0.0",
				Commit: &replay.Commit{
					Execution: 1, Events: []history.Event{{ID: 2, Kind: history.OrchestrationCompleted}}, Consumed: snapshot.Messages,
					Status: replay.Completed,
				},
			}})
			ok(err)
		}},
		{"status", func() {
			_, err := s.Status(ctx, "instance-1")
			ok(err)
		}},
	}
}
