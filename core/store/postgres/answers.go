package postgres

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/duroxide/duroxide/core/history"
)

// kept is a statement that changes the store, and whose answer is stored with what it has done: when it gets lost on the
// way it can be asked for again, for five minutes. It is for what leaves no trace of its own by which one could tell.
type kept struct {
	statement string
	columns   string // of its answer, with their types
	bound     time.Duration
}

var columnNames = regexp.MustCompile(`(\w+) [^,]+`)

const answerKept = `SELECT EXISTS (SELECT FROM {schema}.duroxide_answers WHERE call = $1)`

// sql is the statement with the key of its answer and the call as its last parameters, of which the n-th is the first.
func (k kept) sql(n int) string {
	return fmt.Sprintf(`WITH answer AS MATERIALIZED (%s),
		kept AS (INSERT INTO {schema}.duroxide_answers (call, answer, inserted_at)
			SELECT $%d::uuid, json_agg(answer), {schema}.duroxide_now() FROM answer HAVING {schema}.duroxide_confirm($%d))
		SELECT %s FROM answer`, k.statement, n, n+1, k.names())
}

func (k kept) again() string {
	return `SELECT ` + k.names() + ` FROM {schema}.duroxide_answers CROSS JOIN LATERAL json_to_recordset(answer) AS x(` + k.columns +
		`) WHERE call = $1`
}

func (k kept) names() string { return columnNames.ReplaceAllString(k.columns, "$1") }

// writeKept runs a statement; scan gets each row of its answer, after begin was called.
func (s *Store) writeKept(ctx context.Context, operation string, k kept, args []any, begin func(), scan func(pgx.Rows) error) error {
	key := uuid(history.NewToken())
	return s.write(ctx, write{
		operation: operation, bound: k.bound,
		run: func(ctx context.Context, c session) error {
			begin()
			return each(ctx, c, s.sql.in(k.sql(len(args)+1)), append(args[:len(args):len(args)], key, c.call), scan)
		},
		applied: func(ctx context.Context, q querier) (applied, known bool, err error) {
			applied, err = exists(ctx, q, s.sql.in(answerKept), key)
			if err != nil || !applied {
				return false, true, err
			}
			begin()
			return true, true, each(ctx, q, s.sql.in(k.again()), []any{key}, scan)
		},
	})
}
