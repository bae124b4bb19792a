package main

/*
#include "lane.h"
*/
import "C"

import (
	"fmt"
	"runtime/debug"
	"unsafe"

	"github.com/duroxide/duroxide/core/engine"
)

func main() {}

// dx_protocol is the version of the frames; Python refuses a library that speaks another one.
//
//export dx_protocol
func dx_protocol() C.int32_t { return protocolVersion }

// dx_call runs an operation. With fd >= 0 it may answer that the call is pending; see calls.go for what is given back.
// out holds 8 bytes at least.
//
//export dx_call
func dx_call(op C.int32_t, handle C.int64_t, fd C.int32_t, head *C.char, headLen C.int64_t, body *C.char, bodyLen C.int64_t,
	out *C.char, outCap C.int64_t,
) C.int64_t {
	r := &request{handle: int64(handle)}
	if headLen > 0 {
		r.head = C.GoBytes(unsafe.Pointer(head), C.int(headLen))
	}
	if bodyLen > 0 {
		r.body = string(unsafe.Slice((*byte)(unsafe.Pointer(body)), int(bodyLen)))
	}
	return C.int64_t(answerCall(int(op), r, int(fd), unsafe.Slice((*byte)(unsafe.Pointer(out)), int(outCap))))
}

// dx_fetch gives what a ticket stands for: the rest of a result that did not fit, or the end of a pending call.
//
//export dx_fetch
func dx_fetch(ticket C.uint64_t, out *C.char, outCap C.int64_t) C.int64_t {
	return C.int64_t(fetch(uint64(ticket), unsafe.Slice((*byte)(unsafe.Pointer(out)), int(outCap))))
}

// dx_cancel gives up a pending call. Its descriptor is not written to once this has returned.
//
//export dx_cancel
func dx_cancel(ticket C.uint64_t) { abandon(uint64(ticket)) }

// dx_cancel_told gives up the pending calls that tell a descriptor: for a thread that was interrupted when dx_call had
// returned and that does not know its ticket. Nothing is written to the descriptor once this has returned.
//
//export dx_cancel_told
func dx_cancel_told(fd C.int32_t) { abandonTold(int(fd)) }

// dx_lane lends the calling thread to a runtime until the lane ends. It gives 0, or -1 when the runtime is gone.
//
//export dx_lane
func dx_lane(handle C.int64_t, id C.int64_t, kind C.int32_t, shared *C.dx_lane_shared, callback C.dx_callback) (outcome C.int32_t) {
	rt, err := lookup[runtimeHandle](int64(handle))
	if err != nil {
		return -1
	}
	defer func() {
		if p := recover(); p != nil {
			rt.log.put(engine.LogRecord{Level: "error", Target: targetEngine,
				Message: fmt.Sprintf("a lane ended by a defect: %v\n%s", p, debug.Stack())})
			outcome = -1
		}
	}()
	rt.engine.RunLane(engine.LaneRequest{ID: int64(id), Kind: engine.LaneKind(kind)}, &host{shared: shared, call: callback, rt: rt})
	return 0
}
