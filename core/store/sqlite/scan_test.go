package sqlite

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/duroxide/duroxide/core/store"
)

// endless is a statement that never comes to its end.
func endless(c *sqlite.Conn) error {
	return prepared(c, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n").
		each(func(*sqlite.Stmt) (bool, error) { return true, nil })
}

func TestReadsOfEverythingAreBoundedAndHurtNobodyElse(t *testing.T) {
	s := openForTest(t, filepath.Join(t.TempDir(), "store.db"))
	s.file.scanTime = time.Millisecond
	for _, snapshot := range []bool{true, false} {
		for range 2 * readerCount { // more than there are connections
			if err := s.scan(t.Context(), "read", snapshot, endless); !errors.Is(err, errLongScan) || store.IsRetryable(err) {
				t.Fatalf("snapshot %v: %v", snapshot, err)
			}
		}
	}
	s.file.scanTime = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Millisecond, cancel)
	if err := s.scan(ctx, "read", true, endless); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	if _, err := s.SystemMetrics(t.Context()); err != nil {
		t.Error(err)
	}
}
