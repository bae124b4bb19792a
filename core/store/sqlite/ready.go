package sqlite

import (
	"context"

	"zombiezen.com/go/sqlite"

	"github.com/duroxide/duroxide/core/store"
)

// What waits may be other nodes' work, a hundred thousand instances of it: the database leaves it out by itself. Without a
// version any will do: the latest is taken.
const registered = `(CASE i.version WHEN '' THEN i.name ELSE i.name || '@' || i.version END) IN (SELECT value FROM json_each(?1))`

const (
	selectReady = `SELECT m.instance_id, m.visible_at, i.instance, i.node
		FROM duroxide_messages m CROSS JOIN duroxide_instances i ON i.id = m.instance_id
		WHERE m.visible_at IS NOT NULL AND m.visible_at <= (SELECT ?2) AND ` + registered + ` ORDER BY m.visible_at, m.instance_id`
	selectDue = `SELECT m.instance_id, m.visible_at, i.instance, i.node
		FROM duroxide_messages m CROSS JOIN duroxide_instances i ON i.id = m.instance_id
		WHERE m.visible_at IS NOT NULL AND m.visible_at > (SELECT ?2) AND m.visible_at <= (SELECT ?3) AND ` + registered + `
		ORDER BY m.visible_at, m.instance_id LIMIT (SELECT ?4)`
	takeInstance     = `UPDATE duroxide_instances SET node = ? WHERE id = ? AND node = ?`
	selectNodesAlive = `SELECT node FROM duroxide_nodes WHERE until >= ?`
)

// dueLimit bounds how many timers one query lists; the later ones come with later queries.
const dueLimit = 10_000

// candidate is an instance that has something to do.
type candidate struct {
	id       int64
	instance string
	node     store.NodeID
}

// candidateAt reads a row of selectReady or selectDue.
func candidateAt(row *sqlite.Stmt) candidate {
	return candidate{id: row.ColumnInt64(0), instance: row.ColumnText(2), node: store.NodeID(row.ColumnText(3))}
}

// Ready implements [store.Store].
func (s *Store) Ready(ctx context.Context, q store.ReadyQuery) (store.ReadyResult, error) {
	if s.closed.Load() {
		return store.ReadyResult{}, store.ErrClosed
	}
	if len(q.Names) == 0 {
		return store.ReadyResult{}, nil
	}
	names := encodeNames(q.Names)
	var result store.ReadyResult
	var taken []candidate
	now := s.file.now()
	err := s.file.read(ctx, "look for ready instances", true, func(c *sqlite.Conn) error {
		result, taken = store.ReadyResult{}, nil
		alive := map[store.NodeID]bool{}
		err := prepared(c, selectNodesAlive).int(now).each(func(row *sqlite.Stmt) (bool, error) {
			alive[store.NodeID(row.ColumnText(0))] = true
			return true, nil
		})
		if err != nil {
			return err
		}
		others := len(alive) > 1 || len(alive) == 1 && !alive[q.Node]
		looked := map[int64]bool{}
		err = prepared(c, selectReady).text(names).int(now).each(func(row *sqlite.Stmt) (bool, error) {
			if len(result.Instances) >= q.Limit {
				return false, nil
			}
			found := candidateAt(row)
			if looked[found.id] {
				return true, nil
			}
			looked[found.id] = true
			// Their own node is about to take them: others wait a moment, then anybody may.
			if found.node != q.Node && alive[found.node] && now-row.ColumnInt64(1) < q.Leaves() {
				return true, nil
			}
			if q.Skip != nil && q.Skip(found.instance) {
				return true, nil
			}
			result.Instances = append(result.Instances, found.instance)
			if others && found.node != q.Node {
				taken = append(taken, found)
			}
			return true, nil
		})
		if err != nil || q.HorizonMS <= 0 {
			return err
		}
		listed := map[int64]bool{}
		return prepared(c, selectDue).text(names).int(now).int(now + q.HorizonMS).int(dueLimit).each(func(row *sqlite.Stmt) (bool, error) {
			found := candidateAt(row)
			if !listed[found.id] && (found.node == q.Node || !alive[found.node]) {
				listed[found.id] = true
				result.Due = append(result.Due, store.DueInstance{Instance: found.instance, Due: row.ColumnInt64(1)})
			}
			return true, nil
		})
	})
	if err != nil || len(taken) == 0 {
		return result, err
	}
	return s.takeReady(ctx, q.Node, result, taken)
}

// takeReady puts the node's name on the instances that were another's or nobody's, so that of several nodes that found
// them one tries. Those that another has taken meanwhile are left out.
func (s *Store) takeReady(ctx context.Context, node store.NodeID, r store.ReadyResult, taken []candidate) (store.ReadyResult, error) {
	lost := map[string]bool{}
	err := s.write(ctx, &member{operation: "take ready instances", run: func(t *tx) error {
		clear(lost)
		for i := range taken {
			err := prepared(t.Conn, takeInstance).text(string(node)).int(taken[i].id).text(string(taken[i].node)).exec()
			if err != nil {
				return err
			}
			if t.Changes() == 0 {
				lost[taken[i].instance] = true
			}
		}
		return nil
	}})
	if err != nil {
		return store.ReadyResult{}, err
	}
	kept := r.Instances[:0]
	for _, instance := range r.Instances {
		if !lost[instance] {
			kept = append(kept, instance)
		}
	}
	r.Instances = kept
	return r, nil
}
