package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

const (
	announceGap   = 5 * time.Millisecond // between two notifications of this process
	announceBound = 2 * time.Second
	slowestPoll   = time.Second
	probeBound    = 2 * time.Second  // for a notification to oneself
	probeEvery    = 30 * time.Second // while none comes, the connection is tried
	listenAgain   = time.Minute      // after notifications did not come through
)

// news carries word between processes: what this one has written goes out by NOTIFY, what others have comes in by LISTEN
// or, where that does not work, by looking at a counter.
type news struct {
	store     *Store
	listeners listeners
	config    *pgx.ConnConfig
	poll      time.Duration
	channel   string
	self      string // in every notification, to know one's own

	pending atomic.Uint32 // kinds to announce
	kick    chan struct{}
	quit    chan struct{}
	done    sync.WaitGroup

	mu        sync.Mutex
	stopWatch func() // nil while nobody listens

	listening atomic.Bool  // notifications are known to come through
	probes    atomic.Int64 // sent so far
	notice    string       // that they do not; guarded by mu
}

func newNews(s *Store, config *pgx.ConnConfig, poll time.Duration) *news {
	sum := sha256.Sum256([]byte(s.schema))
	n := &news{
		store: s, config: config.Copy(), poll: poll, channel: "duroxide_" + hex.EncodeToString(sum[:8]),
		self: history.NewToken().String()[:16], kick: make(chan struct{}, 1), quit: make(chan struct{}),
	}
	n.done.Go(n.runAnnouncer)
	return n
}

// close sends what is still to be told, and waits for everything that was started.
func (n *news) close() {
	close(n.quit)
	n.mu.Lock()
	stop := n.stopWatch
	n.stopWatch = nil
	n.mu.Unlock()
	if stop != nil {
		stop()
	}
	n.done.Wait()
}

// announce tells other processes, soon.
func (n *news) announce(k store.Kinds) {
	if k == 0 || n.pending.Or(uint32(k))|uint32(k) == 0 {
		return
	}
	select {
	case n.kick <- struct{}{}:
	default:
	}
}

func (n *news) runAnnouncer() {
	gap := time.NewTimer(0)
	defer gap.Stop()
	for {
		select {
		case <-n.kick:
		case <-n.quit:
			n.sendPending()
			return
		}
		n.sendPending()
		gap.Reset(announceGap)
		select {
		case <-gap.C:
		case <-n.quit:
		}
	}
}

func (n *news) sendPending() {
	k := store.Kinds(n.pending.Swap(0)) //nolint:gosec // only kinds go in
	if k == 0 {
		return
	}
	payload := make([]byte, 0, 32)
	payload = append(append(payload, n.self...), ':')
	for _, l := range kindLetters {
		if k&l.kind != 0 {
			payload = append(payload, l.letter)
		}
	}
	// A notification that is lost costs others a poll; who listens looks from time to time anyway.
	_ = n.notify(background, string(payload))
}

// Nothing is lost that has to last: no flush of the disk is waited for.
const notify = `SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)`

// mark is a notification to oneself that goes along with a renewal: as long as those come, the connection is known to
// work. Empty while nobody listens.
func (n *news) mark() string {
	if !n.listening.Load() {
		return ""
	}
	return n.self + ":?" + strconv.FormatInt(n.probes.Add(1), 10)
}

func (n *news) notify(ctx context.Context, payload string) error {
	ctx, cancel := context.WithTimeout(ctx, announceBound)
	defer cancel()
	_, err := n.store.pool.Exec(ctx, notify, n.channel, payload)
	return err
}

// Listen implements [store.Store].
func (s *Store) Listen(target store.Listener) (cancel func()) {
	n := s.news
	l := &listener{Listener: target}
	l.idle.L = &l.mu
	if n.listeners.add(l) {
		n.startWatch()
	}
	n.mu.Lock()
	notice := n.notice
	n.mu.Unlock()
	l.note(notice)
	return sync.OnceFunc(func() {
		if n.listeners.remove(l) {
			n.mu.Lock()
			stop := n.stopWatch
			n.stopWatch = nil
			n.mu.Unlock()
			if stop != nil {
				stop()
			}
		}
		l.end()
	})
}

func (n *news) startWatch() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stopWatch != nil || n.store.closed.Load() {
		return
	}
	ctx, cancel := context.WithCancel(background)
	ended := make(chan struct{})
	n.stopWatch = func() {
		cancel()
		<-ended
	}
	go func() {
		defer close(ended)
		n.watch(ctx)
	}()
}

// watch brings in the news of other processes, one way or the other, until ctx ends.
func (n *news) watch(ctx context.Context) {
	defer n.listening.Store(false)
	p := poller{news: n, pause: n.poll}
	for ctx.Err() == nil {
		again := n.listen(ctx, &p)
		n.listening.Store(false)
		p.until(ctx, time.Now().Add(again))
	}
}

