package engine

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
)

// verification is a live execution whose history is to be replayed from its first event.
type verification struct {
	instance  string
	life      string
	execution int64
}

// maxVerifies bounds what waits for a lane with time: verification never holds up work.
const maxVerifies = 1024

// verifyLocked draws whether an execution that leaves memory is verified.
func (r *Runtime) verifyLocked(instance string, e *liveExecution) {
	if r.opt.VerifyReplay == 0 || r.exiting || len(r.verifies) >= maxVerifies || rand.Float64() >= r.opt.VerifyReplay {
		return
	}
	r.verifies = append(r.verifies, verification{instance: instance, life: e.life, execution: e.exec})
	r.verifyAt = r.now() + int64(verifyRest)
	r.armClockLocked(r.verifyAt)
}

// verifyRest is how long nothing has to end before ended work is verified: whoever waited for the end is served first.
const verifyRest = 3 * time.Millisecond

// mayVerifyLocked: something waits for verification, and nothing else has happened for a while.
func (r *Runtime) mayVerifyLocked() bool {
	if len(r.verifies) == 0 || r.phase > phaseDraining {
		return false
	}
	return r.verifyAt <= r.now() || r.phase == phaseDraining
}

// verify replays a history from event 1 and logs how the code differs from it. It changes no result: what ended has
// ended. It tells now what the next restart would have found.
func (r *Runtime) verify(l *lane, v verification) {
	events, err := r.store.History(r.ctx, v.instance, v.execution)
	if err != nil || len(events) == 0 || events[0].Kind != history.OrchestrationStarted {
		return // deleted meanwhile
	}
	first := &events[0]
	id := replay.Identity{
		Instance: v.instance, Life: v.life, Execution: v.execution, Name: first.Name, Version: first.Version, Input: first.Data,
	}
	if first.Start != nil {
		id.Start = *first.Start
	}
	r.mu.Lock()
	r.nextExec++
	exec := ExecutionID(r.nextExec)
	r.mu.Unlock()
	var differs *history.Failure
	r.user(l, func() {
		differs = replay.Verify(id, l.host.Code(exec), events)
		l.host.Forget(exec)
	})
	r.meters.verified.Add(1)
	if differs != nil {
		r.meters.verifyFail.Add(1)
		r.logf("error", "orchestration does not replay: "+differs.Text(), "instance_id", v.instance,
			"execution_id", strconv.FormatInt(v.execution, 10), "orchestration_name", first.Name,
			"orchestration_version", first.Version, "at", differs.At)
	}
}
