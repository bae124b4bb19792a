package main

import (
	"runtime"
	"sync"

	"github.com/duroxide/duroxide/core/engine"
	"github.com/duroxide/duroxide/core/history"
)

// flight is a run of an activity that Python has been handed, with the flag by which it sees that it is cancelled.
// Activities that go on without their lane are told the end of by number.
type flight struct {
	rt       *runtimeHandle
	activity *engine.Activity
	pin      runtime.Pinner // of the flag: it stays in place until Python has told the end
}

// airspace holds the flights of all runtimes: Python may still read the flag when the runtime is gone.
type airspace struct {
	mu   sync.Mutex
	next uint64
	up   map[uint64]*flight
}

var flights = airspace{up: map[uint64]*flight{}}

func (s *airspace) take(rt *runtimeHandle, a *engine.Activity) uint64 {
	f := &flight{rt: rt, activity: a}
	if a.Cancelled != nil {
		f.pin.Pin(a.Cancelled)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	s.up[s.next] = f
	return s.next
}

// land ends a flight; nil when there is none of this number any more.
func (s *airspace) land(id uint64) *flight {
	s.mu.Lock()
	f := s.up[id]
	delete(s.up, id)
	s.mu.Unlock()
	if f != nil {
		f.pin.Unpin()
	}
	return f
}

// opEndActivities tells the ends of activities that went on without their lanes; the body holds them. It waits for
// nothing, since it is called by an event loop.
func opEndActivities(r *request) (any, string, error) {
	ends, err := readEnds(r.body)
	for _, end := range ends {
		f := flights.land(end.id)
		if f == nil {
			continue
		}
		res, malformed := readActivity(end.answer, f.activity)
		if malformed != nil || res.Detached {
			res = engine.ActivityResult{Failure: &history.Failure{
				Kind: history.ActivityError, Activity: f.activity.Name, Attempt: max(f.activity.Attempt, 1),
				Message: "Activity '" + f.activity.Name + "' call failed: its end could not be read",
			}}
		}
		f.rt.engine.EndActivity(f.activity.Run, res)
	}
	return nil, "", err
}
