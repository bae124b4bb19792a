package engine

// detach frees the lane of a job whose activity goes on without one. The job keeps its permit. It gives the activity's
// end when that was told already.
func (r *Runtime) detach(l *lane, j *job) *ActivityResult {
	r.mu.Lock()
	defer r.mu.Unlock()
	if j.end != nil {
		return j.end
	}
	l.job, j.lane = nil, nil
	if !j.released {
		r.longLocked(j)
		r.detached++
	}
	return nil
}

// EndActivity tells how an activity ended that went on without its lane. It does not wait for anything, and may come
// before the lane itself has answered. A run that is not known, or has ended, is none of its business.
func (r *Runtime) EndActivity(run RunID, res ActivityResult) {
	r.mu.Lock()
	j := r.runs[run]
	if j == nil {
		r.mu.Unlock()
		return
	}
	if j.lane != nil {
		if j.end == nil {
			j.end = &res
		}
		r.mu.Unlock()
		return
	}
	r.freeJobLocked(j)
	r.mu.Unlock()
	r.finishJob(j, res)
	r.mu.Lock()
	r.spreadLocked()
	r.restLocked()
	r.mu.Unlock()
}
