//go:build unix

package sqlite

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/duroxide/duroxide/core/check"
	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

// The tests of several processes run this binary again, with a role in the environment.
const roleVariable, pathVariable = "DUROXIDE_TEST_ROLE", "DUROXIDE_TEST_PATH"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := play(role, os.Getenv(pathVariable)); err != nil {
			fmt.Println("error:", err) //nolint:forbidigo // the parent reads it
			os.Exit(1)                 //nolint:forbidigo // a process of its own
		}
		os.Exit(0) //nolint:forbidigo // a process of its own
	}
	countMemory()
	os.Exit(m.Run()) //nolint:forbidigo // the end of the tests
}

// child is a process that plays a role.
type child struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
}

func spawn(t *testing.T, role, path string) *child {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // this very binary
	cmd.Env = append(os.Environ(), roleVariable+"="+role, pathVariable+"="+path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return &child{cmd: cmd, in: in, lines: bufio.NewScanner(out)}
}

func (c *child) expect(t *testing.T, want string) {
	t.Helper()
	if !c.lines.Scan() || c.lines.Text() != want {
		t.Fatalf("child said %q, want %q", c.lines.Text(), want)
	}
}

// say speaks to the parent.
func say(text string) { _, _ = os.Stdout.WriteString(text + "\n") }

// hear waits for the parent's word; its death ends the wait.
func hear() { _, _ = bufio.NewReader(os.Stdin).ReadString('\n') }

func play(role, path string) error {
	ctx := backgroundContext
	switch name, argument, _ := strings.Cut(role, ":"); name {
	case "open":
		s, err := Open(path, Options{})
		if err != nil {
			return err
		}
		return s.Close()
	case "write": // a hundred instances, each acknowledged
		s, err := Open(path, Options{})
		if err != nil {
			return err
		}
		for i := range 100 {
			id := fmt.Sprintf("%s-%d", argument, i)
			if _, err := s.Start(ctx, store.Start{Instance: id, Name: "flow"}); err != nil {
				return err
			}
			say(id)
		}
		return s.Close()
	case "migrate": // as a process that is stopped in the middle of it
		unlock, err := lockMigration(path, time.Minute)
		if err != nil {
			return err
		}
		say("locked")
		hear()
		unlock()
		return nil
	case "lock": // the write lock, for so many ms
		s, err := Open(path, Options{})
		if err != nil {
			return err
		}
		c := s.file.writer
		if err := prepared(c, "BEGIN IMMEDIATE").exec(); err != nil {
			return err
		}
		say("locked")
		ms, err := strconv.Atoi(argument)
		if err != nil {
			return err
		}
		<-time.After(time.Duration(ms) * time.Millisecond)
		return prepared(c, "ROLLBACK").exec()
	case "node": // joins, claims what there is, and stays
		s, err := Open(path, Options{})
		if err != nil {
			return err
		}
		for _, id := range strings.Split(argument, ",") {
			if _, err := s.Join(ctx, store.Node{ID: store.NodeID(id), LeaseMS: 3_600_000}); err != nil {
				return err
			}
		}
		first, _, _ := strings.Cut(argument, ",")
		jobs, err := s.ClaimJobs(ctx, store.Claim{
			Node: store.NodeID(first), Limit: 10, Activities: map[string]bool{"work": true}, Tags: store.TagFilter{Untagged: true},
		})
		if err != nil {
			return err
		}
		say(fmt.Sprintf("claimed %d", len(jobs)))
		hear()
		return nil
	case "small files": // writes until the size limit of files makes SQLite fail
		limit, err := strconv.ParseUint(argument, 10, 64)
		if err != nil {
			return err
		}
		s, err := Open(path, Options{})
		if err != nil {
			return err
		}
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
			return err
		}
		for i := 0; ; i++ {
			id := fmt.Sprintf("i-%d", i)
			_, err := s.Start(ctx, store.Start{Instance: id, Name: "flow", Input: strings.Repeat("x", 2000)})
			switch {
			case err == nil:
				say(id)
			case store.IsUnknown(err):
				say("unknown " + id)
				return nil
			case store.IsRetryable(err) && strings.Contains(err.Error(), path):
				say("refused " + id)
				return nil
			default:
				return err
			}
		}
	}
	return errors.New("no such role")
}

