package engine

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// step is a turn on its way from the lane that ran it to the store.
type step struct {
	inst    *instance
	live    *liveExecution // nil for a commit that no user code made
	turn    store.Turn
	offered []history.Message
	results []*job
	epoch   int
	// While its commit is under way: slots reserved for it, and instances that it starts.
	claim    int
	expected []*instance
}

// takeTurns runs turns on a lane that has the turn role, until nothing is ready or the lane has been in user code for
// so long that another took over.
func (r *Runtime) takeTurns(l *lane) {
	for {
		r.mu.Lock()
		if l.slow || l.over {
			r.dropRoleLocked(l)
			r.spreadLocked()
			r.mu.Unlock()
			return
		}
		if n := len(r.forgets); n > 0 && (!r.mayTurnLocked() || n >= r.timing.maxGroup) {
			ids := r.forgets
			r.forgets = nil
			r.mu.Unlock()
			for _, id := range ids {
				r.user(l, func() { l.host.Forget(id) })
			}
			continue
		}
		if !r.mayTurnLocked() {
			if r.mayVerifyLocked() {
				v := r.verifies[0]
				r.verifies = slices.Delete(r.verifies, 0, 1)
				r.mu.Unlock()
				r.verify(l, v)
				continue
			}
			r.dropRoleLocked(l)
			r.spreadLocked()
			r.mu.Unlock()
			return
		}
		inst := r.popReadyLocked()
		inst.state = running
		var begins *beginning
		if b := inst.begin; b != nil && b.state == beginReady {
			begins, b.state = b, beginRunning
		}
		began, loads := r.now(), inst.needsLoad()
		l.turnOf = inst
		after := l.ran == inst
		l.ran = nil
		r.meters.orchFetched.Add(1)
		r.mu.Unlock()

		s := r.runTurn(l, inst)

		r.mu.Lock()
		l.turnOf = nil
		if loads {
			r.loadTookLocked(began)
		}
		if begins != nil {
			s = r.beganLocked(begins, s)
		}
		if s == nil {
			r.mu.Unlock()
			continue
		}
		inst.state = committing
		if s.epoch != r.epoch {
			r.voidLocked(s)
			r.mu.Unlock()
			continue
		}
		if !r.aloneLocked() {
			r.pending = append(r.pending, s)
			r.mu.Unlock()
			kick(r.committerKick)
			continue
		}
		if after {
			r.meters.inline.Add(1)
		}
		// The role goes before the commit: what becomes ready meanwhile is another lane's.
		r.dropRoleLocked(l)
		steps := []*step{s}
		turns := r.beginCommitLocked(steps)
		r.mu.Unlock()
		r.commit(l, steps, turns)
		return
	}
}

// aloneLocked: nothing else waits anywhere, so the turn's commit and what it starts may stay on this lane.
func (r *Runtime) aloneLocked() bool {
	return r.ready.len() == 0 && r.jobs.len() == 0 && len(r.pending) == 0 && r.inflight == 0 && !r.trouble.on && !r.streamsLocked(r.now())
}

func (r *Runtime) dropRoleLocked(l *lane) {
	if l.role && !l.slow {
		r.roles--
	}
	l.role, l.slow = false, false
	if r.phase >= phaseDraining {
		kick(r.drainKick)
	}
}

