package postgres

import (
	"context"
	"strconv"
	"time"

	"github.com/duroxide/duroxide/core/store"
)

const (
	announceGap   = 5 * time.Millisecond // between two notifications of this process
	announceAgain = time.Second          // and at most, while they cannot be sent
	announceBound = 2 * time.Second
)

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
	pause := announceGap
	for {
		select {
		case <-n.kick:
		case <-n.quit:
			n.sendPending()
			return
		}
		if n.sendPending() {
			pause = announceGap
		} else {
			pause = min(pause*2, announceAgain)
		}
		gap.Reset(pause)
		select {
		case <-gap.C:
		case <-n.quit:
			n.sendPending()
			return
		}
	}
}

// sendPending reports whether nothing is left to be told. What could not be sent is pending again.
func (n *news) sendPending() bool {
	k := store.Kinds(n.pending.Swap(0)) //nolint:gosec // only kinds go in
	if k == 0 {
		return true
	}
	payload := make([]byte, 0, 32)
	payload = append(append(payload, n.self...), ':')
	for _, l := range kindLetters {
		if k&l.kind != 0 {
			payload = append(payload, l.letter)
		}
	}
	if err := n.notify(background, string(payload)); err != nil {
		n.announce(k)
		return false
	}
	return true
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
	conn, err := n.store.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer release(conn)
	_, err = conn.Exec(ctx, notify, n.channel, payload)
	return err
}