func invariants(t *testing.T, s *Store) {
	t.Helper()
	violations, err := check.Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range violations {
		t.Error(v)
	}
}

func TestProcessesMayOpenANewFileAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	var all []*child
	for range 4 {
		all = append(all, spawn(t, "open", path))
	}
	for _, c := range all {
		for c.lines.Scan() {
			t.Error(c.lines.Text())
		}
		if err := c.cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
}

func TestProcessesShareAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openForTest(t, path)
	one, two := spawn(t, "write:one", path), spawn(t, "write:two", path)
	for i := range 100 {
		startForTest(t, s, fmt.Sprintf("own-%d", i))
	}
	for _, c := range []*child{one, two} {
		for c.lines.Scan() {
			if _, err := s.Status(t.Context(), c.lines.Text()); err != nil {
				t.Errorf("%s: %v", c.lines.Text(), err)
			}
		}
		if err := c.cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	m, err := s.SystemMetrics(t.Context())
	if err != nil || m.TotalInstances != 300 {
		t.Errorf("%d instances, %v", m.TotalInstances, err)
	}
	invariants(t, s)
}

func TestWritesOfAnotherProcessAreHeard(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openForTest(t, path)
	e := elsewhere{heard: make(chan struct{}, 1)}
	defer s.Listen(e)()
	startForTest(t, s, "own")
	c := spawn(t, "write:other", path)
	select {
	case <-e.heard:
	case <-time.After(20 * time.Second):
		t.Fatal("not heard")
	}
	for c.lines.Scan() {
		continue
	}
}

type elsewhere struct{ heard chan struct{} }

func (elsewhere) Adopt(string, string) (store.NodeID, bool) { return "", false }

func (e elsewhere) Wake(w store.Wake) {
	if w.Elsewhere {
		select {
		case e.heard <- struct{}{}:
		default:
		}
	}
}

func TestOwnWritesAreNotTakenForAnothers(t *testing.T) {
	s := openForTest(t, filepath.Join(t.TempDir(), "store.db"))
	e := elsewhere{heard: make(chan struct{}, 1)}
	defer s.Listen(e)()
	deadline := time.Now().Add(300 * time.Millisecond)
	for i := 0; time.Now().Before(deadline); i++ {
		startForTest(t, s, fmt.Sprintf("i-%d", i))
	}
	select {
	case <-e.heard:
		t.Error("heard")
	default:
	}
}

func TestALockHeldElsewhereIsWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openForTest(t, path)
	c := spawn(t, "lock:3200", path)
	c.expect(t, "locked")
	began := time.Now()
	startForTest(t, s, "a")
	if waited := time.Since(began); waited < time.Second {
		t.Errorf("waited %v only: the lock was not held", waited)
	}
}

func TestAKilledProcessIsBuriedAtOnceWithAllItsNodes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openForTest(t, path)
	turns := begun(t, s, 2, 10)
	if _, err := s.CommitTurns(t.Context(), "", turns); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Join(t.Context(), store.Node{ID: "survivor", LeaseMS: 3_600_000}); err != nil {
		t.Fatal(err)
	}
	c := spawn(t, "node:victim,sibling", path)
	c.expect(t, "claimed 2")
	buried, err := s.BuryDead(t.Context(), "survivor")
	if err != nil || len(buried) != 0 {
		t.Fatalf("buried alive: %v %v", buried, err)
	}
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.cmd.Wait()
	buried, err = s.BuryDead(t.Context(), "survivor")
	if err != nil || len(buried) != 2 {
		t.Fatalf("buried %v, %v", buried, err)
	}
	jobs, err := s.ClaimJobs(t.Context(), store.Claim{
		Node: "survivor", Limit: 10, Activities: map[string]bool{"work": true}, Tags: store.TagFilter{Untagged: true},
	})
	if err != nil || len(jobs) != 2 || !jobs[0].Suspect {
		t.Fatalf("taken over: %v %v", jobs, err)
	}
	files, err := filepath.Glob(path + "-process-*")
	if err != nil || len(files) != 1 {
		t.Errorf("lock files: %v %v", files, err)
	}
	invariants(t, s)
}

