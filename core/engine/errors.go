package engine

import "fmt"

// RegistrationError refuses a name or version. Text is meant for users as it is.
type RegistrationError struct{ Text string }

func (e *RegistrationError) Error() string { return e.Text }

// OptionError refuses a value of Options. Text names the option as users know it.
type OptionError struct {
	Option string
	Text   string
}

func (e *OptionError) Error() string { return e.Option + ": " + e.Text }

// StateError refuses a call that comes at the wrong time of a runtime's life.
type StateError struct{ Text string }

func (e *StateError) Error() string { return e.Text }

func registrationErrorf(format string, args ...any) error {
	return &RegistrationError{Text: fmt.Sprintf(format, args...)}
}
