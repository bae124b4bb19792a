package main

import (
	"runtime"
	"sync"

	"github.com/duroxide/duroxide/core/engine"
	"github.com/duroxide/duroxide/core/history"
)

// activityRun is a run of an activity that Python has been handed, with the flag by which it sees that it is cancelled.
// Python tells the end of one that goes on without its lane by number.
type activityRun struct {
	rt       *runtimeHandle
	activity *engine.Activity
	pin      runtime.Pinner // of the flag: it stays in place until Python has told the end
}

// activityRuns holds those of all runtimes: Python may still read the flag when the runtime is gone.
type activityRuns struct {
	mu   sync.Mutex
	next uint64
	open map[uint64]*activityRun
}

var runs = activityRuns{open: map[uint64]*activityRun{}}

func (s *activityRuns) begin(rt *runtimeHandle, a *engine.Activity) uint64 {
	run := &activityRun{rt: rt, activity: a}
	if a.Cancelled != nil {
		run.pin.Pin(a.Cancelled)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	s.open[s.next] = run
	return s.next
}

// end gives a run that is over; nil when there is none of this number any more.
func (s *activityRuns) end(id uint64) *activityRun {
	s.mu.Lock()
	run := s.open[id]
	delete(s.open, id)
	s.mu.Unlock()
	if run != nil {
		run.pin.Unpin()
	}
	return run
}

// opEndActivities tells the ends of activities that went on without their lanes; the body holds them. It waits for
// nothing, since it is called by an event loop.
func opEndActivities(r *request) (any, string, error) {
	ends, err := readEnds(r.body)
	for _, end := range ends {
		run := runs.end(end.id)
		if run == nil {
			continue
		}
		res, malformed := readActivity(end.answer, run.activity)
		if malformed != nil || res.Detached {
			res = engine.ActivityResult{Failure: &history.Failure{
				Kind: history.ActivityError, Activity: run.activity.Name, Attempt: max(run.activity.Attempt, 1),
				Message: "Activity '" + run.activity.Name + "' call failed: its end could not be read",
			}}
		}
		run.rt.engine.EndActivity(run.activity.Run, res)
	}
	return nil, "", err
}
