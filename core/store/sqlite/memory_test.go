package sqlite

import (
	"testing"

	"modernc.org/libc"
	"modernc.org/sqlite/lib"

	"github.com/duroxide/duroxide/core/store"
)

// countMemory makes SQLite keep count of its memory, without which it knows no limit. Only before its first use.
func countMemory() {
	tls := libc.NewTLS()
	defer tls.Close()
	on := libc.NewVaList(int32(1))
	defer libc.Xfree(tls, on)
	if code := sqlite3.Xsqlite3_config(tls, sqlite3.SQLITE_CONFIG_MEMSTATUS, on); code != sqlite3.SQLITE_OK {
		panic(code)
	}
}

// Memory runs out at one allocation after the other while a group is committed. Whatever is answered is true, and when
// there is memory again the rest goes through.
func TestRunningOutOfMemoryFailsOnlyWhatDidNotFit(t *testing.T) {
	stores(t, func(t *testing.T, open func(t *testing.T) *Store) {
		t.Helper()
		// The limit holds for all of SQLite in the process, so no other test may run beside this one.
		tls := libc.NewTLS()
		defer tls.Close()
		limit := func(bytes int64) { sqlite3.Xsqlite3_hard_heap_limit64(tls, bytes) }
		attempt := func(bytes int64) (failed, all bool) {
			t.Helper()
			const members = 4
			s := open(t)
			turns := begun(t, s, members, 20_000)
			limit(bytes)
			results, err := s.CommitTurns(t.Context(), "node", turns)
			limit(0)
			if err != nil && !store.IsRetryable(err) {
				t.Fatalf("with %d bytes: %v", bytes, err)
			}
			applied := 0
			if err == nil || !store.IsUnknown(err) {
				applied = verify(t, s, turns, results)
			}
			var rest []store.Turn
			for i := range turns {
				if results != nil && results[i].Err != nil {
					rest = append(rest, turns[i])
				}
			}
			if results == nil && !store.IsUnknown(err) {
				rest = turns
			}
			if len(rest) > 0 {
				again, err := s.CommitTurns(t.Context(), "node", rest)
				if err != nil {
					t.Fatalf("with memory again: %v", err)
				}
				if verify(t, s, rest, again) != len(rest) {
					t.Fatal("not applied when there was memory again")
				}
			}
			return applied < members, applied == members
		}
		enough := int64(64 << 10)
		for _, all := attempt(enough); !all; _, all = attempt(enough) {
			if enough *= 2; enough > 1<<30 {
				t.Fatal("no amount of memory is enough")
			}
		}
		failures := 0
		for step := range int64(48) {
			if failed, _ := attempt(enough/2 + enough/2*step/48); failed {
				failures++
			}
		}
		if failures < 5 {
			t.Errorf("memory ran out in %d of 48 attempts: the limits missed the work", failures)
		}
	})
}
