package engine

// The turn of an execution that is in memory takes microseconds; one that has to be loaded takes a read of the store and a
// replay, on the same lane. While the first kind waits the second gets a tenth of the lane's time. Else results would wait
// too long for their turns and be settled alone: messages then, for which their instances are loaded too, here or by
// another node that takes them, until there is nothing but loads.

const (
	loadRest  = 9   // how long no other load is begun, as a multiple of the time that one took
	lookAhead = 256 // how far behind the head of the queue a turn in memory is looked for
)

// popReadyLocked gives the instance whose turn it is.
func (r *Runtime) popReadyLocked() *instance {
	if r.now() < r.loadAgain {
		for i := range min(r.ready.len(), lookAhead) {
			if !r.ready.at(i).needsLoad() {
				return r.ready.remove(i)
			}
		}
	}
	return r.ready.pop()
}

// needsLoad reports whether a turn of the instance begins with a read of the store.
func (i *instance) needsLoad() bool { return i.reload || i.snapshot == nil && i.live == nil }

// loadTookLocked notes what a load cost that began then.
func (r *Runtime) loadTookLocked(began int64) {
	now := r.now()
	r.loadAgain = now + loadRest*(now-began)
}
