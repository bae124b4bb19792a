package postgres

import (
	"context"
	"time"

	"github.com/duroxide/duroxide/core/store"
)

const (
	insertNode = `INSERT INTO {schema}.duroxide_nodes (node, label, counter, lease_ms, until, boot, namespace, pid, started, connections,
		orchestrations, activities, joined_at)
		SELECT $1, $2, 1, $3, at + $3, $4, $5, $6, $7, $8, $9, $10, at FROM (SELECT {schema}.duroxide_now() AS at) t
		WHERE (SELECT value::integer FROM {schema}.duroxide_meta WHERE key = 'min_writer') <= $11 AND {schema}.duroxide_confirm($12)
		RETURNING until, joined_at`
	callRenew = `SELECT until, counter, min_writer, at, ready, jobs, next_due, strays, o_node, o_until, o_boot, o_namespace, o_pid, o_started,
		drawn, oldest, next
		FROM {schema}.duroxide_renew($1, $2, $3, $4, $5, $6, $7, $8)`
	nodeRow     = `SELECT counter, until FROM {schema}.duroxide_nodes WHERE node = $1`
	callRelease = `SELECT {schema}.duroxide_release($1, $2)`
)

// Join implements [store.Store].
func (s *Store) Join(ctx context.Context, n store.Node) (*store.Lease, error) {
	l := &store.Lease{Node: n, Counter: 1, Waiting: &store.Waiting{Ready: true, Jobs: true}}
	p := thisProcess()
	var at int64
	err := s.write(ctx, write{
		operation: "join",
		run: func(ctx context.Context, c session) error {
			sent := s.clock.local()
			err := c.QueryRow(ctx, s.sql.in(insertNode), string(n.ID), n.Label, n.LeaseMS, optional(p.boot), optional(p.namespace),
				optionalInt(p.pid), optional(p.started), s.connections, list(n.Orchestrations), list(n.Activities), writerVersion, c.call).
				Scan(&l.Until, &at)
			if err == nil {
				s.clock.heard(sent, at)
			}
			return orElse(err, store.ErrTooOld)
		},
		applied: func(ctx context.Context, q querier) (applied, known bool, err error) {
			var counter int64
			err = q.QueryRow(ctx, s.sql.in(nodeRow), string(n.ID)).Scan(&counter, &l.Until)
			return err == nil, true, orElse(err, nil)
		},
	})
	if err != nil {
		return nil, err
	}
	s.nodes.begin(n.ID, n.LeaseMS, l.Until-n.LeaseMS, l.Until)
	s.served.add(&n)
	s.nodes.doubt()
	s.news.announce(store.KindNodes)
	return l, nil
}

// Renew implements [store.Store].
func (s *Store) Renew(ctx context.Context, l *store.Lease) error {
	var until, counter int64
	var seen *reading
	unsure := s.nodes.unsure(l.Node.ID)
	waiting := store.Waiting{Ready: true, Jobs: true} // as long as nothing is known
	node := string(l.Node.ID)
	err := s.write(ctx, write{
		operation: "renew lease",
		bound:     time.Duration(l.Node.LeaseMS) * time.Millisecond / 3, // with its look-up less than half a lease
		run: func(ctx context.Context, c session) error {
			var extended, counted, nextDue, drawn, oldest, next *int64
			var minWriter int
			var at int64
			var ready, jobs, strays bool
			var o neighbours
			sent := s.clock.local()
			args := []any{node, l.Counter, l.Node.LeaseMS, writerVersion, s.news.channel, s.news.mark(), unsure, c.call}
			err := c.QueryRow(ctx, s.sql.in(callRenew), args...).
				Scan(&extended, &counted, &minWriter, &at, &ready, &jobs, &nextDue, &strays, &o.node, &o.until, &o.boot, &o.namespace, &o.pid, &o.started,
					&drawn, &oldest, &next)
			if err != nil {
				return err
			}
			s.clock.heard(sent, at)
			seen = nil
			if drawn != nil {
				seen = &reading{value: *drawn, oldest: value(oldest), next: value(next)}
			}
			s.nodes.learn(o.list(), strays)
			waiting = store.Waiting{Ready: ready, Jobs: jobs, NextDue: value(nextDue)}
			if err := tooOld(minWriter); err != nil {
				return err
			}
			if extended == nil {
				return store.ErrNodeLost
			}
			until, counter = *extended, *counted
			return nil
		},
		applied: func(ctx context.Context, q querier) (applied, known bool, err error) {
			err = q.QueryRow(ctx, s.sql.in(nodeRow), node).Scan(&counter, &until)
			return err == nil && counter > l.Counter && counter <= l.Counter+unsure+1, true, orElse(err, nil)
		},
	})
	if err != nil {
		s.nodes.interrupt(l.Node.ID)
		return err
	}
	l.Counter, l.Until, l.Waiting = counter, until, &waiting
	s.nodes.extend(l.Node.ID, until-l.Node.LeaseMS, until)
	if seen != nil {
		s.news.compare(*seen)
	}
	return nil
}

// Leave implements [store.Store].
func (s *Store) Leave(ctx context.Context, node store.NodeID) error {
	if _, err := s.bury(ctx, node, "leave"); err != nil {
		return err
	}
	s.nodes.remove(node)
	s.served.remove(node)
	return nil
}

// ReleaseSessions implements [store.Store].
func (s *Store) ReleaseSessions(ctx context.Context, node store.NodeID, sessions []string) error {
	if len(sessions) == 0 {
		return nil
	}
	var t tidings
	err := s.write(ctx, write{operation: "release sessions", run: func(ctx context.Context, c session) error {
		t = tidings{}
		var released int
		err := c.QueryRow(ctx, s.sql.in(callRelease), string(node), sessions).Scan(&released)
		if released > 0 {
			t.jobs()
		}
		return err
	}, applied: again})
	if err == nil {
		s.tell(&t)
	}
	return err
}
