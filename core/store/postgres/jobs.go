package postgres

import (
	"context"
	"hash/fnv"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

const (
	callClaim = `SELECT id, instance, life, execution, schedule, name, input, session, tag, timeout_ms, attempt, retry_of, suspect, attempts,
		orchestration, version
		FROM {schema}.duroxide_claim({schema}.duroxide_now(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`
	jobsOfToken = `SELECT j.id, i.instance, i.life, j.execution, j.schedule, j.name, j.input, j.session, j.tag, j.timeout_ms, j.attempt,
		j.retry_of, j.suspect, j.attempts, i.name, i.version
		FROM {schema}.duroxide_jobs j JOIN {schema}.duroxide_instances i ON i.id = j.instance_id
		WHERE j.token = $1 AND j.node = $2 ORDER BY j.visible_at, j.id`
	lostJobs = `SELECT c.ord FROM unnest($1::bigint[], $2::uuid[]) WITH ORDINALITY AS c(id, token, ord)
		WHERE NOT EXISTS (SELECT FROM {schema}.duroxide_jobs j WHERE j.id = c.id AND j.token = c.token) ORDER BY c.ord`
	countJobAttempt = `UPDATE {schema}.duroxide_jobs SET attempts = attempts + 1, suspect = true WHERE id = $1 AND token = $2
		RETURNING attempts`
	countTurnAttempt = `UPDATE {schema}.duroxide_instances SET attempts = attempts + 1, suspect = true WHERE instance = $1 AND turn = $2
		RETURNING attempts`
)

var callSettle = kept{
	statement: `SELECT * FROM {schema}.duroxide_settle($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
	columns:   `ord integer, instance text, stored boolean, visible_at bigint, at bigint, message bigint`,
}

// filter is a claim as the database takes it.
type filter struct {
	names []string
	tags  []string // with the empty one for untagged work
	any   bool
	held  []string
}

func newFilter(c *store.Claim) filter {
	f := filter{names: make([]string, 0, len(c.Activities)), tags: slices.Clone(c.Tags.Tags), any: c.Tags.Any, held: make([]string, 0, len(c.HeldSessions))}
	for name, ok := range c.Activities {
		if ok {
			f.names = append(f.names, name)
		}
	}
	for session, ok := range c.HeldSessions {
		if ok {
			f.held = append(f.held, session)
		}
	}
	if f.tags = slices.DeleteFunc(f.tags, func(t string) bool { return t == "" }); c.Tags.Untagged {
		f.tags = append(f.tags, "")
	}
	if f.tags == nil {
		f.tags = []string{}
	}
	return f
}

// lane hashes tag and name of a job.
func lane(tag, name string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(tag))
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(name))
	return int64(h.Sum64()) //nolint:gosec // a hash: any 64 bits do
}

func scanJob(rows pgx.Rows, token history.Token) (store.Job, error) {
	job := store.Job{JobRef: store.JobRef{Token: token}}
	err := rows.Scan(&job.ID, &job.Instance, &job.Life, &job.Execution, &job.Schedule, &job.Name, &job.Input, &job.Session, &job.Tag,
		&job.TimeoutMS, &job.Attempt, &job.RetryOf, &job.Suspect, &job.Attempts, &job.OrchestrationName, &job.OrchestrationVersion)
	return job, err
}

// ClaimJobs implements [store.Store].
func (s *Store) ClaimJobs(ctx context.Context, c store.Claim) ([]store.Job, error) {
	if c.IsEmpty() {
		return nil, nil
	}
	f := newFilter(&c)
	token := history.NewToken()
	var jobs []store.Job
	collect := func(rows pgx.Rows) error {
		job, err := scanJob(rows, token)
		jobs = append(jobs, job)
		return err
	}
	err := s.write(ctx, write{
		operation: "claim jobs",
		run: func(ctx context.Context, conn session) error {
			jobs = nil
			return each(ctx, conn, s.sql.in(callClaim), []any{
				int64(c.Limit), string(c.Node), uuid(token), f.names, f.tags, f.any, f.held, c.MayTake, c.Label, conn.call,
			}, collect)
		},
		applied: func(ctx context.Context, q querier) (applied, known bool, err error) {
			jobs = nil
			err = each(ctx, q, s.sql.in(jobsOfToken), []any{uuid(token), string(c.Node)}, collect)
			return len(jobs) > 0, true, err
		},
	})
	if err != nil {
		return nil, err
	}
	return jobs, nil
}

// SettleJobs implements [store.Store].
func (s *Store) SettleJobs(ctx context.Context, settlements []store.Settlement) ([]bool, error) {
	n := len(settlements)
	if n == 0 {
		return nil, nil
	}
	ids, tokens := make([]int64, n), make([]history.Token, n)
	back, delay, counted := make([]bool, n), make([]int64, n), make([]bool, n)
	life, execution, kind := make([]*string, n), make([]*int64, n), make([]*string, n)
	source, data, failure := make([]*int64, n), make([]*string, n), make([]*string, n)
	for i := range settlements {
		x := &settlements[i]
		ids[i], tokens[i], back[i], delay[i], counted[i] = x.Job.ID, x.Job.Token, x.Result == nil, x.DelayMS, x.Counted
		if m := x.Result; m != nil {
			name := m.Kind.String()
			life[i], execution[i], kind[i] = optional(m.Life), optionalInt(m.Execution), &name
			source[i], data[i], failure[i] = optionalInt(m.Source), optional(m.Data), optional(history.EncodeFailure(m.Failure))
		}
	}
	settled := make([]bool, n)
	var t tidings
	args := []any{ids, uuids(tokens), back, delay, counted, life, execution, kind, source, data, failure}
	begin := func() {
		t = tidings{}
		clear(settled)
	}
	err := s.writeKept(ctx, "settle jobs", callSettle, args, begin, func(rows pgx.Rows) error {
		var ord int
		var instance *string
		var stored bool
		var visible, row *int64
		var at int64
		if err := rows.Scan(&ord, &instance, &stored, &visible, &at, &row); err != nil {
			return err
		}
		settled[ord-1] = true
		if back[ord-1] {
			t.jobs()
		} else if stored {
			t.delivered(value(instance), value(visible), at)
			if value(visible) <= at {
				t.Delivered = append(t.Delivered, store.Delivered{
					Instance: value(instance), Message: asStored(settlements[ord-1].Result, value(row), at),
				})
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.tell(&t)
	return settled, nil
}

// asStored gives a result as the message that it has become.
func asStored(result *history.Message, row, at int64) history.Message {
	m := *result
	m.Row, m.JobID, m.JobToken, m.VisibleAt, m.InsertedAt = row, 0, history.Token{}, at, at
	m.Data = storable(m.Data)
	return m
}

// LostJobs implements [store.Store].
func (s *Store) LostJobs(ctx context.Context, jobs []store.JobRef) ([]store.JobRef, error) {
	if len(jobs) == 0 {
		return nil, nil
	}
	ids, tokens := make([]int64, len(jobs)), make([]history.Token, len(jobs))
	for i := range jobs {
		ids[i], tokens[i] = jobs[i].ID, jobs[i].Token
	}
	var lost []store.JobRef
	err := s.read(ctx, "look for lost jobs", func(ctx context.Context, q querier) error {
		lost = nil
		places, err := s.lost(ctx, q, ids, tokens)
		for _, place := range places {
			lost = append(lost, jobs[place])
		}
		return err
	})
	return lost, err
}

// lost gives the places of the jobs that are no longer claimed so.
func (s *Store) lost(ctx context.Context, q querier, ids []int64, tokens []history.Token) (places []int, err error) {
	err = each(ctx, q, s.sql.in(lostJobs), []any{ids, uuids(tokens)}, func(rows pgx.Rows) error {
		var ord int
		err := rows.Scan(&ord)
		places = append(places, ord-1)
		return err
	})
	return places, err
}

// CountAttempt implements [store.Store].
func (s *Store) CountAttempt(ctx context.Context, w store.Suspect) (int, error) {
	sql, args, gone := countTurnAttempt, []any{w.Instance, uuid(w.Turn)}, store.ErrFenced
	if w.Job != nil {
		sql, args, gone = countJobAttempt, []any{w.Job.ID, pgtype.UUID{Bytes: w.Job.Token, Valid: true}}, store.ErrJobsLost
	}
	var attempts int
	found := false
	err := s.writeKept(ctx, "count attempt", kept{statement: sql, columns: "attempts integer"}, args, func() { found = false }, func(rows pgx.Rows) error {
		found = true
		return rows.Scan(&attempts)
	})
	if err == nil && !found {
		return 0, gone
	}
	return attempts, err
}

// orElse gives another error for that of a query without a row.
func orElse(err, none error) error {
	if errorsIsNoRows(err) {
		return none
	}
	return err
}
