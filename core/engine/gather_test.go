package engine

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// Small groups wait for company only while clients start instances in a stream, only where commits take long, and
// never longer than the bound.
func TestSmallGroupsWaitForCompanyWhileStartsStreamIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := New(nil, DefaultOptions())
		if err != nil {
			t.Fatal(err)
		}
		defer r.cancel()
		wait := func(d time.Duration) { time.Sleep(d) } //nolint:forbidigo // of the bubble's clock
		wait(time.Second)
		r.phase, r.commitTakes = phaseRunning, float64(r.timing.longCommit)
		start := func() {
			id := strconv.Itoa(len(r.instances))
			r.instanceLocked(id).state = ready
			r.noteStartLocked(id)
		}
		expect := func(what string, n int, want time.Duration) {
			t.Helper()
			if got := r.gatherLocked(n); got != want {
				t.Errorf("%s: a group of %d waits %v, want %v", what, n, got, want)
			}
		}
		expect("no starts", 1, 0)
		for range len(r.starts) - 1 {
			start()
			wait(time.Millisecond)
		}
		expect("too few starts", 1, 0)
		start()
		expect("a stream", 1, r.timing.gather)
		wait(r.timing.gather / 3)
		expect("later", 2, r.timing.gather-r.timing.gather/3)
		expect("nothing to commit", 0, 0)
		expect("a group that is large enough", r.timing.gatherTurns, 0)
		expect("the next", 1, r.timing.gather)
		wait(r.timing.gather)
		expect("the time is over", 3, 0)
		expect("the one after it", 1, r.timing.gather)
		r.commitTakes--
		expect("commits that are quick", 1, 0)
		r.commitTakes++
		for _, inst := range r.instances {
			inst.state = idle
		}
		start()
		expect("starts whose ends were waited for", 1, 0)
		for _, inst := range r.instances {
			inst.state = ready
		}
		r.phase = phaseDraining
		expect("a runtime that stops", 1, 0)
		r.phase = phaseRunning
		wait(r.timing.stream)
		expect("the stream has ended", 1, 0)
	})
}
