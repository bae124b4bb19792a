package postgres

import (
	"os"
	"slices"
	"sync"

	"github.com/duroxide/duroxide/core/store"
)

// joined are the nodes of this process, with their leases as last written, and what is known of the others.
type joined struct {
	mu     sync.Mutex
	leases map[store.NodeID]lease
	// As they were at the last renewal; known is false when there is news of nodes since.
	others []neighbour
	strays bool
	known  bool
}

// neighbour is a node of whatever process.
type neighbour struct {
	node  store.NodeID
	until int64
	process
}

// isLapsed reports whether the node's lease has been over for long enough, at a time: one more lease if its process is seen to
// live, which then is slow or stopped. Of a node of this process nothing can be seen.
func (n *neighbour) isLapsed(now, ms int64) bool {
	over := now - n.until
	if n.state() == processRuns && n.pid != int64(os.Getpid()) {
		over -= ms
	}
	return over > 0
}

func (j *joined) learn(others []neighbour, strays bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.others, j.strays, j.known = others, strays, true
}

// doubt makes the next look go to the database.
func (j *joined) doubt() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.known = false
}

// areWell reports whether all other nodes are known to live: their processes are there, as far as can be seen from here,
// and their leases hold. Who died since the last renewal is noticed when the lease is over that it had then.
func (j *joined) areWell(now int64) bool {
	j.mu.Lock()
	others, well := j.others, j.known && !j.strays
	j.mu.Unlock()
	return well && !slices.ContainsFunc(others, func(n neighbour) bool { return n.until < now || n.state() == processGone })
}

// lease is as this process has last written it.
type lease struct {
	ms, until int64
	since     int64 // renewed without a gap from this time on
	broken    bool  // the last renewal has failed
	unsure    int64 // renewals that have failed since the last one that did not: they may have been applied all the same
}

// extended is the lease after a renewal at a time. What was over, or could not be renewed, begins anew.
func (l lease) extended(now, until int64) lease {
	if l.broken || l.until < now {
		l.since = now
	}
	l.until, l.broken = until, false
	return l
}

func (j *joined) init() { j.leases = map[store.NodeID]lease{} }

// begin notes a node that has joined.
func (j *joined) begin(node store.NodeID, ms, now, until int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.leases[node] = lease{ms: ms, until: until, since: now}
}

func (j *joined) remove(node store.NodeID) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.leases, node)
}

// renewal is the lease (ms) that a commit extends on its way, once a third of it has gone by; 0 = not yet.
func (j *joined) renewal(node store.NodeID, now int64) int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if l, ok := j.leases[node]; ok && l.until-now <= l.ms*2/3 {
		return l.ms
	}
	return 0
}

// extend notes that a renewal has extended the lease.
func (j *joined) extend(node store.NodeID, now, until int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if l, ok := j.leases[node]; ok {
		l = l.extended(now, until)
		l.unsure = 0
		j.leases[node] = l
	}
}

// renewed notes that a commit has extended the lease.
func (j *joined) renewed(node store.NodeID, now int64, done bool) {
	if !done {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if l, ok := j.leases[node]; ok {
		j.leases[node] = l.extended(now, now+l.ms)
	}
}

// interrupt notes that a renewal has failed.
func (j *joined) interrupt(node store.NodeID) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if l, ok := j.leases[node]; ok {
		l.broken, l.unsure = true, l.unsure+1
		j.leases[node] = l
	}
}

// unsure counts the renewals of which it is not known whether they were applied.
func (j *joined) unsure(node store.NodeID) int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.leases[node].unsure
}

// hadTheirChance reports whether the database has answered the node so long without a gap that any other, with a lease of so
// many ms, could have renewed it: after an outage who asks first must not take the others for dead. A node that has not
// joined here knows of no gap.
func (j *joined) hadTheirChance(self store.NodeID, now, ms int64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	l, ok := j.leases[self]
	return !ok || !l.broken && l.until >= now && now-l.since >= ms
}

// neighbours are columns of duroxide_renew.
type neighbours struct {
	node, boot, namespace, started []string
	until, pid                     []int64
}

func (o *neighbours) list() []neighbour {
	all := make([]neighbour, len(o.node))
	for i := range all {
		all[i] = neighbour{
			node: store.NodeID(o.node[i]), until: o.until[i],
			process: process{boot: o.boot[i], namespace: o.namespace[i], pid: o.pid[i], started: o.started[i]},
		}
	}
	return all
}
