package sqlite

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
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

// What one large write has made of the log is given back to the disk.
func TestALogThatHadToGrowBecomesShortAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openForTest(t, path)
	length := func() int64 {
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	input := strings.Repeat("x", logKept+logKept/4)
	if _, err := s.Start(t.Context(), store.Start{Instance: "large", Name: "flow", Input: input}); err != nil {
		t.Fatal(err)
	}
	if n := length(); n < logKept {
		t.Fatalf("the log has %d bytes, want more than are kept", n)
	}
	k := newKeeper(s.file)
	defer k.closeConn()
	k.look(false)
	startForTest(t, s, "small")
	startForTest(t, s, "another")
	if n := length(); n > logKept {
		t.Errorf("the log still has %d bytes", n)
	}
}

// What was deleted goes back to the file system when nobody writes, and not under those who do.
func TestWhatIsDeletedMakesTheFileShorter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openForTest(t, path)
	length := func() int64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	s.file.keeper.stop() // the test's own works alone
	s.file.keeper = nil
	const instances, bytes = 20, 1 << 20
	for i := range instances {
		st := store.Start{Instance: strconv.Itoa(i), Name: "flow", Input: strings.Repeat("x", bytes)}
		if _, err := s.Start(t.Context(), st); err != nil {
			t.Fatal(err)
		}
	}
	k := newKeeper(s.file)
	defer k.closeConn()
	k.look(true)
	if n := length(); n < instances*bytes {
		t.Fatalf("the file has %d bytes", n)
	}
	for i := range instances - 1 {
		if _, err := s.Delete(t.Context(), strconv.Itoa(i), true); err != nil {
			t.Fatal(err)
		}
	}
	k.committed()
	k.shrink()
	if n := k.free(); n <= freeKept {
		t.Errorf("%d pages are free: they were given back under who writes", n)
	}
	<-k.commits
	k.shrink()
	if n := length(); n > 2*bytes+(freeKept+500)*pageSize {
		t.Errorf("the file still has %d bytes", n)
	}
	if snapshot, err := s.Load(t.Context(), "19", history.Token{}); err != nil || len(snapshot.Messages[0].Data) != bytes {
		t.Errorf("what was not deleted: %v", err)
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
