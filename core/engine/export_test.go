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

// Shorten makes the engine look for work that nobody can run, and read undecodable histories again, at test speed.
func Shorten(t *testing.T, every time.Duration) {
	retime(t, func(i *timing) { i.unclaimable, i.unclaimedFor, i.undecodable = every, every, every })
}
