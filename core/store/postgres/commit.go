package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

const answerColumns = `what, member, id, token, a, b, c, d, e, f, g, t1, t2, t3, t4, t5, t6, t7, t8`

const callCommit = `SELECT ` + answerColumns + ` FROM {schema}.duroxide_commit(
	$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29,
	$30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43, $44, $45, $46, $47, $48, $49, $50, $51, $52, $53, $54, $55, $56)`

// CommitTurns implements [store.Store].
func (s *Store) CommitTurns(ctx context.Context, node store.NodeID, turns []store.Turn) ([]store.TurnResult, error) {
	if s.closed.Load() {
		return nil, store.ErrClosed
	}
	if len(turns) == 0 {
		return nil, nil
	}
	results := make([]store.TurnResult, len(turns))
	members := make([]int, len(turns)) // in the order in which the rows are locked
	for i := range turns {
		members[i] = i
	}
	slices.SortStableFunc(members, func(a, b int) int { return cmp.Compare(turns[a].Instance, turns[b].Instance) })
	done := 0
	var worst error
	groups := split(turns, members)
	for len(groups) > 0 {
		group := groups[0]
		groups = groups[1:]
		err := s.commitGroup(ctx, node, turns, group, results)
		if err == nil {
			done++
			continue
		}
		if len(group) > 1 && !store.IsRetryable(err) && !errors.Is(err, store.ErrClosed) {
			// Something in it can never be stored. That is the trouble of one turn, not of those beside it.
			for i := range group {
				groups = append(groups, group[i:i+1])
			}
			continue
		}
		// What was committed before stands: the others are told of the trouble one by one.
		for _, i := range group {
			results[i] = store.TurnResult{Err: err}
		}
		if worst == nil || store.IsUnknown(err) {
			worst = err
		}
	}
	if done == 0 {
		return nil, worst
	}
	return results, nil
}

// commitGroup commits turns in one call, and again without those whose jobs turned out to be lost.
func (s *Store) commitGroup(ctx context.Context, node store.NodeID, turns []store.Turn, group []int, results []store.TurnResult) error {
	group = slices.Clone(group)
	for len(group) > 0 {
		c, err := newCommitting(s, node, turns, group)
		if err != nil {
			return err
		}
		err = s.write(ctx, write{operation: c.operation(), run: c.run, applied: c.applied})
		if err == nil {
			for place, i := range group {
				results[i] = c.results[place]
			}
			s.tell(&c.tidings)
			return nil
		}
		if sqlState(err) != codeJobsLost {
			return err
		}
		lost, err := s.findLost(ctx, turns, group)
		if err != nil {
			return err
		}
		if len(lost) == 0 {
			return &store.Error{Operation: c.operation(), Retryable: true, Err: errors.New("a job was refused that is claimed as expected")}
		}
		group = slices.DeleteFunc(group, func(i int) bool {
			if len(lost[i]) == 0 {
				return false
			}
			results[i] = store.TurnResult{Err: store.ErrJobsLost, LostJobs: lost[i]}
			return true
		})
	}
	return nil
}

// findLost names for each turn the jobs that it would consume and that are no longer claimed.
func (s *Store) findLost(ctx context.Context, turns []store.Turn, group []int) (map[int][]store.JobRef, error) {
	var refs []store.JobRef
	var owner []int
	for _, i := range group {
		for k := range turns[i].Commit.Consumed {
			if m := &turns[i].Commit.Consumed[k]; m.JobID != 0 {
				refs = append(refs, store.JobRef{ID: m.JobID, Token: m.JobToken})
				owner = append(owner, i)
			}
		}
	}
	gone, err := s.LostJobs(ctx, refs)
	if err != nil {
		return nil, err
	}
	lost := map[int][]store.JobRef{}
	for k, ref := range refs {
		if slices.Contains(gone, ref) {
			lost[owner[k]] = append(lost[owner[k]], ref)
		}
	}
	return lost, nil
}

// committing is a group of turns on its way.
type committing struct {
	store   *Store
	node    store.NodeID
	turns   []*store.Turn // of the group, in its order
	call    *commitCall
	results []store.TurnResult
	tidings tidings
}

func newCommitting(s *Store, node store.NodeID, turns []store.Turn, group []int) (*committing, error) {
	c := &committing{store: s, node: node, turns: make([]*store.Turn, len(group)), results: make([]store.TurnResult, len(group))}
	for place, i := range group {
		c.turns[place] = &turns[i]
	}
	var err error
	if c.call, err = newCommitCall(node, c.turns, &s.served); err != nil {
		return nil, &store.Error{Operation: c.operation(), Err: err}
	}
	c.call.lease = s.nodes.renewal(node, s.Now())
	return c, nil
}

func (c *committing) operation() string {
	if len(c.turns) == 1 {
		return fmt.Sprintf("commit turn of %q (execution %d)", c.turns[0].Instance, c.turns[0].Commit.Execution)
	}
	return fmt.Sprintf("commit %d turns", len(c.turns))
}

