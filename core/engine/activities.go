package engine

import (
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

// jobState is where a claimed job is on this node.
type jobState uint8

const (
	jobQueued   jobState = iota // claimed, waiting for a lane
	jobRunning                  // its activity is in user code
	jobWaiting                  // its result waits for a turn
	jobTaken                    // a turn has taken the result and is not applied yet
	jobSettling                 // the result, or the job itself, is on its way to the store alone
	jobGone                     // nobody wants it any more
)

// job is a claimed activity, from the claim until the store has its result. Guarded by the runtime's mutex.
type job struct {
	store.Job
	state jobState
	// inst, when set, has its turns on this node, so the result can go to it in memory. Else it is settled alone and
	// the node that has the instance hears of it from the store.
	inst      *instance
	session   *session
	claimedAt int64 // these three: see Runtime.now
	begun     int64
	ended     int64
	deadline  int64 // 0 = none
	result    history.Message
	cancelled atomic.Bool
	gaveUpAt  int64 // when cancelled was set; 0 = not
	long      bool  // in user code for long
	weighed   bool  // counted in unsettled
	released  bool  // its permit was taken back while it still runs
	dropped   bool  // its result is not wanted
	exclusive bool  // suspect, runs with no other suspect beside it
	suspected bool  // counted in suspects
	attempted bool  // an attempt was written for this run
	epoch     int

	// While its activity runs:
	run  RunID
	lane *lane           // nil once it goes on without one
	end  *ActivityResult // told before its lane had answered that it goes on without one
}

// addJobsLocked takes newly claimed jobs.
func (r *Runtime) addJobsLocked(jobs []store.Job) {
	now := r.now()
	r.meters.workerFetched.Add(int64(len(jobs)))
	for i := range jobs {
		j := &job{Job: jobs[i], claimedAt: now, epoch: r.epoch}
		r.claimed[j.ID] = j
		if inst := r.instances[j.Instance]; inst != nil {
			j.inst = inst
			inst.jobs++
		}
		if j.Session != "" {
			r.addSessionJobLocked(j)
			continue
		}
		r.jobs.push(j)
	}
}

// goneLocked ends the node's interest in a job.
func (r *Runtime) goneLocked(j *job) {
	if j.weighed {
		j.weighed = false
		r.unsettled--
		r.unsettledBytes -= int64(len(j.result.Data))
	}
	if j.state == jobGone {
		return
	}
	j.state = jobGone
	if r.claimed[j.ID] == j {
		delete(r.claimed, j.ID)
	}
	r.clearSuspectLocked(j)
	if j.session != nil {
		j.session.claimed--
	}
	if j.inst != nil {
		j.inst.jobs--
		r.releaseLocked(j.inst)
		j.inst = nil
	}
}

// beginJobLocked gives a job a permit and a lane.
func (r *Runtime) beginJobLocked(l *lane, j *job) {
	r.running++
	r.startedLocked(l, j)
}

func (r *Runtime) startedLocked(l *lane, j *job) {
	j.state = jobRunning
	j.begun = r.now()
	l.job = j
	r.nextRun++
	j.run, j.lane = RunID(r.nextRun), l
	r.runs[j.run] = j
	r.armClockLocked(j.begun + int64(r.timing.lostJobs))
	timeout := milliseconds(j.TimeoutMS)
	if timeout == 0 {
		timeout = r.opt.ActivityTimeout
	}
	if timeout > 0 {
		j.deadline = j.begun + int64(timeout)
		r.overdueAtLocked(j.deadline)
	}
}

// runJob runs an activity on a lane that has its permit.
func (r *Runtime) runJob(l *lane, j *job) {
	if j.Suspect {
		switch verdict, attempts := r.judgeJob(j); verdict {
		case suspectMayRun:
		case suspectMustWait:
			r.freeJob(j)
			r.giveBack(j, suspectPause)
			return
		case suspectIsPoison:
			r.freeJob(j)
			r.finishJob(j, ActivityResult{Failure: &history.Failure{
				Kind: history.PoisonActivity, Activity: j.Name, Attempt: j.Attempt,
				Message: fmt.Sprintf("activity %s#%d exceeded %d attempts (max %d)", j.Name, j.Schedule, attempts, r.opt.MaxAttempts),
			}})
			return
		}
	}
	schedule := j.Schedule
	if j.RetryOf != 0 {
		schedule = j.RetryOf
	}
	prefix := j.Life + "/" + strconv.FormatInt(j.Execution, 10) + "/"
	a := &Activity{
		Job: j.Job, Run: j.run, WorkerID: string(r.nodeID()) + "/" + strconv.FormatInt(l.id, 10),
		IdempotencyKey: prefix + strconv.FormatInt(j.Schedule, 10), RetryKey: prefix + strconv.FormatInt(schedule, 10),
		Cancelled: &j.cancelled,
	}
	var res ActivityResult
	r.user(l, func() { res = l.host.RunActivity(a) })
	if res.Detached {
		end := r.detach(l, j)
		if end == nil {
			return
		}
		res = *end
	}
	r.freeJob(j)
	r.finishJob(j, res)
}

// freeJob gives back the permit of a job that has left user code.
func (r *Runtime) freeJob(j *job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.freeJobLocked(j)
}

func (r *Runtime) freeJobLocked(j *job) {
	delete(r.runs, j.run)
	l := j.lane
	j.ended = r.now()
	r.stalled = false
	if s := j.session; s != nil && !j.released {
		s.running = false
		s.lastUse = j.ended
		if l == nil { // else its lane does so when it is back
			r.queueSessionLocked(s)
		}
	}
	if !j.released {
		r.releasePermitLocked(j)
		took := float64(j.ended - j.begun)
		if r.average == 0 {
			r.average = took
		}
		r.average += (took - r.average) / 8
	}
	j.lane = nil
	if l != nil {
		l.job = nil
		if !j.dropped && j.epoch == r.epoch {
			l.ran = j.inst
		}
	}
	if j.Session != "" {
		// The store gives out a session's jobs one by one: the next one comes with the commit of this result.
		r.jobNews++
		r.moreJobs = true
	}
}

func (r *Runtime) releasePermitLocked(j *job) {
	r.running--
	if j.lane == nil {
		r.detached--
	}
	if j.long {
		r.long--
		j.long = false
	}
}

// finishJob hands the result on: to the instance's next turn when that runs here, else to the store.
func (r *Runtime) finishJob(j *job, res ActivityResult) {
	stamp := r.store.Now()
	var failed string
	r.mu.Lock()
	switch {
	case j.epoch != r.epoch || j.dropped || j.state == jobGone:
		r.goneLocked(j)
	case res.Unable:
		r.giveBackLocked(j, unablePause)
	case res.GiveBack || (r.exiting && res.Failure != nil):
		r.clearSuspectLocked(j)
		r.settleLocked(settling{job: j})
	default:
		r.meters.countActivity(res.Failure)
		if res.Failure != nil {
			failed = res.Failure.Text()
		}
		r.resultLocked(j, res, stamp)
	}
	r.spreadSessionsLocked()
	if r.phase >= phaseDraining {
		kick(r.drainKick)
	}
	r.mu.Unlock()
	if failed != "" {
		text := "activity failed: " + failed
		if j.Attempt > 1 {
			text = fmt.Sprintf("activity failed in attempt %d: %s", j.Attempt, failed)
		}
		r.logf("warn", text, "instance_id", j.Instance, "execution_id", strconv.FormatInt(j.Execution, 10),
			"orchestration_name", j.OrchestrationName, "orchestration_version", j.OrchestrationVersion,
			"activity_name", j.Name, "activity_id", strconv.FormatInt(j.Schedule, 10), "session_id", j.Session, "tag", j.Tag)
	}
}

// resultLocked makes the message of a result and offers it.
func (r *Runtime) resultLocked(j *job, res ActivityResult, stamp int64) {
	j.result = history.Message{
		Kind: history.MsgActivityCompleted, JobID: j.ID, JobToken: j.Token, Life: j.Life, Execution: j.Execution,
		Source: j.Schedule, Data: res.Output, Failure: res.Failure, VisibleAt: stamp, InsertedAt: stamp,
	}
	if res.Failure != nil {
		j.result.Kind, j.result.Data = history.MsgActivityFailed, ""
	}
	j.weighed = true
	r.unsettled++
	r.unsettledBytes += int64(len(j.result.Data))
	j.state = jobWaiting
	j.ended = r.now()
	inst := j.inst
	// A suspect's result is committed before the turn that it feeds: should that turn bring the process down, the
	// activity has not to run again.
	if inst == nil || j.Suspect || r.phase != phaseRunning || r.trouble.on {
		r.settleLocked(settling{job: j, result: true})
		return
	}
	inst.inbox = append(inst.inbox, j)
	r.aging.push(j)
	r.armClockLocked(j.ended + int64(r.timing.resultWait))
	r.readyLocked(inst)
}

// lostLocked: the store says that a job is claimed by this node no more.
func (r *Runtime) lostLocked(ref store.JobRef) {
	j := r.claimed[ref.ID]
	if j == nil || j.Token != ref.Token {
		return
	}
	switch j.state {
	case jobQueued:
		if j.session != nil {
			j.session.drop(j)
		} else {
			r.jobs.filter(func(o *job) bool { return o != j })
		}
		r.goneLocked(j)
	case jobRunning:
		j.dropped = true
		r.cancelJobLocked(j)
	case jobWaiting:
		r.dropResultLocked(j)
	case jobTaken, jobSettling, jobGone: // the store's answer will say so
	}
}

// cancelJobLocked tells a running activity that its result is not wanted; its slot is freed after the grace period.
func (r *Runtime) cancelJobLocked(j *job) {
	if j.gaveUpAt != 0 {
		return
	}
	j.cancelled.Store(true)
	j.gaveUpAt = r.now()
	r.overdueAtLocked(j.gaveUpAt + int64(r.opt.CancellationGrace))
}

// dropResultLocked forgets a result that waits for its turn.
func (r *Runtime) dropResultLocked(j *job) {
	if inst := j.inst; inst != nil {
		for i, waiting := range inst.inbox {
			if waiting == j {
				inst.inbox = append(inst.inbox[:i], inst.inbox[i+1:]...)
				break
			}
		}
	}
	r.goneLocked(j)
}

// overdueAtLocked makes sure that overdueLocked looks at the given time at the latest.
func (r *Runtime) overdueAtLocked(at int64) {
	if r.overdue == 0 || at < r.overdue {
		r.overdue = at
	}
	r.armClockLocked(at)
}

// overdueLocked times out running activities and takes the slots of those that go on after being cancelled. It gives
// the time of the next such moment; 0 = none.
func (r *Runtime) overdueLocked(now, stamp int64) (next int64) {
	if r.overdue == 0 || r.overdue > now {
		return r.overdue
	}
	sooner := func(at int64) {
		if next == 0 || at < next {
			next = at
		}
	}
	r.overdue = 0
	for _, j := range r.runs {
		if j.deadline != 0 && !j.dropped {
			if j.deadline > now {
				sooner(j.deadline)
			} else {
				r.cancelJobLocked(j)
				r.timeOutLocked(j, stamp)
			}
		}
		if j.gaveUpAt != 0 && !j.released {
			switch at := j.gaveUpAt + int64(r.opt.CancellationGrace); {
			case at > now:
				sooner(at)
			case j.lane == nil:
				j.released = true
				r.releasePermitLocked(j)
				if s := j.session; s != nil {
					s.running = false
					r.queueSessionLocked(s)
				}
				r.restLocked() // no lane does so on its way back
			case r.replaceLaneLocked(j.lane):
				j.released = true
				r.releasePermitLocked(j)
				if s := j.lane.session; s != nil {
					r.replaceSessionLaneLocked(s)
				}
			default: // no lane to spare: perhaps later
				sooner(now + int64(clockStep))
			}
		}
	}
	r.overdue = next
	return next
}

// timeOutLocked answers for an activity whose time is over, though its function goes on: a stand-in carries the answer,
// since the job itself is still in user code.
func (r *Runtime) timeOutLocked(j *job, stamp int64) {
	failure := &history.Failure{
		Kind: history.ActivityTimeout, Message: "activity timed out", Activity: j.Name, Attempt: j.Attempt,
	}
	r.meters.countActivity(failure)
	answer := &job{Job: j.Job, inst: j.inst, session: j.session, epoch: j.epoch, claimedAt: j.claimedAt, state: jobRunning}
	if j.inst != nil {
		j.inst.jobs++
	}
	if j.session != nil {
		j.session.claimed++
	}
	j.dropped = true
	r.claimed[j.ID] = answer
	r.resultLocked(answer, ActivityResult{Failure: failure}, stamp)
}
