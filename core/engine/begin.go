package engine

import (
	"context"
	"errors"
	"time"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/park"
	"github.com/duroxide/duroxide/core/store"
)

// beginning is the start of an instance by a client of this process that is stored together with the first turn: one commit
// where there would be two, one after the other. Until the turn's code has returned the client may withdraw, and
// store the start by itself; the turn then follows it.
type beginning struct {
	life string
	inst *instance
	// bound: its client waits on a thread of its own, in the kernel.
	bound bool
	spot  park.Spot
	told  chan struct{}
	err   error // once told

	// Guarded by the runtime's mutex.
	state beginState
	born  *store.Snapshot // of a start that was stored by itself, until the turn's code has returned
	step  *step           // the turn, when it waits for such a start
}

type beginState uint8

const (
	beginReady      beginState = iota
	beginRunning               // a lane has it
	beginCommitting            // its client waits for the commit
	beginAlone                 // its client stores the start, a lane has the turn
	beginOver
)

// Begin implements [store.Beginner].
func (w listener) Begin(ctx context.Context, s *store.Snapshot) error {
	r := w.r
	r.mu.Lock()
	b := r.beginLocked(ctx, s)
	r.mu.Unlock()
	if b == nil {
		return store.ErrNotBegun
	}
	for _, patience := range []time.Duration{r.timing.beginSoon, r.timing.beginLong} {
		if b.wait(ctx, patience) {
			return b.err
		}
		if r.withdraw(b, ctx.Err() != nil || patience == r.timing.beginLong) {
			return store.ErrNotBegun
		}
	}
	// Its commit is under way. That ends, and is answered, whatever becomes of the caller.
	if b.wait(ctx, 0) {
		return b.err
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.timing.beginLate)
	defer cancel()
	if b.wait(late, 0) {
		return b.err
	}
	return context.Cause(ctx)
}

// beginLocked makes a new instance ready for its first turn. Nil: it could not run at once. Where much is under way starts by
// themselves, which several threads make side by side, take less time than to wait for a place among all turns.
func (r *Runtime) beginLocked(ctx context.Context, s *store.Snapshot) *beginning {
	now := r.now()
	if r.phase != phaseRunning || r.exiting || r.node != s.Node || r.lease.doubtful || ctx.Err() != nil || !r.aloneLocked() ||
		now < r.beginAgain {
		return nil
	}
	inst := r.instanceLocked(s.Instance)
	if inst.known() || inst.reload {
		return nil
	}
	b := &beginning{life: s.Life, inst: inst, bound: park.IsBound(ctx), told: make(chan struct{})}
	inst.begin, inst.snapshot, inst.awarded = b, s, true
	r.readyLocked(inst)
	r.spreadLocked()
	return b
}

// wait ends with the answer, after d (0: never), or with ctx: true for the answer.
func (b *beginning) wait(ctx context.Context, d time.Duration) bool {
	hold := park.Hold
	if d > 0 {
		hold = min(hold, d)
	}
	if b.bound && b.spot.WaitFor(hold) {
		return true
	}
	var over <-chan time.Time
	if d > 0 {
		if b.bound {
			d -= hold
		}
		t := time.NewTimer(d)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-b.told:
		return true
	case <-over:
	case <-ctx.Done():
	}
	return false
}

// withdraw ends the wait of a client: for an instance that no lane has begun with, late also for one whose code is still
// running. Then none waits for a while. False: it is being committed, or still may be soon.
func (r *Runtime) withdraw(b *beginning, late bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case b.state == beginReady:
		inst := b.inst
		inst.snapshot = nil
		r.endBeginLocked(inst, store.ErrNotBegun)
		if !inst.reload {
			r.ready.filter(func(other *instance) bool { return other != inst })
			inst.state, inst.awarded = idle, false
			r.releaseLocked(inst)
		}
	case b.state == beginRunning && late:
		b.state = beginAlone
	default:
		return b.state == beginOver && errors.Is(b.err, store.ErrNotBegun)
	}
	r.beginAgain = r.now() + int64(r.timing.beginRest)
	return true
}

// endBeginLocked answers a beginning with what became of it, if the instance is one.
func (r *Runtime) endBeginLocked(inst *instance, err error) {
	b := inst.begin
	if b == nil {
		return
	}
	inst.begin = nil
	b.state, b.err = beginOver, err
	close(b.told)
	if b.bound {
		b.spot.Wake()
	}
}