// answerRow is a row of what duroxide_commit answers.
type answerRow struct {
	what                int
	member              *int
	id                  *int64
	token               [16]byte
	a, b, c, d, e, f, g *int64
	t                   [8]*string
}

// What an answer row says.
const (
	rowApplied  = 1
	rowFenced   = 2
	rowOwnJob   = 5
	rowOlderJob = 6
	rowJobGone  = 7
	rowStarted  = 8
	rowSent     = 9
)

func (c *committing) run(ctx context.Context, conn session) error {
	if c.call.isStep() && !c.store.seesOlder() {
		if err := c.runStep(ctx, conn); sqlState(err) != codeMoreThanStep {
			return err
		}
	}
	return c.runAll(ctx, conn)
}

func (c *committing) runAll(ctx context.Context, conn session) error {
	clear(c.results)
	c.tidings = tidings{}
	pending := make([]untaken, len(c.turns))
	unclaimed := len(c.call.work.schedule)
	sent := c.store.clock.local()
	err := each(ctx, conn, c.store.sql.in(callCommit), c.call.args(conn.call), func(rows pgx.Rows) error {
		var r answerRow
		var token tokenScanner
		if err := rows.Scan(&r.what, &r.member, &r.id, &token, &r.a, &r.b, &r.c, &r.d, &r.e, &r.f, &r.g,
			&r.t[0], &r.t[1], &r.t[2], &r.t[3], &r.t[4], &r.t[5], &r.t[6], &r.t[7]); err != nil {
			return err
		}
		r.token = token.token
		place := value(r.member) - 1
		switch r.what {
		case rowApplied:
			c.store.clock.heard(sent, value(r.a))
			c.store.nodes.renewed(c.node, value(r.a), c.call.lease > 0 && value(r.b) > 0)
			c.noteEnd(place, value(r.c))
		case rowFenced:
			c.results[place].Err = c.turns[place].Refused()
			unclaimed -= len(c.turns[place].Commit.Jobs)
		case rowMessage, rowNextDue:
			m := messageRow{
				id: value(r.id), visible: r.a, inserted: r.b, execution: r.c, source: r.d, kind: r.t[0], messageID: r.t[1], name: r.t[2],
				data: r.t[3], failureText: r.t[4],
			}
			pending[place].add(r.what, &m, c.turns[place].Life)
		case rowOwnJob:
			unclaimed--
			c.results[place].Jobs = append(c.results[place].Jobs, c.ownJob(place, value(r.id), value(r.a), r.token))
		case rowOlderJob:
			if c.call.inSessions && c.ownsJob(value(r.t[0]), value(r.b)) {
				unclaimed--
			}
			c.results[place].Jobs = append(c.results[place].Jobs, olderJob(&r))
		case rowJobGone:
			c.tidings.lost(store.JobRef{ID: value(r.id), Token: r.token})
		case rowStarted:
			c.started(value(r.t[0]))
		case rowSent:
			c.tidings.ready(value(r.t[0]))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for place := range c.turns {
		pending[place].sort()
		c.results[place].Messages, c.results[place].NextDue = pending[place].messages, pending[place].nextDue
	}
	if unclaimed > 0 {
		c.tidings.jobs()
	}
	c.noteChanges()
	return nil
}

// noteChanges says what clients wait for, and where others may go on.
func (c *committing) noteChanges() {
	for place, turn := range c.turns {
		if c.results[place].Err != nil {
			continue
		}
		m := turn.Commit
		if turn.Begin || ended(m) || m.CustomStatus != nil || m.KVClearAll || len(m.KV) > 0 {
			c.tidings.changed(turn.Instance)
		}
		if c.store.served.leavesToOthers(c.node, turn, &c.results[place]) {
			c.tidings.others |= store.KindReady
		}
	}
}

// noteEnd gives those who wait for the end of an instance what it returned, so that they need not ask. An instance with a
// custom status has more to tell than is at hand here.
func (c *committing) noteEnd(place int, customVersion int64) {
	turn := c.turns[place]
	if m := turn.Commit; m.Status == replay.Completed && customVersion == 0 {
		c.tidings.Ended = append(c.tidings.Ended, &store.Status{
			Instance: turn.Instance, Life: turn.Life, Status: m.Status, Output: storable(m.Output), Execution: m.Execution,
		})
	}
}

// started: the instance is this node's, so only this process has to hear of it, or nobody's, if this one lacks what it runs.
func (c *committing) started(life string) {
	start, ok := c.call.starts[life]
	if !ok {
		return
	}
	c.tidings.Ready = append(c.tidings.Ready, start.Instance)
	c.tidings.Changed = append(c.tidings.Changed, start.Instance)
	if !c.store.served.by(c.node, start.Name, start.Version) {
		c.tidings.others |= store.KindReady
	}
}

func (c *committing) ownsJob(instance string, schedule int64) bool {
	for _, turn := range c.turns {
		if turn.Instance == instance {
			return slices.ContainsFunc(turn.Commit.Jobs, func(j replay.Job) bool { return j.Schedule == schedule })
		}
	}
	return false
}

func (c *committing) ownJob(place int, id, schedule int64, token history.Token) store.Job {
	turn := c.turns[place]
	i := slices.IndexFunc(turn.Commit.Jobs, func(j replay.Job) bool { return j.Schedule == schedule })
	return store.Job{
		JobRef: store.JobRef{ID: id, Token: token}, Instance: turn.Instance, Life: turn.Life, Execution: turn.Commit.Execution,
		OrchestrationName: turn.Name, OrchestrationVersion: turn.Version, Job: turn.Commit.Jobs[i],
	}
}

func olderJob(r *answerRow) store.Job {
	return store.Job{
		JobRef: store.JobRef{ID: value(r.id), Token: r.token}, Instance: value(r.t[0]), Life: value(r.t[1]), Execution: value(r.a),
		OrchestrationName: value(r.t[6]), OrchestrationVersion: value(r.t[7]),
		Job: replay.Job{
			Schedule: value(r.b), Name: value(r.t[2]), Input: value(r.t[3]), Session: value(r.t[4]), Tag: value(r.t[5]),
			TimeoutMS: value(r.c), Attempt: int(value(r.d)), RetryOf: value(r.e),
		},
		Suspect: value(r.f) != 0, Attempts: int(value(r.g)),
	}
}

const (
	turnNow      = `SELECT i.id, i.turn, i.used_queues, i.node FROM {schema}.duroxide_instances i WHERE i.instance = $1 AND i.life = $2`
	turnRecorded = `SELECT EXISTS (SELECT FROM {schema}.duroxide_history WHERE instance_id = $1 AND execution = $2 AND first_event = $3
		AND events = $4)`
	callUntaken = `SELECT what, ` + messageColumns + ` FROM {schema}.duroxide_untaken($1, $2, {schema}.duroxide_now())`
)

// applied tells after a lost answer whether the group is in the store: a turn by its token or, if another has followed, by
// its events. The group is one transaction, so each member that was not fenced has the same fate.
func (c *committing) applied(ctx context.Context, q querier) (applied, known bool, err error) {
	clear(c.results)
	c.tidings = tidings{}
	unborn := true // beginnings of which there is nothing: not applied, or in vain. Beside others they tell nothing.
	for place, turn := range c.turns {
		is, sure, err := c.appliedOne(ctx, q, place)
		if err != nil {
			return false, false, err
		}
		known = known || sure
		applied = applied || is
		unborn = unborn && turn.Begin && !is && !sure
		if !is {
			c.results[place] = store.TurnResult{Err: turn.Refused()}
		} else {
			c.tidings.ready(turn.Instance)
		}
	}
	if !applied || !known {
		return applied, known || unborn, nil
	}
	c.tidings.jobs()
	c.noteChanges()
	return true, true, c.findClaims(ctx, q)
}

func (c *committing) appliedOne(ctx context.Context, q querier, place int) (applied, known bool, err error) {
	turn := c.turns[place]
	var id int64
	var now tokenScanner
	var used, node string
	err = q.QueryRow(ctx, c.store.sql.in(turnNow), turn.Instance, turn.Life).Scan(&id, &now, &used, &node)
	switch {
	case errorsIsNoRows(err):
		return false, false, nil
	case err != nil:
		return false, false, err
	case now.token == turn.New:
		var u untaken
		if !ended(turn.Commit) {
			err = each(ctx, q, c.store.sql.in(callUntaken), []any{id, used}, func(rows pgx.Rows) error { return scanUntaken(rows, turn.Life, &u) })
		}
		u.sort()
		c.results[place] = store.TurnResult{Messages: u.messages, NextDue: u.nextDue}
		return true, true, err
	case now.token == turn.Expect:
		return false, true, nil
	case len(turn.Commit.Events) == 0:
		return false, false, nil
	}
	applied, err = exists(ctx, q, c.store.sql.in(turnRecorded), id, turn.Commit.Execution, turn.Commit.Events[0].ID, c.call.eventsOf(place))
	return applied, err == nil, err
}

// findClaims gives the jobs that were claimed on the way to the first members with room for them.
func (c *committing) findClaims(ctx context.Context, q querier) error {
	claimer := c.call.claimer
	return each(ctx, q, c.store.sql.in(jobsOfToken), []any{uuid(c.call.token), claimer}, func(rows pgx.Rows) error {
		job, err := scanJob(rows, c.call.token)
		if err != nil {
			return err
		}
		for place, turn := range c.turns {
			if c.results[place].Err == nil && len(c.results[place].Jobs) < turn.Claim.Limit {
				c.results[place].Jobs = append(c.results[place].Jobs, job)
				break
			}
		}
		return nil
	})
}

func ended(m *replay.Commit) bool { return m.Status == replay.Completed || m.Status == replay.Failed }
