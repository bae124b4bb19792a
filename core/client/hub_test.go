package client

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// Who starts an instance and waits for it need not look at it when it ends soon, even before the start has returned. Long
// after the start, and when it failed, there is a look at once.
func TestInstancesStartedAMomentAgoAreNotLookedAtAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		ended := &store.Status{Instance: "a", Status: replay.Completed, Output: "x"}
		endsSoon := func() {
			h.starting("a")
			h.Wake(store.Wake{Changed: []string{"a"}, Ended: []*store.Status{ended}})
			h.started("a", "", true)
		}
		for _, c := range []struct {
			name    string
			begin   func()
			pause   time.Duration
			isEnded bool
		}{
			{"nobody started it here", func() {}, 0, false},
			{"it has started just now", func() { h.starting("a"); h.started("a", "", true) }, headStart, false},
			{"a moment has gone by", func() {
				h.starting("a")
				time.Sleep(time.Second) //nolint:forbidigo // of the bubble's clock: the start takes its time
				h.started("a", "", true)
				time.Sleep(time.Millisecond) //nolint:forbidigo // of the bubble's clock
			}, headStart, false},
			{"long ago", func() {
				h.starting("a")
				h.started("a", "", true)
				time.Sleep(startFresh) //nolint:forbidigo // of the bubble's clock
			}, 0, false},
			{"it has ended while it was started", endsSoon, 0, true},
			{"others were started meanwhile", func() {
				endsSoon()
				time.Sleep(startFresh - 1) //nolint:forbidigo // of the bubble's clock
				h.Wake(store.Wake{Changed: []string{"b"}})
				h.Wake(store.Wake{Elsewhere: true, Kinds: store.KindReady})
			}, 0, true},
			{"that is long ago", func() {
				endsSoon()
				time.Sleep(startFresh) //nolint:forbidigo // of the bubble's clock
			}, 0, false},
			{"it was deleted since", func() {
				endsSoon()
				h.Wake(store.Wake{Changed: []string{"a"}})
			}, 0, false},
			{"another process may have deleted it", func() {
				endsSoon()
				h.Wake(store.Wake{Elsewhere: true, Kinds: store.KindChanged})
			}, 0, false},
			{"and whatever it has done", func() {
				endsSoon()
				h.Wake(store.Wake{Elsewhere: true})
			}, 0, false},
			{"the start failed", func() { h.starting("a"); h.started("a", "", false) }, 0, false},
			{"it was waited for already", func() {
				h.starting("a")
				h.started("a", "", true)
				w, _, _ := h.join(t.Context(), "a")
				h.part(w)
			}, 0, false},
		} {
			c.begin()
			w, pause, err := h.join(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			if pause != c.pause || (h.told(w) != nil) != c.isEnded {
				t.Errorf("%s: a pause of %v, ended %v", c.name, pause, h.told(w))
			}
			h.part(w)
		}
		h.starting("a")
		h.started("a", "", true)
		hurry, cancel := context.WithTimeout(t.Context(), headStart)
		defer cancel()
		if w, pause, _ := h.join(hurry, "a"); pause != 0 {
			t.Errorf("who waits for %v only gets a look after %v", headStart, pause)
		} else {
			h.part(w)
		}
		for i := range 3 * startsKept {
			h.starting(string(rune(i)))
		}
		if len(h.starts) > startsKept {
			t.Errorf("%d starts are remembered", len(h.starts))
		}
	})
}

// The end of an instance may be told late: while it is started anew, or when the new one is waited for already.
func TestEndOfAnEarlierLifeIsNotThatOfTheNewOne(t *testing.T) {
	end := func(life string) store.Wake {
		return store.Wake{Changed: []string{"a"}, Ended: []*store.Status{{Instance: "a", Life: life, Status: replay.Completed}}}
	}
	for _, c := range []struct {
		name  string
		early string // the life whose end is told while the start is under way
		late  string // during the wait
		ended bool
	}{
		{"the old one ends while the new one is started", "old", "", false},
		{"the end of the old one is told when the new one is waited for", "", "old", false},
		{"the new one ends before its start has returned", "new", "", true},
		{"the new one ends when it is waited for", "", "new", true},
		{"both", "old", "new", true},
	} {
		h := newHub()
		h.starting("a")
		if c.early != "" {
			h.Wake(end(c.early))
		}
		h.started("a", "new", true)
		w, _, err := h.join(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		if c.late != "" {
			h.Wake(end(c.late))
			select {
			case <-w.changed:
			default:
				t.Errorf("%s: nothing said that there is something to look at", c.name)
			}
		}
		if (h.told(w) != nil) != c.ended {
			t.Errorf("%s: told %v", c.name, h.told(w))
		}
	}
}

// Most who start an instance never wait for it: what it gave must not stay in memory for them.
func TestLargeOutputsAreNotKeptForThoseWhoMayWait(t *testing.T) {
	h := newHub()
	for _, c := range []struct {
		bytes int
		told  bool
	}{{endKept, true}, {endKept + 1, false}} {
		h.starting("a")
		h.started("a", "life", true)
		status := &store.Status{Instance: "a", Life: "life", Status: replay.Completed, Output: strings.Repeat("x", c.bytes)}
		h.Wake(store.Wake{Changed: []string{"a"}, Ended: []*store.Status{status}})
		w, pause, err := h.join(t.Context(), "a")
		if err != nil || pause != 0 || (h.told(w) != nil) != c.told {
			t.Errorf("%d bytes: a pause of %v, told %v, %v", c.bytes, pause, h.told(w) != nil, err)
		}
		h.part(w)
	}
}
