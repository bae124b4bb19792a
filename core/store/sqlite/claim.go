package sqlite

import (
	"cmp"
	"context"
	"slices"

	"zombiezen.com/go/sqlite"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// Waiting jobs are indexed by tag and name. A claim walks over the pairs that occur, not over the jobs: work that
// nobody here can do costs nothing, however much of it there is.
const (
	nextPair = `SELECT tag, name FROM duroxide_jobs WHERE token IS NULL AND session = '' AND (tag, name) > (?, ?)
		ORDER BY tag, name LIMIT 1`
	oldestOfPair = `SELECT visible_at, id FROM duroxide_jobs
		WHERE token IS NULL AND session = '' AND tag = (SELECT ?) AND name = (SELECT ?) AND visible_at <= (SELECT ?)
		ORDER BY visible_at, id LIMIT (SELECT ?)`

	// Of sessions that nobody holds the oldest are wanted. They are found at the head of what waits, unless that is all of
	// sessions which cannot be had: then session after session is looked at.
	oldestInSessions = `SELECT session FROM duroxide_jobs WHERE token IS NULL AND session <> '' AND visible_at <= (SELECT ?)
		ORDER BY visible_at, id LIMIT (SELECT ?)`
	nextSession     = `SELECT session FROM duroxide_jobs WHERE token IS NULL AND session <> '' AND session > ? ORDER BY session LIMIT 1`
	oldestOfSession = `SELECT id, visible_at, name, tag FROM duroxide_jobs WHERE token IS NULL AND session <> ''
		AND session = (SELECT ?) ORDER BY id LIMIT 1`
	runningOfSession = `SELECT 1 FROM duroxide_jobs WHERE token IS NOT NULL AND session <> '' AND session = (SELECT ?) LIMIT 1`
	nodeIsThere      = `SELECT 1 FROM duroxide_nodes WHERE node = ?`

	claimJob = `UPDATE duroxide_jobs SET node = ?, token = ? WHERE id = ? AND token IS NULL
		RETURNING instance_id, execution, schedule, name, input, session, tag, timeout_ms, attempt, retry_of, suspect, attempts`
	selectOwner = `SELECT instance, life, name, version FROM duroxide_instances WHERE id = ?`

	insertJob = `INSERT INTO duroxide_jobs (id, instance_id, execution, schedule, name, input, session, tag, timeout_ms, attempt,
		retry_of, visible_at, node, token) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
)

// headOfSessions is how many jobs of sessions are looked at for such as can be taken.
const headOfSessions = 256

// ClaimJobs implements [store.Store].
func (s *Store) ClaimJobs(ctx context.Context, c store.Claim) ([]store.Job, error) {
	if c.Limit <= 0 {
		return nil, nil
	}
	var jobs []store.Job
	m := &member{operation: "claim jobs", run: func(t *tx) error {
		jobs = nil
		may, err := t.mayClaim(&c)
		if err == nil && may {
			jobs, err = t.claim(&c, c.Limit)
		}
		return err
	}}
	m.applied = func(conn *sqlite.Conn) (applied, known bool, err error) {
		if len(jobs) == 0 {
			return false, false, nil
		}
		applied, err = prepared(conn, "SELECT 1 FROM duroxide_jobs WHERE id = ? AND token = ?").
			int(jobs[0].ID).blob(jobs[0].Token[:]).first(func(*sqlite.Stmt) {})
		return applied, true, err
	}
	if err := s.write(ctx, m); err != nil {
		return nil, err
	}
	return jobs, nil
}

// eligible is a job that a claim could take.
type eligible struct {
	id, visible int64
	session     string
}

// mayClaim: a node that has been buried, or has left, claims nothing. Nobody would ever free it.
func (t *tx) mayClaim(c *store.Claim) (bool, error) {
	return prepared(t.Conn, nodeIsThere).text(string(c.Node)).first(func(*sqlite.Stmt) {})
}

// claim takes the oldest eligible jobs, at most limit, for a node that may.
func (t *tx) claim(c *store.Claim, limit int) ([]store.Job, error) {
	if limit <= 0 || c.IsEmpty() {
		return nil, nil
	}
	found, err := t.eligiblePlain(c, limit)
	if err != nil {
		return nil, err
	}
	inSessions, err := t.eligibleInSessions(c, limit)
	if err != nil {
		return nil, err
	}
	found = append(found, inSessions...)
	if len(found) == 0 {
		return nil, nil
	}
	slices.SortFunc(found, func(a, b eligible) int {
		return cmp.Or(cmp.Compare(a.visible, b.visible), cmp.Compare(a.id, b.id))
	})
	jobs := make([]store.Job, 0, min(limit, len(found)))
	mayTake := c.MayTake
	for _, e := range found {
		if len(jobs) == limit {
			break
		}
		if e.session != "" {
			held, took, err := t.holdSession(c, e.session, mayTake > 0)
			if err != nil {
				return nil, err
			}
			if !held {
				continue
			}
			if took {
				mayTake--
			}
		}
		job, err := t.claimOne(e.id, c.Node)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, job)
	}
	return jobs, nil
}

func (t *tx) eligiblePlain(c *store.Claim, limit int) ([]eligible, error) {
	var found []eligible
	tag, name := "", ""
	for {
		another, err := prepared(t.Conn, nextPair).text(tag).text(name).first(func(s *sqlite.Stmt) {
			tag, name = s.ColumnText(0), s.ColumnText(1)
		})
		if err != nil || !another {
			return found, err
		}
		if !c.Serves(name, tag) {
			continue
		}
		err = prepared(t.Conn, oldestOfPair).text(tag).text(name).int(t.now).int(int64(limit)).
			each(func(s *sqlite.Stmt) (bool, error) {
				found = append(found, eligible{visible: s.ColumnInt64(0), id: s.ColumnInt64(1)})
				return true, nil
			})
		if err != nil {
			return nil, err
		}
	}
}

// eligibleInSessions gives the oldest waiting job of each session that the node holds, and of the oldest sessions that it
// could take, unless one of the session's jobs runs already: they run one after another.
func (t *tx) eligibleInSessions(c *store.Claim, limit int) ([]eligible, error) {
	look := inSessions{tx: t, claim: c, seen: map[string]bool{}}
	err := look.all(limit)
	return look.found, err
}

// inSessions looks at sessions for jobs that a claim could take.
type inSessions struct {
	*tx
	claim *store.Claim
	seen  map[string]bool
	found []eligible
}

func (l *inSessions) all(limit int) error {
	for session := range l.claim.HeldSessions {
		if err := l.at(session); err != nil {
			return err
		}
	}
	if l.claim.MayTake <= 0 {
		return nil
	}
	enough := len(l.found) + min(limit, l.claim.MayTake)
	walked := 0
	err := prepared(l.Conn, oldestInSessions).int(l.now).int(headOfSessions).each(func(s *sqlite.Stmt) (bool, error) {
		walked++
		err := l.at(s.ColumnText(0))
		return len(l.found) < enough, err
	})
	if err != nil || len(l.found) >= enough || walked < headOfSessions {
		return err
	}
	session := ""
	for {
		another, err := prepared(l.Conn, nextSession).text(session).first(func(s *sqlite.Stmt) { session = s.ColumnText(0) })
		if err != nil || !another {
			return err
		}
		if err := l.at(session); err != nil {
			return err
		}
	}
}

func (l *inSessions) at(session string) error {
	if l.seen[session] {
		return nil
	}
	l.seen[session] = true
	job := eligible{session: session}
	isDue := false
	_, err := prepared(l.Conn, oldestOfSession).text(session).first(func(s *sqlite.Stmt) {
		job.id, job.visible = s.ColumnInt64(0), s.ColumnInt64(1)
		isDue = job.visible <= l.now && l.claim.Serves(s.ColumnText(2), s.ColumnText(3))
	})
	if err != nil || !isDue {
		return err
	}
	running, err := prepared(l.Conn, runningOfSession).text(session).first(func(*sqlite.Stmt) {})
	if err != nil || running {
		return err
	}
	held, free, err := l.askSession(l.claim, session)
	if err == nil && (held || free) {
		l.found = append(l.found, job)
	}
	return err
}

func (t *tx) claimOne(id int64, node store.NodeID) (store.Job, error) {
	job := store.Job{JobRef: store.JobRef{ID: id, Token: history.NewToken()}}
	var owner int64
	_, err := prepared(t.Conn, claimJob).text(string(node)).blob(job.Token[:]).int(id).one(func(s *sqlite.Stmt) {
		owner = s.ColumnInt64(0)
		job.Execution = s.ColumnInt64(1)
		job.Job = replay.Job{
			Schedule: s.ColumnInt64(2), Name: s.ColumnText(3), Input: s.ColumnText(4), Session: s.ColumnText(5),
			Tag: s.ColumnText(6), TimeoutMS: s.ColumnInt64(7), Attempt: s.ColumnInt(8), RetryOf: s.ColumnInt64(9),
		}
		job.Suspect, job.Attempts = s.ColumnBool(10), s.ColumnInt(11)
	})
	if err != nil {
		return job, err
	}
	_, err = prepared(t.Conn, selectOwner).int(owner).first(func(s *sqlite.Stmt) {
		job.Instance, job.Life = s.ColumnText(0), s.ColumnText(1)
		job.OrchestrationName, job.OrchestrationVersion = s.ColumnText(2), s.ColumnText(3)
	})
	return job, err
}

// insertJobs stores the turn's jobs. Free slots go to the oldest eligible work first, then to the turn's own jobs,
// which are then claimed in the same statement that inserts them.
func (c *committing) insertJobs(t *tx) error {
	free := c.Claim.Limit
	if free > 0 {
		if may, err := t.mayClaim(&c.Claim); err != nil {
			return err
		} else if !may {
			free = 0
		}
	}
	inSession := c.Commit.Status == replay.Running && slices.ContainsFunc(c.Commit.Jobs, func(j replay.Job) bool { return j.Session != "" })
	if free > 0 && !inSession {
		older, err := t.claim(&c.Claim, free)
		if err != nil {
			return err
		}
		c.result.Jobs = older
		free -= len(older)
	}
	if c.Commit.Status != replay.Running {
		return nil // its jobs go with it
	}
	for i := range c.Commit.Jobs {
		j := &c.Commit.Jobs[i]
		id, err := t.nextID()
		if err != nil {
			return err
		}
		q := prepared(t.Conn, insertJob).int(id).int(c.id).int(c.Commit.Execution).int(j.Schedule).text(j.Name).text(j.Input).
			text(j.Session).text(j.Tag).int(j.TimeoutMS).int(int64(j.Attempt)).int(j.RetryOf).int(t.now)
		if free <= 0 || inSession || !c.Claim.Serves(j.Name, j.Tag) {
			if err := q.null().null().exec(); err != nil {
				return err
			}
			t.wake.Jobs = true
			continue
		}
		job := store.Job{
			JobRef: store.JobRef{ID: id, Token: history.NewToken()}, Instance: c.Instance, Life: c.Life,
			Execution: c.Commit.Execution, OrchestrationName: c.Name, OrchestrationVersion: c.Version, Job: *j,
		}
		if err := q.text(string(c.Claim.Node)).blob(job.Token[:]).exec(); err != nil {
			return err
		}
		c.result.Jobs = append(c.result.Jobs, job)
		free--
	}
	if free > 0 && inSession {
		// Which sessions may be taken is decided with the jobs in place.
		var err error
		c.result.Jobs, err = t.claim(&c.Claim, free)
		return err
	}
	return nil
}
