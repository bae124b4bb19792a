package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duroxide/duroxide/core/engine"
)

// testCode is that of an operation that is neither prompt nor a wait: starting a runtime.
const testCode = 43

// withOperation puts an operation in the place of testCode's for the length of a test.
func withOperation(t *testing.T, op operation) {
	t.Helper()
	before := operations[testCode]
	operations[testCode] = op
	t.Cleanup(func() { operations[testCode] = before })
}

func outcomeOf(n int64) (kind int64, length int) { return n & 3, int(n >> 2) }

func TestResultThatDoesNotFitIsFetchedOnce(t *testing.T) {
	body := strings.Repeat("x", 1000)
	withOperation(t, func(*request) (any, string, error) { return true, body, nil })
	small := make([]byte, 8)
	kind, length := outcomeOf(answerCall(testCode, &request{}, noDescriptor, small))
	if kind != outcomeFetch {
		t.Fatalf("outcome %d, want one to be fetched", kind)
	}
	ticket := binary.LittleEndian.Uint64(small)
	whole := make([]byte, length)
	if kind, n := outcomeOf(fetch(ticket, whole)); kind != outcomeDone || n != length || !strings.HasSuffix(string(whole), body) {
		t.Errorf("fetched outcome %d, %d bytes, want %d", kind, n, length)
	}
	if kind, _ := outcomeOf(fetch(ticket, whole)); kind != outcomeError {
		t.Error("a result is there for one fetch")
	}
}

// Hundreds of threads may wait for one end, and all their results are there before the first of them is fetched.
func TestResultsAreKeptHoweverManyThreadsAreComingForThem(t *testing.T) {
	d := newDesk()
	var waiting []uint64
	for range 5000 {
		waiting = append(waiting, d.keep(result{data: make([]byte, 100)}))
	}
	for _, ticket := range waiting {
		if _, _, ok := d.take(ticket); !ok {
			t.Fatalf("result %d is gone", ticket)
		}
	}
	if len(d.kept) != 0 || len(d.order) != 0 {
		t.Errorf("%d results and %d places are left", len(d.kept), len(d.order))
	}
}

func TestResultsNobodyComesForAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		for range 100 {
			d.keep(result{data: make([]byte, 100)})
		}
		time.Sleep(keptFor + 1) //nolint:forbidigo // of the bubble's clock
		d.keep(result{})
		if len(d.kept) != 1 || len(d.order) != 1 {
			t.Errorf("%d results and %d places are kept, want the new one", len(d.kept), len(d.order))
		}
	})
}

func TestPendingCallTellsItsDescriptorWhenItEnds(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = read.Close(), write.Close() }()
	release := make(chan struct{})
	withOperation(t, func(*request) (any, string, error) {
		<-release
		return nil, "late", nil
	})
	out := make([]byte, 64)
	kind, _ := outcomeOf(answerCall(testCode, &request{}, atOnceBase-int(write.Fd()), out))
	if kind != outcomePending {
		t.Fatalf("outcome %d, want pending", kind)
	}
	ticket := binary.LittleEndian.Uint64(out)
	if kind, _ := outcomeOf(fetch(ticket, out)); kind != outcomePending {
		t.Fatalf("outcome %d before the end, want pending", kind)
	}
	close(release)
	news := make([]byte, 8)
	if _, err := read.Read(news); err != nil || binary.LittleEndian.Uint64(news) != ticket {
		t.Fatalf("told %v, %v, want the ticket %d", news, err, ticket)
	}
	kind, n := outcomeOf(fetch(ticket, out))
	if kind != outcomeDone || string(out[4:n]) != "late" {
		t.Errorf("outcome %d, %q", kind, out[:n])
	}
}

func TestAbandonedCallIsCancelledAndTellsNobody(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = read.Close() }()
	ended := make(chan struct{})
	withOperation(t, func(r *request) (any, string, error) {
		defer close(ended)
		<-r.ctx.Done()
		return nil, "", r.ctx.Err()
	})
	out := make([]byte, 64)
	if kind, _ := outcomeOf(answerCall(testCode, &request{}, atOnceBase-int(write.Fd()), out)); kind != outcomePending {
		t.Fatalf("outcome %d, want pending", kind)
	}
	abandon(binary.LittleEndian.Uint64(out))
	<-ended
	_ = write.Close()
	if n, err := read.Read(make([]byte, 8)); n != 0 || err == nil {
		t.Errorf("%d bytes were written for an abandoned call", n)
	}
}

func TestCallsThatTellADescriptorAreGivenUpTogether(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = read.Close() }()
	ended := make(chan struct{})
	withOperation(t, func(r *request) (any, string, error) {
		<-r.ctx.Done()
		ended <- struct{}{}
		return nil, "", r.ctx.Err()
	})
	before := len(tickets.parked())
	out := make([]byte, 64)
	begin := func(fd int) uint64 {
		if kind, _ := outcomeOf(answerCall(testCode, &request{}, atOnceBase-fd, out)); kind != outcomePending {
			t.Fatalf("outcome %d, want pending", kind)
		}
		return binary.LittleEndian.Uint64(out)
	}
	fd := int(write.Fd())
	begin(fd)
	begin(fd)
	other := begin(fd + 1000)
	abandonTold(fd)
	<-ended
	<-ended
	if n := len(tickets.parked()) - before; n != 1 {
		t.Errorf("%d calls are left, want the one that tells another descriptor", n)
	}
	_ = write.Close()
	if n, err := read.Read(make([]byte, 8)); n != 0 || err == nil {
		t.Errorf("%d bytes were written for abandoned calls", n)
	}
	abandon(other)
	<-ended
}

