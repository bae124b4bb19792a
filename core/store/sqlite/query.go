package sqlite

import (
	"github.com/duroxide/duroxide/core/history"
	"zombiezen.com/go/sqlite"
)

// query binds the parameters of one prepared statement in order and runs it. The first error sticks, so call sites
// check once, and a finished query is always reset: an open cursor would hold its snapshot.
type query struct {
	stmt *sqlite.Stmt
	n    int
	err  error
}

// prepared gives the cached statement of sql on c.
//
// Hot statements with ORDER BY, LIMIT or a join write (SELECT ?) for their parameters. With a bare ? the planner looks
// at the bound value, so SQLite plans the statement anew at every binding, which costs ten times what it saves.
func prepared(c *sqlite.Conn, sql string) *query {
	stmt, err := c.Prepare(sql)
	return &query{stmt: stmt, err: err}
}

func (q *query) text(v string) *query {
	q.n++
	if q.err == nil {
		q.stmt.BindText(q.n, v)
	}
	return q
}

func (q *query) int(v int64) *query {
	q.n++
	if q.err == nil {
		q.stmt.BindInt64(q.n, v)
	}
	return q
}

func (q *query) bool(v bool) *query {
	if v {
		return q.int(1)
	}
	return q.int(0)
}

func (q *query) blob(v []byte) *query {
	q.n++
	if q.err == nil {
		q.stmt.BindBytes(q.n, v)
	}
	return q
}

func (q *query) null() *query {
	q.n++
	if q.err == nil {
		q.stmt.BindNull(q.n)
	}
	return q
}

// textOrNull stores the empty text as NULL.
func (q *query) textOrNull(v string) *query {
	if v == "" {
		return q.null()
	}
	return q.text(v)
}

// intOrNull stores 0 as NULL.
func (q *query) intOrNull(v int64) *query {
	if v == 0 {
		return q.null()
	}
	return q.int(v)
}

// exec runs a statement without rows.
func (q *query) exec() error {
	return q.each(func(*sqlite.Stmt) (bool, error) { return true, nil })
}

// one gives row the first row, if there is one, and says whether there was.
func (q *query) one(row func(*sqlite.Stmt)) (bool, error) {
	if q.err != nil {
		return false, q.err
	}
	found, err := q.stmt.Step()
	if err != nil {
		return false, err
	}
	if found {
		row(q.stmt)
		// An UPDATE or DELETE with RETURNING does its work before the first row, but is finished only by the next step.
		for more := true; more; {
			if more, err = q.stmt.Step(); err != nil {
				return false, err
			}
		}
	}
	return found, q.stmt.Reset()
}

// first is one for a SELECT: the rows after the first are not computed.
func (q *query) first(row func(*sqlite.Stmt)) (bool, error) {
	found := false
	err := q.each(func(s *sqlite.Stmt) (bool, error) {
		found = true
		row(s)
		return false, nil
	})
	return found, err
}

// each gives all rows to row until it says false.
func (q *query) each(row func(*sqlite.Stmt) (more bool, err error)) error {
	if q.err != nil {
		return q.err
	}
	for {
		found, err := q.stmt.Step()
		if err != nil {
			return err
		}
		if !found {
			return q.stmt.Reset()
		}
		more, err := row(q.stmt)
		if err != nil || !more {
			if resetErr := q.stmt.Reset(); err == nil {
				err = resetErr
			}
			return err
		}
	}
}

// optionalText gives nil for NULL.
func optionalText(s *sqlite.Stmt, column int) *string {
	if s.ColumnIsNull(column) {
		return nil
	}
	v := s.ColumnText(column)
	return &v
}

// tokenAt reads a turn or claim token.
func tokenAt(s *sqlite.Stmt, column int) (t history.Token) {
	s.ColumnBytes(column, t[:])
	return t
}
