package engine

import (
	"strconv"
	"time"
)

// watch looks for turns that stay in user code: each is reported once and its lane replaced. The step may still return;
// it commits then if its turn still holds.
func (r *Runtime) watch() {
	type found struct {
		lane     int64
		instance string
		name     string
		since    time.Duration
		replaced bool
	}
	var stuck []found
	r.mu.Lock()
	now := r.now()
	for _, l := range r.lanes {
		since := time.Duration(r.inUserSince(l, now))
		if l.turnOf == nil || since < r.opt.StuckAfter {
			l.stuck = false
			continue
		}
		if l.stuck {
			continue
		}
		l.stuck = true
		if l.role && !l.slow {
			l.slow = true
			r.roles--
		}
		name := ""
		if e := l.turnOf.live; e != nil {
			name = e.name
		}
		stuck = append(stuck, found{l.id, l.turnOf.id, name, since, r.replaceLaneLocked(l)})
	}
	r.spreadLocked()
	r.mu.Unlock()
	for _, f := range stuck {
		text := "its code blocks its lane; orchestrations must not block, move the work into an activity"
		if !f.replaced {
			text += " (no spare lane is left)"
		}
		r.logf("error", text, "instance_id", f.instance, "orchestration_name", f.name, "lane", strconv.FormatInt(f.lane, 10), "since_ms", strconv.FormatInt(f.since.Milliseconds(), 10))
	}
}