// beganLocked takes the first turn of an instance that is not stored: what is left of it is to be committed now.
func (r *Runtime) beganLocked(b *beginning, s *step) *step {
	inst := b.inst
	switch {
	case s == nil:
		if inst.live != nil && inst.live.life == b.life {
			r.forgetLocked(inst.live)
		}
		if b.born != nil {
			inst.reload = true
			r.readyLocked(inst)
		}
		fallthrough
	case s.epoch != r.epoch, s.turn.Life != b.life:
		r.endBeginLocked(inst, store.ErrNotBegun)
		r.releaseLocked(inst)
	case b.state == beginRunning:
		b.state = beginCommitting
		s.turn.Begin = true
	case b.state == beginAlone && b.born != nil:
		r.followLocked(b, s)
	case b.state == beginAlone:
		inst.state, b.step = committing, s
		r.held++
		return nil
	default:
		r.refusedLocked(s)
		return nil
	}
	return s
}

// followLocked makes a first turn one that takes the start message, which was stored by itself.
func (r *Runtime) followLocked(b *beginning, s *step) {
	for i := range s.turn.Commit.Consumed {
		if m := &s.turn.Commit.Consumed[i]; m.Kind == history.MsgStart {
			m.Row = b.born.Messages[0].Row
		}
	}
	r.endBeginLocked(b.inst, store.ErrNotBegun)
}

// storedLocked notes the start that a client has stored by itself while a lane has the first turn. False: there is no such turn.
func (r *Runtime) storedLocked(inst *instance, s *store.Snapshot) bool {
	b := inst.begin
	if b == nil || b.state != beginAlone || b.life != s.Life || len(s.Messages) == 0 {
		return false
	}
	b.born = s
	held := r.releaseStepLocked(b)
	switch {
	case held == nil: // it follows when the code has returned
	case held.epoch != r.epoch:
		r.voidLocked(held)
		return false
	default:
		r.followLocked(b, held)
		r.pending = append(r.pending, held)
		kick(r.committerKick)
	}
	return true
}

// releaseStepLocked takes the turn that waits for its start; nil: none does.
func (r *Runtime) releaseStepLocked(b *beginning) *step {
	s := b.step
	if b.step = nil; s != nil {
		r.held--
		kick(r.drainKick)
	}
	return s
}

// Unbegun implements [store.Beginner].
func (w listener) Unbegun(s *store.Snapshot) {
	r := w.r
	r.mu.Lock()
	defer r.mu.Unlock()
	inst := r.instances[s.Instance]
	if inst == nil || inst.begin == nil || inst.begin.life != s.Life || inst.begin.born != nil {
		return
	}
	held := r.releaseStepLocked(inst.begin)
	if r.endBeginLocked(inst, store.ErrNotBegun); held != nil {
		r.refusedLocked(held)
		r.spreadLocked()
	}
}

// unbornLocked throws a first turn away that was not committed: its instance is not in the store, or there by another start.
func (r *Runtime) unbornLocked(s *step) {
	r.discardLocked(s)
	inst := s.inst
	if inst.reload || len(inst.inbox) > 0 {
		r.readyLocked(inst)
		r.spreadLocked()
	}
	r.releaseLocked(inst)
}

// begins reports whether a client waits for the turn with its start.
func (s *step) begins() bool { return s.turn.Begin }

// bornLocked answers the client of a first turn whose commit has an outcome. False: nothing is stored of it, and nothing left here.
func (r *Runtime) bornLocked(s *step, err error, lost []store.JobRef) bool {
	if !s.turn.Begin {
		return true
	}
	if err == nil {
		r.meters.begun.Add(1)
		r.noteStartLocked(s.inst.id)
	}
	if err == nil || store.IsUnknown(err) {
		r.endBeginLocked(s.inst, err)
		return true
	}
	if errors.Is(err, store.ErrExists) {
		r.endBeginLocked(s.inst, err)
		// Code has run for nothing, as it would for the next start of an id in use. And what came for the instance that has it
		// was not looked for meanwhile.
		r.beginAgain = r.now() + int64(r.timing.beginRest)
		r.scout.want(askWoken)
		kick(r.scoutKick)
	}
	r.jobsGoneLocked(s, lost)
	r.unbornLocked(s) // the start by itself may succeed, or has the better error
	return false
}
