package sqlite

import (
	"errors"
	"fmt"

	"zombiezen.com/go/sqlite"

	"github.com/duroxide/duroxide/core/store"
)

// isAnswer reports whether err is one of the contract's own answers, which say something about the store's content and
// not about its health.
func isAnswer(err error) bool {
	for _, sentinel := range []error{
		store.ErrNotFound, store.ErrExists, store.ErrStillRunning, store.ErrIsChild, store.ErrFenced, store.ErrJobsLost,
		store.ErrNodeLost, store.ErrClosed, store.ErrNewerSchema, store.ErrTooOld,
	} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}

// trouble wraps an error of the database: names it, says what most often lies behind, and whether trying again may help.
// Answers pass as they are.
func trouble(path, operation string, err error) error {
	var known *store.Error
	if err == nil || isAnswer(err) || errors.As(err, &known) {
		return err
	}
	return &store.Error{Operation: operation, Retryable: isPassing(err), Refused: isTooBig(err), Err: explain(path, err)}
}

// isTooBig reports a value beyond what SQLite stores in a row: a gigabyte.
func isTooBig(err error) bool { return sqlite.ErrCode(err).ToPrimary() == sqlite.ResultTooBig }

// isPassing reports whether the cause may go away by itself: a lock, a full disk, a failing device.
func isPassing(err error) bool {
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultBusy, sqlite.ResultLocked, sqlite.ResultFull, sqlite.ResultIOErr, sqlite.ResultNoMem,
		sqlite.ResultInterrupt, sqlite.ResultProtocol, sqlite.ResultSchema, sqlite.ResultAbort:
		return true
	default:
		return false
	}
}

func isBusy(err error) bool {
	code := sqlite.ErrCode(err).ToPrimary()
	return code == sqlite.ResultBusy || code == sqlite.ResultLocked
}

// explain says in plain words what most often lies behind an error, and of which database.
func explain(path string, err error) error {
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultNotADB:
		return fmt.Errorf("%s is not a SQLite database: %w", path, err)
	case sqlite.ResultReadOnly:
		return fmt.Errorf("%s cannot be written: it or its directory is read-only: %w", path, err)
	case sqlite.ResultCantOpen, sqlite.ResultPerm, sqlite.ResultAuth:
		return fmt.Errorf("%s cannot be opened for writing (SQLite also creates files beside it): %w", path, err)
	case sqlite.ResultCorrupt:
		return fmt.Errorf("%s is damaged: %w", path, err)
	case sqlite.ResultFull:
		return fmt.Errorf("%s: the disk is full: %w", path, err)
	case sqlite.ResultBusy, sqlite.ResultLocked:
		return fmt.Errorf("%s is locked by another program: %w", path, err)
	default:
		return fmt.Errorf("%s: %w", path, err)
	}
}
