package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/tern/v2/migrate"

	"github.com/duroxide/duroxide/core/store"
)

// The migrations, in the order of their numbers. They only go forward; within a major version each one leaves what older
// programs read and call in place: a function that has to change gets a new name.
//
//go:embed schema/*.sql
var schemaFiles embed.FS

// writerVersion is compared with min_writer of the store. It grows when older programs would break what newer write.
const writerVersion = 1

const (
	schemaKnown   = `SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)`
	tableKnown    = `SELECT EXISTS (SELECT FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = $2)`
	predecessors  = `SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename IN ('orchestrator_queue', 'worker_queue', 'instances')`
	lockMigration = `SELECT pg_advisory_xact_lock(hashtextextended($1, 4927))`
	// The migration library locks for itself too, by the session. It does so inside our transaction; should it fail there,
	// its lock is given back by the same session, which behind a pooler is ours only as long as the transaction lasts.
	unlockLibrary = `SELECT pg_advisory_unlock(9628173550095224)`
	versionTable  = "duroxide_schema"
)

// migrate brings the schema up to date. Everything is one transaction under a lock that ends with it, so any number of
// processes may start at once, behind a pooler too, and a migration that fails leaves nothing.
func (s *Store) migrate(ctx context.Context, mustExist bool) error {
	newest, err := fs.Glob(schemaFiles, "schema/*.sql")
	if err != nil {
		return err
	}
	current, err := s.schemaVersion(ctx, s.pool)
	if err != nil {
		return err
	}
	switch {
	case current == 0 && mustExist:
		return fmt.Errorf("there are no tables of duroxide in schema %q", s.schema)
	case current == len(newest):
		return s.checkWriter(ctx)
	case current > len(newest):
		return newerSchema(s.schema, current, len(newest))
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// A process that is stopped in here must not keep all others from starting.
		if _, err := tx.Exec(ctx, "SET LOCAL idle_in_transaction_session_timeout = '30s'"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, lockMigration, s.schema); err != nil {
			return err
		}
		// Another process may have been here in the meantime.
		current, err := s.schemaVersion(ctx, tx)
		switch {
		case err != nil, current == len(newest):
			return err
		case current > len(newest):
			return newerSchema(s.schema, current, len(newest))
		}
		return s.migrateIn(ctx, tx)
	})
	if err != nil {
		return err
	}
	return s.checkWriter(ctx)
}

// querier is a pool, connection or transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// schemaVersion is 0 when there are no tables of ours yet.
func (s *Store) schemaVersion(ctx context.Context, q querier) (int, error) {
	var known bool
	if err := q.QueryRow(ctx, tableKnown, s.schema, versionTable).Scan(&known); err != nil {
		return 0, err
	}
	if !known {
		var old int
		if err := q.QueryRow(ctx, predecessors, s.schema).Scan(&old); err != nil {
			return 0, err
		}
		if old == 3 {
			return 0, fmt.Errorf("schema %q was written by duroxide 0.2 or older, whose instances this version cannot continue: "+
				"finish them with that version, or choose another schema", s.schema)
		}
		return 0, nil
	}
	var version int
	err := q.QueryRow(ctx, s.sql.in("SELECT version FROM {schema}."+versionTable)).Scan(&version)
	return version, err
}

func (s *Store) migrateIn(ctx context.Context, tx pgx.Tx) error {
	var known bool
	if err := tx.QueryRow(ctx, schemaKnown, s.schema).Scan(&known); err != nil {
		return err
	}
	if !known {
		if _, err := tx.Exec(ctx, s.sql.in("CREATE SCHEMA {schema}")); err != nil {
			return err
		}
	}
	return pgx.BeginFunc(ctx, tx, func(inner pgx.Tx) error {
		err := s.runMigrations(ctx, inner)
		if err == nil {
			return nil
		}
		if undo := inner.Rollback(ctx); undo != nil {
			return errors.Join(err, undo)
		}
		if _, undo := tx.Exec(ctx, unlockLibrary); undo != nil {
			return errors.Join(err, undo)
		}
		return err
	})
}

func (s *Store) runMigrations(ctx context.Context, tx pgx.Tx) error {
	m, err := migrate.NewMigratorEx(ctx, tx.Conn(), s.sql.in("{schema}."+versionTable), &migrate.MigratorOptions{DisableTx: true})
	if err != nil {
		return err
	}
	m.Data = map[string]any{"schema": s.sql.quoted, "literal": strings.ReplaceAll(s.sql.quoted, "'", "''")}
	files, err := fs.Sub(schemaFiles, "schema")
	if err != nil {
		return err
	}
	if err := m.LoadMigrations(files); err != nil {
		return err
	}
	return m.Migrate(ctx)
}

func newerSchema(schema string, has, known int) error {
	return fmt.Errorf("schema %q has version %d, this program knows %d: %w", schema, has, known, store.ErrNewerSchema)
}

// checkWriter refuses to work with a store that newer programs have changed in ways this one would break.
func (s *Store) checkWriter(ctx context.Context) error {
	var wanted int
	err := s.pool.QueryRow(ctx, s.sql.in("SELECT value::integer FROM {schema}.duroxide_meta WHERE key = 'min_writer'")).Scan(&wanted)
	if err != nil {
		return err
	}
	return tooOld(wanted)
}

func tooOld(wanted int) error {
	if wanted > writerVersion {
		return fmt.Errorf("%w: writers of generation %d, this is %d", store.ErrTooOld, wanted, writerVersion)
	}
	return nil
}
