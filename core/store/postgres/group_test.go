package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

func TestGroupsAreCutByBytes(t *testing.T) {
	const mib = 1 << 20
	payload := strings.Repeat("x", 50*mib)
	var turns []store.Turn
	var members []int
	for i, bytes := range []int{20 * mib, 20 * mib, 20 * mib, 20 * mib, 100 * mib, 1, 32 * mib, 32 * mib} {
		commit := &replay.Commit{Events: []history.Event{{Data: payload[:bytes/2]}}, Jobs: []replay.Job{{Input: payload[:bytes/2]}}}
		turns, members = append(turns, store.Turn{Instance: fmt.Sprint(i), Commit: commit}), append(members, i)
	}
	groups := split(turns, members)
	if want := [][]int{{0, 1, 2}, {3}, {4}, {5, 6, 7}}; !slices.EqualFunc(groups, want, slices.Equal) {
		t.Errorf("groups %v, want %v", groups, want)
	}
}

// The server has no room for the value of one turn: that is told of it alone, and as something that no retry changes.
func TestTurnThatIsTooLargeFailsAlone(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	x := newSteps(t, s, 3)
	for _, sql := range []string{
		`CREATE FUNCTION {schema}.meet() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF strpos(new.events, 'the large one') > 0 THEN
				RAISE EXCEPTION 'invalid memory alloc request size 1073741824' USING ERRCODE = 'XX000';
			END IF; RETURN new; END $$`,
		`CREATE TRIGGER meet BEFORE INSERT ON {schema}.duroxide_history FOR EACH ROW EXECUTE FUNCTION {schema}.meet()`,
	} {
		if _, err := s.pool.Exec(ctx, s.sql.in(sql)); err != nil {
			t.Fatal(err)
		}
	}
	turns := slices.Clone(x.turns)
	for i, name := range []string{"a", "the large one", "b"} {
		turns[i].Expect, turns[i].New = x.turns[i].New, history.NewToken()
		turns[i].Commit = &replay.Commit{Execution: 1, Events: []history.Event{{ID: 2, Kind: history.ExternalEvent, Name: name}}}
	}
	results, err := s.CommitTurns(ctx, "n", turns)
	if err != nil {
		t.Fatal(err)
	}
	for i := range results {
		if is := results[i].Err; (i == 1) != store.IsRefused(is) || (i == 1) != (is != nil) || store.IsRetryable(is) {
			t.Errorf("turn %d: %v", i, is)
		}
	}
}
