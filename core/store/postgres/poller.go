package postgres

import (
	"context"
	"time"
)

// poller looks at the counter while notifications do not come.
type poller struct {
	news  *news
	pause time.Duration
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
	moved, err := p.news.look(ctx)
	switch {
	case err != nil:
		p.pause = slowestPoll
	case moved:
		p.pause = p.news.poll
	default:
		p.pause = min(p.pause*3/2, max(slowestPoll, p.news.poll))
	}
}
