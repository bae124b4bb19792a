package main

import "runtime"

// leastProcs is how many threads may run Go code at once, at least. A thread that is in C or in a system call keeps its
// place for a while, though it needs none: with as many places as cores the others wait for it. On two cores a hello on a
// file took 1.7 ms with two places and 1.4 ms with four.
const leastProcs = 4

// ballast counts as live memory and is never touched, so that it takes none. Without it Go collects each time that 4 MB have
// been allocated, on a busy store dozens of times a second: with 300 workflows open on PostgreSQL that took a sixth of the
// throughput. Garbage may grow to about its size.
var ballast []byte

const ballastSize = 32 << 20

func init() {
	ballast = make([]byte, ballastSize)
	runtime.KeepAlive(ballast) // a variable of the package is kept anyway
	if runtime.GOMAXPROCS(0) < leastProcs {
		runtime.GOMAXPROCS(leastProcs)
	}
}
