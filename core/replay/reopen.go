package replay

import (
	"errors"
	"slices"

	"github.com/duroxide/duroxide/core/history"
)

// Why an execution cannot be opened again.
var (
	ErrNotFailed  = errors.New("the instance has not failed")
	ErrOwnFailure = errors.New("the instance failed by its own code, which would fail again")
)

// Reopening is what opens an execution again that failed by no fault of its code: that code did not fit its history,
// its work was given up as poison, the infrastructure failed. It goes on where it stood.
type Reopening struct {
	// Keep is how many events stay. 0: the execution had not begun, and begins with Input.
	Keep  int64
	Input string
	// Jobs and Timers of what is open in the events that stay. They went when the execution failed.
	Jobs   []Job
	Timers []Timer
	// Children that are open. Those that have ended meanwhile are answered at once; one that the turn asked for which failed
	// has never begun.
	Children []OpenChild
	// OpenQueues and UsedQueues as a turn's commit gives them.
	OpenQueues, UsedQueues []string
}

// OpenChild is a child that its parent waits for.
type OpenChild struct {
	Schedule int64
	Instance string
	Name     string
	Version  string // as asked; empty = latest
	Input    string
}

// Reopen tells how to open a failed execution again, from its history alone. ErrNotFailed, ErrOwnFailure.
func Reopen(events []history.Event) (*Reopening, error) {
	keep := len(events)
	if keep == 0 || events[keep-1].Kind != history.OrchestrationFailed {
		return nil, ErrNotFailed
	}
	if f := events[keep-1].Failure; f == nil || f.Category() == history.CategoryApplication {
		return nil, ErrOwnFailure
	}
	keep--
	for keep > 0 && isCancelRequest(events[keep-1].Kind) && events[keep-1].Reason == reasonFailed {
		keep--
	}
	// The failure of the activity or child over which it failed goes too: else replay would find it again.
	for keep > 0 {
		last := &events[keep-1]
		if last.Failure == nil || last.Failure.Category() == history.CategoryApplication {
			break
		}
		keep--
	}
	if keep <= 1 && events[0].Engine == "" {
		// It was given up before any engine had begun it; the event stands in for one that never was.
		return &Reopening{Input: events[0].Data}, nil
	}
	r := &Reopening{Keep: int64(keep)}
	kept := events[:keep]
	for _, call := range openCalls(kept) {
		switch call.Kind { //nolint:exhaustive // openCalls gives four kinds
		case history.ActivityScheduled:
			r.Jobs = append(r.Jobs, Job{
				Schedule: call.ID, Name: call.Name, Input: call.Data, Session: call.Session, Tag: call.Tag,
				TimeoutMS: call.TimeoutMS, Attempt: call.Attempt, RetryOf: call.RetryOf,
			})
		case history.SubOrchestrationScheduled:
			r.Children = append(r.Children, OpenChild{
				Schedule: call.ID, Instance: call.Instance, Name: call.Name, Version: call.Version, Input: call.Data,
			})
		case history.QueueSubscribed:
			r.OpenQueues = append(r.OpenQueues, call.Name)
		}
	}
	fired := map[int64]bool{}
	for i := range kept {
		switch e := &kept[i]; e.Kind { //nolint:exhaustive // only these matter here
		case history.TimerFired:
			fired[e.Source] = true
		case history.QueueSubscribed:
			r.UsedQueues = append(r.UsedQueues, e.Name)
		}
	}
	for i := range kept {
		// One that lost a race is among them: its message finds no taker and is dropped.
		if e := &kept[i]; e.Kind == history.TimerCreated && !fired[e.ID] {
			r.Timers = append(r.Timers, Timer{Schedule: e.ID, FireAt: e.FireAt})
		}
	}
	for _, queues := range []*[]string{&r.OpenQueues, &r.UsedQueues} {
		slices.Sort(*queues)
		*queues = slices.Compact(*queues)
	}
	return r, nil
}
