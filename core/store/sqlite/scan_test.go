package sqlite

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
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

// However many read the whole store, the engine and its waits find a connection.
func TestReadsOfEverythingLeaveConnectionsToOthers(t *testing.T) {
	s := openForTest(t, filepath.Join(t.TempDir(), "store.db"))
	startForTest(t, s, "a")
	begun, held, ends := make(chan struct{}, 2*readerCount), make(chan struct{}), make(chan error, 2*readerCount)
	release := sync.OnceFunc(func() { close(held) })
	t.Cleanup(release)
	for range 2 * readerCount {
		go func() {
			ends <- s.scan(t.Context(), "read", true, func(*sqlite.Conn) error {
				begun <- struct{}{}
				<-held
				return nil
			})
		}()
	}
	for range scanCount {
		<-begun
	}
	bound, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for range 2 * readerCount {
		if _, err := s.Status(bound, "a"); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(begun); n > 0 {
		t.Errorf("%d more scans than %d run at once", n, scanCount)
	}
	release()
	for range 2 * readerCount {
		if err := <-ends; err != nil {
			t.Error(err)
		}
	}
}
