package postgres

import (
	"context"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/duroxide/duroxide/core/store"
)

// grants are the statements by which the documentation gives a role its rights.
func grants(t *testing.T, schema, role string) []string {
	t.Helper()
	page, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^GRANT .*;$`).FindAllString(string(page), -1)
	if len(found) == 0 {
		t.Fatal("the documentation grants nothing")
	}
	for i := range found {
		found[i] = strings.NewReplacer("SCHEMA orders ", "SCHEMA "+schema+" ", "TO orders_app;", "TO "+role+";").Replace(found[i])
	}
	return found
}

// openAs opens a schema as a role that did not make it, where notifications do not come through.
func openAs(t *testing.T, schema string, rights func(quoted, role string) []string) *Store {
	t.Helper()
	if server == nil {
		t.Skip("needs a superuser")
	}
	name, password := newRole(t, "")
	w, through := newWire(t)
	w.mislead.Store(true)
	quoted := openSchema(t, schema, Options{}).sql.quoted
	admin(t, rights(quoted, name)...)
	u, err := url.Parse(through)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(name, password)
	s, err := Open(context.Background(), u.String(), Options{Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// A role with the rights of the documentation does all there is to do, and sees what others write without notifications.
func TestTheDocumentedRightsAreEnough(t *testing.T) {
	ctx := context.Background()
	schema := newSchema(t)
	writer := openSchema(t, schema, Options{})
	s := openAs(t, schema, func(quoted, role string) []string { return grants(t, quoted, role) })
	lease, err := s.Join(ctx, store.Node{ID: "n", LeaseMS: 60_000})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Renew(ctx, lease); err != nil {
		t.Fatal(err)
	}
	newSteps(t, s, 1).commit(t, s)
	h := listening(t, s)
	until(t, "what was before is old news", s.news.counter.settled)
	h.kinds.Store(0)
	startOne(t, writer, "a")
	until(t, "the start is heard of", func() bool { return h.kinds.Load() != 0 })
	until(t, "that notifications do not come through is said", func() bool { return len(h.notices) > 0 })
	if <-h.notices; len(h.notices) > 0 {
		t.Errorf("says %q", <-h.notices)
	}
}

// Whoever may not see the counter renews its lease all the same, hears of what others write, and says what it lacks.
func TestWithoutTheRightToSeeTheCounterThatIsSaidOnce(t *testing.T) {
	ctx := context.Background()
	schema := newSchema(t)
	s := openAs(t, schema, func(quoted, role string) []string {
		return append(grants(t, quoted, role), "REVOKE SELECT ON ALL SEQUENCES IN SCHEMA "+quoted+" FROM "+role)
	})
	lease, err := s.Join(ctx, store.Node{ID: "n", LeaseMS: 60_000})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Renew(ctx, lease); err != nil {
		t.Fatal(err)
	}
	h := listening(t, s)
	until(t, "both are said", func() bool { return len(h.notices) == 2 })
	said := <-h.notices + <-h.notices
	if !strings.Contains(said, "permission denied for sequence duroxide_ids") || !strings.Contains(said, "needs SELECT") {
		t.Errorf("says %q", said)
	}
	for range 2 {
		h.kinds.Store(0)
		until(t, "there may be something", func() bool { return h.kinds.Load() != 0 })
	}
	if len(h.notices) > 0 {
		t.Errorf("says more than once: %q", <-h.notices)
	}
	late := listening(t, s)
	until(t, "both are said to who comes later", func() bool { return len(late.notices) == 2 })
}
