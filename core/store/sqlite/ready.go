package sqlite

import (
	"context"

	"zombiezen.com/go/sqlite"

	"github.com/duroxide/duroxide/core/store"
)

const (
	selectReady = `SELECT instance_id, visible_at FROM duroxide_messages WHERE visible_at IS NOT NULL AND visible_at <= (SELECT ?)
		ORDER BY visible_at, instance_id`
	selectDue = `SELECT instance_id, visible_at FROM duroxide_messages WHERE visible_at IS NOT NULL AND visible_at > (SELECT ?)
		AND visible_at <= (SELECT ?) ORDER BY visible_at, instance_id LIMIT (SELECT ?)`
	selectRunner     = `SELECT instance, name, version, next_event, node FROM duroxide_instances WHERE id = ?`
	takeInstance     = `UPDATE duroxide_instances SET node = ? WHERE id = ? AND node = ?`
	selectNodesAlive = `SELECT node FROM duroxide_nodes WHERE until >= ?`
)

// dueLimit bounds how many timers one query lists; the later ones come with later queries.
const dueLimit = 10_000

// candidate is an instance that has something to do.
type candidate struct {
	id         int64
	instance   string
	node       store.NodeID
	registered bool
}

// Ready implements [store.Store].
func (s *Store) Ready(ctx context.Context, q store.ReadyQuery) (store.ReadyResult, error) {
	if s.closed.Load() {
		return store.ReadyResult{}, store.ErrClosed
	}
	names := make(map[string]bool, len(q.Names))
	for _, name := range q.Names {
		names[name] = true
	}
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
		looked := map[int64]*candidate{}
		look := func(id int64) (*candidate, bool, error) {
			if known := looked[id]; known != nil {
				return known, false, nil
			}
			found, err := lookAt(c, id, names)
			looked[id] = found
			return found, true, err
		}
		err = prepared(c, selectReady).int(now).each(func(row *sqlite.Stmt) (bool, error) {
			if len(result.Instances) >= q.Limit {
				return false, nil
			}
			found, first, err := look(row.ColumnInt64(0))
			if err != nil || !first || !found.registered {
				return true, err
			}
			// Their own node is about to take them: others wait a moment, then anybody may.
			if found.node != q.Node && alive[found.node] && now-row.ColumnInt64(1) < store.AffinityDelay.Milliseconds() {
				return true, nil
			}
			if q.Skip != nil && q.Skip(found.instance) {
				return true, nil
			}
			result.Instances = append(result.Instances, found.instance)
			if others && found.node != q.Node {
				taken = append(taken, *found)
			}
			return true, nil
		})
		if err != nil || q.HorizonMS <= 0 {
			return err
		}
		listed := map[int64]bool{}
		return prepared(c, selectDue).int(now).int(now + q.HorizonMS).int(dueLimit).each(func(row *sqlite.Stmt) (bool, error) {
			found, _, err := look(row.ColumnInt64(0))
			if err != nil || !found.registered || listed[found.id] {
				return true, err
			}
			if found.node == q.Node || !alive[found.node] {
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

func lookAt(c *sqlite.Conn, id int64, names map[string]bool) (*candidate, error) {
	found := &candidate{id: id}
	_, err := prepared(c, selectRunner).int(id).first(func(s *sqlite.Stmt) {
		found.instance, found.node = s.ColumnText(0), store.NodeID(s.ColumnText(4))
		found.registered = isRegistered(names, s.ColumnText(1), s.ColumnText(2))
	})
	return found, err
}

// isRegistered reports whether a node with these names can run an instance. Without a version any will do: the latest
// is taken.
func isRegistered(names map[string]bool, name, version string) bool {
	if version != "" {
		name += "@" + version
	}
	return names[name]
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