func TestAProcessThatLeavesTakesItsLockFileAlong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := mustOpen(t, path)
	if _, err := s.Join(t.Context(), store.Node{ID: "node", LeaseMS: 10_000}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Join(t.Context(), store.Node{ID: "another", LeaseMS: 10_000}); err != nil {
		t.Fatal(err)
	}
	locks := func() int {
		t.Helper()
		files, err := filepath.Glob(path + "-process-*")
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	for _, c := range []struct {
		leaves store.NodeID
		locks  int
	}{{"node", 1}, {"another", 0}} {
		if err := s.Leave(t.Context(), c.leaves); err != nil {
			t.Fatal(err)
		}
		// Also when it is killed before it closes the store: no row names the file, by which others would find it.
		if n := locks(); n != c.locks {
			t.Errorf("%d lock files when %q has left, want %d", n, c.leaves, c.locks)
		}
	}
	if _, err := s.Join(t.Context(), store.Node{ID: "third", LeaseMS: 10_000}); err != nil || locks() != 1 {
		t.Errorf("%v, %d lock files", err, locks())
	}
	if err := s.Leave(t.Context(), "third"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(path + "-*")
	if err != nil || len(files) != 0 {
		t.Errorf("left: %v %v", files, err)
	}
}

func TestOpeningDoesNotWaitForEverForAnotherThatMigrates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	c := spawn(t, "migrate", path)
	c.expect(t, "locked")
	if _, err := lockMigration(path, time.Millisecond); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Fatalf("locked under another process: %v", err)
	}
	if _, err := io.WriteString(c.in, "go on\n"); err != nil {
		t.Fatal(err)
	}
	if err := mustOpen(t, path).Close(); err != nil { // waits for it
		t.Fatal(err)
	}
}

// The kernel refuses to let files grow at many different points of SQLite's work.
func TestWhatWasAcknowledgedSurvivesWriteErrors(t *testing.T) {
	for limit := 60_000; limit < 140_000; limit += 9_001 {
		t.Run(strconv.Itoa(limit), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			if err := mustOpen(t, path).Close(); err != nil {
				t.Fatal(err)
			}
			c := spawn(t, "small files:"+strconv.Itoa(limit), path)
			var stored []string
			refused := ""
			for c.lines.Scan() {
				switch kind, id, _ := strings.Cut(c.lines.Text(), " "); kind {
				case "refused":
					refused = id
				case "unknown":
				case "error:":
					t.Fatal(c.lines.Text())
				default:
					stored = append(stored, kind)
				}
			}
			if err := c.cmd.Wait(); err != nil {
				t.Fatal(err)
			}
			s := openForTest(t, path)
			for _, id := range stored {
				if _, err := s.Load(t.Context(), id, history.Token{}); err != nil {
					t.Errorf("acknowledged %s: %v", id, err)
				}
			}
			if refused != "" {
				if _, err := s.Status(t.Context(), refused); !errors.Is(err, store.ErrNotFound) {
					t.Errorf("%s was refused and is there: %v", refused, err)
				}
			}
			invariants(t, s)
		})
	}
}

func TestAKilledWriterLosesNothingAcknowledged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	c := spawn(t, "write:x", path)
	var stored []string
	for len(stored) < 40 && c.lines.Scan() {
		stored = append(stored, c.lines.Text())
	}
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s := openForTest(t, path)
	for _, id := range stored {
		if _, err := s.Status(t.Context(), id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	invariants(t, s)
}

// An idle store that somebody listens to costs next to nothing.
func TestAnIdleStoreCostsNoCPU(t *testing.T) {
	s := openForTest(t, filepath.Join(t.TempDir(), "store.db"))
	defer s.Listen(elsewhere{heard: make(chan struct{}, 1)})()
	startForTest(t, s, "a")
	cpu := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	<-time.After(50 * time.Millisecond) // start-up work is not idleness
	before := cpu()
	const watched = 3 * time.Second
	<-time.After(watched)
	used := cpu() - before
	t.Logf("%.2f %% of a core", 100*used.Seconds()/watched.Seconds())
	if used > watched/50 {
		t.Errorf("used %v in %v", used, watched)
	}
}
