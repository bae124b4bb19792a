package replay

import (
	"hash/fnv"
	"math"
	"strconv"

	"github.com/duroxide/duroxide/core/history"
)

// retry is an activity under a retry policy: a branch that the engine runs itself, out of ordinary activities and timers.
//
//	total timer, if any
//	attempt 1, its timer if any
//	pause
//	attempt 2, its timer if any
//	...
//
// A timed-out attempt is tried again only under a total time-out; without one the first time-out is the result.
type retry struct {
	task    Task
	policy  RetryPolicy
	at      string
	first   int64 // schedule id of the first attempt
	attempt int

	total    *node
	activity *node // of the attempt under way, with timer
	timer    *node
	pause    *node
}

func (r *retry) parts() [4]*node { return [4]*node{r.total, r.activity, r.timer, r.pause} }

func (x *Execution) startRetry(n *node, t *Task, at string) {
	r := &retry{task: *t, policy: *t.Retry, at: at}
	r.policy.MaxAttempts = max(r.policy.MaxAttempts, 1)
	n.kind, n.retry = nodeRetry, r
	if r.policy.TotalTimeoutMS > 0 {
		r.total = &node{parent: n}
		if x.startTimer(r.total, r.policy.TotalTimeoutMS, at); x.ending != nil {
			return
		}
	}
	x.startAttempt(n)
}

func (x *Execution) startAttempt(n *node) {
	r := n.retry
	r.attempt++
	r.activity, r.timer, r.pause = &node{parent: n}, nil, nil
	if x.startActivity(r.activity, &r.task, r.at, r.attempt, r.first); x.ending != nil {
		return
	}
	if r.attempt == 1 {
		r.first = r.activity.id
	}
	if r.policy.TimeoutMS > 0 {
		r.timer = &node{parent: n}
		x.startTimer(r.timer, r.policy.TimeoutMS, r.at)
	}
}

// stepRetry reacts to one part of the policy being resolved.
func (x *Execution) stepRetry(n, part *node) {
	r := n.retry
	switch part {
	case r.total:
		x.closeRetry(n)
		n.fail(r.timedOut())
	case r.pause:
		x.startAttempt(n)
	case r.timer:
		if x.closeNode(r.activity, lostRace); x.ending == nil {
			x.attemptFailed(n, r.timedOut())
		}
	case r.activity:
		if part.state == succeeded {
			x.closeRetry(n)
			n.succeed(part.value)
			return
		}
		x.closeNode(r.timer, lostRace)
		x.attemptFailed(n, part.failure)
	}
}

func (x *Execution) closeRetry(n *node) {
	for _, part := range n.retry.parts() {
		x.closeNode(part, lostRace)
	}
}

func (x *Execution) attemptFailed(n *node, f *history.Failure) {
	r := n.retry
	timedOut := f.Kind == history.ActivityTimeout
	if f.NonRetryable || r.attempt >= r.policy.MaxAttempts || timedOut && r.policy.TotalTimeoutMS <= 0 {
		x.closeRetry(n)
		n.fail(f)
		return
	}
	delay := r.policy.pause(r.attempt, jitter(x.identity.Life, r.first, r.attempt))
	if delay <= 0 {
		x.startAttempt(n)
		return
	}
	r.activity, r.timer, r.pause = nil, nil, &node{parent: n}
	x.startTimer(r.pause, delay, r.at)
}

func (r *retry) timedOut() *history.Failure {
	return &history.Failure{Kind: history.ActivityTimeout, Message: textActivityTimedOut, Activity: r.task.Name, Attempt: r.attempt}
}

// pause after a failed attempt (from 1), in ms. share, from 0 up to 1, draws the jitter.
func (p *RetryPolicy) pause(attempt int, share float64) int64 {
	delay := float64(p.InitialMS)
	switch p.Backoff {
	case BackoffNone:
		return 0
	case BackoffFixed:
	case BackoffLinear:
		delay *= float64(attempt)
	case BackoffExponential:
		delay *= math.Pow(p.Multiplier, float64(attempt-1))
	}
	if p.MaxMS > 0 {
		delay = min(delay, float64(p.MaxMS))
	}
	if j := min(max(p.Jitter, 0), 1); j > 0 {
		delay *= 1 - j*share
	}
	if !(delay > 0) { // also not a number
		return 0
	}
	return int64(math.Ceil(min(delay, maxDelayMS)))
}

// jitter draws a share, from 0 up to 1, that is the same in every replay and differs between lives.
func jitter(life string, schedule int64, attempt int) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(life + "/" + strconv.FormatInt(schedule, 10) + "/" + strconv.Itoa(attempt)))
	z := h.Sum64() // neighbouring inputs differ little in the high bits: mix
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return float64((z^z>>31)>>11) / (1 << 53)
}
