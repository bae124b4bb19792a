package sqlite

import (
	"path/filepath"
	"testing"

	"github.com/duroxide/duroxide/core/store"
	"github.com/duroxide/duroxide/core/store/storetest"
)

func TestConformanceInMemory(t *testing.T) {
	storetest.Run(t, func(t *testing.T, clock *storetest.Clock) store.Store {
		t.Helper()
		s, err := OpenMemory(Options{Now: clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func TestConformanceInAFile(t *testing.T) {
	storetest.Run(t, func(t *testing.T, clock *storetest.Clock) store.Store {
		t.Helper()
		s, err := Open(filepath.Join(t.TempDir(), "store.db"), Options{Now: clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

// RaiseMinWriter lets the conformance suite play a newer program.
func (s *Store) RaiseMinWriter(n int) error {
	return s.write(backgroundContext, &member{operation: "raise", run: func(t *tx) error {
		return prepared(t.Conn, "UPDATE duroxide_meta SET value = ? WHERE key = 'min_writer'").int(int64(n)).exec()
	}})
}
