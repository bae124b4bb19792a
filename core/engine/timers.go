package engine

import (
	"container/heap"
	"time"
)

// clockState is what waits for a moment. Due times of instances are the store's clock, all else is monotonic.
type clockState struct {
	timers  timerHeap
	due     map[string]int64 // the earliest time of each instance in timers; other entries of it are stale
	retries []retry
	wakeAt  int64 // when the clock looks next
	asked   bool  // to look at some moment, since it looked last
	ticking bool
	ahead   time.Duration // of wall time before monotonic time, since the runtime was made
	slowAt  int64         // when the once-a-second work was done
}

// retry is an instance to be tried again.
type retry struct {
	at   int64
	inst *instance
}

type timer struct {
	due      int64
	instance string
}

type timerHeap []timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].due < h[j].due }
func (h timerHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *timerHeap) Push(v any)        { *h = append(*h, v.(timer)) } //nolint:errcheck // only timers are pushed
func (h *timerHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}

// dueLocked remembers when an instance has to be looked at. Times beyond the horizon are left to the store, which is
// asked again before they come.
func (r *Runtime) dueLocked(id string, due int64) {
	if known, ok := r.clock.due[id]; ok && known <= due {
		return
	}
	away := untilDue(due, r.store.Now())
	if away > r.timing.horizon {
		return
	}
	r.clock.due[id] = due
	heap.Push(&r.clock.timers, timer{due: due, instance: id})
	r.armClockLocked(r.now() + int64(max(0, away)))
}

// untilDue is how far away a time of the store's clock is.
func untilDue(due, stamp int64) time.Duration { return milliseconds(due - stamp) }

// milliseconds gives a length of time; more than a Duration holds is a hundred years.
func milliseconds(ms int64) time.Duration {
	const most = 100 * 365 * 24 * time.Hour
	return time.Duration(min(ms, most.Milliseconds())) * time.Millisecond
}

// isDueLocked: a message of the instance has become due, whether or not the clock has looked since.
func (r *Runtime) isDueLocked(id string, stamp int64) bool {
	due, ok := r.clock.due[id]
	return ok && due <= stamp
}

// timersDropLocked forgets an instance that ended, or that another node goes on with.
func (r *Runtime) timersDropLocked(id string) { delete(r.clock.due, id) }

// armClockLocked makes sure the clock looks at the given monotonic time at the latest.
func (r *Runtime) armClockLocked(at int64) {
	r.clock.asked = true
	if at < r.clock.wakeAt {
		r.clock.wakeAt = at
		kick(r.clockKick)
	}
}

func (r *Runtime) armTickLocked() {
	if !r.clock.ticking {
		r.clock.ticking = true
		r.armClockLocked(r.now() + int64(r.timing.tick))
	}
}

const (
	clockStep = time.Second // the longest sleep of the clock: wall time may have moved
	// dueSlack keeps a timer from being looked at within the millisecond before it is due.
	dueSlack = time.Millisecond / 2
)

// runClock does all that depends on time: timers, results that wait too long, time-outs, lanes that take long.
func (r *Runtime) runClock() {
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-wait.C:
		case <-r.clockKick:
		case <-r.done:
			return
		}
		r.meters.clockLooks.Add(1)
		stamp := r.store.Now()
		r.mu.Lock()
		at, slow := r.clockLocked(stamp)
		r.clock.wakeAt = at
		r.mu.Unlock()
		r.flushLogs()
		if slow {
			r.watch()
		}
		wait.Reset(max(0, time.Duration(at-r.now())))
	}
}

// clockLocked does what is due and gives the next look.
func (r *Runtime) clockLocked(stamp int64) (at int64, slow bool) {
	r.noticeJumpLocked()
	now := r.now()
	at = now + int64(clockStep)
	if r.clock.asked {
		// Jobs and results come and go: looked for so often, none of them has to wake the clock for itself.
		r.clock.asked = false
		at = now + int64(r.timing.resultWait)
	}
	sooner := func(t int64) {
		if t != 0 && t < at {
			at = t
		}
	}
	for len(r.clock.timers) > 0 {
		first := r.clock.timers[0]
		if first.due > stamp {
			sooner(now + int64(untilDue(first.due, stamp)+dueSlack))
			break
		}
		heap.Pop(&r.clock.timers)
		if due, ok := r.clock.due[first.instance]; ok && due == first.due {
			delete(r.clock.due, first.instance)
			r.newsLocked(first.instance)
		}
	}
	waiting := r.clock.retries[:0]
	for _, again := range r.clock.retries {
		if again.at > now {
			sooner(again.at)
			waiting = append(waiting, again)
			continue
		}
		again.inst.reload = true
		r.readyLocked(again.inst)
	}
	r.clock.retries = waiting
	if len(r.verifies) > 0 && r.verifyAt > now {
		sooner(r.verifyAt)
	}
	sooner(r.ageLocked(now))
	sooner(r.overdueLocked(now, stamp))
	r.spreadLocked()
	if r.clock.ticking {
		if r.clock.ticking = r.tickLocked(); r.clock.ticking {
			sooner(now + int64(r.timing.tick))
		}
	}
	if next := r.longestJobLocked(now); next <= now {
		kick(r.scoutKick)
	} else {
		sooner(next)
	}
	if now-r.clock.slowAt >= int64(clockStep) {
		r.clock.slowAt = now
		slow = true
		r.giveBackUnstartedLocked(now)
		r.askForFailedLanesLocked()
	}
	return at, slow
}

// longestJobLocked gives the time from which on the row of a running job has to be looked at.
func (r *Runtime) longestJobLocked(now int64) int64 {
	next := now + int64(clockStep)
	for _, j := range r.runs {
		if j.dropped {
			continue
		}
		if next = min(next, j.begun+int64(r.timing.lostJobs)); next <= now {
			break
		}
	}
	return next
}

// giveBackUnstartedLocked returns jobs that were claimed and found no lane in time: another node may have one. Until an
// activity ends here no job is claimed ahead, or this node could be the first to claim them again. Those of a session
// stay, since nobody else may run them.
func (r *Runtime) giveBackUnstartedLocked(now int64) {
	before := now - int64(r.timing.startWithin)
	if r.jobs.len() == 0 || r.jobs.front().claimedAt > before {
		return
	}
	r.jobs.filter(func(j *job) bool {
		if j.claimedAt > before {
			return true
		}
		r.settleLocked(settling{job: j})
		r.stalled = true
		return false
	})
}

// noticeJumpLocked notices that wall time has moved against monotonic time: the machine slept, or its clock was set. The
// lease may be over, so no claimed work starts before a renewal.
func (r *Runtime) noticeJumpLocked() {
	now := time.Now()
	ahead := now.Round(0).Sub(r.base.Round(0)) - now.Sub(r.base)
	jump := ahead - r.clock.ahead
	r.clock.ahead = ahead
	if jump.Abs() <= r.timing.clockJump {
		return
	}
	r.lease.doubtful = true
	r.logLocked("warn", "wall clock moved by "+jump.Round(time.Millisecond).String()+": the lease is renewed before work goes on")
	kick(r.keeperKick)
}
