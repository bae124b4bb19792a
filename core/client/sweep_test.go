package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

// turnTable plays a store of which only the turns are asked.
type turnTable struct {
	mu    sync.Mutex
	turns map[string]history.Token
	err   error
	reads int
}

func (s *turnTable) Turns(context.Context, []string) (map[string]history.Token, error) {
	s.mu.Lock()
	s.reads++
	turns, err := maps.Clone(s.turns), s.err
	s.mu.Unlock()
	time.Sleep(time.Second) //nolint:forbidigo // of the bubble's clock: the read takes its time
	return turns, err
}

func (s *turnTable) change(instance string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turns[instance] = history.NewToken()
}

// signalled takes the signals of the waits and tells which had one.
func signalled(waits map[string]*waiter) (ids []string) {
	for id, w := range waits {
		select {
		case <-w.changed:
			ids = append(ids, id)
		default:
		}
	}
	return ids
}

func TestManyWaitsLookOnlyAtWhatAnotherProcessHasChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		h.leave = func() {}
		table := &turnTable{turns: map[string]history.Token{}}
		h.turns = table
		waits := map[string]*waiter{}
		for i := range 1000 {
			id := fmt.Sprintf("i-%d", i)
			w, _, err := h.join(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			waits[id] = w
		}
		elsewhere := func() { h.Wake(store.Wake{Elsewhere: true}) }
		settle := func() {
			time.Sleep(time.Minute) //nolint:forbidigo // of the bubble's clock
			synctest.Wait()
		}
		elsewhere()
		settle()
		if n := len(signalled(waits)); n != len(waits) {
			t.Errorf("%d waits were told at first, want all", n)
		}
		table.change("i-7")
		elsewhere()
		settle()
		if told := signalled(waits); len(told) != 1 || told[0] != "i-7" {
			t.Errorf("told %v, want the one that changed", told)
		}

		// A thousand writes within one second are two reads: one under way, and one for what came meanwhile.
		table.reads = 0
		for range 1000 {
			elsewhere()
			time.Sleep(time.Millisecond) //nolint:forbidigo // of the bubble's clock
		}
		table.change("i-7")
		elsewhere()
		settle()
		if told := signalled(waits); table.reads != 2 || len(told) != 1 {
			t.Errorf("%d reads, told %v", table.reads, told)
		}

		// Who joins later has not been swept, and is told once.
		h.part(waits["i-7"])
		waits["i-7"], _, _ = h.join(t.Context(), "i-7")
		elsewhere()
		settle()
		if told := signalled(waits); len(told) != 1 {
			t.Errorf("told %v, want the new wait", told)
		}

		table.err = errors.New("away")
		elsewhere()
		settle()
		if n := len(signalled(waits)); n != len(waits) {
			t.Errorf("%d waits were told when nothing could be read, want all", n)
		}
		for _, w := range waits {
			h.part(w)
		}
		if len(h.sweep.known) != 0 {
			t.Errorf("%d turns are remembered for nobody", len(h.sweep.known))
		}
		elsewhere()
		h.close()
	})
}

func TestFewWaitsLookByThemselves(t *testing.T) {
	h := newHub()
	table := &turnTable{}
	h.turns = table
	w, _, err := h.join(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	h.Wake(store.Wake{Elsewhere: true})
	if told := signalled(map[string]*waiter{"a": w}); len(told) != 1 || table.reads != 0 {
		t.Errorf("told %v after %d reads", told, table.reads)
	}
}
