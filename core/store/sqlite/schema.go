package sqlite

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitemigration"

	"github.com/duroxide/duroxide/core/store"
)

//go:embed schema/*.sql
var schemaFiles embed.FS

// applicationID stands in the header of our databases ("durx"), so that another program's file is never migrated.
const applicationID = 0x64757278

// writerVersion is compared with min_writer of the store. It grows when older programs would break what newer write.
const writerVersion = 1

// schema lists the migrations in the order of their file names. They only go forward; within a major version each one
// leaves what older programs read and write in place.
var schema = func() sqlitemigration.Schema {
	names, err := fs.Glob(schemaFiles, "schema/*.sql")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	slices.Sort(names)
	s := sqlitemigration.Schema{AppID: applicationID}
	for _, name := range names {
		text, err := schemaFiles.ReadFile(name)
		if err != nil {
			panic(err) // embedded
		}
		s.Migrations = append(s.Migrations, string(text))
	}
	return s
}()

// migrate brings the schema up to date.
func (f *file) migrate() error {
	if !f.memory {
		f.writer.SetBusyTimeout(busyPatience)
		defer f.writer.SetBusyTimeout(0)
	}
	if err := sqlitemigration.Migrate(context.Background(), f.writer, schema); err != nil {
		return explain(f.name(), err)
	}
	return nil
}

const (
	migrationPatience = 60 * time.Second // a process may be stopped in the middle of it
	migrationPause    = 10 * time.Millisecond
)

// waitForMigration tries to get a lock until it succeeds, fails by itself, or time is over.
func waitForMigration(deadline time.Time, taken func(error) bool, try func() error) error {
	for {
		err := try()
		switch {
		case err == nil || !taken(err):
			return err
		case time.Now().After(deadline):
			return fmt.Errorf("another process has kept it for too long, bringing the schema up to date: %w", err)
		}
		<-time.After(migrationPause)
	}
}

// checkVersion tells whether the schema is current. It refuses a newer one, and databases of other programs. It reads in
// one transaction: between two of these questions another process may set up the same new file.
func checkVersion(c *sqlite.Conn, path string) (current bool, err error) {
	if err := prepared(c, "BEGIN").exec(); err != nil {
		return false, explain(path, err)
	}
	defer func() { err = errors.Join(err, prepared(c, "ROLLBACK").exec()) }()
	var version, app, tables, predecessors int64
	for sql, into := range map[string]*int64{
		"PRAGMA user_version":                &version,
		"PRAGMA application_id":              &app,
		"SELECT count(*) FROM sqlite_schema": &tables,
		"SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('orchestrator_queue', 'worker_queue', 'instances')": &predecessors,
	} {
		if _, err := prepared(c, sql).first(func(s *sqlite.Stmt) { *into = s.ColumnInt64(0) }); err != nil {
			return false, explain(path, err)
		}
	}
	switch {
	case app != applicationID && predecessors == 3:
		return false, fmt.Errorf("%s was written by duroxide 0.2 or older, whose instances this version cannot continue: "+
			"finish them with that version, or choose another path", path)
	case app != applicationID && tables > 0:
		return false, fmt.Errorf("%s holds the tables of another program: choose a path of its own", path)
	case app == applicationID && version > int64(len(schema.Migrations)):
		return false, fmt.Errorf("%s has schema version %d, this program knows %d: %w", path, version,
			len(schema.Migrations), store.ErrNewerSchema)
	}
	return app == applicationID && version == int64(len(schema.Migrations)), nil
}

// checkMinWriter refuses to work with a store that newer programs have changed in ways this one would break.
func checkMinWriter(c *sqlite.Conn) error {
	wanted := ""
	_, err := prepared(c, "SELECT value FROM duroxide_meta WHERE key = 'min_writer'").first(func(s *sqlite.Stmt) {
		wanted = s.ColumnText(0)
	})
	if err != nil {
		return err
	}
	if n, err := strconv.Atoi(wanted); err == nil && n > writerVersion {
		return fmt.Errorf("%w: writers of generation %d, this is %d", store.ErrTooOld, n, writerVersion)
	}
	return nil
}
