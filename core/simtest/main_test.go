package simtest_test

import (
	"context"
	"os"
	"testing"

	"github.com/duroxide/duroxide/core/store"
	"github.com/duroxide/duroxide/core/store/postgres"
	"github.com/duroxide/duroxide/core/store/postgres/pgtest"
)

var database pgtest.Database

func TestMain(m *testing.M) {
	os.Exit(pgtest.Main(m, func(d pgtest.Database) { database = d })) //nolint:forbidigo // as every TestMain
}

// openPostgres opens a store in a schema of its own; it skips the test when there is no server.
func openPostgres(tb testing.TB) store.Store {
	tb.Helper()
	s, err := postgres.Open(context.Background(), database.URL, postgres.Options{Schema: database.Schema(tb)})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// openAny opens a new store of a kind: memory, file or postgres.
func openAny(tb testing.TB, kind string) store.Store {
	tb.Helper()
	switch kind {
	case "memory":
		return openMemory(tb)
	case "file":
		return openFile(tb, tb.TempDir()+"/test.db")
	default:
		return openPostgres(tb)
	}
}

var kinds = []string{"memory", "file", "postgres"}
