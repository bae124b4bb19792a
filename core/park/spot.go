package park

import (
	"sync/atomic"
	"time"
)

// Spot is where one thread at a time waits. The zero value is ready to use, and must not be copied.
type Spot struct {
	state  atomic.Uint32
	parked chan struct{} // made by who waits, before its state says so
}

// The states of a spot.
const (
	empty    = 0
	woken    = 1 // whoever comes next does not wait
	inKernel = 2 // somebody waits
	inGo     = 3
)

// Wait blocks the calling thread until Wake is called, or has been since the last Wait.
func (s *Spot) Wait() { s.WaitFor(0) }

// WaitFor is Wait that ends after d at the latest, unless d is 0; false: nobody called Wake.
func (s *Spot) WaitFor(d time.Duration) bool {
	begun := time.Now()
	hold := Hold
	if d > 0 {
		hold = min(hold, d)
	}
	if s.hold(begun.Add(hold)) {
		return true
	}
	if s.parked == nil {
		s.parked = make(chan struct{}, 1)
	}
	if !s.state.CompareAndSwap(empty, inGo) {
		s.state.Store(empty)
		return true
	}
	if d <= 0 {
		<-s.parked
		s.state.Store(empty)
		return true
	}
	over := time.NewTimer(d - time.Since(begun))
	defer over.Stop()
	select {
	case <-s.parked:
	case <-over.C:
		if s.state.CompareAndSwap(inGo, empty) {
			return false
		}
		<-s.parked // it is being sent
	}
	s.state.Store(empty)
	return true
}

// hold waits in the kernel; false: it was not woken until then, and the spot is empty.
func (s *Spot) hold(until time.Time) bool {
	if s.state.CompareAndSwap(woken, empty) {
		return true
	}
	if !canHold {
		return false
	}
	if !s.state.CompareAndSwap(empty, inKernel) {
		s.state.Store(empty)
		return true
	}
	for left := time.Until(until); left > 0; left = time.Until(until) {
		sleep(&s.state, inKernel, left)
		if s.state.CompareAndSwap(woken, empty) {
			return true
		}
	}
	if s.state.CompareAndSwap(inKernel, empty) {
		return false
	}
	s.state.Store(empty)
	return true
}

// Wake ends the wait of the thread at the spot, or of the next one there. Several calls before that are one.
func (s *Spot) Wake() {
	switch s.state.Swap(woken) {
	case inKernel:
		rouse(&s.state)
	case inGo:
		s.parked <- struct{}{}
	}
}
