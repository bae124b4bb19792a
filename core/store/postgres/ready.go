package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duroxide/duroxide/core/store"
)

// Those that are due, the longest waiting first. Whether mail is waited for is decided here, from the row of its instance:
// where it is inserted, the turn that opens its queue may be about to commit. idle = nothing here for a turn.
const selectReady = `SELECT m.instance_id, i.instance, i.node, i.status <> 'Running' OR (m.kind = 'mail' AND NOT i.open_queues ? m.name) AS idle
	FROM {schema}.duroxide_messages m JOIN {schema}.duroxide_instances i ON i.id = m.instance_id
	WHERE m.visible_at IS NOT NULL AND m.visible_at <= (SELECT {schema}.duroxide_now())
		AND CASE WHEN i.version = '' THEN i.name ELSE i.name || '@' || i.version END = ANY ($1::text[])
		AND (i.node = $2 OR m.visible_at <= (SELECT {schema}.duroxide_now()) - $3::bigint
			OR NOT EXISTS (SELECT FROM {schema}.duroxide_nodes n WHERE n.node = i.node AND n.until >= (SELECT {schema}.duroxide_now())))
	ORDER BY m.visible_at, m.instance_id LIMIT $4`

const selectDue = `SELECT i.instance, m.visible_at
	FROM {schema}.duroxide_messages m JOIN {schema}.duroxide_instances i ON i.id = m.instance_id
	WHERE m.visible_at IS NOT NULL AND m.visible_at > (SELECT {schema}.duroxide_now())
		AND m.visible_at <= (SELECT {schema}.duroxide_now()) + $3::bigint
		AND CASE WHEN i.version = '' THEN i.name ELSE i.name || '@' || i.version END = ANY ($1::text[])
		AND (i.node = $2 OR NOT EXISTS (SELECT FROM {schema}.duroxide_nodes n
			WHERE n.node = i.node AND n.until >= (SELECT {schema}.duroxide_now())))
	ORDER BY m.visible_at, m.instance_id LIMIT $4`

// The time, and whether other nodes live.
const selectAlive = `SELECT {schema}.duroxide_now(), EXISTS (SELECT FROM {schema}.duroxide_nodes
	WHERE node <> $1 AND until >= (SELECT {schema}.duroxide_now()))`

// Of several nodes that found an instance one gets it. Rows that somebody is changing are left to that one.
const takeInstances = `UPDATE {schema}.duroxide_instances i SET node = $1
	FROM (SELECT x.id FROM {schema}.duroxide_instances x JOIN unnest($2::bigint[], $3::text[]) AS t(id, node) ON t.id = x.id AND t.node = x.node
		WHERE x.id = ANY ($2::bigint[]) ORDER BY x.id FOR NO KEY UPDATE OF x SKIP LOCKED) mine
	WHERE i.id = mine.id RETURNING i.instance`

const (
	dueLimit  = 10_000  // timers that one query lists; the later ones come with later queries
	readyMost = 100_000 // rows that are looked at in one go, however many of them are skipped
)

// candidate is an instance that has something to do.
type candidate struct {
	id       int64
	instance string
	node     string
}

// Ready implements [store.Store].
func (s *Store) Ready(ctx context.Context, q store.ReadyQuery) (store.ReadyResult, error) {
	names := list(q.Names)
	var found []candidate
	var idle []int64
	var others bool
	for limit := max(q.Limit, 1) * 2; ; limit *= 4 {
		full := false
		err := s.read(ctx, "look for ready instances", func(db querier) error {
			sent := s.clock.local()
			var at int64
			if err := db.QueryRow(ctx, s.sql.in(selectAlive), string(q.Node)).Scan(&at, &others); err != nil {
				return err
			}
			s.clock.heard(sent, at)
			var err error
			found, idle, full, err = s.candidates(ctx, db, &q, names, limit)
			return err
		})
		if err != nil {
			return store.ReadyResult{}, err
		}
		if !full || len(found) >= q.Limit || limit >= readyMost {
			break
		}
	}
	if len(idle) > 0 {
		if err := s.hide(ctx, idle); err != nil {
			return store.ReadyResult{}, err
		}
	}
	result := store.ReadyResult{}
	var taken []candidate
	for _, c := range found {
		if others && c.node != string(q.Node) {
			taken = append(taken, c)
		} else {
			result.Instances = append(result.Instances, c.instance)
		}
	}
	if len(taken) > 0 {
		mine, err := s.take(ctx, q.Node, taken)
		if err != nil {
			return store.ReadyResult{}, err
		}
		result.Instances = result.Instances[:0]
		for _, c := range found {
			if mine[c.instance] || !others || c.node == string(q.Node) {
				result.Instances = append(result.Instances, c.instance)
			}
		}
	}
	if q.HorizonMS <= 0 {
		return result, nil
	}
	err := s.read(ctx, "look for timers", func(db querier) error {
		result.Due = nil
		listed := map[string]bool{}
		return each(ctx, db, s.sql.in(selectDue), []any{names, string(q.Node), q.HorizonMS, dueLimit}, func(rows pgx.Rows) error {
			var d store.DueInstance
			err := rows.Scan(&d.Instance, &d.Due)
			if !listed[d.Instance] {
				listed[d.Instance] = true
				result.Due = append(result.Due, d)
			}
			return err
		})
	})
	return result, err
}

// candidates looks at so many due messages. full: there may be more.
func (s *Store) candidates(ctx context.Context, db querier, q *store.ReadyQuery, names []string, limit int) (found []candidate, idle []int64, full bool, err error) {
	seen := map[int64]bool{}
	n := 0
	err = each(ctx, db, s.sql.in(selectReady), []any{names, string(q.Node), store.AffinityDelay.Milliseconds(), limit}, func(rows pgx.Rows) error {
		var c candidate
		var nothing bool
		if err := rows.Scan(&c.id, &c.instance, &c.node, &nothing); err != nil {
			return err
		}
		n++
		if nothing {
			idle = append(idle, c.id)
			return nil
		}
		if seen[c.id] || len(found) >= q.Limit {
			return nil
		}
		seen[c.id] = true
		if q.Skip == nil || !q.Skip(c.instance) {
			found = append(found, c)
		}
		return nil
	})
	return found, idle, n == limit, err
}

func (s *Store) hide(ctx context.Context, instances []int64) error {
	return s.write(ctx, write{operation: "hide mail", run: func(ctx context.Context, c *pgxpool.Conn) error {
		_, err := c.Exec(ctx, s.sql.in("SELECT {schema}.duroxide_hide($1)"), instances)
		return err
	}, applied: again})
}

// again is for writes that may be done twice: they are taken for not done.
func again(context.Context, querier) (applied, known bool, err error) { return false, true, nil }

// take puts the node's name on instances that were another's or nobody's.
func (s *Store) take(ctx context.Context, node store.NodeID, taken []candidate) (map[string]bool, error) {
	ids, nodes := make([]int64, len(taken)), make([]string, len(taken))
	for i := range taken {
		ids[i], nodes[i] = taken[i].id, taken[i].node
	}
	mine := map[string]bool{}
	err := s.write(ctx, write{operation: "take ready instances", run: func(ctx context.Context, c *pgxpool.Conn) error {
		clear(mine)
		return each(ctx, c, s.sql.in(takeInstances), []any{string(node), ids, nodes}, func(rows pgx.Rows) error {
			var instance string
			err := rows.Scan(&instance)
			mine[instance] = true
			return err
		})
	}, applied: again})
	return mine, err
}
