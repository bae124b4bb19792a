package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"zombiezen.com/go/sqlite"

	"github.com/duroxide/duroxide/core/store"
)

const (
	insertNode = `INSERT INTO duroxide_nodes (node, label, counter, lease_ms, until, process_file, orchestrations, activities, joined_at)
		VALUES (?, ?, 1, ?, ?, ?, ?, ?, ?)`
	renewNode    = `UPDATE duroxide_nodes SET counter = counter + 1, until = ? WHERE node = ? AND counter = ?`
	extendNode   = `UPDATE duroxide_nodes SET until = ? WHERE node = ?`
	deleteNode   = `DELETE FROM duroxide_nodes WHERE node = ?`
	deleteLapsed = `DELETE FROM duroxide_nodes WHERE node = ? AND until < ?`
	selectNodes  = `SELECT node, until, process_file FROM duroxide_nodes`

	// What a node had claimed is free again. Only a death makes it suspect.
	freeJobs = `UPDATE duroxide_jobs SET node = NULL, token = NULL, suspect = max(suspect, ?) WHERE token IS NOT NULL AND node = ?
		RETURNING id, instance_id`
	freeInstance = `UPDATE duroxide_instances SET node = '' WHERE id = ? AND node = ?`
	suspectTurn  = `UPDATE duroxide_instances SET suspect = 1, node = '' WHERE id = ? RETURNING instance`
	// Messages that are due wait in the index of Ready; few of them do, however many instances there are.
	dueInstances = `SELECT DISTINCT m.instance_id FROM duroxide_messages m JOIN duroxide_instances i ON i.id = m.instance_id
		WHERE m.visible_at IS NOT NULL AND m.visible_at <= ? AND i.node = ?`
)

// joined are the nodes of this process on a file: for them no lock can be probed.
type joined struct {
	mu     sync.Mutex
	leases map[store.NodeID]lease
}

// lease as this process has last written it.
type lease struct{ ms, until int64 }

func (j *joined) init() { j.leases = map[store.NodeID]lease{} }

func (j *joined) get(node store.NodeID) (lease, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	l, ok := j.leases[node]
	return l, ok
}

func (j *joined) set(node store.NodeID, l lease) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.leases[node] = l
}

func (j *joined) none() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.leases) == 0
}

func (j *joined) remove(node store.NodeID) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.leases, node)
}

// Join implements [store.Store].
func (s *Store) Join(ctx context.Context, n store.Node) (*store.Lease, error) {
	l := &store.Lease{Node: n, Counter: 1}
	m := &member{operation: "join", run: func(t *tx) error {
		if err := checkMinWriter(t.Conn); err != nil {
			return err
		}
		processFile := ""
		if !t.file.memory {
			var err error
			if processFile, err = t.file.lockProcess(); err != nil {
				return err
			}
		}
		l.Until = t.now + n.LeaseMS
		return prepared(t.Conn, insertNode).text(string(n.ID)).text(n.Label).int(n.LeaseMS).int(l.Until).text(processFile).
			text(encodeNames(n.Orchestrations)).text(encodeNames(n.Activities)).int(t.now).exec()
	}}
	m.applied = func(c *sqlite.Conn) (applied, known bool, err error) {
		applied, err = prepared(c, "SELECT 1 FROM duroxide_nodes WHERE node = ?").text(string(n.ID)).first(func(*sqlite.Stmt) {})
		return applied, true, err
	}
	// Known before the row is there, so that nobody in this process takes the newcomer for dead.
	s.file.nodes.set(n.ID, lease{ms: n.LeaseMS})
	if err := s.write(ctx, m); err != nil {
		s.file.nodes.remove(n.ID)
		return nil, errors.Join(err, s.file.unlockProcess())
	}
	s.file.nodes.set(n.ID, lease{ms: n.LeaseMS, until: l.Until})
	return l, nil
}

// Renew implements [store.Store].
func (s *Store) Renew(ctx context.Context, l *store.Lease) error {
	var until int64
	m := &member{operation: "renew lease", run: func(t *tx) error {
		if err := checkMinWriter(t.Conn); err != nil {
			return err
		}
		until = t.now + l.Node.LeaseMS
		err := prepared(t.Conn, renewNode).int(until).text(string(l.Node.ID)).int(l.Counter).exec()
		if err == nil && t.Changes() == 0 {
			err = store.ErrNodeLost
		}
		return err
	}}
	m.applied = func(c *sqlite.Conn) (applied, known bool, err error) {
		applied, err = prepared(c, "SELECT 1 FROM duroxide_nodes WHERE node = ? AND counter = ?").text(string(l.Node.ID)).
			int(l.Counter + 1).first(func(*sqlite.Stmt) {})
		return applied, true, err
	}
	if err := s.write(ctx, m); err != nil {
		return err
	}
	l.Counter++
	l.Until = until
	s.file.nodes.set(l.Node.ID, lease{ms: l.Node.LeaseMS, until: until})
	return nil
}

// renewByTheWay extends the lease with a commit that is made anyway, once a third of it has gone by. The counter stays:
// it belongs to Renew.
func (t *tx) renewByTheWay(node store.NodeID) error {
	l, ok := t.file.nodes.get(node)
	if !ok || l.until-t.now > l.ms*2/3 {
		return nil
	}
	until := t.now + l.ms
	if err := prepared(t.Conn, extendNode).int(until).text(string(node)).exec(); err != nil {
		return err
	}
	if t.Changes() > 0 {
		t.file.nodes.set(node, lease{ms: l.ms, until: until})
	}
	return nil
}

