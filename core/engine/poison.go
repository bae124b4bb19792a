package engine

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// suspects is suspect work that runs now. A node died over each of them, so the attempt of each is written before it
// starts; from the third on it runs with no other beside it, so that it becomes clear which one it is.
type suspects struct {
	running   int
	exclusive bool
}

// exclusiveFrom is the written attempt from which suspect work runs alone.
const exclusiveFrom = 3

const suspectPause = 50 * time.Millisecond

type verdict uint8

const (
	suspectMayRun verdict = iota
	suspectMustWait
	suspectIsPoison
)

// admitSuspectLocked counts suspect work in, when it may run now.
func (r *Runtime) admitSuspectLocked(attempts int) (exclusive, ok bool) {
	s := &r.suspects
	exclusive = attempts >= exclusiveFrom
	if s.exclusive || (exclusive && s.running > 0) {
		return false, false
	}
	s.running++
	s.exclusive = s.exclusive || exclusive
	return exclusive, true
}

func (r *Runtime) dismissSuspectLocked(exclusive bool) {
	r.suspects.running--
	if exclusive {
		r.suspects.exclusive = false
	}
}

// judgeJob writes the attempt of a suspect job.
func (r *Runtime) judgeJob(j *job) (verdict, int) {
	r.mu.Lock()
	exclusive, ok := r.admitSuspectLocked(j.Attempts + 1)
	if ok {
		j.suspected, j.exclusive = true, exclusive
	}
	r.mu.Unlock()
	if !ok {
		return suspectMustWait, 0
	}
	attempts, err := r.store.CountAttempt(r.ctx, store.Suspect{Job: &j.JobRef})
	if err != nil {
		if !errors.Is(err, store.ErrJobsLost) {
			r.storeFailed("count an attempt of activity "+j.Name, err)
		}
		return suspectMustWait, 0
	}
	j.attempted = true
	r.meters.attemptsWritten.Add(1)
	if attempts > r.opt.MaxAttempts {
		return suspectIsPoison, attempts
	}
	return suspectMayRun, attempts
}

func (r *Runtime) clearSuspectLocked(j *job) {
	if j.suspected {
		j.suspected = false
		r.dismissSuspectLocked(j.exclusive)
	}
}

// judgeTurn writes the attempt of a suspect turn, once it may run: one that waits for others to end is not to blame for
// what becomes of them. Not ok: the turn was postponed.
func (r *Runtime) judgeTurn(t *turning, snap *store.Snapshot) (ok bool, attempts int) {
	inst := t.inst
	counted := inst.counted > 0 && inst.countedFor == snap.Turn
	next := snap.Attempts + 1
	if counted {
		next = inst.counted
	}
	r.mu.Lock()
	exclusive, admitted := r.admitSuspectLocked(next)
	if admitted {
		inst.holdsSuspect, inst.holdsExclusive = true, exclusive
	}
	r.mu.Unlock()
	if !admitted {
		r.postponeTurn(t, suspectPause)
		return false, 0
	}
	if counted {
		return true, inst.counted
	}
	n, err := r.store.CountAttempt(r.ctx, store.Suspect{Instance: snap.Instance, Turn: snap.Turn})
	if err != nil {
		if !errors.Is(err, store.ErrFenced) {
			r.storeFailed("count an attempt of "+strconv.Quote(snap.Instance), err)
		}
		r.postponeTurn(t, r.backoff(inst)) // no longer counted in
		return false, 0
	}
	r.meters.attemptsWritten.Add(1)
	inst.counted, inst.countedFor = n, snap.Turn
	return true, inst.counted
}

func (r *Runtime) clearSuspectTurnLocked(inst *instance) {
	if inst.holdsSuspect {
		inst.holdsSuspect = false
		r.dismissSuspectLocked(inst.holdsExclusive)
	}
}

func poisonedTurn(snap *store.Snapshot, attempts, most int) *history.Failure {
	return &history.Failure{
		Kind:    history.PoisonOrchestration,
		Message: fmt.Sprintf("orchestration %s exceeded %d attempts (max %d)", snap.Instance, attempts, most),
	}
}