// listen serves notifications as long as they come through, and says how long to poll before trying again.
func (n *news) listen(ctx context.Context, p *poller) (again time.Duration) {
	config := n.config.Copy()
	if before := n.store.pool.Config().BeforeConnect; before != nil {
		if err := before(ctx, config); err != nil {
			return slowestPoll
		}
	}
	connecting, cancel := context.WithTimeout(ctx, config.ConnectTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(connecting, config)
	if err != nil {
		return slowestPoll
	}
	defer func() { //nolint:contextcheck // closed when ctx has ended too
		closing, cancel := context.WithTimeout(background, announceBound)
		defer cancel()
		_ = conn.Close(closing)
	}()
	if _, err := conn.Exec(connecting, "LISTEN "+n.channel); err != nil {
		if !isPassing(err) {
			n.say("LISTEN is refused (" + err.Error() + ")")
			return listenAgain
		}
		return slowestPoll
	}
	if through, err := n.probe(ctx, conn, p); err != nil || !through {
		if err != nil {
			return slowestPoll
		}
		n.say("notifications do not come through, as behind a pooler in transaction mode")
		return listenAgain
	}
	n.listening.Store(true)
	n.elsewhere(0) // what was written before is not told
	for {
		waiting, cancel := context.WithTimeout(ctx, probeEvery)
		got, err := conn.WaitForNotification(waiting)
		timedOut := waiting.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case err == nil:
			n.take(got.Payload)
		case timedOut && !conn.IsClosed():
			if through, err := n.probe(ctx, conn, nil); err != nil || !through {
				return 0
			}
		default:
			return 0
		}
	}
}

// probe sends a notification to this process and waits until it comes. While it does, it polls if p is given.
func (n *news) probe(ctx context.Context, conn *pgx.Conn, p *poller) (through bool, err error) {
	mark := n.self + ":?" + strconv.FormatInt(n.probes.Add(1), 10)
	deadline := time.Now().Add(probeBound)
	if err := n.notify(ctx, mark); err != nil {
		return false, err
	}
	for time.Now().Before(deadline) {
		wait := time.Until(deadline)
		if p != nil {
			wait = min(wait, p.pause)
		}
		waiting, cancel := context.WithTimeout(ctx, wait)
		got, err := conn.WaitForNotification(waiting)
		cancel()
		switch {
		case err == nil && got.Payload == mark:
			return true, nil
		case err == nil:
			n.take(got.Payload)
		case ctx.Err() != nil, conn.IsClosed():
			return false, err
		case p != nil:
			p.look(ctx)
		}
	}
	return false, nil
}

// take passes on what another process has told.
func (n *news) take(payload string) {
	sender, letters, ok := strings.Cut(payload, ":")
	switch {
	case !ok: // of a newer version, perhaps
		n.elsewhere(0)
	case sender == n.self, strings.HasPrefix(letters, "?"):
	default:
		kinds := store.Kinds(0)
		for _, l := range kindLetters {
			if strings.IndexByte(letters, l.letter) >= 0 {
				kinds |= l.kind
			}
		}
		n.elsewhere(kinds)
	}
}

// elsewhere wakes those in this process whom the news concern; kinds are 0 when they may be of any.
func (n *news) elsewhere(kinds store.Kinds) {
	if kinds == 0 || kinds&store.KindNodes != 0 {
		n.store.nodes.doubt()
	}
	n.listeners.wake(store.Wake{Elsewhere: true, Kinds: kinds})
}

// say tells the log that news come by polling.
func (n *news) say(why string) {
	notice := why + ": work that other processes store is found by asking every " + n.poll.String() + ", more seldom while there is none"
	n.mu.Lock()
	n.notice = notice
	n.mu.Unlock()
	for _, l := range n.listeners.list() {
		l.note(notice)
	}
}

// poller looks at the counter that every write moves. A write draws from it before it commits, so a move is passed on
// at once and once more with the next look.
type poller struct {
	news  *news
	pause time.Duration
	seen  int64
	known bool
	moved bool
}

func (p *poller) until(ctx context.Context, end time.Time) {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		left := time.Until(end)
		if left <= 0 {
			return
		}
		t.Reset(min(p.pause, left))
		select {
		case <-t.C:
			p.look(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (p *poller) look(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, announceBound)
	defer cancel()
	var now int64
	err := p.news.store.pool.QueryRow(bounded, p.news.store.sql.in("SELECT last_value + is_called::integer FROM {schema}.duroxide_ids")).Scan(&now)
	if err != nil {
		p.known = false
		p.pause = slowestPoll
		return
	}
	moved := !p.known || now != p.seen
	p.seen, p.known = now, true
	if moved || p.moved {
		p.pause = p.news.poll
		p.news.elsewhere(0)
	} else {
		p.pause = min(p.pause*3/2, max(slowestPoll, p.news.poll))
	}
	p.moved = moved
}
