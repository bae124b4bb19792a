package engine

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

// blockedInstance is one whose history the code of this runtime does not fit. Neither changes while its turn stays, so
// it is not replayed again before.
type blockedInstance struct {
	turn   history.Token
	reason string
	lookAt int64 // not looked at before, unless there is news for it
}

// blockedPause is between two looks at a blocked instance: its messages wait in the store, where every poll finds them.
const blockedPause = time.Second

// unablePause is after which a job is claimed again whose input could not be read.
const unablePause = 2 * time.Second

func isCancelled(messages []history.Message) bool {
	return slices.ContainsFunc(messages, func(m history.Message) bool { return m.Kind == history.MsgCancel })
}

// blockedTurn is the turn for which the instance is known to be blocked; zero when it is not.
func (r *Runtime) blockedTurn(instance string) history.Token {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b := r.blocked[instance]; b != nil {
		return b.turn
	}
	return history.Token{}
}

// restsBlockedLocked: the instance is blocked and was looked at a moment ago.
func (r *Runtime) restsBlockedLocked(instance string) bool {
	b := r.blocked[instance]
	return b != nil && r.now() < b.lookAt
}

// stillBlocked ends the turn of an instance that nobody has moved on since it was found to be blocked: nil. A cancel
// ends it whatever its code does: then it is given with its history.
func (r *Runtime) stillBlocked(t *turning, snap *store.Snapshot) *store.Snapshot {
	if !isCancelled(snap.Messages) {
		r.mu.Lock()
		if b := r.blocked[t.inst.id]; b != nil {
			b.lookAt = r.now() + int64(blockedPause)
		}
		r.mu.Unlock()
		r.abandonTurn(t)
		return nil
	}
	whole, err := r.store.Load(r.ctx, snap.Instance, history.Token{})
	switch {
	case errors.Is(err, store.ErrNotFound):
		r.abandonTurn(t)
		return nil
	case err != nil:
		r.storeFailed("load "+strconv.Quote(snap.Instance), err)
		r.postponeTurn(t, r.backoff(t.inst))
		return nil
	}
	return whole
}

// block leaves an instance as it is because its code does not fit its history, or cannot read it. Its messages stay in
// the store; it goes on at a runtime whose code fits.
func (r *Runtime) block(t *turning, live *liveExecution, differs *history.Failure) {
	id, reason := t.inst.id, differs.Text()
	r.dropLive(t.inst)
	err := r.store.Block(r.ctx, store.Block{Instance: id, Life: live.life, Turn: live.turn, Reason: reason, At: differs.At})
	if err != nil && !errors.Is(err, store.ErrFenced) {
		r.storeFailed("note that "+strconv.Quote(id)+" is blocked", err)
		r.postponeTurn(t, r.backoff(t.inst))
		return
	}
	r.mu.Lock()
	before := r.blocked[id]
	if err == nil {
		r.sweepBlockedLocked()
		r.blocked[id] = &blockedInstance{turn: live.turn, reason: reason, lookAt: r.now() + int64(blockedPause)}
	}
	r.mu.Unlock()
	r.abandonTurn(t)
	if err == nil && (before == nil || before.reason != reason) {
		r.logf("error", "instance is blocked until a runtime can go on with it: "+reason, "instance_id", id,
			"orchestration_name", live.name, "orchestration_version", live.ver, "at", differs.At)
	}
}

// unblock forgets an instance that somebody has moved on.
func (r *Runtime) unblock(instance string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.blocked, instance)
}

// sweepBlockedLocked forgets instances that went on elsewhere or were deleted: those that are blocked are looked at
// again and again.
func (r *Runtime) sweepBlockedLocked() {
	if len(r.blocked) < blockedShown {
		return
	}
	long := r.now() - int64(60*blockedPause)
	for id, b := range r.blocked {
		if b.lookAt != 0 && b.lookAt < long {
			delete(r.blocked, id)
		}
	}
}
