package sqlite

import (
	"context"
	"errors"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/duroxide/duroxide/core/store"
)

// read runs fn on a connection of its own, in a snapshot when it runs more than one statement. In memory there is only
// the one connection, so fn waits its turn among the writers.
func (f *file) read(ctx context.Context, operation string, snapshot bool, fn func(*sqlite.Conn) error) error {
	if f.memory {
		m := &member{operation: operation, alone: fn}
		if err := f.write(ctx, m); err != nil {
			return err
		}
		return m.err
	}
	select {
	case f.readerSem <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-f.readerSem }()
	f.queueMu.Lock()
	closing := f.closing
	f.queueMu.Unlock()
	if closing {
		return store.ErrClosed
	}
	c, err := f.reader()
	if err != nil {
		return trouble(f.name(), operation, err)
	}
	err = inSnapshot(c, snapshot, fn)
	if err != nil && !isAnswer(err) {
		// The connection may be the trouble.
		return trouble(f.name(), operation, errors.Join(err, c.Close()))
	}
	f.readers <- c
	return err
}

func inSnapshot(c *sqlite.Conn, snapshot bool, fn func(*sqlite.Conn) error) error {
	if !snapshot {
		return fn(c)
	}
	if err := prepared(c, "BEGIN").exec(); err != nil {
		return err
	}
	err := fn(c)
	if end := prepared(c, "ROLLBACK").exec(); err == nil {
		err = end
	}
	return err
}

func (f *file) reader() (*sqlite.Conn, error) {
	select {
	case c := <-f.readers:
		return c, nil
	default:
	}
	c, err := sqlite.OpenConn(f.path, sqlite.OpenReadOnly)
	if err != nil {
		return nil, err
	}
	c.SetBusyTimeout(10 * time.Second) // readers wait only while another process recovers the log
	for _, pragma := range []string{"PRAGMA query_only = ON", "PRAGMA temp_store = MEMORY", "PRAGMA cache_size = -16384"} {
		if err := prepared(c, pragma).exec(); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}
