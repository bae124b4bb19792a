package check_test

import (
	"path/filepath"
	"strings"
	"testing"

	zombiezen "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/duroxide/duroxide/core/check"
	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
	"github.com/duroxide/duroxide/core/store/sqlite"
)

// commit a turn of an instance from its stored state.
func commit(t *testing.T, s store.Store, instance string, build func(*store.Snapshot, *replay.Commit)) {
	t.Helper()
	snapshot, err := s.Load(t.Context(), instance, history.Token{})
	if err != nil {
		t.Fatal(err)
	}
	c := &replay.Commit{Execution: snapshot.Execution, Consumed: snapshot.Messages}
	build(snapshot, c)
	for i := range c.Events {
		c.Events[i].ID, c.Events[i].Time = snapshot.NextEventID+int64(i), s.Now()
	}
	results, err := s.CommitTurns(t.Context(), "node", []store.Turn{{
		Instance: instance, Life: snapshot.Life, Expect: snapshot.Turn, New: history.NewToken(), Name: "flow", Version: "1.0.0", Commit: c,
	}})
	if err != nil || results[0].Err != nil {
		t.Fatal(err, results)
	}
}

// populated is a store with something of everything: a parent with an open activity, timer, key, status and child, and
// an instance that has ended.
func populated(t *testing.T) (path string, s store.Store) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "store.db")
	s, err := sqlite.Open(path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for _, id := range []string{"parent", "ended"} {
		if _, err := s.Start(t.Context(), store.Start{Instance: id, Name: "flow"}); err != nil {
			t.Fatal(err)
		}
	}
	status, value := "half way", "v"
	commit(t, s, "parent", func(_ *store.Snapshot, c *replay.Commit) {
		c.Events = []history.Event{
			{Kind: history.OrchestrationStarted, Name: "flow", Version: "1.0.0"},
			{Kind: history.ActivityScheduled, Name: "work"},
			{Kind: history.TimerCreated, FireAt: s.Now() + 60_000},
			{Kind: history.SubOrchestrationScheduled, Name: "flow", Instance: "child"},
			{Kind: history.KeyValueSet, Name: "k", Data: value},
			{Kind: history.CustomStatusUpdated, Data: status},
		}
		c.Jobs = []replay.Job{{Schedule: 2, Name: "work"}}
		c.Timers = []replay.Timer{{Schedule: 3, FireAt: s.Now() + 60_000}}
		c.Starts = []replay.Start{{Instance: "child", Name: "flow", Schedule: 4}}
		c.KV = []replay.KVChange{{Key: "k", Value: &value}}
		c.CustomStatus = &replay.CustomStatus{Text: &status, Version: 1}
	})
	commit(t, s, "ended", func(_ *store.Snapshot, c *replay.Commit) {
		c.Status, c.Output = replay.Completed, "out"
		c.Events = []history.Event{
			{Kind: history.OrchestrationStarted, Name: "flow", Version: "1.0.0"},
			{Kind: history.OrchestrationCompleted, Data: "out"},
		}
	})
	return path, s
}

func TestAHealthyStoreHasNoViolations(t *testing.T) {
	_, s := populated(t)
	found, err := check.Run(t.Context(), s)
	if err != nil || len(found) != 0 {
		t.Fatal(found, err)
	}
}

