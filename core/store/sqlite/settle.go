package sqlite

import (
	"context"

	"zombiezen.com/go/sqlite"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

const (
	settleJob = `DELETE FROM duroxide_jobs WHERE id = ? AND token = ?`
	giveBack  = `UPDATE duroxide_jobs SET node = NULL, token = NULL, visible_at = max(visible_at, ?),
		attempts = CASE WHEN ? THEN attempts ELSE max(attempts - 1, 0) END WHERE id = ? AND token = ?`
	jobClaimed       = `SELECT 1 FROM duroxide_jobs WHERE id = ? AND token = ?`
	countJobAttempt  = `UPDATE duroxide_jobs SET attempts = attempts + 1, suspect = 1 WHERE id = ? AND token = ? RETURNING attempts`
	countTurnAttempt = `UPDATE duroxide_instances SET attempts = attempts + 1, suspect = 1 WHERE instance = ? AND turn = ?
		RETURNING attempts`
)

// SettleJobs implements [store.Store].
func (s *Store) SettleJobs(ctx context.Context, settlements []store.Settlement) ([]bool, error) {
	if len(settlements) == 0 {
		return nil, nil
	}
	settled := make([]bool, len(settlements))
	m := &member{operation: "settle jobs"}
	for i := range settlements {
		if r := settlements[i].Result; r != nil {
			m.bytes += len(r.Data)
		}
	}
	m.run = func(t *tx) error {
		for i := range settlements {
			var err error
			if settled[i], err = t.settle(&settlements[i]); err != nil {
				return err
			}
		}
		return nil
	}
	m.applied = func(c *sqlite.Conn) (applied, known bool, err error) {
		for i := range settlements {
			if !settled[i] {
				continue
			}
			ref := settlements[i].Job
			still, err := prepared(c, jobClaimed).int(ref.ID).blob(ref.Token[:]).first(func(*sqlite.Stmt) {})
			return !still, true, err
		}
		return false, false, nil
	}
	if err := s.write(ctx, m); err != nil {
		return nil, err
	}
	return settled, nil
}

func (t *tx) settle(s *store.Settlement) (bool, error) {
	if s.Result == nil {
		visible := int64(0)
		if s.DelayMS > 0 {
			visible = t.now + s.DelayMS
		}
		err := prepared(t.Conn, giveBack).int(visible).bool(s.Counted).int(s.Job.ID).blob(s.Job.Token[:]).exec()
		given := err == nil && t.Changes() > 0
		t.wake.Jobs = t.wake.Jobs || given
		return given, err
	}
	var instance string
	found, err := prepared(t.Conn, `SELECT i.instance FROM duroxide_jobs j JOIN duroxide_instances i ON i.id = j.instance_id
		WHERE j.id = ? AND j.token = ?`).int(s.Job.ID).blob(s.Job.Token[:]).first(func(row *sqlite.Stmt) { instance = row.ColumnText(0) })
	if err != nil || !found {
		return false, err
	}
	if err := prepared(t.Conn, settleJob).int(s.Job.ID).blob(s.Job.Token[:]).exec(); err != nil {
		return false, err
	}
	message := *s.Result
	message.JobID, message.JobToken = 0, history.Token{}
	stored, err := t.deliver(instance, &message)
	if stored && message.VisibleAt <= t.now {
		t.wake.Delivered = append(t.wake.Delivered, store.Delivered{Instance: instance, Message: message})
	}
	return err == nil, err
}

// LostJobs implements [store.Store].
func (s *Store) LostJobs(ctx context.Context, jobs []store.JobRef) ([]store.JobRef, error) {
	if len(jobs) == 0 {
		return nil, nil
	}
	if s.closed.Load() {
		return nil, store.ErrClosed
	}
	var lost []store.JobRef
	err := s.file.read(ctx, "look for lost jobs", true, func(c *sqlite.Conn) error {
		lost = nil
		for _, ref := range jobs {
			claimed, err := prepared(c, jobClaimed).int(ref.ID).blob(ref.Token[:]).first(func(*sqlite.Stmt) {})
			if err != nil {
				return err
			}
			if !claimed {
				lost = append(lost, ref)
			}
		}
		return nil
	})
	return lost, err
}

// CountAttempt implements [store.Store].
func (s *Store) CountAttempt(ctx context.Context, w store.Suspect) (int, error) {
	var attempts int
	m := &member{operation: "count attempt", run: func(t *tx) error {
		q, gone := prepared(t.Conn, countTurnAttempt).text(w.Instance).blob(w.Turn[:]), store.ErrFenced
		if w.Job != nil {
			q, gone = prepared(t.Conn, countJobAttempt).int(w.Job.ID).blob(w.Job.Token[:]), store.ErrJobsLost
		}
		found, err := q.one(func(row *sqlite.Stmt) { attempts = row.ColumnInt(0) })
		if err == nil && !found {
			err = gone
		}
		return err
	}}
	if err := s.write(ctx, m); err != nil {
		return 0, err
	}
	return attempts, nil
}
