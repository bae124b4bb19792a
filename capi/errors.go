package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/duroxide/duroxide/core/store"
)

// callError is an error as Python sees it: the exception class, its text, its fields.
type callError struct {
	Class  string         `json:"class"`
	Text   string         `json:"text"`
	Fields map[string]any `json:"fields,omitempty"`
}

func (e *callError) Error() string { return e.Text }

// The exception classes that are named from here.
const (
	classInvalidArgument  = "InvalidArgument"
	classInstanceNotFound = "InstanceNotFound"
	classInstanceRunning  = "InstanceRunning"
	classInstanceExists   = "InstanceExists"
	classWaitTimeout      = "WaitTimeout"
	classProvider         = "ProviderError"
	classRegistration     = "RegistrationError"
	classState            = "RuntimeStateError"
	classConfiguration    = "ConfigurationError"
)

var errStaleHandle = &callError{Class: classState, Text: "this provider or runtime is closed"}

func failed(class, format string, args ...any) *callError {
	return &callError{Class: class, Text: fmt.Sprintf(format, args...)}
}

// as gives err the class unless it has one already.
func as(class string, err error) error {
	if err == nil {
		return nil
	}
	var own *callError
	if errors.As(err, &own) {
		return err
	}
	return &callError{Class: class, Text: err.Error()}
}

// about replaces the sentinels of the store by what they mean for one instance.
func about(instance string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrNotFound):
		return failed(classInstanceNotFound, "Instance %s not found", instance)
	case errors.Is(err, store.ErrExists):
		return failed(classInstanceExists, "Instance %s already exists", instance)
	case errors.Is(err, store.ErrStillRunning):
		return failed(classInstanceRunning, "Instance %s is still running. Use force=true or cancel first.", instance)
	case errors.Is(err, store.ErrIsChild):
		return failed(classInvalidArgument,
			"Cannot delete sub-orchestration %s directly. Delete the root orchestration instead.", instance)
	}
	return err
}

// classify turns any error into one that Python can raise.
func classify(err error) *callError {
	var own *callError
	var trouble *store.Error
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, context.DeadlineExceeded) && !errors.As(err, &trouble):
		return failed(classWaitTimeout, "Operation timed out")
	case errors.Is(err, context.Canceled), errors.Is(err, store.ErrClosed):
		return failed(classState, "the provider is closed")
	case errors.As(err, &trouble):
		return &callError{Class: classProvider, Text: err.Error(),
			Fields: map[string]any{"operation": trouble.Operation, "retryable": trouble.Retryable}}
	case errors.Is(err, store.ErrNotFound):
		return failed(classInstanceNotFound, "%v", err)
	case errors.Is(err, store.ErrExists):
		return failed(classInstanceExists, "%v", err)
	case errors.Is(err, store.ErrStillRunning):
		return failed(classInstanceRunning, "%v", err)
	}
	return failed(classProvider, "%v", err)
}

func (e *callError) frame() []byte {
	b, err := json.Marshal(e)
	if err != nil {
		return []byte(`{"class":"ProviderError","text":"an error that cannot be shown"}`)
	}
	return b
}
