package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

// script runs SQL on a database of its own, as another program would.
func script(t *testing.T, path, sql string) {
	t.Helper()
	c, err := sqlite.OpenConn(path, sqlite.OpenReadWrite, sqlite.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	if err := sqlitex.ExecuteScript(c, sql, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

func openForTest(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func startForTest(t *testing.T, s *Store, id string) {
	t.Helper()
	if _, err := s.Start(t.Context(), store.Start{Instance: id, Name: "flow"}); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefusesWhatIsNoStoreOfOurs(t *testing.T) {
	for _, c := range []struct {
		name, says string
		is         error
		make       func(t *testing.T, path string)
	}{
		{name: "directory", says: "is a directory", make: func(t *testing.T, path string) {
			t.Helper()
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "garbage", says: "is not a SQLite database", make: func(t *testing.T, path string) {
			t.Helper()
			if err := os.WriteFile(path, []byte(strings.Repeat("no database ", 500)), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "device", says: "is not a regular file", make: func(t *testing.T, path string) {
			t.Helper()
			if err := os.Symlink("/dev/null", path); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "another program", says: "tables of another program", make: func(t *testing.T, path string) {
			t.Helper()
			script(t, path, "CREATE TABLE customers (id INTEGER)")
		}},
		{name: "predecessor", says: "duroxide 0.2 or older", make: func(t *testing.T, path string) {
			t.Helper()
			script(t, path, "CREATE TABLE instances (instance_id TEXT); CREATE TABLE orchestrator_queue (id INTEGER); CREATE TABLE worker_queue (id INTEGER)")
		}},
		{name: "newer schema", says: "schema version 99", is: store.ErrNewerSchema, make: func(t *testing.T, path string) {
			t.Helper()
			if err := mustOpen(t, path).Close(); err != nil {
				t.Fatal(err)
			}
			script(t, path, "PRAGMA user_version = 99")
		}},
		{name: "newer writers", says: "generation 99", is: store.ErrTooOld, make: func(t *testing.T, path string) {
			t.Helper()
			if err := mustOpen(t, path).Close(); err != nil {
				t.Fatal(err)
			}
			script(t, path, "UPDATE duroxide_meta SET value = '99' WHERE key = 'min_writer'")
		}},
		{name: "read-only file", says: "cannot be written", make: func(t *testing.T, path string) {
			t.Helper()
			if os.Getuid() == 0 {
				t.Skip("root may write everything")
			}
			if err := os.WriteFile(path, nil, 0o400); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			c.make(t, path)
			before, _ := os.ReadFile(path)
			s, err := Open(path, Options{})
			if err == nil {
				t.Fatal(errors.Join(errors.New("opened"), s.Close()))
			}
			var trouble *store.Error
			if !errors.As(err, &trouble) || trouble.Operation != "open" {
				t.Errorf("%v is no error of opening", err)
			}
			if !strings.Contains(err.Error(), path) && !errors.Is(c.is, store.ErrTooOld) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%q names neither the path nor the reason", err)
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v is not %v", err, c.is)
			}
			if after, _ := os.ReadFile(path); string(after) != string(before) && !errors.Is(c.is, store.ErrTooOld) {
				t.Error("the file was changed")
			}
		})
	}
}

func mustOpen(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOpenCreatesFileAndDirectories(t *testing.T) {
	path := filepath.Join(t.TempDir(), "some", "where", "store.db")
	s := openForTest(t, path)
	startForTest(t, s, "a")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("others may read the file: %v", info.Mode())
	}
	if d := s.Describe(); d != "sqlite "+path {
		t.Errorf("described as %q", d)
	}
	for pragma, want := range map[string]string{"auto_vacuum": "2", "journal_mode": "wal", "synchronous": "2", "temp_store": "2"} {
		got := ""
		if _, err := prepared(s.file.writer, "PRAGMA "+pragma).first(func(row *sqlite.Stmt) { got = row.ColumnText(0) }); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s is %s", pragma, got)
		}
	}
}

func TestAFileHasOneWriterHoweverOftenItIsOpened(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "store.db"), filepath.Join(dir, "link.db")
	first := openForTest(t, path)
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	second := openForTest(t, link)
	if first.file != second.file {
		t.Fatal("two writers")
	}
	startForTest(t, first, "a")
	if _, err := second.Status(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	startForTest(t, second, "b") // the other one is still open
	if _, err := first.Status(t.Context(), "a"); !errors.Is(err, store.ErrClosed) {
		t.Errorf("closed store: %v", err)
	}
}

func TestManyMayOpenANewFileAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	var wg sync.WaitGroup
	for range 16 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			s, err := Open(path, Options{})
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	leftovers, err := filepath.Glob(path + "-*")
	if err != nil || len(leftovers) > 0 {
		t.Errorf("files left: %v %v", leftovers, err)
	}
}

func TestWhatWasStoredIsThereAfterReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := mustOpen(t, path)
	startForTest(t, s, "a")
	snapshot, err := s.Load(t.Context(), "a", history.Token{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openForTest(t, path)
	again, err := s.Load(t.Context(), "a", history.Token{})
	if err != nil {
		t.Fatal(err)
	}
	if again.Turn != snapshot.Turn || len(again.Messages) != 1 {
		t.Errorf("got %+v, had %+v", again, snapshot)
	}
}

func TestNothingIsAcknowledgedOnceTheFileIsGone(t *testing.T) {
	for name, remove := range map[string]func(path string) error{
		"deleted":  os.Remove,
		"replaced": func(path string) error { return errors.Join(os.Remove(path), os.WriteFile(path, nil, 0o600)) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			s := mustOpen(t, path)
			defer func() { _ = s.Close() }()
			startForTest(t, s, "a")
			if err := remove(path); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				_, err := s.Start(t.Context(), store.Start{Instance: "b", Name: "flow"})
				var trouble *store.Error
				if !errors.As(err, &trouble) || trouble.Retryable || !strings.Contains(err.Error(), path) {
					t.Errorf("start on a %s file: %v", name, err)
				}
			}
		})
	}
}
