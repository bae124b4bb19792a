package store

import (
	"errors"
	"fmt"
)

// Errors a caller is told of by name. Everything else is storage trouble: see Error.
var (
	ErrNotFound     = errors.New("instance not found")
	ErrExists       = errors.New("instance already exists")
	ErrStillRunning = errors.New("instance is still running")
	ErrIsChild      = errors.New("instance is a sub-orchestration")
	ErrFenced       = errors.New("instance was changed by another turn")
	ErrNotBegun     = errors.New("the first turn was not committed")
	ErrJobsLost     = errors.New("a consumed job is no longer claimed")
	ErrNodeLost     = errors.New("node lease was taken over")
	ErrClosed       = errors.New("store is closed")
	ErrNewerSchema  = errors.New("store was written by a newer version")
	ErrTooOld       = errors.New("store demands a newer version of duroxide")
)

// Error is storage trouble.
type Error struct {
	Operation string // what was being done: "commit turns", "open"
	Retryable bool   // trying again may help
	Unknown   bool   // it may have been applied all the same
	Refused   bool   // what was to be stored can never be: too large, or of a form that the store does not take
	Err       error
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Operation, e.Err) }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// IsRetryable reports whether trying again may help.
func IsRetryable(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Retryable
}

// IsUnknown reports whether the write may have been applied although it failed.
func IsUnknown(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Unknown
}

// IsRefused reports whether what was to be stored can never be stored, by whomever.
func IsRefused(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Refused
}
