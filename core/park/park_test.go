package park_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duroxide/duroxide/core/park"
)

func TestWakeBeforeWaitIsNotLost(t *testing.T) {
	var s park.Spot
	s.Wake()
	s.Wake()
	s.Wait()
	if s.WaitFor(time.Millisecond) {
		t.Fatal("two calls of Wake before a Wait ended two waits")
	}
	s.Wake()
	if !s.WaitFor(time.Hour) {
		t.Fatal("the wait was not ended")
	}
}

// A wait that has gone on for longer than a thread is held in the kernel ends as well.
func TestLongWaits(t *testing.T) {
	var s park.Spot
	for range 3 {
		woke := make(chan bool)
		begun := time.Now()
		time.AfterFunc(3*park.Hold, s.Wake)
		go func() { woke <- s.WaitFor(time.Hour) }()
		if !<-woke {
			t.Fatal("the wait was not ended by Wake")
		}
		if took := time.Since(begun); took < 3*park.Hold {
			t.Fatalf("the wait ended after %v, before Wake", took)
		}
		if s.WaitFor(3 * park.Hold) {
			t.Fatal("a wait ended by a Wake that had ended the one before")
		}
	}
}

// Two threads wake each other in turn, by waits with and without an end: each wake-up ends one wait.
func TestThreadsWakeEachOther(t *testing.T) {
	var there, back park.Spot
	var turns atomic.Int64
	const rounds = 20_000
	var all sync.WaitGroup
	all.Go(func() {
		runtime.LockOSThread()
		for i := range rounds {
			if i%1000 == 0 {
				<-time.After(2 * park.Hold)
			}
			for i%2 == 0 && !there.WaitFor(time.Microsecond) {
			}
			if i%2 != 0 {
				there.Wait()
			}
			turns.Add(1)
			back.Wake()
		}
	})
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for i := range rounds {
		there.Wake()
		for i%3 == 0 && !back.WaitFor(time.Microsecond) {
		}
		if i%3 != 0 {
			back.Wait()
		}
		if got := turns.Load(); got != int64(i+1) {
			t.Fatalf("%d turns after %d wake-ups", got, i+1)
		}
	}
	all.Wait()
}

func BenchmarkThereAndBack(b *testing.B) {
	b.Run("spot", func(b *testing.B) {
		var there, back park.Spot
		go func() {
			runtime.LockOSThread()
			for range b.N {
				there.Wait()
				back.Wake()
			}
		}()
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for range b.N {
			there.Wake()
			back.Wait()
		}
	})
	b.Run("channel", func(b *testing.B) {
		there, back := make(chan struct{}, 1), make(chan struct{}, 1)
		go func() {
			runtime.LockOSThread()
			for range b.N {
				<-there
				back <- struct{}{}
			}
		}()
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for range b.N {
			there <- struct{}{}
			<-back
		}
	})
}
