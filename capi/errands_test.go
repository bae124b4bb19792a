package main

import (
	"runtime"
	"sync"
	"testing"
	"time"
)

func goroutineID() string {
	var b [64]byte
	n := runtime.Stack(b[:], false)
	for i := len("goroutine "); i < n; i++ {
		if b[i] == ' ' {
			return string(b[:i])
		}
	}
	return ""
}

// Calls that follow one another share a goroutine, those that overlap have one each, and none is left over.
func TestErrandsShareAGoroutineThatEnds(t *testing.T) {
	var e errands
	run := func(fn func()) {
		t.Helper()
		done := make(chan struct{})
		e.run(func() {
			fn()
			close(done)
		})
		<-done
	}
	waits := func() {
		for e.idle.Load() == nil { // it has told its end a moment before it waits
			runtime.Gosched()
		}
	}
	seen := map[string]bool{}
	for range 100 {
		run(func() { seen[goroutineID()] = true })
		waits()
	}
	if len(seen) != 1 {
		t.Errorf("%d goroutines for calls one after another", len(seen))
	}
	var both, over sync.WaitGroup
	both.Add(2)
	over.Add(2)
	for range 2 {
		e.run(func() {
			defer over.Done()
			both.Done()
			both.Wait() // the one does not wait for the other to end
		})
	}
	over.Wait()
	waits()
	deadline := time.After(30 * idleFor)
	for e.idle.Load() != nil {
		select {
		case <-deadline:
			t.Fatal("a goroutine waits for ever")
		case <-time.After(time.Millisecond):
		}
	}
	run(func() {})
}
