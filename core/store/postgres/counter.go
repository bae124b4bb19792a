package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/duroxide/duroxide/core/store"
)

// readCounter looks at the sequence that every write moves, at the oldest transaction under way and, if asked, draws the
// id of the next one: that of a snapshot does not count those that began last and have not ended.
const readCounter = `SELECT last_value + is_called::integer, pg_snapshot_xmin(pg_current_snapshot())::text::bigint,
	CASE WHEN $1 THEN pg_current_xact_id()::text::bigint ELSE 0 END FROM {schema}.duroxide_ids`

const (
	firstAgain = 200 * time.Millisecond // after which a move is passed on once more that may not have been the end of it
	lastAgain  = time.Minute            // what holds it up for so long is somebody else's transaction
)

// reading is what was seen at one look.
type reading struct {
	value  int64
	oldest int64 // the oldest transaction under way
	next   int64 // one that began after all that had drawn a number; 0: not asked
}

// counter tells of writes of which no news came: those of processes without notifications, and of those that were killed
// before they told. A write moves the counter before it commits, so a move is passed on until all transactions have ended
// that were under way then: at the look after it, for a number may be drawn a moment before its transaction has an id.
type counter struct {
	mu     sync.Mutex
	known  bool
	value  int64
	second bool      // the next reading is the second since the counter moved
	before int64     // transactions before this one may still have something to commit; 0: none
	again  time.Time // when the move is passed on once more, whatever holds it up
	gap    time.Duration
	at     time.Time // of the last look
}

// take says whether others may have committed something that is not known yet, and whether anybody has written since the
// reading before.
func (c *counter) take(r reading, at time.Time) (tell, moved bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
	moved = !c.known || r.value != c.value
	switch {
	case moved:
		c.known, c.value, c.second, c.before, c.gap = true, r.value, true, 0, firstAgain
		c.again = at.Add(c.gap)
		return true, true
	case c.second:
		if r.next == 0 {
			return true, false
		}
		c.second, c.before = false, r.next
		tell = true
	case c.before == 0:
		return false, false
	}
	switch {
	case r.oldest >= c.before:
		c.before = 0
		return true, false
	case !at.Before(c.again):
		c.gap = min(c.gap*2, lastAgain)
		c.again = at.Add(c.gap)
		return true, false
	}
	return tell, false
}

// forget makes the next reading a move: nothing is known of the time in between.
func (c *counter) forget(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known, c.at = false, at
}

// asksForNext says whether the next reading is the second since a move.
func (c *counter) asksForNext() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.second
}

// lookedAt gives the time of the last look.
func (c *counter) lookedAt() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// compare passes on that others have written, if a reading says so.
func (n *news) compare(r reading) (moved bool) {
	tell, moved := n.counter.take(r, time.Now())
	switch {
	case !tell:
	case n.listening.Load():
		n.elsewhere(written)
	default:
		n.elsewhere(0)
	}
	return moved
}

// written are the news that a write may be of. Nodes are looked at with each renewal.
const written = store.KindReady | store.KindJobs | store.KindLost | store.KindChanged

func (n *news) readCounter(ctx context.Context) (r reading, err error) {
	ctx, cancel := context.WithTimeout(ctx, announceBound)
	defer cancel()
	conn, err := n.store.pool.Acquire(ctx)
	if err != nil {
		return r, err
	}
	defer release(conn)
	err = conn.QueryRow(ctx, n.store.sql.in(readCounter), n.counter.asksForNext()).Scan(&r.value, &r.oldest, &r.next)
	return r, err
}

// look compares the counter on its own account.
func (n *news) look(ctx context.Context) (moved bool, err error) {
	r, err := n.readCounter(ctx)
	if err != nil {
		n.counter.forget(time.Now())
		if ctx.Err() == nil && sqlState(err) != "" && !isPassing(err) {
			n.sayUnread(err)
			n.elsewhere(written) // there may be something, for all that is known
		}
		return false, err
	}
	return n.compare(r), nil
}

// sayUnread tells the log why news may come late.
func (n *news) sayUnread(err error) {
	n.say("counter", "whether other processes have written cannot be seen ("+err.Error()+"): what no notification tells is found by "+
		"asking for everything from time to time; the user needs SELECT on the sequences of schema "+n.store.sql.quoted)
}

// lookAfter is how long to wait for a renewal to bring the counter along before it is asked for: an idle node sends
// nothing else.
func (n *news) lookAfter() time.Duration {
	return max(n.lookEvery, time.Duration(n.store.nodes.longestLease())*time.Millisecond)
}

func (j *joined) longestLease() (ms int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, l := range j.leases {
		ms = max(ms, l.ms)
	}
	return ms
}
