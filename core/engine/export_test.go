package engine

import (
	"testing"
	"time"
)

// retime changes the intervals of runtimes that a test makes.
func retime(t *testing.T, change func(*timing)) {
	was := defaultTiming
	t.Cleanup(func() { defaultTiming = was })
	defaultTiming = func() timing {
		changed := was()
		change(&changed)
		return changed
	}
}

// ShortenHorizon makes timers beyond it wait in the store.
func ShortenHorizon(t *testing.T, horizon time.Duration) {
	retime(t, func(i *timing) { i.horizon = horizon })
}

// ClaimAhead makes jobs be claimed ahead for so much work, as if activities were as short as on a machine without load.
func ClaimAhead(t *testing.T, work time.Duration) {
	retime(t, func(i *timing) { i.prefetch = work })
}

// BoundSpares sets how many lanes that do not come back are replaced.
func BoundSpares(t *testing.T, n int) { retime(t, func(i *timing) { i.maxSpares = n }) }

// BoundResults sets how many results may wait for the store before no further activity starts.
func BoundResults(t *testing.T, n int) { retime(t, func(i *timing) { i.maxResults = n }) }

// JumpClock makes a runtime find the wall clock moved.
func JumpClock(r *Runtime, by time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock.ahead -= by
}

// IsDraining reports whether a shutdown has begun.
func IsDraining(r *Runtime) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.phase == phaseDraining
}

// Shorten makes the engine look for work that nobody can run, and read undecodable histories again, at test speed.
func Shorten(t *testing.T, every time.Duration) {
	retime(t, func(i *timing) { i.unclaimable, i.unclaimedFor, i.undecodable = every, every, every })
}

// WaitForBeginning sets how long a start waits for its first turn.
func WaitForBeginning(t *testing.T, patience time.Duration) {
	retime(t, func(i *timing) { i.beginSoon, i.beginLong = patience, patience })
}

// GiveUpBeginning sets how long a client that has given up still waits for the commit that its start is in.
func GiveUpBeginning(t *testing.T, after time.Duration) {
	retime(t, func(i *timing) { i.beginLate = after })
}

// HasLeft reports whether a shutdown waits for nothing but the store.
func HasLeft(r *Runtime) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.phase == phaseEnded
}
