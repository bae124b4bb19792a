package engine

import (
	"slices"
	"testing"
	"time"
)

// After a load the turns of executions in memory go first for a while, then the order is that of the queue again.
func TestTurnsInMemoryGoBeforeLoads(t *testing.T) {
	queued := func(r *Runtime) {
		for _, i := range []*instance{
			{id: "load-1", reload: true, live: &liveExecution{}},
			{id: "memory-1", live: &liveExecution{}},
			{id: "load-2"},
			{id: "memory-2", live: &liveExecution{}},
		} {
			r.ready.push(i)
		}
	}
	all := func(r *Runtime) (ids []string) {
		for r.ready.len() > 0 {
			ids = append(ids, r.popReadyLocked().id)
		}
		return ids
	}
	r := &Runtime{base: time.Now().Add(-time.Hour)}
	queued(r)
	if got, want := all(r), []string{"load-1", "memory-1", "load-2", "memory-2"}; !slices.Equal(got, want) {
		t.Errorf("without a load before: %v, want %v", got, want)
	}
	queued(r)
	r.loadTookLocked(r.now() - int64(time.Minute))
	if got, want := all(r), []string{"memory-1", "memory-2", "load-1", "load-2"}; !slices.Equal(got, want) {
		t.Errorf("right after a load: %v, want %v", got, want)
	}
	queued(r)
	r.loadAgain = r.now()
	if got, want := all(r), []string{"load-1", "memory-1", "load-2", "memory-2"}; !slices.Equal(got, want) {
		t.Errorf("when loads have rested: %v, want %v", got, want)
	}
}
