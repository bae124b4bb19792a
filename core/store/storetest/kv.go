package storetest

import (
	"strings"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
)

// set writes a key; nil clears it.
func (f *flow) set(c *replay.Commit, key string, value *string) {
	if value == nil {
		f.event(c, history.Event{Kind: history.KeyValueCleared, Name: key})
	} else {
		f.event(c, history.Event{Kind: history.KeyValueSet, Name: key, Data: *value})
	}
	c.KV = append(c.KV, replay.KVChange{Key: key, Value: value, UpdatedAt: f.h.clock.Now()})
}

func (h *harness) value(id, key string) string {
	h.Helper()
	v, err := h.s.KVValue(h.ctx, id, key)
	h.ok(err)
	if v == nil {
		return "<none>"
	}
	return *v
}

var kv = []scenario{
	{"keys are set, replaced and cleared", func(h *harness) {
		f := h.running("a")
		f.commit(func(c *replay.Commit) { f.set(c, "k", ptr("1")); f.set(c, "other", ptr("x")) })
		equal(h, "set", h.value("a", "k"), "1")
		f.commit(func(c *replay.Commit) { f.set(c, "k", ptr("2")) })
		equal(h, "replaced", h.value("a", "k"), "2")
		f.commit(func(c *replay.Commit) { f.set(c, "k", nil) })
		equal(h, "cleared", h.value("a", "k"), "<none>")
		f.commit(func(c *replay.Commit) { f.set(c, "k", ptr("3")) })
		equal(h, "set again", h.value("a", "k"), "3")
		equal(h, "the other", h.value("a", "other"), "x")
	}},
	{"clear-all comes before the sets of its turn", func(h *harness) {
		f := h.running("a")
		f.commit(func(c *replay.Commit) { f.set(c, "old", ptr("1")) })
		f.commit(func(c *replay.Commit) {
			f.event(c, history.Event{Kind: history.KeyValuesCleared})
			c.KVClearAll = true
			f.set(c, "new", ptr("2"))
		})
		all, err := h.s.KVAll(h.ctx, "a")
		h.ok(err)
		equal(h, "keys", len(all), 1)
		equal(h, "new", all["new"], "2")
	}},
	{"empty, large and odd keys and values are legal", func(h *harness) {
		f := h.running("a")
		odd := "a'b\"c%_\n\u00e9\U0001F600"
		big := strings.Repeat("x", 65_536)
		f.commit(func(c *replay.Commit) { f.set(c, "", ptr("")); f.set(c, odd, ptr(odd)); f.set(c, "big", ptr(big)) })
		equal(h, "empty", h.value("a", ""), "")
		equal(h, "odd", h.value("a", odd), odd)
		equal(h, "big", h.value("a", "big") == big, true)
	}},
	{"instances do not share keys", func(h *harness) {
		a, b := h.running("a"), h.running("b")
		a.commit(func(c *replay.Commit) { a.set(c, "k", ptr("a")) })
		b.commit(func(c *replay.Commit) { b.set(c, "k", ptr("b")) })
		a.commit(func(c *replay.Commit) {
			a.event(c, history.Event{Kind: history.KeyValuesCleared})
			c.KVClearAll = true
		})
		equal(h, "a", h.value("a", "k"), "<none>")
		equal(h, "b", h.value("b", "k"), "b")
		equal(h, "unknown instance", h.value("nobody", "k"), "<none>")
	}},
	{"keys and custom status survive the end", func(h *harness) {
		f := h.running("a")
		f.commit(func(c *replay.Commit) {
			f.set(c, "k", ptr("v"))
			f.event(c, history.Event{Kind: history.CustomStatusUpdated, Data: "s"})
			c.CustomStatus = &replay.CustomStatus{Text: ptr("s"), Version: 1}
			f.end(c)
		})
		equal(h, "key", h.value("a", "k"), "v")
		status, err := h.s.Status(h.ctx, "a")
		h.ok(err)
		equal(h, "status", *status.CustomStatus, "s")
	}},
	{"a custom status is set, reset and kept, and its version only grows", func(h *harness) {
		f := h.running("a")
		f.commit(func(c *replay.Commit) {
			f.event(c, history.Event{Kind: history.CustomStatusUpdated, Data: "1"})
			f.event(c, history.Event{Kind: history.CustomStatusUpdated, Data: "2"})
			c.CustomStatus = &replay.CustomStatus{Text: ptr("2"), Version: 2}
		})
		f.commit(func(c *replay.Commit) { f.timer(c, h.clock.Now()+60_000) })
		s := h.load("a")
		equal(h, "kept", *s.CustomStatus, "2")
		equal(h, "version", s.CustomStatusVersion, 2)
		f.commit(func(c *replay.Commit) {
			f.event(c, history.Event{Kind: history.CustomStatusUpdated, Cleared: true})
			c.CustomStatus = &replay.CustomStatus{Version: 3}
		})
		s = h.load("a")
		equal(h, "reset", s.CustomStatus == nil, true)
		equal(h, "version", s.CustomStatusVersion, 3)
	}},
}
