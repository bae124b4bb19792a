package simtest_test

import (
	"runtime"
	"time"
)

// pauseABit lets other goroutines run in a loop that waits for a flag.
func pauseABit() {
	runtime.Gosched()
	time.Sleep(100 * time.Microsecond) //nolint:forbidigo // what it is used for is a state that tells nobody of itself
}
