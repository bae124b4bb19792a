package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

const callStep = `SELECT {schema}.duroxide_step($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
	$21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33)`

// What the answer of duroxide_step says, by place.
const (
	stepNow = iota
	stepRenewed
	stepCustomVersion
	stepJob
	stepNextDue
	stepInstance
)

// runStep makes the commit of one turn that duroxide_step can make.
func (c *committing) runStep(ctx context.Context, conn session) error {
	clear(c.results)
	c.tidings = tidings{}
	turn, result := c.turns[0], &c.results[0]
	sent := c.store.clock.local()
	var answer []int64
	if err := conn.QueryRow(ctx, c.store.sql.in(callStep), c.call.stepArgs(conn.call)...).Scan(&answer); err != nil {
		if sqlState(err) == codeMoreThanStep && c.call.claimsOwn() {
			c.store.older.Store(sent)
		}
		return err
	}
	if answer == nil {
		result.Err = turn.Refused()
		return nil
	}
	now := answer[stepNow]
	c.store.clock.heard(sent, now)
	c.store.nodes.renewed(c.node, now, c.call.lease > 0 && answer[stepRenewed] > 0)
	c.noteEnd(0, answer[stepCustomVersion])
	if answer[stepJob] != 0 {
		if c.call.claimsOwn() {
			result.Jobs = append(result.Jobs, c.ownJob(0, answer[stepJob], turn.Commit.Jobs[0].Schedule, c.call.token))
		} else {
			c.tidings.jobs()
		}
	}
	if due := answer[stepNextDue]; due > now {
		result.NextDue = due
	} else if due > 0 {
		c.readUntaken(ctx, conn, answer[stepInstance])
	}
	c.noteChanges()
	return nil
}

// readUntaken reads what has come for the instance of a step that is committed. When that fails it is read with the next
// turn.
func (c *committing) readUntaken(ctx context.Context, conn session, id int64) {
	var u untaken
	turn := c.turns[0]
	err := each(ctx, conn, c.store.sql.in(callUntaken), []any{id, "[]"}, func(rows pgx.Rows) error { return scanUntaken(rows, turn.Life, &u) })
	if err != nil {
		c.tidings.ready(turn.Instance)
		return
	}
	u.sort()
	c.results[0].Messages, c.results[0].NextDue = u.messages, u.nextDue
}

// olderMS is for how long no commit is tried as a step after one has found other jobs waiting. They may be for other nodes,
// and stay.
const olderMS = 1000

// seesOlder reports whether other jobs were found waiting, which may be older than those of the next turn.
func (s *Store) seesOlder() bool {
	found := s.older.Load()
	return found != 0 && s.clock.local()-found < olderMS
}