// Who looks after a call without having been told may come between its end and its word.
func TestNothingIsToldOfACallThatWasFetched(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = read.Close() }()
	c := &call{done: make(chan struct{}), cancel: func() {}, signal: int(write.Fd())}
	c.ticket = tickets.park(c)
	close(c.done) // as the goroutine of the call does before it tells
	if kind, _ := outcomeOf(fetch(c.ticket, make([]byte, 8))); kind != outcomeDone {
		t.Fatalf("outcome %d, want done", kind)
	}
	c.tell()
	_ = write.Close()
	if n, err := read.Read(make([]byte, 16)); n != 0 || err == nil {
		t.Errorf("%d bytes were written for a call that was fetched", n)
	}
}

func TestWaitIsTakenUpAgainWithTheTimeThatIsLeft(t *testing.T) {
	started := time.Now()
	r := &request{started: started}
	ctx, cancel := context.WithTimeoutCause(context.Background(), time.Nanosecond, errImpatient)
	defer cancel()
	<-ctx.Done()
	r.ctx = ctx
	if !r.impatient(ctx.Err()) {
		t.Error("a wait that was cut short is not told from one that ran out of time")
	}
	r.ctx = context.Background()
	bounded, stop := withTimeout(r, 100)
	defer stop()
	if end, _ := bounded.Deadline(); !end.Equal(started.Add(100 * time.Millisecond)) {
		t.Errorf("the wait ends at %v, want 100 ms after its start", end)
	}
	<-bounded.Done()
	if r.impatient(bounded.Err()) {
		t.Error("a wait whose own time is over is not to be taken up again")
	}
}

func TestPanicIsAnErrorFrame(t *testing.T) {
	res := perform(func(*request) (any, string, error) { panic("defect") }, &request{})
	var e callError
	if err := json.Unmarshal(res.data, &e); err != nil || !res.failed || !strings.Contains(e.Text, "defect") {
		t.Errorf("got %q, %v", res.data, err)
	}
	if res := perform(nil, &request{}); !res.failed {
		t.Error("an unknown operation is an error")
	}
}

func TestHandlesAreCheckedForTypeAndUse(t *testing.T) {
	before := openHandles()
	p := &providerHandle{}
	h := register(p)
	if got, err := lookup[providerHandle](h); err != nil || got != p {
		t.Errorf("lookup gave %v, %v", got, err)
	}
	if _, err := lookup[runtimeHandle](h); !errors.Is(err, errStaleHandle) {
		t.Errorf("a handle of another type gave %v", err)
	}
	release(h)
	release(h)
	if _, err := lookup[providerHandle](h); !errors.Is(err, errStaleHandle) {
		t.Errorf("a released handle gave %v", err)
	}
	if n := openHandles(); n != before {
		t.Errorf("%d handles are left", n-before)
	}
}

// Ctrl-C may end the wait for an open that goes on, as for a schema that another process migrates.
func TestProviderThatNobodyWaitsForAnyMoreIsNotOpened(t *testing.T) {
	before := openHandles()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	head, err := json.Marshal(map[string]any{"path": filepath.Join(t.TempDir(), "store.db")})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := opOpenSQLite(&request{ctx: ctx, head: head}); !errors.Is(err, context.Canceled) {
		t.Errorf("opened: %v", err)
	}
	if n := openHandles(); n != before {
		t.Errorf("%d handles are left", n-before)
	}
}

func TestLogQueueDropsWhatNobodyWantsAndSaysWhatItLost(t *testing.T) {
	q := newLogQueue()
	q.setLeast(map[string]string{"a": "warn", "b": "off"})
	for _, r := range []engine.LogRecord{{Target: "a", Level: "info"}, {Target: "a", Level: "error"}, {Target: "b", Level: "error"}, {Target: "c", Level: "debug"}} {
		q.put(r)
	}
	if batch := q.pull(); len(batch) != 2 || batch[0].Level != "error" || batch[1].Target != "c" {
		t.Errorf("pulled %v", batch)
	}
	for range maxQueuedLogs + 5 {
		q.put(engine.LogRecord{Target: "c"})
	}
	q.close()
	q.put(engine.LogRecord{Target: "c", Message: "after the end"})
	count, lost := 0, ""
	for batch := q.pull(); len(batch) > 0; batch = q.pull() {
		for _, r := range batch {
			if r.Target == targetEngine {
				lost = r.Message
			} else {
				count++
			}
		}
	}
	if count != maxQueuedLogs || !strings.HasPrefix(lost, "5 log records") {
		t.Errorf("%d records, %q", count, lost)
	}
}
