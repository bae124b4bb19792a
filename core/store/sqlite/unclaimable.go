package sqlite

import (
	"context"

	"zombiezen.com/go/sqlite"

	"github.com/duroxide/duroxide/core/store"
)

const (
	selectRegistered = `SELECT orchestrations, activities, joined_at FROM duroxide_nodes WHERE until >= ?`
	anyPair          = `SELECT DISTINCT name FROM duroxide_jobs WHERE token IS NULL AND session = ''
		UNION SELECT DISTINCT name FROM duroxide_jobs WHERE token IS NULL AND session <> ''`
	jobsOfName = `SELECT j.id, i.instance, j.visible_at FROM duroxide_jobs j JOIN duroxide_instances i ON i.id = j.instance_id
		WHERE j.token IS NULL AND j.name = ? AND j.visible_at <= ? ORDER BY j.id LIMIT ?`
	instancesDue = `SELECT m.instance_id, i.instance, i.name, i.version, min(m.visible_at)
		FROM duroxide_messages m JOIN duroxide_instances i ON i.id = m.instance_id
		WHERE m.visible_at IS NOT NULL AND m.visible_at <= ? GROUP BY m.instance_id`
)

// unclaimableLimit bounds one answer; what is dealt with makes room for the rest.
const unclaimableLimit = 1000

// Unclaimable implements [store.Store]. A registration starts the clock of all such work again: a deployment may be
// under way.
func (s *Store) Unclaimable(ctx context.Context) ([]store.Unclaimable, error) {
	var found []store.Unclaimable
	now := s.Now()
	err := s.scan(ctx, "look for unclaimable work", true, func(c *sqlite.Conn) error {
		found = nil
		orchestrations, activities := map[string]bool{}, map[string]bool{}
		latest, nodes := int64(0), 0
		err := prepared(c, selectRegistered).int(now).each(func(row *sqlite.Stmt) (bool, error) {
			nodes++
			latest = max(latest, row.ColumnInt64(2))
			if err := addNames(orchestrations, row.ColumnText(0)); err != nil {
				return false, err
			}
			return true, addNames(activities, row.ColumnText(1))
		})
		if err != nil || nodes == 0 {
			return err
		}
		err = prepared(c, instancesDue).int(now).each(func(row *sqlite.Stmt) (bool, error) {
			name, version := row.ColumnText(2), row.ColumnText(3)
			if !knows(orchestrations, name, version) {
				found = append(found, store.Unclaimable{
					Instance: row.ColumnText(1), Name: name, Version: version, SinceMS: max(latest, row.ColumnInt64(4)),
				})
			}
			return len(found) < unclaimableLimit, nil
		})
		if err != nil {
			return err
		}
		var unknown []string
		err = prepared(c, anyPair).each(func(row *sqlite.Stmt) (bool, error) {
			if name := row.ColumnText(0); !activities[name] {
				unknown = append(unknown, name)
			}
			return true, nil
		})
		if err != nil {
			return err
		}
		for _, name := range unknown {
			err := prepared(c, jobsOfName).text(name).int(now).int(unclaimableLimit).each(func(row *sqlite.Stmt) (bool, error) {
				found = append(found, store.Unclaimable{
					Job: row.ColumnInt64(0), Instance: row.ColumnText(1), Name: name, SinceMS: max(latest, row.ColumnInt64(2)),
				})
				return true, nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return found, err
}

func addNames(to map[string]bool, text string) error {
	names, err := decodeNames(text)
	for _, name := range names {
		to[name] = true
	}
	return err
}

// knows reports whether some node can run name@version; without a version any will do.
func knows(registered map[string]bool, name, version string) bool {
	if version != "" {
		return registered[name+"@"+version]
	}
	for each := range registered {
		if len(each) > len(name) && each[:len(name)] == name && each[len(name)] == '@' {
			return true
		}
	}
	return registered[name]
}