// runTurn runs one turn on this lane. Nil: there was nothing to do, or it could not be done now; the instance is
// where it belongs already.
func (r *Runtime) runTurn(l *lane, inst *instance) *step {
	stamp := r.store.Now()
	r.mu.Lock()
	results := inst.inbox
	inst.inbox = nil
	for _, j := range results {
		j.state = jobTaken
	}
	// A timer that was due before a result came goes before it, also when the clock has not looked since.
	reload := inst.reload || (len(results)+len(inst.untaken) > 0 && r.isDueLocked(inst.id, stamp))
	snap, live, untaken := inst.snapshot, inst.live, inst.untaken
	unstorable := inst.unstorable
	inst.reload, inst.snapshot, inst.unstorable = false, nil, ""
	epoch := r.epoch
	self := r.node
	r.mu.Unlock()
	t := &turning{inst: inst, results: results, epoch: epoch}

	if reload || (snap == nil && live == nil) {
		var have history.Token
		if live != nil {
			have = live.turn
		} else {
			have = r.blockedTurn(inst.id)
		}
		s, err := r.store.Load(r.laneCtx, inst.id, have)
		switch {
		case errors.Is(err, store.ErrNotFound):
			r.dropLive(inst)
			r.abandonTurn(t)
			return nil
		case err != nil:
			r.storeFailed("load "+strconv.Quote(inst.id), err)
			r.postponeTurn(t, r.backoff(inst))
			return nil
		}
		snap = s
		if live != nil && (s.Turn != live.turn || s.Life != live.life) {
			r.mu.Lock()
			r.forgetLocked(live)
			inst.live, live = nil, nil
			r.mu.Unlock()
			if s.Node != self && s.Node != "" && !inst.awarded {
				// Another node has gone on with it and keeps it in memory: it is left to that one for a while.
				r.leaveToOther(t)
				return nil
			}
		}
		if live == nil && have != (history.Token{}) {
			if s.Turn != have {
				r.unblock(inst.id)
			} else if s = r.stillBlocked(t, s); s == nil {
				return nil
			}
			snap = s
		}
		if live == nil {
			r.meters.loads.Add(1)
			r.meters.eventsReplayed.Add(int64(len(s.Events)))
		}
		if s.NextDue > 0 {
			r.mu.Lock()
			r.dueLocked(inst.id, s.NextDue)
			r.mu.Unlock()
		}
	}
	if snap != nil {
		untaken = snap.Messages
	}
	messages := mergeResults(untaken, results)
	if snap != nil && snap.Undecodable != "" && live != nil {
		r.dropLive(inst)
		live = nil
	}
	if snap != nil && snap.Ended {
		r.dropLive(inst)
		r.abandonTurn(t)
		return nil
	}
	if len(messages) == 0 {
		r.abandonTurn(t)
		return nil
	}
	if unstorable != "" && snap != nil {
		r.dropLive(inst)
		return r.poisonStep(t, snap, messages, &history.Failure{Kind: history.Infrastructure, Operation: "commit turn", Message: unstorable})
	}
	if live == nil {
		var poison *step
		live, poison = r.revive(l, t, snap, messages)
		if live == nil {
			return poison
		}
	} else {
		r.meters.liveTurns.Add(1)
	}

	in := replay.Input{NowMS: r.store.Now(), NewGUID: newGUID, Latest: r.names.latest, Messages: messages}
	var c *replay.Commit
	r.user(l, func() { c = live.x.Turn(l.host.Code(live.id), in) })
	r.meters.turns.Add(1)
	if u := live.x.Mismatch(); u != nil && u.Kind == history.Infrastructure && !isCancelled(messages) {
		r.block(t, live, u)
		return nil
	}
	if changesNothing(c) {
		r.mu.Lock()
		inst.live, inst.untaken = live, untaken
		inst.left = rowsOf(untaken)
		if len(c.Traces) > 0 {
			r.logs = append(r.logs, func() { r.logTraces(live, c) })
		}
		r.mu.Unlock()
		r.restoreTurn(t)
		if len(c.Traces) > 0 {
			r.flushLogs()
		}
		return nil
	}
	return &step{
		inst: inst, live: live, offered: messages, results: results, epoch: epoch,
		turn: store.Turn{
			Instance: inst.id, Life: live.life, Expect: live.turn, New: history.NewToken(),
			Name: live.name, Version: live.ver, Commit: c,
		},
	}
}

// dropLive forgets the live execution of an instance that is in a turn on this lane.
func (r *Runtime) dropLive(inst *instance) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if inst.live != nil {
		r.forgetLocked(inst.live)
	}
}

// turning is what a turn has taken from its instance, to be put back when there is no commit.
type turning struct {
	inst    *instance
	results []*job
	epoch   int
}

// revive makes the live execution of a turn from its snapshot, or a commit that ends the instance without running it.
// Both nil: the turn cannot run here now.
func (r *Runtime) revive(l *lane, t *turning, snap *store.Snapshot, messages []history.Message) (*liveExecution, *step) {
	attempts := 0
	if snap.Suspect {
		var ok bool
		if ok, attempts = r.judgeTurn(t, snap); !ok {
			return nil, nil
		}
		if attempts > r.opt.MaxAttempts && snap.Undecodable == "" {
			return nil, r.poisonStep(t, snap, messages, poisonedTurn(snap, attempts, r.opt.MaxAttempts))
		}
	}
	if snap.Undecodable != "" {
		return nil, r.undecodable(t, snap, messages, attempts)
	}
	id := replay.Identity{
		Instance: snap.Instance, Life: snap.Life, Execution: snap.Execution, Name: snap.Name, Version: snap.Version,
	}
	if len(snap.Events) > 0 {
		first := &snap.Events[0]
		id.Name, id.Version, id.Input = first.Name, first.Version, first.Data
		if first.Start != nil {
			id.Start = *first.Start
		}
	} else {
		begins := false
		for i := range messages {
			switch messages[i].Kind { //nolint:exhaustive // only these make an instance begin
			case history.MsgStart:
				begins, id.Input = true, messages[i].Data
			case history.MsgCancel:
				begins = true
			}
		}
		if !begins {
			r.abandonTurn(t)
			return nil, nil
		}
		id.Start.Parent = snap.Parent
	}
	version, ok := r.names.resolve(id.Name, id.Version)
	if !ok {
		r.abandonTurn(t) // another node has it, or housekeeping will tell
		return nil, nil
	}
	id.Version = version

	r.mu.Lock()
	r.nextExec++
	live := &liveExecution{
		id: ExecutionID(r.nextExec), inst: t.inst, life: snap.Life, turn: snap.Turn, exec: snap.Execution,
		name: id.Name, ver: version,
	}
	t.inst.live = live
	r.mu.Unlock()
	if len(snap.Events) == 0 {
		live.x = replay.New(id)
	} else {
		r.user(l, func() { live.x = replay.Load(id, l.host.Code(live.id), snap.Events) })
		if differs := live.x.Mismatch(); differs != nil && !isCancelled(messages) &&
			(r.opt.BlockNondeterminism || differs.Kind == history.Infrastructure) {
			r.block(t, live, differs)
			return nil, nil
		}
	}
	return live, nil
}