// Leave implements [store.Store].
func (s *Store) Leave(ctx context.Context, node store.NodeID) error {
	err := s.write(ctx, &member{operation: "leave", run: func(t *tx) error {
		if err := prepared(t.Conn, deleteNode).text(string(node)).exec(); err != nil {
			return err
		}
		return t.freeWork(node, false)
	}})
	if err != nil {
		return err
	}
	s.file.nodes.remove(node)
	return trouble(s.file.name(), "leave", s.file.unlockProcess())
}

// freeWork lets go of everything that a node held, within the transaction that removes its row.
func (t *tx) freeWork(node store.NodeID, died bool) error {
	touched := map[int64]bool{}
	err := prepared(t.Conn, freeJobs).bool(died).text(string(node)).each(func(s *sqlite.Stmt) (bool, error) {
		t.wake.Jobs = true
		touched[s.ColumnInt64(1)] = true
		return true, nil
	})
	if err != nil {
		return err
	}
	err = prepared(t.Conn, dueInstances).int(t.now).text(string(node)).each(func(s *sqlite.Stmt) (bool, error) {
		touched[s.ColumnInt64(0)] = true
		return true, nil
	})
	if err != nil {
		return err
	}
	for id := range touched {
		if !died {
			if err := prepared(t.Conn, freeInstance).int(id).text(string(node)).exec(); err != nil {
				return err
			}
			continue
		}
		if _, err := prepared(t.Conn, suspectTurn).int(id).one(func(s *sqlite.Stmt) { t.wake.ready(s.ColumnText(0)) }); err != nil {
			return err
		}
	}
	return t.freeSessions(node)
}

// BuryDead implements [store.Store].
func (s *Store) BuryDead(ctx context.Context, self store.NodeID) (buried []store.NodeID, err error) {
	if s.closed.Load() {
		return nil, store.ErrClosed
	}
	type row struct {
		node    store.NodeID
		until   int64
		process string
	}
	var others []row
	err = s.file.read(ctx, "look for dead nodes", false, func(c *sqlite.Conn) error {
		others = nil
		return prepared(c, selectNodes).each(func(r *sqlite.Stmt) (bool, error) {
			if node := store.NodeID(r.ColumnText(0)); node != self {
				others = append(others, row{node: node, until: r.ColumnInt64(1), process: r.ColumnText(2)})
			}
			return true, nil
		})
	})
	if err != nil {
		return nil, err
	}
	seized := map[string]func(bury bool){} // locks of dead processes, held until all of their nodes are buried
	defer func() {
		for _, done := range seized {
			done(err == nil)
		}
	}()
	for _, other := range others {
		if _, tried := seized[other.process]; !tried && s.mayProbe(other.process) {
			if dead, done := seize(s.file.path, other.process); dead {
				seized[other.process] = done
			}
		}
		_, proven := seized[other.process]
		if lapsed := other.until < s.file.now(); !proven && !lapsed {
			continue
		}
		var gone bool
		if gone, err = s.bury(ctx, other.node, proven); err != nil {
			return buried, err
		}
		if gone {
			s.file.nodes.remove(other.node)
			buried = append(buried, other.node)
		}
	}
	return buried, nil
}

// lockProcess makes the lock file of this process, once, and names it.
func (f *file) lockProcess() (name string, err error) {
	f.processMu.Lock()
	defer f.processMu.Unlock()
	if f.process == nil {
		if f.process, err = newProcessLock(f.path); err != nil {
			return "", err
		}
	}
	return f.process.name(), nil
}

// unlockProcess removes the lock file when no node of this process needs it. Nobody else would, however the process ends:
// what others remove are the files that rows of nodes name.
func (f *file) unlockProcess() error {
	f.processMu.Lock()
	defer f.processMu.Unlock()
	if f.process == nil || !f.nodes.none() {
		return nil
	}
	gone := f.process
	f.process = nil
	return gone.release(true)
}

// mayProbe is false for the lock of this process: getting it says nothing, and closing the file would give it up.
func (s *Store) mayProbe(processFile string) bool {
	if s.file.memory {
		return false
	}
	s.file.processMu.Lock()
	defer s.file.processMu.Unlock()
	return s.file.process == nil || s.file.process.name() != processFile
}

// bury removes the row of a dead node and frees what it held, in one transaction. Of two who try, one succeeds; a node
// that renewed in the meantime stays.
func (s *Store) bury(ctx context.Context, node store.NodeID, proven bool) (gone bool, err error) {
	err = s.write(ctx, &member{operation: fmt.Sprintf("bury node %q", node), run: func(t *tx) error {
		q := prepared(t.Conn, deleteLapsed).text(string(node)).int(t.now)
		if proven {
			q = prepared(t.Conn, deleteNode).text(string(node))
		}
		if err := q.exec(); err != nil {
			return err
		}
		if gone = t.Changes() > 0; !gone {
			return nil
		}
		return t.freeWork(node, true)
	}})
	return gone && err == nil, err
}
