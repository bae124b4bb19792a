package main

import (
	"errors"

	"github.com/duroxide/duroxide/core/store"
	"github.com/duroxide/duroxide/core/store/sqlite"
)

// openSQLite opens a database file, or makes one in memory.
func openSQLite(path string, memory bool) (store.Store, error) {
	if memory {
		return sqlite.OpenMemory(sqlite.Options{})
	}
	return sqlite.Open(path, sqlite.Options{})
}

// opCheck lists what is wrong with a store.
func opCheck(r *request) (any, string, error) { return []string{}, "", errors.New("being written") }