func TestEachKindOfDamageIsFound(t *testing.T) {
	const parent = "(SELECT id FROM duroxide_instances WHERE instance = 'parent')"
	const ended = "(SELECT id FROM duroxide_instances WHERE instance = 'ended')"
	edit := func(instance, from, to string) string {
		return "UPDATE duroxide_history SET events = replace(events, '" + from + "', '" + to + "') WHERE instance_id = " + instance
	}
	for _, c := range []struct{ name, sql, says string }{
		{"gap in the ids", edit(parent, `"id":3,`, `"id":9,`), "stands at position"},
		{"history lost", "DELETE FROM duroxide_history WHERE instance_id = " + ended, "no history"},
		{"not begun by a start", edit(parent, "OrchestrationStarted", "TimerCreated"), "event 1 is TimerCreated"},
		{"two ends", edit(ended, `"kind":"OrchestrationStarted"`, `"kind":"OrchestrationFailed"`), "terminal and not the last"},
		{"answer to nothing", edit(parent, `"kind":"TimerCreated"`, `"kind":"ActivityCompleted","source":1`), "which is no ActivityScheduled"},
		{"two answers", edit(parent, `"kind":"TimerCreated"`, `"kind":"ActivityCompleted","source":2`) + ";" +
			edit(parent, `"kind":"KeyValueSet"`, `"kind":"ActivityFailed","source":2`), "both answer 2"},
		{"time goes back", edit(parent, `"kind":"TimerCreated","time":1`, `"kind":"TimerCreated","time":-1`), "older than"},
		{"count of events", "UPDATE duroxide_instances SET next_event = 9 WHERE instance = 'parent'", "row counts 8 events"},
		{"status of the row", "UPDATE duroxide_instances SET status = 'Failed' WHERE instance = 'ended'", "the row says Failed"},
		{"output", "UPDATE duroxide_instances SET output = 'other' WHERE instance = 'ended'", "output of the row"},
		{"execution number", "UPDATE duroxide_instances SET execution = 3 WHERE instance = 'parent'", "after 0 events"},
		{"unreadable history", edit(parent, "TimerCreated", "SomethingNew"), "cannot be read"},
		{"key", "UPDATE duroxide_kv SET value = 'other'", "the events set keys"},
		{"custom status", "UPDATE duroxide_custom_status SET text = 'other'", "custom status differs"},
		{"its version", "UPDATE duroxide_instances SET custom_status_version = 7 WHERE instance = 'parent'", "custom status has version 7"},
		{"job lost", "DELETE FROM duroxide_jobs", "has neither job nor result"},
		{"job for nothing", "UPDATE duroxide_jobs SET schedule = 3", "waits for no activity"},
		{"timer for nothing", "UPDATE duroxide_messages SET source = 2 WHERE kind = 'timer'", "waits for no timer"},
		{"message of another execution", "UPDATE duroxide_messages SET execution = 2 WHERE kind = 'timer'", "is for execution 2"},
		{"messages for the ended", "UPDATE duroxide_messages SET instance_id = " + ended + " WHERE kind = 'timer'", "has ended with 0 jobs and 1 messages"},
		{"start message lost", "DELETE FROM duroxide_messages WHERE kind = 'start'", "has no message that would begin it"},
		{"child lost", "DELETE FROM duroxide_messages WHERE kind = 'start'; DELETE FROM duroxide_instances WHERE instance = 'child'", "nothing will answer it"},
		{"parent lost", "UPDATE duroxide_instances SET parent_life = 'other' WHERE instance = 'child'", "is not there any more"},
		{"link to another event", "UPDATE duroxide_instances SET parent_schedule = 2 WHERE instance = 'child'", "did not start it"},
		{"orphans", "UPDATE duroxide_kv SET instance_id = 999", "belong to no instance"},
		{"session of nobody", "INSERT INTO duroxide_sessions VALUES ('s', '', 'gone', 1)", "which is not there"},
		{"claim of nobody", "UPDATE duroxide_jobs SET node = 'gone', token = x'00'", "jobs are claimed by node"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, s := populated(t)
			damage(t, path, c.sql)
			found, err := check.Run(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			var texts []string
			for _, v := range found {
				texts = append(texts, v.String())
			}
			if all := strings.Join(texts, "\n"); !strings.Contains(all, c.says) {
				t.Errorf("found %q, want %q", all, c.says)
			}
		})
	}
}

func damage(t *testing.T, path, sql string) {
	t.Helper()
	c, err := zombiezen.OpenConn(path, zombiezen.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := sqlitex.ExecuteScript(c, sql, nil); err != nil {
		t.Fatal(err)
	}
}
