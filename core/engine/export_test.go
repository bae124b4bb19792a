package engine

import (
	"testing"
	"time"
)

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
