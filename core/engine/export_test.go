package engine

import (
	"testing"
	"time"
)

// ShortenHorizon makes timers beyond it wait in the store.
func ShortenHorizon(t *testing.T, horizon time.Duration) {
	was := defaultTiming
	t.Cleanup(func() { defaultTiming = was })
	defaultTiming = func() timing {
		short := was()
		short.horizon = horizon
		return short
	}
}

// Shorten makes the engine look for work that nobody can run, and read undecodable histories again, at test speed.
func Shorten(t *testing.T, every time.Duration) {
	was := defaultTiming
	t.Cleanup(func() { defaultTiming = was })
	defaultTiming = func() timing {
		short := was()
		short.unclaimable, short.unclaimedFor, short.undecodable = every, every, every
		return short
	}
}
