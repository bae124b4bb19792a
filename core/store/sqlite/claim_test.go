package sqlite

import (
	"fmt"
	"slices"
	"testing"

	"zombiezen.com/go/sqlite"

	"github.com/duroxide/duroxide/core/store"
)

// waitInSessions inserts a waiting job for each session, in order.
func waitInSessions(t *testing.T, s *Store, sessions []string) {
	t.Helper()
	for i, session := range sessions {
		exclusively(t, s, func(c *sqlite.Conn) error {
			return prepared(c, `INSERT INTO duroxide_jobs (id, instance_id, execution, schedule, name, input, session, visible_at)
				VALUES (?1, 1, 1, ?1, 'work', '', ?2, 5)`).int(int64(i + 1)).text(session).exec()
		})
	}
}

func manySessions(n int) []string {
	sessions := make([]string, n)
	for i := range sessions {
		sessions[i] = fmt.Sprintf("s-%05d", n-i)
	}
	return sessions
}

// looks counts the sessions that a claim looks at.
func looks(t *testing.T, s *Store, c *store.Claim, limit int) (looked int, found []string) {
	t.Helper()
	exclusively(t, s, func(conn *sqlite.Conn) error {
		look := inSessions{tx: &tx{Conn: conn, file: s.file, now: s.Now()}, claim: c, seen: map[string]bool{}}
		if err := look.all(limit); err != nil {
			return err
		}
		for _, e := range look.found {
			found = append(found, e.session)
		}
		looked = len(look.seen)
		return nil
	})
	return looked, found
}

// A claim is made by every commit, under the write lock: what it costs must not grow with the sessions that wait.
func TestClaimLooksAtNoMoreSessionsThanItNeeds(t *testing.T) {
	s := openMemoryForTest(t)
	sessions := manySessions(2 * headOfSessions)
	waitInSessions(t, s, sessions)
	c := &store.Claim{
		Node: "node", Activities: map[string]bool{"work": true}, Tags: store.TagFilter{Untagged: true},
		HeldSessions: map[string]bool{}, MayTake: 3,
	}
	looked, found := looks(t, s, c, 2)
	if looked != 2 || !slices.Equal(found, sessions[:2]) {
		t.Errorf("looked at %d, found %v, want the two oldest", looked, found)
	}
	c.HeldSessions, c.MayTake = map[string]bool{sessions[300]: true}, 0
	looked, found = looks(t, s, c, 2)
	if looked != 1 || !slices.Equal(found, sessions[300:301]) {
		t.Errorf("looked at %d, found %v, want the one that is held", looked, found)
	}
}

// Work behind a long backlog of a session that another node holds is found all the same.
func TestClaimFindsSessionsBehindThoseItCannotHave(t *testing.T) {
	s := openMemoryForTest(t)
	sessions := slices.Repeat([]string{"taken"}, 2*headOfSessions)
	waitInSessions(t, s, append(sessions, "free"))
	if _, err := s.Join(t.Context(), store.Node{ID: "node", LeaseMS: 600_000}); err != nil {
		t.Fatal(err)
	}
	exclusively(t, s, func(c *sqlite.Conn) error {
		return prepared(c, takeSession).text("taken").text("").text("other").int(s.Now()).exec()
	})
	jobs, err := s.ClaimJobs(t.Context(), store.Claim{
		Node: "node", Limit: 4, Activities: map[string]bool{"work": true}, Tags: store.TagFilter{Untagged: true}, MayTake: 4,
	})
	if err != nil || len(jobs) != 1 || jobs[0].Session != "free" {
		t.Errorf("claimed %v, %v", jobs, err)
	}
}