// restoreTurn ends a turn without a commit: results that were taken are offered again.
func (r *Runtime) restoreTurn(t *turning) {
	r.mu.Lock()
	defer r.mu.Unlock()
	inst := t.inst
	r.clearSuspectTurnLocked(inst)
	more := inst.reload || len(inst.inbox) > 0 // what has come meanwhile
	r.offerAgainLocked(inst, t.results)
	inst.state = idle
	inst.failures = 0
	if e := inst.live; e != nil && !r.keepLocked(e) && inst.live == e {
		r.forgetLocked(e)
	}
	if more {
		r.readyLocked(inst)
	}
	r.releaseLocked(inst)
}

// abandonTurn ends a turn of an instance that has nothing to do here: gone, ended, or another's.
func (r *Runtime) abandonTurn(t *turning) {
	r.mu.Lock()
	inst := t.inst
	inst.untaken, inst.left = nil, nil
	inst.awarded = false
	gone := t.results
	t.results = nil
	for _, j := range gone {
		// Settled alone, the store decides what becomes of them.
		r.settleLocked(settling{job: j, result: true})
	}
	r.mu.Unlock()
	r.restoreTurn(t)
}

// leaveToOther hands an instance back to the node that committed it last.
func (r *Runtime) leaveToOther(t *turning) {
	r.abandonTurn(t)
	r.mu.Lock()
	r.scout.wantLater(r.now() + int64(store.AffinityDelay) + int64(affinitySlack))
	r.mu.Unlock()
	kick(r.scoutKick)
}

// offerAgainLocked puts taken results back in front of the inbox.
func (r *Runtime) offerAgainLocked(inst *instance, results []*job) {
	var again []*job
	for _, j := range results {
		if j.state != jobTaken {
			continue
		}
		if j.epoch != r.epoch || j.dropped {
			r.goneLocked(j)
			continue
		}
		j.state = jobWaiting
		again = append(again, j)
		r.aging.push(j)
		r.armClockLocked(j.ended + int64(r.timing.resultWait))
	}
	if len(again) > 0 {
		inst.inbox = append(again, inst.inbox...)
	}
}

// mergeResults puts results in memory among the stored messages: before the first one that became visible after the
// activity had ended. Both lists keep their order; start, cancel and continue messages stay in front, mail at the end.
func mergeResults(stored []history.Message, results []*job) []history.Message {
	if len(results) == 0 {
		return stored
	}
	merged := make([]history.Message, 0, len(stored)+len(results))
	i := 0
	for _, j := range results {
		for i < len(stored) && (leads(stored[i].Kind) || (stored[i].Kind != history.MsgMail && stored[i].VisibleAt < j.result.VisibleAt)) {
			merged = append(merged, stored[i])
			i++
		}
		merged = append(merged, j.result)
	}
	return append(merged, stored[i:]...)
}

func leads(k history.MessageKind) bool {
	return k == history.MsgStart || k == history.MsgContinue || k == history.MsgCancel
}

// changesNothing reports a turn that found no taker for its messages: committing it would only make it run again.
func changesNothing(c *replay.Commit) bool {
	return len(c.Events) == 0 && len(c.Consumed) == 0 && c.Status == replay.Running && !c.Continue &&
		len(c.Jobs) == 0 && len(c.Timers) == 0 && len(c.Starts) == 0 && len(c.Sends) == 0 && c.Next == nil
}

func rowsOf(messages []history.Message) map[int64]bool {
	if len(messages) == 0 {
		return nil
	}
	rows := make(map[int64]bool, len(messages))
	for i := range messages {
		rows[messages[i].Row] = true
	}
	return rows
}

// newGUID draws a random UUID, version 4.
func newGUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
