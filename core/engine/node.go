package engine

import (
	"context"
	"errors"
	"time"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

// leaseState is the runtime's hold on its node row.
type leaseState struct {
	row     *store.Lease
	renewed time.Time
	// doubtful: the wall clock jumped, so the lease may be over.
	doubtful  bool
	reachable bool
	former    store.NodeID // the node before, until the next has joined
}

// join becomes a new node.
func (r *Runtime) join(ctx context.Context) error {
	id := store.NodeID(history.NewToken().String())
	lease, err := r.store.Join(ctx, store.Node{
		ID: id, Label: r.opt.WorkerNodeID, LeaseMS: r.opt.Lease.Milliseconds(),
		Orchestrations: r.names.nodeOrchestrations(), Activities: r.names.nodeActivities(),
	})
	if err != nil {
		r.meters.providerErrors.Add(1)
		return err
	}
	r.mu.Lock()
	r.node = id
	r.lease = leaseState{row: lease, renewed: time.Now(), reachable: true}
	r.scout.told, r.scout.waiting = lease.Waiting != nil, true
	r.mu.Unlock()
	return nil
}

// renewEvery is a third of the lease; half of it with a store that says on the occasion what waits, so that an idle node
// costs one statement each few seconds.
func (r *Runtime) renewEvery(row *store.Lease) time.Duration {
	if row != nil && row.Waiting != nil {
		return min(r.opt.Lease/2, r.timing.pollFloor)
	}
	return r.opt.Lease / 3
}

// runKeeper renews the lease long before it ends, and joins again when it was lost.
func (r *Runtime) runKeeper() {
	r.mu.Lock()
	wait := time.NewTimer(r.renewEvery(r.lease.row))
	r.mu.Unlock()
	defer wait.Stop()
	for {
		select {
		case <-wait.C:
		case <-r.keeperKick:
		case <-r.done:
			return
		}
		r.mu.Lock()
		joined, row := r.node != "", r.lease.row
		r.mu.Unlock()
		period := r.renewEvery(row)
		next := period
		switch {
		case !joined:
			switch err := r.rejoin(); {
			case errors.Is(err, store.ErrTooOld):
				r.retire(err)
				return
			case err != nil:
				next = min(period, r.timing.retryMost/4)
			}
		default:
			err := r.store.Renew(r.ctx, row)
			switch {
			case err == nil:
				r.meters.leaseWrites.Add(1)
				r.mu.Lock()
				r.lease.renewed, r.lease.doubtful, r.lease.reachable = time.Now(), false, true
				r.heedLocked(row.Waiting)
				r.restLocked()
				r.spreadLocked()
				r.mu.Unlock()
				r.storeWorks()
			case errors.Is(err, store.ErrNodeLost):
				r.mu.Lock()
				r.loseNodeLocked()
				r.mu.Unlock()
				next = 0
			case errors.Is(err, store.ErrTooOld):
				r.retire(err)
				return
			default:
				r.storeFailed("renew the node's lease", err)
				r.mu.Lock()
				r.lease.reachable = false
				r.mu.Unlock()
				next = min(period, r.timing.retryMost/4)
			}
		}
		wait.Reset(next)
	}
}

// loseNodeLocked discards everything the node held: another may have it by now. The keeper joins anew.
func (r *Runtime) loseNodeLocked() {
	if r.node == "" {
		return
	}
	lost := r.node
	r.lease.former = lost
	r.node = ""
	r.epoch++
	r.lease.row = nil
	for _, j := range r.claimed {
		if j.state == jobRunning { // gone when its function returns
			j.dropped = true
			r.cancelJobLocked(j)
			delete(r.claimed, j.ID)
			continue
		}
		if j.state != jobTaken {
			r.goneLocked(j)
		}
	}
	r.jobs.take()
	r.aging.take()
	r.settles.take()
	for _, s := range r.sessions.held {
		s.over = true
		s.queue.take()
		if s.begin != nil {
			s.begin, s.running = nil, false
			r.running--
		}
		if s.lane != nil {
			s.lane.wake.Wake()
		}
	}
	r.sessions.held = map[string]*session{}
	r.sessions.waiting.take()
	pending := r.pending
	r.pending = nil
	for _, s := range pending {
		r.voidLocked(s)
	}
	r.ready.take()
	for _, inst := range r.instances {
		inst.inbox = nil
		if inst.state == running || inst.state == committing {
			continue // its turn is void when it comes back
		}
		r.endBeginLocked(inst, store.ErrNotBegun)
		if inst.live != nil {
			r.forgetLocked(inst.live)
		}
		inst.state, inst.snapshot, inst.untaken, inst.left, inst.reload = idle, nil, nil, nil, false
		inst.failures, inst.counted, inst.awarded, inst.unstorable = 0, 0, false, ""
		r.clearSuspectTurnLocked(inst)
		r.releaseLocked(inst)
	}
	r.clock.due = map[string]int64{}
	r.clock.timers, r.clock.retries = nil, nil
	r.logLocked("warn", "node was lost: everything held is discarded, joining as a new node", "node", string(lost))
	kick(r.keeperKick)
	r.spreadLocked()
}

// retire ends a runtime whose store demands newer programs: what runs is finished, then it stops.
func (r *Runtime) retire(err error) {
	r.logf("error", "this program is too old for its store; it finishes what it has begun and stops: "+err.Error(), "store", r.store.Describe())
	go r.Shutdown(retireDrain) // it waits for this goroutine; whoever calls Shutdown waits for it
}

const retireDrain = 10 * time.Second

// rejoin becomes a new node after the old one was lost. It logs its error.
func (r *Runtime) rejoin() error {
	r.mu.Lock()
	on := r.phase == phaseRunning
	r.mu.Unlock()
	if !on {
		return nil
	}
	// The row may still be there, when the node gave itself up: what it had claimed must not wait for the lease to end.
	r.mu.Lock()
	former := r.lease.former
	r.mu.Unlock()
	if former != "" {
		if err := r.store.Leave(r.ctx, former); err != nil {
			r.storeFailed("leave as the former node", err)
			return err
		}
	}
	if err := r.join(r.ctx); err != nil {
		r.storeFailed("join as a node", err)
		return err
	}
	r.mu.Lock()
	r.moreJobs = true
	r.scout.want(askStart)
	r.scout.jobs = true
	r.mu.Unlock()
	kick(r.scoutKick)
	kick(r.committerKick) // it waits while there is no node
	r.storeWorks()
	r.logf("info", "joined as a new node", "node", string(r.nodeID()))
	return nil
}

// runHousekeeping frees what dead nodes held, gives up idle sessions, and looks for work that nobody can run.
func (r *Runtime) runHousekeeping() {
	bury := time.NewTicker(r.timing.bury)
	defer bury.Stop()
	unclaimable := time.NewTicker(r.timing.unclaimable)
	defer unclaimable.Stop()
	for {
		select {
		case <-r.done:
			return
		case <-bury.C:
			r.releaseIdleSessions()
			node := r.nodeID()
			if node == "" {
				continue
			}
			buried, err := r.store.BuryDead(r.ctx, node)
			if err != nil {
				r.storeFailed("bury dead nodes", err) // some may be buried all the same
			}
			if len(buried) == 0 {
				continue
			}
			for _, dead := range buried {
				r.logf("warn", "a node is dead, its work is taken over", "node", string(dead))
			}
			r.mu.Lock()
			r.jobNews++
			r.moreJobs = true
			r.scout.want(askElsewhere)
			r.scout.jobs = true
			r.mu.Unlock()
			kick(r.scoutKick)
		case <-unclaimable.C:
			r.mu.Lock()
			in := r.scout.waiting || !r.scout.told
			r.mu.Unlock()
			if in {
				r.tendUnclaimable()
			}
		}
	}
}
