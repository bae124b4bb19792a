package replay

import (
	"maps"

	"github.com/duroxide/duroxide/core/history"
)

// state is what clients can read of an execution: its custom status and key-value map. It is rebuilt by replaying the
// calls that changed it, so that code which reads it reads the same again.
type state struct {
	status  *string
	version int64 // grows by one for each set or reset, so it does not depend on where turns end
	kv      map[string]history.KVEntry
	owned   bool // kv is not the map of event 1
}

func newState(s *history.Start) state {
	return state{status: s.Status, version: s.StatusVersion, kv: s.KV}
}

// writable gives the map to write to.
func (s *state) writable() map[string]history.KVEntry {
	if !s.owned {
		s.owned = true
		if s.kv = maps.Clone(s.kv); s.kv == nil {
			s.kv = make(map[string]history.KVEntry)
		}
	}
	return s.kv
}

// immediates records the calls of a step in order. It reports false when the execution ended over one of them.
func (x *Execution) immediates(calls []Immediate) bool {
	for i := range calls {
		c := &calls[i]
		switch c.Kind {
		case CallTrace:
			if !x.replaying {
				x.commit.Traces = append(x.commit.Traces, *c)
			}
		case CallSetStatus, CallResetStatus:
			x.setStatus(c)
		case CallSetKV, CallClearKV:
			x.writeKV(c)
		case CallClearAllKV:
			if _, appended := x.record(&history.Event{Kind: history.KeyValuesCleared, At: c.At}); appended {
				x.commit.KVClearAll, x.commit.KV = true, nil
			}
			x.state.kv, x.state.owned = nil, false
		}
		if x.ending != nil {
			return false
		}
	}
	return true
}

func (x *Execution) setStatus(c *Immediate) {
	e, appended := x.record(&history.Event{Kind: history.CustomStatusUpdated, Data: c.Value, Cleared: c.Kind == CallResetStatus, At: c.At})
	if e == nil {
		return
	}
	x.state.version++
	x.state.status = nil
	if !e.Cleared {
		text := e.Data
		x.state.status = &text
	}
	if appended {
		x.commit.CustomStatus = &CustomStatus{Text: x.state.status, Version: x.state.version}
	}
}

// writeKV stamps with the time of the last applied event, as code that prunes by age must find the same in replay.
func (x *Execution) writeKV(c *Immediate) {
	call := history.Event{Kind: history.KeyValueSet, Name: c.Key, Data: c.Value, At: c.At}
	if c.Kind == CallClearKV {
		call.Kind, call.Data = history.KeyValueCleared, ""
	}
	e, appended := x.record(&call)
	if e == nil {
		return
	}
	change := KVChange{Key: c.Key, UpdatedAt: x.now}
	if call.Kind == history.KeyValueSet {
		value := c.Value
		change.Value = &value
		x.state.writable()[c.Key] = history.KVEntry{Value: value, UpdatedAt: x.now}
	} else if _, ok := x.state.kv[c.Key]; ok {
		delete(x.state.writable(), c.Key)
	}
	if appended {
		x.commit.change(change)
	}
}

// change keeps the last write of each key. There are at most MaxKVKeys.
func (c *Commit) change(change KVChange) {
	for i := range c.KV {
		if c.KV[i].Key == change.Key {
			c.KV[i] = change
			return
		}
	}
	c.KV = append(c.KV, change)
}
