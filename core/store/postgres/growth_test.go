package postgres

import (
	"context"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// growthVariable says how many finished instances the test of growth makes; the soak makes a million.
const growthVariable = "DUROXIDE_TEST_INSTANCES"

// What a store holds that has been in use for long: finished instances of ten events each, with keys and statuses.
//
//nolint:dupword // columns
const finished = `
	INSERT INTO {schema}.duroxide_instances (instance, life, turn, execution, name, version, status, next_event, output, node, created_at,
			updated_at, started_at, completed_at, custom_status_version)
		SELECT 'finished-' || n, md5(n::text), gen_random_uuid(), 1, 'flow', '1.0.0', CASE n % 20 WHEN 0 THEN 'Failed' ELSE 'Completed' END, 11,
			'{"n": ' || n || '}', 'gone-' || n % 7, n, n, n, n, n % 2
		FROM generate_series(1, $1) n;
	INSERT INTO {schema}.duroxide_history (instance_id, execution, first_event, last_event, events)
		SELECT i.id, 1, e * 3 + 1, CASE e WHEN 2 THEN 10 ELSE e * 3 + 3 END, '[' || repeat('{"kind": "ActivityCompleted", "data": "' || i.id || '"}, ', 4) || '{}]'
		FROM {schema}.duroxide_instances i CROSS JOIN generate_series(0, 2) e WHERE i.instance LIKE 'finished-%';
	INSERT INTO {schema}.duroxide_custom_status (instance_id, text)
		SELECT i.id, 'done' FROM {schema}.duroxide_instances i WHERE i.custom_status_version > 0;
	INSERT INTO {schema}.duroxide_kv (instance_id, key_hash, key, value, updated_at)
		SELECT i.id, md5('k')::uuid, 'k', 'v', 0 FROM {schema}.duroxide_instances i WHERE i.id % 10 = 0;`

// A store grows with what has finished, since nothing is removed by itself. What is at work must not become dearer by it.
func TestFinishedInstancesCostTheHotStatementsNothing(t *testing.T) {
	needsExplain(t)
	count := 20_000
	if text := os.Getenv(growthVariable); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("%s=%q", growthVariable, text)
		}
		count = n
	}
	ctx := context.Background()
	schema := newSchema(t)
	p := new(plans)
	before := openSchema(t, schema, Options{MaxConns: 1})
	x := newSteps(t, before, 4)
	lone := newStepsOf(t, before, "lone", 1)
	begun := time.Now()
	for _, sql := range strings.SplitAfter(finished, ";") {
		if _, err := before.pool.Exec(ctx, before.sql.in(strings.ReplaceAll(sql, "$1", strconv.Itoa(count)))); err != nil {
			t.Fatal(err)
		}
	}
	for _, sql := range []string{"VACUUM ANALYZE", "CHECKPOINT"} {
		if _, err := before.pool.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d instances made in %v", count, time.Since(begun).Round(time.Second))
	small := newStore(t)
	other := newStepsOf(t, small, "lone", 1)
	took := sideBySide(600, func() { lone.commit(t, before) }, func() { other.commit(t, small) }, func() { bareCommit(t, small) })
	t.Logf("a turn alone: %v beside %d finished instances, %v in an empty store (%.2f times); a bare commit %v",
		took[0], count, took[1], float64(took[0])/float64(took[1]), took[2])

	// The plans are right whether they were made before or after.
	after := openSchema(t, schema, Options{MaxConns: 1, configure: p.watch})
	hot := hotOperations(t, after, x)
	for range 7 {
		for _, op := range hot {
			op.run()
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
}

func bareCommit(tb testing.TB, s *Store) {
	tb.Helper()
	if _, err := s.pool.Exec(context.Background(), s.sql.in("UPDATE {schema}.duroxide_meta SET value = value WHERE key = 'min_writer'")); err != nil {
		tb.Fatal(err)
	}
}

// sideBySide gives the medians of several things that are done in turn, so that what else the machine does meets all alike.
func sideBySide(n int, things ...func()) []time.Duration {
	took := make([][]time.Duration, len(things))
	for range n {
		for i, do := range things {
			begun := time.Now()
			do()
			took[i] = append(took[i], time.Since(begun))
		}
	}
	medians := make([]time.Duration, len(things))
	for i := range took {
		slices.Sort(took[i])
		medians[i] = took[i][n/2]
	}
	return medians
}
