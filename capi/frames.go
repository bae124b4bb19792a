package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"slices"

	"github.com/duroxide/duroxide/core/engine"
	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
)

// The frames that cross the boundary; python/duroxide/_frames.py is the other side. Little endian; a text is its length
// (u32) and its bytes; payloads are texts that nobody here looks into.
//
//	answer of a call   u32 length of the header | header (JSON) | body
//	to a lane          u8 op | u64 execution | u32 branch | what the op needs
//	from a lane        see readYield, readActivity

const protocolVersion = 3

// What a lane is asked to do.
const (
	laneResume      = 1 // moment, resolution -> yield
	laneBeginResume = 2 // the same for a new execution: u32 length | begin | moment, resolution
	laneClose       = 3 // -> nothing
	laneSame        = 4 // text, text -> u8
	laneForget      = 5 // -> nothing
	laneActivity    = 6 // activity -> result; in the place of the execution the number of the run
)

// Kinds of resolution and of value.
const (
	resolveNone   = 0
	resolveText   = 1
	resolveAll    = 2
	resolveRace   = 3
	resolveErr    = 4
	resolveThrown = 5
)

// Flags of a task: which optional fields follow its name and input, in this order.
const (
	hasVersion     = 1 << 0
	hasInstance    = 1 << 1
	hasSession     = 1 << 2
	hasTag         = 1 << 3
	hasNumber      = 1 << 4 // delay of a timer, time-out of an activity
	hasRetry       = 1 << 5
	hasAt          = 1 << 6
	hasFingerprint = 1 << 7
)

var levelNames = [...]string{"debug", "info", "warn", "error"}

var errFrame = errors.New("malformed frame")

// encodeAnswer makes the frame of a call's answer. HTML is not escaped: the reader is no browser.
func encodeAnswer(head any, body string) ([]byte, error) {
	var b bytes.Buffer
	b.Write([]byte{0, 0, 0, 0})
	if head != nil {
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(head); err != nil {
			return nil, err
		}
	}
	binary.LittleEndian.PutUint32(b.Bytes(), uint32(b.Len()-4))
	b.WriteString(body)
	return b.Bytes(), nil
}

// frame is one being written.
type frame []byte

// mostKept is how large a frame may be whose memory is kept for the next one. A lane lives as long as its runtime, and
// each of them meets a large payload some day.
const mostKept = 4 << 20

// sent says that the frame has been read, by whoever it was for.
func (f *frame) sent() {
	if cap(*f) > mostKept {
		*f = nil
	}
}

func (f *frame) u8(v uint8)   { *f = append(*f, v) }
func (f *frame) u32(v uint32) { *f = binary.LittleEndian.AppendUint32(*f, v) }
func (f *frame) u64(v uint64) { *f = binary.LittleEndian.AppendUint64(*f, v) }
func (f *frame) i64(v int64)  { f.u64(uint64(v)) }
func (f *frame) text(s string) {
	f.u32(uint32(len(s)))
	*f = append(*f, s...)
}

func (f *frame) flag(b bool) {
	if b {
		f.u8(1)
	} else {
		f.u8(0)
	}
}

func (f *frame) head(op uint8, id engine.ExecutionID, b replay.Branch) {
	*f = (*f)[:0]
	f.u8(op)
	f.u64(uint64(id))
	f.u32(uint32(b))
}

