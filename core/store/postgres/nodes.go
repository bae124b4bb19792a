package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/duroxide/duroxide/core/store"
)

const (
	insertNode = `INSERT INTO {schema}.duroxide_nodes (node, label, counter, lease_ms, until, boot, namespace, pid, started, orchestrations,
		activities, joined_at)
		SELECT $1, $2, 1, $3, at + $3, $4, $5, $6, $7, $8, $9, at FROM (SELECT {schema}.duroxide_now() AS at) t
		WHERE (SELECT value::integer FROM {schema}.duroxide_meta WHERE key = 'min_writer') <= $10 AND {schema}.duroxide_confirm($11)
		RETURNING until, joined_at`
	callRenew = `SELECT until, min_writer, at, ready, jobs, next_due, strays, o_node, o_until, o_boot, o_namespace, o_pid, o_started,
		drawn, oldest, next
		FROM {schema}.duroxide_renew($1, $2, $3, $4, $5, $6, $7)`
	nodeRow     = `SELECT counter, until FROM {schema}.duroxide_nodes WHERE node = $1`
	callBury    = `SELECT gone, jobs, ready FROM {schema}.duroxide_bury($1, $2)`
	selectNodes = `SELECT node, until, until < (SELECT {schema}.duroxide_now()), coalesce(boot, ''), coalesce(namespace, ''), coalesce(pid, 0),
		coalesce(started, '') FROM {schema}.duroxide_nodes WHERE node <> $1`
	selectStrays = `SELECT node FROM {schema}.duroxide_strays() WHERE node <> $1`
	callRelease  = `SELECT {schema}.duroxide_release($1, $2)`
)

// joined are the nodes of this process, with their leases as last written, and what is known of the others.
type joined struct {
	mu     sync.Mutex
	leases map[store.NodeID]lease
	// As they were at the last renewal; known is false when there is news of nodes since.
	others []neighbour
	strays bool
	known  bool
}

// neighbour is a node of whatever process.
type neighbour struct {
	node  store.NodeID
	until int64
	process
}

func (j *joined) learn(others []neighbour, strays bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.others, j.strays, j.known = others, strays, true
}

// doubt makes the next look go to the database.
func (j *joined) doubt() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.known = false
}

// areWell reports whether all other nodes are known to live: their processes are there, as far as can be seen from here,
// and their leases hold. Who died since the last renewal is noticed when the lease is over that it had then.
func (j *joined) areWell(now int64) bool {
	j.mu.Lock()
	others, well := j.others, j.known && !j.strays
	j.mu.Unlock()
	return well && !slices.ContainsFunc(others, func(n neighbour) bool { return n.until < now || n.isDead() })
}

type lease struct{ ms, until int64 }

func (j *joined) init() { j.leases = map[store.NodeID]lease{} }

func (j *joined) set(node store.NodeID, l lease) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.leases[node] = l
}

func (j *joined) remove(node store.NodeID) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.leases, node)
}

// renewal is the lease (ms) that a commit extends on its way, once a third of it has gone by; 0 = not yet.
func (j *joined) renewal(node store.NodeID, now int64) int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if l, ok := j.leases[node]; ok && l.until-now <= l.ms*2/3 {
		return l.ms
	}
	return 0
}

// renewed notes that a commit has extended the lease.
func (j *joined) renewed(node store.NodeID, now int64, done bool) {
	if !done {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if l, ok := j.leases[node]; ok {
		j.leases[node] = lease{ms: l.ms, until: now + l.ms}
	}
}

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
				optionalInt(p.pid), optional(p.started), list(n.Orchestrations), list(n.Activities), writerVersion, c.call).Scan(&l.Until, &at)
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
	s.nodes.set(n.ID, lease{ms: n.LeaseMS, until: l.Until})
	s.served.add(&n)
	s.nodes.doubt()
	s.news.announce(store.KindNodes)
	return l, nil
}

// Renew implements [store.Store].
func (s *Store) Renew(ctx context.Context, l *store.Lease) error {
	var until int64
	var seen *reading
	waiting := store.Waiting{Ready: true, Jobs: true} // as long as nothing is known
	node := string(l.Node.ID)
	err := s.write(ctx, write{
		operation: "renew lease",
		run: func(ctx context.Context, c session) error {
			var extended, nextDue, drawn, oldest, next *int64
			var minWriter int
			var at int64
			var ready, jobs, strays bool
			var o neighbours
			sent := s.clock.local()
			err := c.QueryRow(ctx, s.sql.in(callRenew), node, l.Counter, l.Node.LeaseMS, writerVersion, s.news.channel, s.news.mark(), c.call).
				Scan(&extended, &minWriter, &at, &ready, &jobs, &nextDue, &strays, &o.node, &o.until, &o.boot, &o.namespace, &o.pid, &o.started,
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
			until = *extended
			return nil
		},
		applied: func(ctx context.Context, q querier) (applied, known bool, err error) {
			var counter int64
			err = q.QueryRow(ctx, s.sql.in(nodeRow), node).Scan(&counter, &until)
			return err == nil && counter == l.Counter+1, true, orElse(err, nil)
		},
	})
	if err != nil {
		return err
	}
	l.Counter++
	l.Until, l.Waiting = until, &waiting
	s.nodes.set(l.Node.ID, lease{ms: l.Node.LeaseMS, until: until})
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

// bury removes the row of a node and frees what it held. Of two who try, one succeeds; a node that has renewed its lease
// in the meantime stays.
func (s *Store) bury(ctx context.Context, node store.NodeID, how string) (gone bool, err error) {
	var t tidings
	err = s.write(ctx, write{
		operation: fmt.Sprintf("bury node %q", node),
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

// neighbours are columns of duroxide_renew.
type neighbours struct {
	node, boot, namespace, started []string
	until, pid                     []int64
}

func (o *neighbours) list() []neighbour {
	all := make([]neighbour, len(o.node))
	for i := range all {
		all[i] = neighbour{
			node: store.NodeID(o.node[i]), until: o.until[i],
			process: process{boot: o.boot[i], namespace: o.namespace[i], pid: o.pid[i], started: o.started[i]},
		}
	}
	return all
}

// BuryDead implements [store.Store]. The database is asked only when something has changed since the last renewal.
func (s *Store) BuryDead(ctx context.Context, self store.NodeID) ([]store.NodeID, error) {
	if s.nodes.areWell(s.Now()) {
		return nil, nil
	}
	type doomed struct {
		node store.NodeID
		how  string
	}
	var dead []doomed
	var others []neighbour
	err := s.read(ctx, "look for dead nodes", func(q querier) error {
		dead, others = nil, nil
		err := each(ctx, q, s.sql.in(selectNodes), []any{string(self)}, func(rows pgx.Rows) error {
			var n neighbour
			var lapsed bool
			err := rows.Scan(&n.node, &n.until, &lapsed, &n.boot, &n.namespace, &n.pid, &n.started)
			if err != nil {
				return err
			}
			switch {
			case n.isDead():
				dead = append(dead, doomed{n.node, "dead"})
			case lapsed:
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
	if err != nil {
		return nil, err
	}
	var buried []store.NodeID
	for _, d := range dead {
		gone, err := s.bury(ctx, d.node, d.how)
		if err != nil {
			return buried, err
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
	return buried, nil
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
