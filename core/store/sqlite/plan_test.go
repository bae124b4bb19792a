package sqlite

import (
	"strings"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
)

// hot statements, and the index that each has to use. They run at every step, poll or wait.
var hot = []struct{ name, sql, index string }{
	{"fence", fence, "sqlite_autoindex_duroxide_instances_1"},
	{"consume job", consumeJob, "INTEGER PRIMARY KEY"},
	{"delete message", deleteMessage, "INTEGER PRIMARY KEY"},
	{"drop timer", dropTimer, "duroxide_messages_timer"},
	{"drop job", dropJob, "duroxide_jobs_instance"},
	{"drop jobs", dropJobs, "duroxide_jobs_instance"},
	{"drop messages", dropMessages, "duroxide_messages_instance"},
	{"drop mail", dropMessages, "duroxide_messages_mail"},
	{"untaken messages", selectMessages, "duroxide_messages_instance"},
	{"later messages", selectLaterMessages, "duroxide_messages_instance"},
	{"untaken mail", selectMail, "duroxide_messages_mail"},
	{"next queue with mail", nextMailQueue, "duroxide_messages_mail"},
	{"snapshot", selectSnapshot, "sqlite_autoindex_duroxide_instances_1"},
	{"history", selectHistory, "duroxide_history_order"},
	{"status", selectStatus, "sqlite_autoindex_duroxide_instances_1"},
	{"turns", selectTurns, "sqlite_autoindex_duroxide_instances_1"},
	{"recipient", selectRecipient, "sqlite_autoindex_duroxide_instances_1"},
	{"early mail", takeEarlyMail, "duroxide_early_mail_instance"},
	{"ready", selectReady, "duroxide_messages_ready"},
	{"due", selectDue, "duroxide_messages_ready"},
	{"next pair", nextPair, "duroxide_jobs_waiting"},
	{"oldest of pair", oldestOfPair, "duroxide_jobs_waiting"},
	{"oldest in sessions", oldestInSessions, "duroxide_jobs_sessions_waiting"},
	{"next session", nextSession, "duroxide_jobs_session"},
	{"oldest of session", oldestOfSession, "duroxide_jobs_session"},
	{"running of session", runningOfSession, "duroxide_jobs_session"},
	{"node", nodeIsThere, "sqlite_autoindex_duroxide_nodes_1"},
	{"claim", claimJob, "INTEGER PRIMARY KEY"},
	{"owner", selectOwner, "INTEGER PRIMARY KEY"},
	{"free jobs of a node", freeJobs, "duroxide_jobs_claimed"},
	{"due instances of a node", dueInstances, "duroxide_messages_ready"},
	{"children", descendants, "duroxide_instances_parent"},
}

func TestHotStatementsUseTheirIndex(t *testing.T) {
	s := openMemoryForTest(t)
	for _, h := range hot {
		t.Run(h.name, func(t *testing.T) {
			var plan []string
			err := prepared(s.file.writer, "EXPLAIN QUERY PLAN "+h.sql).each(func(row *sqlite.Stmt) (bool, error) {
				plan = append(plan, row.ColumnText(3))
				return true, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			text := strings.Join(plan, "\n")
			if !strings.Contains(text, h.index) {
				t.Errorf("does not use %s:\n%s", h.index, text)
			}
			for _, step := range plan {
				scans := strings.HasPrefix(step, "SCAN duroxide") && !strings.Contains(step, "USING")
				if scans || strings.Contains(step, "TEMP B-TREE") && h.sql != dueInstances && h.sql != descendants {
					t.Errorf("scans or sorts:\n%s", text)
				}
			}
		})
	}
}

// A statement that is planned anew at each use costs ten times as much as one that is not.
func TestHotStatementsArePlannedOnce(t *testing.T) {
	s := openMemoryForTest(t)
	cost := func(sql string) time.Duration {
		best := time.Hour
		for range 20 {
			began := time.Now()
			for range 20 {
				q := prepared(s.file.writer, sql)
				for range q.stmt.BindParamCount() {
					q.int(1)
				}
				if err := q.each(func(*sqlite.Stmt) (bool, error) { return false, nil }); err != nil {
					t.Fatal(err)
				}
			}
			best = min(best, time.Since(began)/20)
		}
		return best
	}
	planned := cost("SELECT id FROM duroxide_messages WHERE instance_id = ? ORDER BY id") // always anew
	for _, h := range hot {
		if h.sql == dueInstances || h.sql == descendants || h.sql == dropMessages {
			continue // not at every step
		}
		if got := cost(h.sql); got > planned {
			t.Errorf("%s takes %v, planning a small statement takes %v", h.name, got, planned)
		}
	}
}

func openMemoryForTest(t *testing.T) *Store {
	t.Helper()
	s, err := OpenMemory(Options{})
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
