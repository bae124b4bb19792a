package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/duroxide/duroxide/core/store"
)

const (
	callBury    = `SELECT gone, jobs, ready FROM {schema}.duroxide_bury($1, $2)`
	selectNodes = `SELECT node, until, lease_ms, (SELECT {schema}.duroxide_now()), coalesce(boot, ''), coalesce(namespace, ''),
		coalesce(pid, 0), coalesce(started, '') FROM {schema}.duroxide_nodes WHERE node <> $1`
	selectStrays = `SELECT node FROM {schema}.duroxide_strays() WHERE node <> $1`
)

const buryBound = 10 * time.Second // others wait for their turn

// bury removes the row of a node and frees what it held. Of two who try, one succeeds; a node that has renewed its lease
// in the meantime stays.
func (s *Store) bury(ctx context.Context, node store.NodeID, how string) (gone bool, err error) {
	var t tidings
	err = s.write(ctx, write{
		operation: fmt.Sprintf("bury node %q", node),
		bound:     buryBound,
		run: func(ctx context.Context, c session) error {
			var jobs bool
			var ready []string
			t = tidings{}
			if err := c.QueryRow(ctx, s.sql.in(callBury), string(node), how).Scan(&gone, &jobs, &ready); err != nil {
				return err
			}
			for _, instance := range ready {
				t.ready(instance)
			}
			if jobs {
				t.jobs()
			}
			if gone {
				t.others |= store.KindReady | store.KindNodes
			}
			return nil
		},
		applied: func(ctx context.Context, q querier) (applied, known bool, err error) {
			var counter, until int64
			err = q.QueryRow(ctx, s.sql.in(nodeRow), string(node)).Scan(&counter, &until)
			gone = errors.Is(err, pgx.ErrNoRows)
			t = tidings{}
			if gone {
				t.jobs()
			}
			return gone, true, orElse(err, nil)
		},
	})
	if err == nil {
		s.tell(&t)
	}
	return gone && err == nil, err
}

// doomed is a node to be buried.
type doomed struct {
	node store.NodeID
	how  string // as duroxide_bury takes it
}

// BuryDead implements [store.Store]. The database is asked only when something has changed since the last renewal. One that
// cannot be buried keeps none of the others from it.
func (s *Store) BuryDead(ctx context.Context, self store.NodeID) ([]store.NodeID, error) {
	if s.nodes.areWell(s.Now()) {
		return nil, nil
	}
	dead, others, err := s.lookForDead(ctx, self)
	if err != nil {
		return nil, err
	}
	var buried []store.NodeID
	for _, d := range dead {
		gone, failed := s.bury(ctx, d.node, d.how)
		if err = cmp.Or(err, failed); failed != nil && ctx.Err() != nil {
			break
		}
		if gone {
			s.nodes.remove(d.node)
			s.served.remove(d.node)
			buried = append(buried, d.node)
		}
	}
	if len(dead) == 0 {
		s.nodes.learn(others, false)
	} // else one that was buried may not know it yet and go on: the next look is made too
	return buried, err
}

// lookForDead tells the nodes that are to be buried from the others.
func (s *Store) lookForDead(ctx context.Context, self store.NodeID) (dead []doomed, others []neighbour, err error) {
	err = s.read(ctx, "look for dead nodes", func(ctx context.Context, q querier) error {
		dead, others = nil, nil
		err := each(ctx, q, s.sql.in(selectNodes), []any{string(self)}, func(rows pgx.Rows) error {
			var n neighbour
			var ms, now int64
			err := rows.Scan(&n.node, &n.until, &ms, &now, &n.boot, &n.namespace, &n.pid, &n.started)
			if err != nil {
				return err
			}
			switch {
			case n.state() == processGone:
				dead = append(dead, doomed{n.node, "dead"})
			case n.isLapsed(now, ms) && s.nodes.hadTheirChance(self, now, ms):
				dead = append(dead, doomed{n.node, "lapsed"})
			default:
				others = append(others, n)
			}
			return nil
		})
		if err != nil {
			return err
		}
		return each(ctx, q, s.sql.in(selectStrays), []any{string(self)}, func(rows pgx.Rows) error {
			var node string
			err := rows.Scan(&node)
			dead = append(dead, doomed{store.NodeID(node), "stray"})
			return err
		})
	})
	return dead, others, err
}
