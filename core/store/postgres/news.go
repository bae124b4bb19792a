package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
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
	slowestPoll = time.Second
	probeBound  = 2 * time.Second  // for a notification to oneself
	probeEvery  = 30 * time.Second // while none comes, the connection is tried
	listenAgain = time.Minute      // after notifications did not come through
	defaultLook = 5 * time.Second  // at the counter, for what no notification told
)

// news carries word between processes: what this one has written goes out by NOTIFY, what others have comes in by LISTEN
// or, where that does not work, by looking at a counter.
type news struct {
	store     *Store
	listeners listeners
	config    *pgx.ConnConfig
	poll      time.Duration
	lookEvery time.Duration
	counter   counter
	channel   string
	self      string // in every notification, to know one's own

	pending atomic.Uint32 // kinds to announce, or of which an announcement failed
	kick    chan struct{}
	quit    chan struct{}
	done    sync.WaitGroup

	listening atomic.Bool  // notifications are known to come through
	probes    atomic.Int64 // sent so far

	mu        sync.Mutex
	stopWatch func() // nil while nobody listens
	notices   map[subject]string
}

func newNews(s *Store, config *pgx.ConnConfig, poll, look time.Duration) *news {
	sum := sha256.Sum256([]byte(s.schema))
	n := &news{
		store: s, config: config.Copy(), poll: poll, lookEvery: look, channel: "duroxide_" + hex.EncodeToString(sum[:8]),
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

// Listen implements [store.Store].
func (s *Store) Listen(target store.Listener) (cancel func()) {
	n := s.news
	l := &listener{Listener: target}
	l.idle.L = &l.mu
	if n.listeners.add(l) {
		n.startWatch()
	}
	n.mu.Lock()
	notices := maps.Clone(n.notices)
	n.mu.Unlock()
	for about, notice := range notices {
		l.note(about, notice)
	}
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
			n.sayPolling("LISTEN is refused (" + err.Error() + ")")
			return listenAgain
		}
		return slowestPoll
	}
	if through, err := n.probe(ctx, conn, p); err != nil || !through {
		if err != nil {
			return slowestPoll
		}
		n.sayPolling("notifications do not come through, as behind a pooler in transaction mode")
		return listenAgain
	}
	n.listening.Store(true)
	n.elsewhere(0) // what was written before is not told
	heard := time.Now()
	for {
		look := n.counter.lookedAt().Add(n.lookAfter())
		waiting, cancel := context.WithTimeout(ctx, time.Until(earlier(look, heard.Add(probeEvery))))
		got, err := conn.WaitForNotification(waiting)
		timedOut := waiting.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case err == nil:
			heard = time.Now()
			n.take(got.Payload)
		case !timedOut || conn.IsClosed():
			return 0
		case time.Since(heard) >= probeEvery:
			if through, err := n.probe(ctx, conn, nil); err != nil || !through {
				return 0
			}
			heard = time.Now()
		default: // a renewal may have looked meanwhile
			if time.Since(n.counter.lookedAt()) >= n.lookAfter() {
				_, _ = n.look(ctx)
			}
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
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

// sayPolling tells the log that news come by polling.
func (n *news) sayPolling(why string) {
	n.say("polling", why+": work that other processes store is found by asking every "+n.poll.String()+", more seldom while there is none")
}

// say tells the log something, once about each subject.
func (n *news) say(about subject, notice string) {
	n.mu.Lock()
	if n.notices == nil {
		n.notices = map[subject]string{}
	}
	n.notices[about] = notice
	n.mu.Unlock()
	for _, l := range n.listeners.list() {
		l.note(about, notice)
	}
}
