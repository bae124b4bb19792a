package sqlite

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
)

// The log is copied back under load, so that it is written over again instead of growing.
func TestTheLogDoesNotGrowWithoutBound(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 200 MB")
	}
	path := filepath.Join(t.TempDir(), "store.db")
	s := openForTest(t, path)
	deadline := time.Now().Add(60 * time.Second)
	for written := 0; written < 200<<20; written += 256 << 10 {
		exclusively(t, s, func(c *sqlite.Conn) error {
			return prepared(c, "INSERT OR REPLACE INTO duroxide_custom_status (instance_id, text) VALUES (?, hex(randomblob(131072)))").
				int(int64(written >> 18 % 64)).exec()
		})
		s.file.committed()
		if time.Now().After(deadline) {
			t.Fatal("too slow to tell")
		}
	}
	info, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 160<<20 {
		t.Errorf("the log has %d MiB", info.Size()>>20)
	}
	t.Logf("the log has %d MiB", info.Size()>>20)
}

func TestAnIdleLogIsCopiedBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openForTest(t, path)
	for _, id := range []string{"a", "b", "c"} {
		startForTest(t, s, id)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		left := int64(-1)
		exclusively(t, s, func(c *sqlite.Conn) error {
			_, err := prepared(c, "PRAGMA wal_checkpoint(NOOP)").first(func(row *sqlite.Stmt) {
				left = row.ColumnInt64(1) - row.ColumnInt64(2)
			})
			return err
		})
		if left == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d pages left", left)
		}
		<-time.After(50 * time.Millisecond)
	}
}
