package main

import (
	"github.com/duroxide/duroxide/core/check"
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
func opCheck(r *request) (any, string, error) {
	p, err := provider(r)
	if err != nil {
		return nil, "", err
	}
	violations, err := check.Run(r.ctx, p.store)
	if err != nil {
		return nil, "", err
	}
	texts := make([]string, len(violations))
	for i := range violations {
		texts[i] = violations[i].String()
	}
	return texts, "", nil
}
