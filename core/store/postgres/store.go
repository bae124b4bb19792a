package postgres

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duroxide/duroxide/core/store"
)

// Store is a schema with instances in it. It is safe for use by many goroutines.
type Store struct {
	pool        *pgxpool.Pool
	sockets     sockets
	sql         statements
	schema      string // as given
	connections int64  // the mark of all that lead straight to the server
	place       string // host and database, for people
	clock       clock
	nodes       joined
	served      served
	news        *news
	closed      atomic.Bool
	calls       atomic.Int32 // under way
	older       atomic.Int64 // when a step found older jobs than its own; local clock

	starts   *together[newcomer, beginning]
	enqueues *together[[]store.Enqueue, []bool]
	statuses *together[string, *store.Status]
}

func (s *Store) joinCalls() {
	s.starts = &together[newcomer, beginning]{operation: "start", isWrite: true, run: s.begin, weigh: newcomer.weight}
	s.enqueues = &together[[]store.Enqueue, []bool]{operation: "enqueue", isWrite: true, run: s.enqueueAll, weigh: weightOfMessages}
	s.statuses = &together[string, *store.Status]{operation: "read status", run: s.readStatuses}
}

var (
	_ store.Store     = (*Store)(nil)
	_ store.Inspector = (*Store)(nil)
)

// Now implements [store.Store].
func (s *Store) Now() int64 { return s.clock.now() }

// Describe implements [store.Store].
func (s *Store) Describe() string {
	if s.schema == defaultSchema {
		return "postgres " + s.place
	}
	return "postgres " + s.place + " schema " + s.schema
}

const closeBound = 3 * time.Second

// Close implements [store.Store].
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	patience := time.NewTimer(closeBound)
	defer patience.Stop()
	s.news.close()
	s.end(patience.C)
	return nil
}

// background is for work that belongs to no call.
var background = context.Background()