// undecodable counts an attempt to read a history that cannot be read, unless it was counted already; a newer engine
// may follow, so only after all attempts the instance fails.
func (r *Runtime) undecodable(t *turning, snap *store.Snapshot, messages []history.Message, attempts int) *step {
	if attempts == 0 {
		var err error
		attempts, err = r.store.CountAttempt(r.ctx, store.Suspect{Instance: snap.Instance, Turn: snap.Turn})
		if err != nil {
			r.storeFailed("count an attempt of "+strconv.Quote(snap.Instance), err)
			r.postponeTurn(t, r.backoff(t.inst))
			return nil
		}
		r.meters.attemptsWritten.Add(1)
	}
	if attempts > r.opt.MaxAttempts {
		return r.poisonStep(t, snap, messages, &history.Failure{
			Kind:    history.PoisonHistory,
			Message: fmt.Sprintf("orchestration %s exceeded %d attempts (max %d) : %s", snap.Instance, attempts, r.opt.MaxAttempts, snap.Undecodable),
		})
	}
	r.logf("error", "history cannot be read: "+snap.Undecodable, "instance_id", snap.Instance, "orchestration_name", snap.Name, "attempt", strconv.Itoa(attempts))
	r.mu.Lock()
	r.clearSuspectTurnLocked(t.inst)
	t.inst.counted = 0 // the next look is an attempt of its own
	r.mu.Unlock()
	r.postponeTurn(t, r.timing.undecodable)
	return nil
}

// poisonStep is the commit that fails an instance without running its code.
func (r *Runtime) poisonStep(t *turning, snap *store.Snapshot, messages []history.Message, f *history.Failure) *step {
	c := poisonCommit(snap, messages, f, r.store.Now())
	r.logf("error", f.Text(), "instance_id", snap.Instance, "orchestration_name", snap.Name)
	return &step{
		inst: t.inst, offered: messages, results: t.results, epoch: t.epoch,
		turn: store.Turn{
			Instance: snap.Instance, Life: snap.Life, Expect: snap.Turn, New: history.NewToken(),
			Name: snap.Name, Version: snap.Version, Commit: c,
		},
	}
}

// poisonCommit ends an execution as failed: event 1 where there is none yet, so that the history is whole, the terminal
// event, and the news for a parent.
func poisonCommit(snap *store.Snapshot, messages []history.Message, f *history.Failure, now int64) *replay.Commit {
	c := &replay.Commit{Execution: snap.Execution, Status: replay.Failed, Failure: f, Consumed: messages}
	next := snap.NextEventID
	parent := snap.Parent
	if next <= 1 {
		next = 1
		first := history.Event{
			ID: next, Kind: history.OrchestrationStarted, Time: now, Name: snap.Name, Version: snap.Version,
			Start: &history.Start{Parent: snap.Parent},
		}
		for i := range messages {
			if messages[i].Kind == history.MsgStart {
				first.Data = messages[i].Data
			}
		}
		c.Events = append(c.Events, first)
		next++
	}
	c.Events = append(c.Events, history.Event{ID: next, Kind: history.OrchestrationFailed, Time: now, Failure: f})
	if parent != nil {
		told := *f
		told.Instance = snap.Instance
		c.Sends = append(c.Sends, replay.Send{Instance: parent.Instance, Message: history.Message{
			Kind: history.MsgChildFailed, Life: parent.Life, Execution: parent.Execution, Source: parent.Schedule,
			Failure: &told, VisibleAt: now, InsertedAt: now,
		}})
	}
	return c
}

// tendUnclaimable warns of work whose name no live node has registered, and fails it when that lasts too long.
func (r *Runtime) tendUnclaimable() {
	node := r.nodeID()
	if node == "" {
		return
	}
	work, err := r.store.Unclaimable(r.ctx)
	if err != nil {
		r.storeFailed("look for work that nobody can run", err)
		return
	}
	now := r.store.Now()
	jobs := map[string]map[int64]bool{} // by name: those whose time is over
	for _, u := range work {
		name := wantedName(u)
		r.warnUnclaimable(u, name)
		switch {
		case u.SinceMS == 0 || milliseconds(now-u.SinceMS) < r.timing.unclaimedFor:
		case u.Job == 0:
			r.poisonInstance(node, u, name)
		case jobs[u.Name] == nil:
			jobs[u.Name] = map[int64]bool{u.Job: true}
		default:
			jobs[u.Name][u.Job] = true
		}
	}
	for name, overdue := range jobs {
		r.poisonJobs(name, overdue)
	}
}

