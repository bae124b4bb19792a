package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/duroxide/duroxide/core/park"
)

// How a call ended is told in the two low bits of what dx_call and dx_fetch give back; the bits above hold a length.
const (
	outcomeDone    = 0 // length bytes of result are in the buffer
	outcomeError   = 1 // length bytes of error frame are in the buffer
	outcomeFetch   = 2 // length bytes wait to be fetched; the buffer begins with the ticket
	outcomePending = 3 // still running; the buffer begins with the ticket
)

// callPatience is how long a call with a descriptor holds its thread before it answers that it is pending.
const callPatience = 50 * time.Millisecond

// keptFor is how long a result is kept that nobody comes for: a thread may be interrupted between a call and its fetch.
// One that was not interrupted comes as soon as it gets Python's lock, which takes a while where hundreds want it: no
// number of results is too many.
const keptFor = 10 * time.Minute

// result of an operation: a frame, of an error or not.
type result struct {
	data   []byte
	failed bool
	again  bool // a wait was cut short
}

// request is one call on its way through an operation.
type request struct {
	ctx     context.Context
	started time.Time
	handle  int64
	head    []byte
	body    string
}

// errImpatient is what a wait gives that was cut short because the caller's thread has to be given back; it is then
// taken up again on another one.
var errImpatient = errors.New("the caller's thread was held for long enough")

// impatient reports whether a wait ended for that reason, and not because its own time is over.
func (r *request) impatient(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) && errors.Is(context.Cause(r.ctx), errImpatient)
}

// operation is what one op code does: it gives a header to be encoded as JSON, and a body that is passed as it is.
type operation func(*request) (head any, body string, err error)

// perform runs an operation. It never panics.
func perform(op operation, r *request) (res result) {
	defer func() {
		if p := recover(); p != nil {
			res = result{data: failed(classProvider, "the engine has a defect: %v\n%s", p, debug.Stack()).frame(), failed: true}
		}
	}()
	if op == nil {
		return result{data: failed(classProvider, "this library does not know the operation asked for").frame(), failed: true}
	}
	head, body, err := op(r)
	if errors.Is(err, errImpatient) {
		return result{again: true}
	}
	if err != nil {
		return result{data: classify(err).frame(), failed: true}
	}
	data, err := encodeAnswer(head, body)
	if err != nil {
		return result{data: classify(fmt.Errorf("encode the answer: %w", err)).frame(), failed: true}
	}
	return result{data: data}
}

// call is one that runs on a goroutine of its own while its caller waits on a descriptor.
type call struct {
	done   chan struct{} // closed when res is set
	ended  park.Spot     // where the caller waits for that at first
	res    result
	cancel context.CancelFunc

	mu     sync.Mutex
	signal int    // descriptor to write to when done; -1 = nobody waits there (yet, or any more)
	ticket uint64 // what is written to it: one descriptor may serve many calls
}

// desk keeps what callers will come back for.
type desk struct {
	mu      sync.Mutex
	next    uint64
	kept    map[uint64]result
	order   []keptSince // of kept, oldest first
	running map[uint64]*call
}

// keptSince is when a result began to wait.
type keptSince struct {
	ticket uint64
	at     time.Time
}

var tickets = newDesk()

var promptCalls errands

func newDesk() *desk { return &desk{kept: map[uint64]result{}, running: map[uint64]*call{}} }

func (d *desk) keep(res result) uint64 {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next++
	d.kept[d.next] = res
	for len(d.order) > 0 && now.Sub(d.order[0].at) > keptFor {
		delete(d.kept, d.order[0].ticket)
		d.order = d.order[1:]
	}
	d.order = append(d.order, keptSince{d.next, now})
	return d.next
}

func (d *desk) park(c *call) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next++
	d.running[d.next] = c
	return d.next
}

// take gives what a ticket stands for: a result that is there, or a call that may still run.
func (d *desk) take(ticket uint64) (result, *call, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if res, ok := d.kept[ticket]; ok {
		delete(d.kept, ticket)
		d.order = slices.DeleteFunc(d.order, func(k keptSince) bool { return k.ticket == ticket })
		return res, nil, true
	}
	c, ok := d.running[ticket]
	return result{}, c, ok
}

func (d *desk) drop(ticket uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.running, ticket)
}

// parked gives the calls that may still run, by ticket.
func (d *desk) parked() map[uint64]*call {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.running)
}

