package main

import (
	"runtime"
	"testing"
)

// Garbage may grow to the ballast's size before it is collected, and the ballast itself is not touched.
func TestBallastSpacesCollectionsOut(t *testing.T) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.HeapAlloc < ballastSize {
		t.Fatalf("%d bytes are live: the ballast is gone", m.HeapAlloc)
	}
	if room := m.NextGC - m.HeapAlloc; room < ballastSize/2 { // all of it, unless GOGC says otherwise
		t.Errorf("the next collection comes after %d bytes", room)
	}
}
