package postgres

import (
	"cmp"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/duroxide/duroxide/core/store"
)

const callReady = `SELECT what, id, instance, node, at, idle FROM {schema}.duroxide_ready($1, $2, $3, $4, $5, $6, $7)`

// Of several nodes that found an instance one gets it. Rows that somebody is changing are left to that one.
const takeInstances = `UPDATE {schema}.duroxide_instances i SET node = $1
	FROM (SELECT x.id FROM {schema}.duroxide_instances x JOIN unnest($2::bigint[], $3::text[]) AS t(id, node) ON t.id = x.id AND t.node = x.node
		WHERE x.id = ANY ($2::bigint[]) ORDER BY x.id FOR NO KEY UPDATE OF x SKIP LOCKED) mine
	WHERE i.id = mine.id RETURNING i.instance`

const (
	dueLimit  = 10_000  // timers that one query lists; the later ones come with later queries
	readyMost = 1 << 30 // rows that one query gives: more than there are instances with something to do
)

// candidate is an instance that has something to do.
type candidate struct {
	id       int64
	instance string
	node     string
	at       int64 // its oldest message
}

// found is what one look gives.
type found struct {
	candidates []candidate
	idle       []int64 // instances with messages that nobody waits for
	due        []store.DueInstance
	others     bool // other nodes live
	full       bool // there may be more
}

// Ready implements [store.Store].
func (s *Store) Ready(ctx context.Context, q store.ReadyQuery) (store.ReadyResult, error) {
	var f found
	w := window{limit: max(q.Limit, 1) * 2, horizonMS: q.HorizonMS}
	for {
		due := f.due
		err := s.read(ctx, "look for ready instances", func(ctx context.Context, db querier) (err error) {
			f, err = s.look(ctx, db, &q, w)
			return err
		})
		if err != nil {
			return store.ReadyResult{}, err
		}
		f.due = append(due, f.due...)
		// Those that are skipped, or have many messages, must not hide the ones behind them.
		if !f.full || len(f.candidates) >= q.Limit || w.limit >= readyMost {
			break
		}
		w = window{limit: min(w.limit*4, readyMost), spans: true}
	}
	if len(f.idle) > 0 {
		if err := s.hide(ctx, f.idle); err != nil {
			return store.ReadyResult{}, err
		}
	}
	result := store.ReadyResult{Due: f.due}
	var foreign []candidate
	for _, c := range f.candidates {
		if f.others && c.node != string(q.Node) {
			foreign = append(foreign, c)
		}
	}
	mine := map[string]bool{}
	if len(foreign) > 0 {
		var err error
		if mine, err = s.take(ctx, q.Node, foreign); err != nil {
			return store.ReadyResult{}, err
		}
	}
	for _, c := range f.candidates {
		if !f.others || c.node == string(q.Node) || mine[c.instance] {
			result.Instances = append(result.Instances, c.instance)
		}
	}
	return result, nil
}

// window is how much of what is due is looked at.
type window struct {
	limit     int   // messages, or with spans the instances of each span of time
	spans     bool  // what lies behind the backlog of an instance is wanted
	horizonMS int64 // timers so far ahead are listed
}

// look reads what is due as far as the window goes.
func (s *Store) look(ctx context.Context, db querier, q *store.ReadyQuery, w window) (f found, err error) {
	seen, listed, n := map[int64]bool{}, map[int64]bool{}, 0
	sent := s.clock.local()
	args := []any{string(q.Node), list(q.Names), q.Leaves(), w.limit, w.horizonMS, dueLimit, w.spans}
	err = each(ctx, db, s.sql.in(callReady), args, func(rows pgx.Rows) error {
		var what int
		var id, at *int64
		var instance, node *string
		var idle bool
		if err := rows.Scan(&what, &id, &instance, &node, &at, &idle); err != nil {
			return err
		}
		c := candidate{id: value(id), instance: value(instance), node: value(node), at: value(at)}
		switch what {
		case lookTime:
			s.clock.heard(sent, value(at))
			f.others = idle
		case lookReady:
			n++
			switch {
			case idle:
				f.idle = append(f.idle, c.id)
			case seen[c.id], !w.spans && len(f.candidates) >= q.Limit:
			default:
				seen[c.id] = true
				if q.Skip == nil || !q.Skip(c.instance) {
					f.candidates = append(f.candidates, c)
				}
			}
		case lookOthers:
			n++
		case lookDue:
			if !listed[c.id] {
				listed[c.id] = true
				f.due = append(f.due, store.DueInstance{Instance: c.instance, Due: value(at)})
			}
		}
		return nil
	})
	f.full = n >= w.limit
	if w.spans { // within a span they come in no order
		slices.SortStableFunc(f.candidates, func(a, b candidate) int { return cmp.Compare(a.at, b.at) })
		f.candidates = f.candidates[:min(len(f.candidates), q.Limit)]
	}
	return f, err
}

// What a row of duroxide_ready tells.
const (
	lookTime   = 0
	lookReady  = 1
	lookDue    = 2
	lookOthers = 3
)

func (s *Store) hide(ctx context.Context, instances []int64) error {
	return s.write(ctx, write{operation: "hide mail", run: func(ctx context.Context, c session) error {
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
	err := s.write(ctx, write{operation: "take ready instances", run: func(ctx context.Context, c session) error {
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
