package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/duroxide/duroxide/core/store"
)

// A registration starts the clock of all unclaimable work again: a deployment may be under way. Without a live node there
// is nothing to say.
const selectUnclaimable = `WITH alive AS MATERIALIZED (
		SELECT max(joined_at) AS latest FROM {schema}.duroxide_nodes WHERE until >= (SELECT {schema}.duroxide_now())),
	orchestrations AS MATERIALIZED (
		SELECT DISTINCT o AS name FROM {schema}.duroxide_nodes n CROSS JOIN unnest(n.orchestrations) o
		WHERE n.until >= (SELECT {schema}.duroxide_now())
		UNION SELECT DISTINCT regexp_replace(o, '@[^@]*$', '') FROM {schema}.duroxide_nodes n CROSS JOIN unnest(n.orchestrations) o
		WHERE n.until >= (SELECT {schema}.duroxide_now())),
	activities AS MATERIALIZED (
		SELECT DISTINCT a AS name FROM {schema}.duroxide_nodes n CROSS JOIN unnest(n.activities) a
		WHERE n.until >= (SELECT {schema}.duroxide_now())),
	due AS (
		SELECT m.instance_id, min(m.visible_at) AS since FROM {schema}.duroxide_messages m
		JOIN {schema}.duroxide_instances i ON i.id = m.instance_id
		WHERE m.visible_at IS NOT NULL AND m.visible_at <= (SELECT {schema}.duroxide_now()) AND i.status = 'Running'
			AND (m.kind <> 'mail' OR i.open_queues ? m.name)
		GROUP BY m.instance_id)
	(SELECT 0::bigint, i.instance, i.name, i.version, greatest(alive.latest, due.since)
		FROM alive JOIN due ON alive.latest IS NOT NULL JOIN {schema}.duroxide_instances i ON i.id = due.instance_id
		WHERE CASE WHEN i.version = '' THEN i.name ELSE i.name || '@' || i.version END NOT IN (SELECT name FROM orchestrations) LIMIT $1)
	UNION ALL
	(SELECT j.id, i.instance, j.name, '', greatest(alive.latest, j.visible_at)
		FROM alive JOIN {schema}.duroxide_jobs j ON alive.latest IS NOT NULL JOIN {schema}.duroxide_instances i ON i.id = j.instance_id
		WHERE j.token IS NULL AND j.visible_at <= (SELECT {schema}.duroxide_now()) AND j.name NOT IN (SELECT name FROM activities)
		ORDER BY j.id LIMIT $1)`

// unclaimableLimit bounds one answer; what is dealt with makes room for the rest.
const unclaimableLimit = 1000

// Unclaimable implements [store.Store].
func (s *Store) Unclaimable(ctx context.Context) ([]store.Unclaimable, error) {
	var found []store.Unclaimable
	err := s.readMuch(ctx, "look for unclaimable work", func(ctx context.Context, q querier) error {
		found = nil
		return each(ctx, q, s.sql.in(selectUnclaimable), []any{unclaimableLimit}, func(rows pgx.Rows) error {
			var u store.Unclaimable
			err := rows.Scan(&u.Job, &u.Instance, &u.Name, &u.Version, &u.SinceMS)
			found = append(found, u)
			return err
		})
	})
	return found, err
}
