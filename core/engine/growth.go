package engine

// A runtime has as many general lanes as its activities hold while they wait, and two for turns. Activities that go on
// without a lane need none, so not all that worker_concurrency allows are made at the start; but those that most
// runtimes need are, since a process that ends can make no thread any more.

const (
	firstLanes = 8 // for activities that hold their lane while they wait
	briskLanes = 2 // for activities that do not, or not for long
	turnLanes  = 2 // the second in case that the first is slow
)

// lanesFor is how many general lanes the runtime has when its activities may hold so many.
func (r *Runtime) lanesFor(activities int) int {
	n := min(activities, r.opt.WorkerConcurrency) + turnLanes
	if r.opt.ParallelTurns {
		n += r.opt.OrchestrationConcurrency
	}
	return n
}

func (r *Runtime) firstLanes() int {
	if r.blocking {
		return r.lanesFor(firstLanes)
	}
	return r.lanesFor(briskLanes)
}

// growLocked asks for lanes when user code holds so many for long that work finds none: as many again as are held. Threads
// that only wait for each other, for a lock of the host's, are not helped by more of them.
func (r *Runtime) growLocked() {
	held, now := 0, r.now()
	for _, l := range r.lanes {
		if l.kind == LaneGeneral && !l.over && r.inUserSince(l, now) > int64(r.timing.heldLane) {
			held++
		}
	}
	for most := r.lanesFor(held + max(briskLanes, held)); r.generals < most; {
		r.requestLaneLocked(LaneGeneral)
	}
}

// lacksTurnLaneLocked: a turn waits, no lane is about to take it, and another lane may be had.
func (r *Runtime) lacksTurnLaneLocked() bool {
	return r.canTurnLocked() && !r.turnWake && r.generals < r.lanesFor(r.opt.WorkerConcurrency)
}

// LaneFailed tells that the host could not make a thread for a lane. The lane is asked for again within a second or two.
func (r *Runtime) LaneFailed(kind LaneKind) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failedLanes = append(r.failedLanes, kind)
}

func (r *Runtime) askForFailedLanesLocked() {
	for _, kind := range r.failedLanes {
		r.nextLane++
		r.laneRequests.push(LaneRequest{ID: r.nextLane, Kind: kind})
	}
	if len(r.failedLanes) > 0 {
		r.failedLanes = nil
		kick(r.superviseKick)
	}
}
