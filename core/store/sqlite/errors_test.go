package sqlite

import (
	"path/filepath"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"

	"github.com/duroxide/duroxide/core/store"
)

func TestTroubleNamesTheDatabaseAndItsCause(t *testing.T) {
	path := filepath.Join(t.TempDir(), "orders.db")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	exclusively(t, s, func(c *sqlite.Conn) error {
		return prepared(c, "PRAGMA max_page_count = 1").exec() // as many as there are
	})
	input := strings.Repeat("x", 1<<20)
	_, err = s.Start(t.Context(), store.Start{Instance: "a", Name: "flow", Input: input})
	if err == nil {
		t.Fatal("a full disk took a megabyte")
	}
	for _, part := range []string{`start "a"`, path, "the disk is full"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	if !store.IsRetryable(err) {
		t.Errorf("%q is not retryable", err)
	}
}
