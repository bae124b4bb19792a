package postgres

import (
	"sync/atomic"
	"time"
)

// clock is the database's, kept as an offset to the local one. Every answer that carries the database's time bounds the
// offset: it was taken between sending and receiving. The offset moves only when it is out of such bounds.
type clock struct {
	local  func() int64
	offset *atomic.Int64
}

func newClock(local func() int64) clock {
	if local == nil {
		local = func() int64 { return time.Now().UnixMilli() }
	}
	return clock{local: local, offset: new(atomic.Int64)}
}

func (c *clock) now() int64 { return c.local() + c.offset.Load() }

// heard takes a time of the database that came with the answer to what was sent at the local time sent.
func (c *clock) heard(sent, at int64) {
	low, high := at-c.local(), at-sent+1
	if offset := c.offset.Load(); offset < low || offset > high {
		c.offset.CompareAndSwap(offset, (low+high)/2)
	}
}
