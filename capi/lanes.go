package main

/*
#include "lane.h"
*/
import "C"

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/duroxide/duroxide/core/engine"
	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
)

// Python reads the cancel flag of a running activity where it lies, as a 32-bit number.
var _ [4]byte = [unsafe.Sizeof(atomic.Bool{})]byte{}

// host runs user code on one lane: the Python thread that is inside dx_lane. Every call goes through the lane's
// callback, on that thread.
type host struct {
	shared *C.dx_lane_shared
	call   C.dx_callback
	in     frame
	rt     *runtimeHandle
	// dropped is the execution that the user's side has dropped by itself last; Forget need not call for it.
	dropped engine.ExecutionID
}

var _ engine.Host = (*host)(nil)

// ask sends the frame in h.in and gives the answer, copied; false when the callback gave none. An answer of 0 cannot
// come from our own code: ctypes gives it when an exception was thrown into the callback from outside.
func (h *host) ask() (string, bool) {
	defer h.in.sent()
	if C.dx_invoke(h.call, unsafe.Pointer(unsafe.SliceData(h.in)), C.int64_t(len(h.in))) != 1 {
		return "", false
	}
	return string(unsafe.Slice((*byte)(h.shared.out), int(h.shared.out_len))), true
}

// Code implements engine.Host.
func (h *host) Code(id engine.ExecutionID) replay.Code { return &code{h: h, id: id} }

// Forget implements engine.Host.
func (h *host) Forget(id engine.ExecutionID) {
	if h.rt.takeBegun(id) != nil || id == h.dropped {
		return
	}
	h.in.head(laneForget, id, 0)
	h.ask()
}

// RunActivity implements engine.Host.
func (h *host) RunActivity(a *engine.Activity) engine.ActivityResult {
	id := runs.begin(h.rt, a)
	h.in.head(laneActivity, engine.ExecutionID(id), 0)
	h.in.activity(a, uintptr(unsafe.Pointer(a.Cancelled)))
	answer, ok := h.ask()
	if ok {
		if res, err := readActivity(answer, a); err == nil {
			if !res.Detached {
				runs.end(id)
			}
			return res
		}
	}
	// What was thrown into the callback may have come after the coroutine had begun: its flag stays where it is.
	return engine.ActivityResult{Failure: &history.Failure{
		Kind: history.ActivityError, Activity: a.Name, Attempt: max(a.Attempt, 1),
		Message: fmt.Sprintf("Activity '%s' call failed: it was interrupted from outside", a.Name),
	}}
}

// code is the user's side of one execution, on this lane.
type code struct {
	h     *host
	id    engine.ExecutionID
	begin frame // waits for the first resume, so that beginning needs no call of its own
}

var _ replay.Code = (*code)(nil)

// Begin implements replay.Code. It waits for the first resume, so that beginning needs no callback of its own.
func (c *code) Begin(b replay.Begin) {
	var f frame
	f.begin(&b)
	c.h.rt.begun(c.id, f)
}

// Resume implements replay.Code.
func (c *code) Resume(b replay.Branch, r replay.Resolution, m replay.Moment) replay.Yield {
	in := &c.h.in
	if begin := c.h.rt.takeBegun(c.id); begin != nil {
		in.head(laneBeginResume, c.id, b)
		in.u32(uint32(len(begin)))
		*in = append(*in, begin...)
	} else {
		in.head(laneResume, c.id, b)
	}
	in.moment(m)
	in.resolution(&r)
	if answer, ok := c.h.ask(); ok {
		y, ended, err := readYield(answer)
		if err == nil {
			if ended {
				c.h.dropped = c.id
			}
			return y
		}
	}
	const text = "the step was interrupted from outside"
	return replay.Yield{Kind: replay.YieldFatal, ErrText: text,
		Failure: &history.Failure{Kind: history.OrchestrationError, Message: text}}
}

// Close implements replay.Code.
func (c *code) Close(b replay.Branch) {
	c.h.in.head(laneClose, c.id, b)
	c.h.ask()
}

// SamePayload implements replay.Code.
func (c *code) SamePayload(recorded, asked string) bool {
	if recorded == asked {
		return true
	}
	c.h.in.head(laneSame, c.id, 0)
	c.h.in.text(recorded)
	c.h.in.text(asked)
	answer, ok := c.h.ask()
	return ok && answer == "\x01"
}
