package sqlite

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
)

// A log that has grown long is copied back and then written over again instead of growing on.
func TestTheLogDoesNotGrowWithoutBound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openForTest(t, path)
	write := func() int64 {
		for i := range 300 {
			exclusively(t, s, func(c *sqlite.Conn) error {
				c.SetBusyTimeout(10 * time.Second)
				defer c.SetBusyTimeout(0)
				return prepared(c, "INSERT OR REPLACE INTO duroxide_custom_status (instance_id, text) VALUES (?, hex(randomblob(8192)))").
					int(int64(i % 8)).exec()
			})
		}
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	k := newKeeper(s.file)
	k.restartAt = 1000
	defer k.closeConn()
	long := write()
	if pages := long / pageSize; pages < k.restartAt {
		t.Fatalf("the log has %d pages: too few to be begun anew", pages)
	}
	k.look(false)
	if after := write(); after > long {
		t.Errorf("the log has grown from %d to %d bytes", long, after)
	}
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
