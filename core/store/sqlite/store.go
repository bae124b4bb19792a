package sqlite

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/duroxide/duroxide/core/store"
)

// Options of a store. The zero value has the defaults. When a file is open already in this process, the options of who
// opened it first hold.
type Options struct {
	// Now is the clock in ms since the epoch; for tests. Nil: the wall clock.
	Now func() int64
	// PollInterval is how often the file is asked for writes of other processes while somebody listens, where the
	// system does not tell of them or while this process writes too; 0: 25 ms.
	PollInterval time.Duration
}

// Store is a SQLite database with instances in it. It is safe for use by many goroutines.
type Store struct {
	file   *file
	closed atomic.Bool
}

var _ store.Store = (*Store)(nil)

// backgroundContext is for work that belongs to no call.
var backgroundContext = context.Background()

// Open opens the database file at path, creating it (mode 0600) and its directories if they are missing, and brings
// its schema up to date. It may be open in any number of stores and processes at once. Every error names the path and
// the reason: a directory, no database, not writable, on a network file system, of another program;
// store.ErrNewerSchema and store.ErrTooOld when a newer version has been here.
func Open(path string, o Options) (*Store, error) {
	f, err := openFile(path, o)
	if err != nil {
		return nil, opening(err)
	}
	return &Store{file: f}, nil
}

// OpenMemory makes a database in memory. It behaves as a file does, and is gone when it is closed.
func OpenMemory(o Options) (*Store, error) {
	f, err := openMemory(o)
	if err != nil {
		return nil, opening(err)
	}
	return &Store{file: f}, nil
}

func opening(err error) error {
	return &store.Error{Operation: "open", Retryable: isPassing(err), Err: err}
}

// Now implements [store.Store].
func (s *Store) Now() int64 { return s.file.now() }

// Describe implements [store.Store].
func (s *Store) Describe() string {
	if s.file.memory {
		return "sqlite in memory"
	}
	return "sqlite " + s.file.path
}

// Close implements [store.Store].
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	return trouble(s.file.name(), "close", s.file.release())
}

// write runs one member and gives its error.
func (s *Store) write(ctx context.Context, m *member) error {
	if s.closed.Load() {
		return store.ErrClosed
	}
	if err := s.file.write(ctx, m); err != nil {
		return err
	}
	return m.err
}