func (f *frame) begin(b *replay.Begin) {
	f.i64(b.Execution)
	f.i64(b.Start.StatusVersion)
	f.flag(b.Start.Status != nil)
	f.text(b.Instance)
	f.text(b.Life)
	f.text(b.Name)
	f.text(b.Version)
	f.text(b.Input)
	if b.Start.Status != nil {
		f.text(*b.Start.Status)
	}
	parent := ""
	if b.Start.Parent != nil {
		parent = b.Start.Parent.Instance
	}
	f.text(parent)
	// Sorted, because code may iterate over the keys and has to see the same order in every replay.
	keys := make([]string, 0, len(b.Start.KV))
	for k := range b.Start.KV {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	f.u32(uint32(len(keys)))
	for _, k := range keys {
		e := b.Start.KV[k]
		f.text(k)
		f.text(e.Value)
		f.i64(e.UpdatedAt)
	}
}

func (f *frame) moment(m replay.Moment) {
	f.i64(m.NowMS)
	f.u32(uint32(min(max(m.Remaining, 0), math.MaxInt32)))
	f.flag(m.Replaying)
}

func (f *frame) resolution(r *replay.Resolution) {
	switch {
	case r.Err != nil:
		e := r.Err
		f.u8(resolveErr)
		f.u32(uint32(max(e.Attempt, 0)))
		f.text(string(e.Kind))
		f.text(e.Text())
		f.text(e.Type)
		f.text(e.Traceback)
		f.text(e.Activity)
		f.text(e.Instance)
	case r.Thrown != 0:
		f.u8(resolveThrown)
		f.u32(uint32(r.Thrown))
	default:
		f.value(&r.Value)
	}
}

func (f *frame) value(v *replay.Value) {
	switch v.Kind {
	case replay.ValueNone:
		f.u8(resolveNone)
	case replay.ValueText:
		f.u8(resolveText)
		f.text(v.Text)
	case replay.ValueAll:
		f.u8(resolveAll)
		f.u32(uint32(len(v.Members)))
		for i := range v.Members {
			m := &v.Members[i]
			f.flag(m.Failed)
			if m.Failed {
				f.text(m.Err)
			} else {
				f.value(&m.Value)
			}
		}
	case replay.ValueRace:
		f.u8(resolveRace)
		f.u32(uint32(v.Index))
		if len(v.Members) == 0 {
			f.u8(resolveNone)
		} else {
			f.value(&v.Members[0].Value)
		}
	}
}

func (f *frame) activity(a *engine.Activity, cancelled uintptr) {
	f.u64(uint64(cancelled))
	f.i64(a.Execution)
	f.i64(a.Schedule)
	f.u32(uint32(max(a.Attempt, 1)))
	f.text(a.Instance)
	f.text(a.OrchestrationName)
	f.text(a.OrchestrationVersion)
	f.text(a.Name)
	f.text(a.Session)
	f.text(a.Tag)
	f.text(a.WorkerID)
	f.text(a.IdempotencyKey)
	f.text(a.RetryKey)
	f.text(a.Input)
}

// reader takes a frame apart. After the first fault everything it gives is zero, and err tells.
type reader struct {
	rest string
	err  error
}

func (r *reader) take(n int) string {
	if n < 0 || n > len(r.rest) {
		r.err, r.rest = errFrame, ""
		return ""
	}
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}

func (r *reader) u8() uint8 {
	if s := r.take(1); s != "" {
		return s[0]
	}
	return 0
}

func (r *reader) u32() uint32 {
	s := r.take(4)
	if s == "" {
		return 0
	}
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

func (r *reader) i64() int64 {
	low := uint64(r.u32())
	return int64(low | uint64(r.u32())<<32)
}

func (r *reader) f64() float64 { return math.Float64frombits(uint64(r.i64())) }
func (r *reader) text() string { return r.take(int(r.u32())) }

// readYield reads how a step ended. ended tells that the user's side has dropped the whole execution with it.
//
//	u8 kind | u8 ended | text at | u32 calls | calls | await: task; return: text; raise, fatal: message, type, error text
//	call: u8 kind | u8 level | text key | text value | text at
func readYield(answer string) (y replay.Yield, ended bool, err error) {
	r := reader{rest: answer}
	y.Kind = replay.YieldKind(r.u8())
	ended = r.u8() != 0
	y.At = r.text()
	if n := int(r.u32()); n > 0 {
		if n > len(r.rest) {
			return y, false, errFrame
		}
		y.Calls = make([]replay.Immediate, n)
		for i := range y.Calls {
			c := &y.Calls[i]
			c.Kind = replay.ImmediateKind(r.u8())
			level := r.u8()
			c.Key = r.text()
			c.Value = r.text()
			c.At = r.text()
			if c.Kind == replay.CallTrace && int(level) < len(levelNames) {
				c.Level = levelNames[level]
			}
		}
	}
	switch y.Kind {
	case replay.YieldAwait:
		y.Task = new(replay.Task)
		r.task(y.Task, 0)
	case replay.YieldReturn:
		y.Result = r.text()
	case replay.YieldUnable:
		y.Failure = &history.Failure{Kind: history.Infrastructure, Operation: "read a payload", Message: r.text(), Type: r.text(), At: y.At}
		y.ErrText = r.text()
	case replay.YieldRaise, replay.YieldFatal:
		y.Failure = &history.Failure{Kind: history.OrchestrationError, Message: r.text(), Type: r.text(), At: y.At}
		y.ErrText = r.text()
	default:
		return y, false, errFrame
	}
	if r.err == nil && r.rest != "" {
		r.err = errFrame
	}
	return y, ended, r.err
}

// maxNesting of all and race. Python refuses deeper ones itself, with a clearer error.
const maxNesting = 200

func (r *reader) task(t *replay.Task, depth int) {
	if depth > maxNesting {
		r.err, r.rest = errFrame, ""
		return
	}
	t.Kind = replay.TaskKind(r.u8())
	switch t.Kind {
	case replay.TaskAll, replay.TaskRace:
		n := int(r.u32())
		if n > len(r.rest) { // each member takes a byte at least
			r.err, r.rest = errFrame, ""
			return
		}
		t.Members = make([]replay.Task, n)
		for i := range t.Members {
			r.task(&t.Members[i], depth+1)
		}
		return
	case replay.TaskBranch:
		t.Branch = replay.Branch(r.u32())
		return
	case replay.TaskActivity, replay.TaskTimer, replay.TaskEvent, replay.TaskDequeue, replay.TaskChild, replay.TaskDetached,
		replay.TaskGUID, replay.TaskClock, replay.TaskContinueAsNew:
	default:
		r.err, r.rest = errFrame, ""
		return
	}
	flags := r.u8()
	t.Name = r.text()
	t.Input = r.text()
	if flags&hasVersion != 0 {
		t.Version = r.text()
	}
	if flags&hasInstance != 0 {
		t.Instance = r.text()
		t.InstanceGiven = true
	}
	if flags&hasSession != 0 {
		t.Session = r.text()
	}
	if flags&hasTag != 0 {
		t.Tag = r.text()
	}
	if flags&hasNumber != 0 {
		if n := r.i64(); t.Kind == replay.TaskTimer {
			t.DelayMS = n
		} else {
			t.TimeoutMS = n
		}
	}
	if flags&hasRetry != 0 {
		t.Retry = &replay.RetryPolicy{
			MaxAttempts: int(r.u32()), Backoff: replay.Backoff(r.u8()),
			InitialMS: r.i64(), MaxMS: r.i64(), TimeoutMS: r.i64(), TotalTimeoutMS: r.i64(),
			Multiplier: r.f64(), Jitter: r.f64(),
		}
	}
	if flags&hasAt != 0 {
		t.At = r.text()
	}
	if flags&hasFingerprint != 0 {
		t.Fingerprint = r.text()
	}
}

// readActivity reads how an activity ended.
//
//	u8 kind: 0 = text output; 1 = failure: u8 non-retryable, message, type, traceback; 2 = given back;
//	3 = given back, its input cannot be read here; 4 = it goes on without the lane, see readEnds
func readActivity(answer string, a *engine.Activity) (engine.ActivityResult, error) {
	r := reader{rest: answer}
	var res engine.ActivityResult
	switch r.u8() {
	case 0:
		res.Output = r.text()
	case 1:
		final := r.u8() != 0
		res.Failure = &history.Failure{Kind: history.ActivityError, Message: r.text(), Type: r.text(), Traceback: r.text(),
			Activity: a.Name, Attempt: max(a.Attempt, 1), NonRetryable: final}
	case 2:
		res.GiveBack = true
	case 3:
		res.Unable = true
	case 4:
		res.Detached = true
	default:
		return res, errFrame
	}
	return res, r.err
}

// runEnd is how an activity ended that went on without its lane.
type runEnd struct {
	id     uint64
	answer string // see readActivity
}

// readEnds reads several ends: each is u64 run, text answer.
func readEnds(body string) ([]runEnd, error) {
	r := reader{rest: body}
	var ends []runEnd
	for r.rest != "" {
		ends = append(ends, runEnd{id: uint64(r.i64()), answer: r.text()})
	}
	return ends, r.err
}