func wantedName(u store.Unclaimable) string {
	if u.Version == "" {
		return u.Name
	}
	return u.Name + "@" + u.Version
}

// warnUnclaimable says each name once.
func (r *Runtime) warnUnclaimable(u store.Unclaimable, name string) {
	r.mu.Lock()
	said := r.warned[name]
	r.warned[name] = true
	r.mu.Unlock()
	if said {
		return
	}
	what := "orchestration"
	if u.Job != 0 {
		what = "activity"
	}
	text := fmt.Sprintf("no runtime registers %s %s; its work waits and fails after %s", what, name, r.timing.unclaimedFor)
	if near := r.names.nearest(u); len(near) > 0 {
		text += "; registered here: " + strings.Join(near, ", ")
	}
	r.logf("warn", text, "instance_id", u.Instance)
}

// poisonJobs claims jobs of a name that nobody registers, to fail those whose time is over. The others go back.
func (r *Runtime) poisonJobs(name string, overdue map[int64]bool) {
	r.mu.Lock()
	node, epoch := r.node, r.epoch
	r.mu.Unlock()
	if node == "" {
		return
	}
	jobs, err := r.store.ClaimJobs(r.ctx, store.Claim{
		Node: node, Limit: r.timing.maxGroup, Activities: map[string]bool{name: true}, Tags: store.TagFilter{Untagged: true, Any: true},
		MayTake: r.timing.maxGroup,
	})
	if err != nil {
		r.storeFailed("claim activities that nobody can run", err)
	}
	now := r.store.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case epoch != r.epoch:
		return // the node that claimed them is no more, and its claims are freed
	case store.IsUnknown(err):
		r.loseNodeLocked() // jobs may be claimed that this node never heard of
		return
	}
	for i := range jobs {
		j := &job{Job: jobs[i], epoch: epoch}
		r.claimed[j.ID] = j
		if overdue[j.ID] {
			j.result = history.Message{
				Kind: history.MsgActivityFailed, JobID: j.ID, JobToken: j.Token, Life: j.Life, Execution: j.Execution,
				Source: j.Schedule, VisibleAt: now, InsertedAt: now,
				Failure: &history.Failure{
					Kind: history.PoisonActivity, Activity: j.Name, Attempt: j.Attempt,
					Message: fmt.Sprintf("activity %s#%d exceeded %d attempts (max %d) : no runtime registers %s",
						j.Name, j.Schedule, r.opt.MaxAttempts+1, r.opt.MaxAttempts, j.Name),
				},
			}
			r.meters.activityPoison.Add(1)
		}
		r.settleLocked(settling{job: j, result: overdue[j.ID]})
	}
}

// poisonInstance fails an instance that nobody can run.
func (r *Runtime) poisonInstance(node store.NodeID, u store.Unclaimable, name string) {
	snap, err := r.store.Load(r.ctx, u.Instance, history.Token{})
	if err != nil {
		if !errors.Is(err, store.ErrNotFound) {
			r.storeFailed("load "+strconv.Quote(u.Instance), err)
		}
		return
	}
	if snap.Ended {
		return
	}
	f := &history.Failure{
		Kind: history.PoisonOrchestration,
		Message: fmt.Sprintf("orchestration %s exceeded %d attempts (max %d) : no runtime registers %s",
			u.Instance, r.opt.MaxAttempts+1, r.opt.MaxAttempts, name),
	}
	c := poisonCommit(snap, snap.Messages, f, r.store.Now())
	res, err := r.store.CommitTurns(r.ctx, node, []store.Turn{{
		Instance: snap.Instance, Life: snap.Life, Expect: snap.Turn, New: history.NewToken(),
		Name: snap.Name, Version: snap.Version, Commit: c,
	}})
	r.meters.commits.Add(1)
	if err != nil {
		r.storeFailed("fail an instance that nobody can run", err)
		return
	}
	if res[0].Err == nil {
		r.meters.countCommit(c)
		r.logf("error", f.Text(), "instance_id", u.Instance)
	}
}
