package engine

import (
	"context"
	"slices"
	"time"

	"github.com/duroxide/duroxide/core/store"
)

// Health of a runtime, for people and probes.
type Health struct {
	LeaseAgeMS     int64        `json:"lease_age_ms"` // since the last renewal
	StoreReachable bool         `json:"store_reachable"`
	Stuck          []StuckLane  `json:"stuck"`
	Waiting        []OldestWait `json:"waiting"`
	Blocked        []string     `json:"blocked"` // "instance: reason"
}

// blockedShown bounds the blocked instances that one answer names.
const blockedShown = 1000

// StuckLane is a lane that stays in the user code of a turn.
type StuckLane struct {
	Lane     int64  `json:"lane"` // id of its LaneRequest: the host knows the thread, and with it the line
	Instance string `json:"instance"`
	Name     string `json:"name"`
	At       string `json:"at"` // file:line where it is known, else empty
	SinceMS  int64  `json:"since_ms"`
}

// OldestWait is the oldest waiting job of a name and tag: unclaimed in the store, or claimed by this node and not begun.
type OldestWait struct {
	Activity string `json:"activity"`
	Tag      string `json:"tag"`
	AgeMS    int64  `json:"age_ms"`
}

// Health of the runtime. It asks the store for a sign of life within ctx.
func (r *Runtime) Health(ctx context.Context) Health {
	unclaimable, err := r.store.Unclaimable(ctx)
	var unclaimed []store.WaitingJobs
	if err == nil {
		unclaimed, err = r.store.WaitingJobs(ctx)
	}
	yes := true
	var blocked store.InstancePage
	if err == nil {
		blocked, err = r.store.Instances(ctx, store.InstanceQuery{Blocked: &yes, OldestFirst: true, Limit: blockedShown})
	}
	stamp := r.store.Now()
	h := Health{Stuck: []StuckLane{}, Waiting: []OldestWait{}, Blocked: []string{}}
	r.mu.Lock()
	defer r.mu.Unlock()
	// A store that can be read and not written is of no use to a runtime.
	h.StoreReachable = err == nil && r.lease.reachable && !r.trouble.on
	if !r.lease.renewed.IsZero() {
		h.LeaseAgeMS = time.Since(r.lease.renewed).Milliseconds()
	}
	now := r.now()
	for _, l := range r.lanes {
		if since := time.Duration(r.inUserSince(l, now)); l.turnOf != nil && since >= r.opt.StuckAfter {
			stuck := StuckLane{Lane: l.id, Instance: l.turnOf.id, SinceMS: since.Milliseconds()}
			if l.turnOf.live != nil {
				stuck.Name = l.turnOf.live.name
			}
			h.Stuck = append(h.Stuck, stuck)
		}
	}
	oldest := map[[2]string]int64{}
	note := func(name, tag string, ageMS int64) {
		key := [2]string{name, tag}
		if known, ok := oldest[key]; !ok || ageMS > known {
			oldest[key] = max(0, ageMS)
		}
	}
	claimed := func(j *job) { note(j.Name, j.Tag, (now-j.claimedAt)/int64(time.Millisecond)) }
	r.jobs.each(claimed)
	for _, s := range r.sessions.held {
		s.queue.each(claimed)
	}
	for _, u := range unclaimed {
		note(u.Name, u.Tag, stamp-u.SinceMS)
	}
	for key, age := range oldest {
		h.Waiting = append(h.Waiting, OldestWait{Activity: key[0], Tag: key[1], AgeMS: age})
	}
	for _, u := range unclaimable {
		if u.Job == 0 {
			h.Blocked = append(h.Blocked, u.Instance+": no runtime registers "+wantedName(u))
		}
	}
	for i := range blocked.Items {
		if b := blocked.Items[i].Blocked; b != nil {
			h.Blocked = append(h.Blocked, blocked.Items[i].Instance+": "+b.Reason)
		}
	}
	slices.Sort(h.Blocked)
	slices.SortFunc(h.Waiting, func(a, b OldestWait) int { return int(b.AgeMS - a.AgeMS) })
	return h
}
