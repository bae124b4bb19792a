// Package main is the C ABI of the engine: what the Python package loads. It translates and decides nothing.
//
//	dx_call    one operation on a handle (open, start, wait, query, …): header and body in, header and body out
//	dx_fetch   the result of a call that did not fit its buffer, or that was still running
//	dx_cancel  gives up a call that is still running; dx_cancel_told those that tell a descriptor
//	dx_lane    lends the calling thread to a runtime; user code is called back on it, and on no other
//
// # Memory
//
// Nobody frees what the other side made. Inputs are borrowed for the length of a call and copied when kept; results are
// copied into a buffer of the caller. What the callback of a lane returns stays the caller's until its next callback.
//
// # Waiting
//
// A call made with a descriptor never holds its thread for longer than callPatience: it then answers that it is pending,
// and a byte is written to the descriptor once dx_fetch has something to give. Python's main thread calls so, since only
// it can act on signals, and only between its own instructions. Calls without a descriptor hold their thread to the end.
//
// # Faults
//
// Every export turns a panic into an error frame; a lane that panics ends. Nothing here writes to standard output or
// standard error: with Go in the process a broken pipe there would end it.
package main
