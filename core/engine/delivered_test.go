package engine

import (
	"slices"
	"testing"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

// A result that was stored goes to the execution that waits for it in memory without being read, unless something about
// that execution says that the store has to be read.
func TestStoredResultsReachExecutionsInMemory(t *testing.T) {
	result := func(row int64) store.Delivered {
		return store.Delivered{Instance: "a", Message: history.Message{
			Kind: history.MsgActivityCompleted, Row: row, Life: "life", Execution: 2, Source: row,
		}}
	}
	waiting := func(i *instance) { i.live = &liveExecution{life: "life", exec: 2, inst: i} }
	for _, c := range []struct {
		name   string
		set    func(*instance)
		all    []store.Delivered
		taken  []int64 // rows of the messages for the next turn
		reload bool
	}{
		{"one", func(*instance) {}, []store.Delivered{result(7)}, []int64{7}, false},
		{"several, and one of another instance", func(*instance) {}, []store.Delivered{
			result(8), {Instance: "b", Message: history.Message{Row: 6, Life: "life", Execution: 2}}, result(7),
		}, []int64{7, 8}, false},
		{"beside what the last commit has returned", func(i *instance) {
			i.untaken = []history.Message{{Kind: history.MsgEvent, Row: 5}}
		}, []store.Delivered{result(7)}, []int64{5, 7}, false},
		{"whose turn is near", func(i *instance) { i.state = ready }, []store.Delivered{result(7)}, []int64{7}, false},
		{"which the last commit has returned already", func(i *instance) {
			i.untaken = []history.Message{result(7).Message}
		}, []store.Delivered{result(7)}, []int64{7}, true},
		{"in a turn", func(i *instance) { i.state = running }, []store.Delivered{result(7)}, nil, true},
		{"in a commit", func(i *instance) { i.state = committing }, []store.Delivered{result(7)}, nil, true},
		{"that has more to read", func(i *instance) { i.reload = true }, []store.Delivered{result(7)}, nil, true},
		{"that is not in memory", func(i *instance) { i.live = nil; i.jobs = 1 }, []store.Delivered{result(7)}, nil, true},
		{"of another life", func(i *instance) { i.live.life = "other" }, []store.Delivered{result(7)}, nil, true},
		{"of another execution", func(i *instance) { i.live.exec = 3 }, []store.Delivered{result(7)}, nil, true},
		{"nothing", func(*instance) {}, nil, nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := New(nil, DefaultOptions())
			if err != nil {
				t.Fatal(err)
			}
			defer r.cancel()
			r.phase = phaseRunning
			inst := r.instanceLocked("a")
			waiting(inst)
			c.set(inst)
			listener{r}.Wake(store.Wake{Ready: []string{"a"}, Delivered: c.all})
			var rows []int64
			for i := range inst.untaken {
				rows = append(rows, inst.untaken[i].Row)
			}
			if !slices.Equal(rows, c.taken) || inst.reload != c.reload {
				t.Errorf("the next turn has %v, reload %v; want %v, %v", rows, inst.reload, c.taken, c.reload)
			}
			if inst.state == idle {
				t.Error("no turn is to come")
			}
		})
	}
}