// deliver writes a result into the caller's buffer, or a ticket for it when it does not fit.
func deliver(res result, out []byte) int64 {
	n := int64(len(res.data)) << 2
	if len(res.data) > len(out) {
		binary.LittleEndian.PutUint64(out, tickets.keep(res))
		return n | outcomeFetch
	}
	copy(out, res.data)
	if res.failed {
		return n | outcomeError
	}
	return n | outcomeDone
}

// What a negative descriptor means.
const (
	noDescriptor = -1 // the call may hold its thread to the end
	// -2: it may not, but nobody is told when it is done
	atOnceBase = -10 // atOnceBase-fd: the thread runs an event loop and is to be held for as good as nothing
)

// clientBound is how long a call may wait for a server; 0 = it asks none, or says itself how long it waits.
func clientBound(code int, r *request) time.Duration {
	if !isClientCall(code) {
		return 0
	}
	p, err := provider(r)
	if err != nil {
		return 0
	}
	return p.bound
}

func bounded(ctx context.Context, bound time.Duration) (context.Context, context.CancelFunc) {
	if bound == 0 {
		return ctx, func() {}
	}
	return callBound(ctx, bound)
}

// answerCall runs an operation for a caller: on the caller's thread as far as that is not held for long, else on a
// goroutine, which costs two hand-offs between threads.
func answerCall(code int, r *request, fd int, out []byte) int64 {
	var op operation
	if code >= 0 && code < len(operations) {
		op = operations[code]
	}
	r.started = time.Now()
	atOnce := fd <= atOnceBase
	if atOnce {
		fd = atOnceBase - fd
	}
	bound := clientBound(code, r)
	if fd == noDescriptor || isPrompt(code, r) {
		ctx, cancel := bounded(park.Bound(context.Background()), bound)
		defer cancel()
		r.ctx = ctx
		return deliver(perform(op, r), out)
	}
	if !atOnce && (isWait(code) || isWithdrawn(code, r)) {
		ctx, cancel := context.WithTimeoutCause(park.Bound(context.Background()), callPatience, errImpatient)
		r.ctx = ctx
		res := perform(op, r)
		cancel()
		if !res.again {
			return deliver(res, out)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &call{done: make(chan struct{}), cancel: cancel, signal: -1}
	run := func(ctx context.Context) {
		defer cancel()
		within, end := bounded(ctx, bound)
		defer end()
		r.ctx = within
		c.res = perform(op, r)
		close(c.done)
		c.ended.Wake()
		c.tell()
	}
	if atOnce || isWait(code) {
		go run(ctx)
	} else {
		promptCalls.run(func() { run(park.Bound(ctx)) })
		if c.ended.WaitFor(callPatience) {
			return deliver(c.res, out)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.done: // it ended before anybody asked to be told
		return deliver(c.res, out)
	default:
	}
	c.signal = fd
	c.ticket = tickets.park(c)
	binary.LittleEndian.PutUint64(out, c.ticket)
	return outcomePending
}

// fetch gives the result behind a ticket.
func fetch(ticket uint64, out []byte) int64 {
	res, c, ok := tickets.take(ticket)
	if !ok {
		return deliver(result{data: failed(classState, "this result was fetched already").frame(), failed: true}, out)
	}
	if c == nil {
		return deliver(res, out)
	}
	select {
	case <-c.done:
		tickets.drop(ticket)
		c.mute() // who looked by itself has come before it was told, and uses its descriptor for something else now
		return deliver(c.res, out)
	default:
		binary.LittleEndian.PutUint64(out, ticket)
		return outcomePending
	}
}

// abandon gives up a call. Once it has returned nothing is written to the call's descriptor any more.
func abandon(ticket uint64) {
	_, c, ok := tickets.take(ticket)
	if !ok || c == nil {
		return
	}
	tickets.drop(ticket)
	c.mute() // before it ends, or it could still tell
	c.cancel()
}

// abandonTold gives up the calls that would be told of on a descriptor, for a caller whose thread was interrupted before
// it learned its ticket.
func abandonTold(fd int) {
	for ticket, c := range tickets.parked() {
		if c.tells(fd) {
			tickets.drop(ticket)
			c.mute()
			c.cancel()
		}
	}
}

// tell says on the call's descriptor that it has ended, if somebody waits there.
func (c *call) tell() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.signal >= 0 {
		notify(c.signal, binary.LittleEndian.AppendUint64(nil, c.ticket))
	}
}

// mute returns when nothing more is written to the call's descriptor.
func (c *call) mute() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.signal = -1
}

// tells reports whether the end of the call will be written to the descriptor, or has been.
func (c *call) tells(fd int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.signal == fd
}
