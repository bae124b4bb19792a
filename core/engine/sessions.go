package engine

import (
	"slices"

	"github.com/duroxide/duroxide/core/store"
)

// sessions that this node holds. Each has a lane of its own, so that its activities always run on the same thread, one
// after another; it needs one of the worker_concurrency permits to run.
type sessions struct {
	held    map[string]*session
	waiting fifo[*session] // have jobs and want a permit
}

type session struct {
	id      string
	lane    *lane // nil until its thread has come
	queue   fifo[*job]
	begin   *job // given a permit, to be run by the lane now
	running bool
	queued  bool // in sessions.waiting
	over    bool // released: its lane ends
	claimed int  // jobs of it that the store has as claimed by this node
	lastUse int64
}

// busy counts sessions with jobs that have no permit yet: each uses one of the slots, however many jobs it has.
func (s *sessions) busy() int { return s.waiting.len() }

// isIdle: the store would let go of it. It keeps a session of which a job is claimed.
func (s *session) isIdle() bool { return !s.running && s.claimed == 0 }

func (s *session) drop(j *job) { s.queue.filter(func(o *job) bool { return o != j }) }

// addSessionJobLocked queues a job on its session. A session new to this node takes the place of the longest idle one
// when as many are held as may be.
func (r *Runtime) addSessionJobLocked(j *job) {
	s := r.sessions.held[j.Session]
	if s == nil {
		if len(r.sessions.held) >= r.opt.MaxSessions && !r.releaseIdleSessionLocked() {
			// Claimed on the word that another was idle, which has work again. The session goes back when the job has.
			r.settleLocked(settling{job: j, delayMS: sessionPause.Milliseconds()})
			r.scout.claimLater(r.now() + int64(sessionPause+affinitySlack))
			return
		}
		s = &session{id: j.Session, lastUse: r.now()}
		r.sessions.held[s.id] = s
		r.scout.release = slices.DeleteFunc(r.scout.release, func(id string) bool { return id == s.id })
		r.requestLaneLocked(LaneSession)
	}
	j.session = s
	s.claimed++
	s.queue.push(j)
	r.queueSessionLocked(s)
}

func (r *Runtime) queueSessionLocked(s *session) {
	if !s.queued && !s.running && s.begin == nil && s.queue.len() > 0 {
		s.queued = true
		r.sessions.waiting.push(s)
	}
}

// spreadSessionsLocked gives free permits to sessions that have jobs.
func (r *Runtime) spreadSessionsLocked() {
	for n := r.sessions.waiting.len(); n > 0 && r.running < r.opt.WorkerConcurrency && r.mayStartLocked(); n-- {
		s := r.sessions.waiting.pop()
		s.queued = false
		if s.over || s.queue.len() == 0 {
			continue
		}
		if s.lane == nil { // its thread is being made
			s.queued = true
			r.sessions.waiting.push(s)
			continue
		}
		s.begin = s.queue.pop()
		s.running = true
		r.running++
		s.lane.wake.Wake()
	}
}

// attachSessionLocked gives a new session lane to a session that has none.
func (r *Runtime) attachSessionLocked(l *lane) {
	for _, s := range r.sessions.held {
		if s.lane == nil {
			s.lane, l.session = l, s
			break
		}
	}
	if l.session == nil {
		l.over = true // its session was released before it came
	}
	r.spreadLocked()
}

func (r *Runtime) replaceSessionLaneLocked(s *session) {
	s.lane, s.running, s.begin = nil, false, nil
	r.requestLaneLocked(LaneSession)
	r.queueSessionLocked(s)
}

// runSessionLane serves one session until it is released.
func (r *Runtime) runSessionLane(l *lane) {
	for {
		r.mu.Lock()
		s := l.session
		if l.over || s == nil || s.over || r.phase == phaseEnded {
			r.mu.Unlock()
			return
		}
		if j := s.begin; j != nil {
			s.begin = nil
			if j.state != jobQueued { // lost on the way
				s.running = false
				r.running--
				r.queueSessionLocked(s)
				r.spreadLocked()
				r.mu.Unlock()
				continue
			}
			r.startedLocked(l, j)
			r.mu.Unlock()
			r.runJob(l, j)
			r.mu.Lock()
			if !l.over {
				r.queueSessionLocked(s)
			}
			r.spreadLocked()
			r.restLocked()
			r.mu.Unlock()
			continue
		}
		r.mu.Unlock()
		l.wake.Wait()
	}
}

// releaseIdleSessionLocked gives up the session that was used longest ago and has nothing to do.
func (r *Runtime) releaseIdleSessionLocked() bool {
	var oldest *session
	for _, s := range r.sessions.held {
		if s.isIdle() && (oldest == nil || s.lastUse < oldest.lastUse) {
			oldest = s
		}
	}
	if oldest == nil {
		return false
	}
	r.releaseSessionLocked(oldest)
	return true
}

func (r *Runtime) releaseSessionLocked(s *session) {
	delete(r.sessions.held, s.id)
	s.over = true
	r.giveUpSessionLocked(s.id)
	if s.lane != nil {
		s.lane.wake.Wake()
	}
}

// giveUpSessionLocked tells the store that a session is not held here any more.
func (r *Runtime) giveUpSessionLocked(id string) {
	r.scout.release = append(r.scout.release, id)
	kick(r.scoutKick)
}

// releaseIdleSessions gives up sessions that nothing has used for the idle time-out.
func (r *Runtime) releaseIdleSessions() {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.now() - int64(r.opt.SessionIdleTimeout)
	for _, s := range r.sessions.held {
		if s.isIdle() && s.lastUse < before {
			r.releaseSessionLocked(s)
		}
	}
}

// claimLocked says what this node claims: limit jobs of those it can run. Sessions that are idle count as places that
// may be taken, since one of them is released then.
func (r *Runtime) claimLocked(limit int) store.Claim {
	c := store.Claim{
		Node: r.node, Limit: limit, Activities: r.names.activities, Tags: r.opt.Tags, Label: r.opt.WorkerNodeID,
	}
	if limit == 0 {
		return c
	}
	c.MayTake = r.opt.MaxSessions - len(r.sessions.held)
	if len(r.sessions.held) > 0 {
		c.HeldSessions = make(map[string]bool, len(r.sessions.held))
		for id, s := range r.sessions.held {
			c.HeldSessions[id] = true
			if s.isIdle() {
				c.MayTake++
			}
		}
	}
	return c
}
