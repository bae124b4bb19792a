package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/duroxide/duroxide/core/store"
)

// What our own functions raise.
const (
	codeJobsLost     = "DX001" // a consumed job is no longer claimed
	codeRunning      = "DX002" // a descendant is still running
	codeMoreThanStep = "DX004" // duroxide_step cannot make the commit
)

const readOnlyState = "25006"

var answers = []error{
	store.ErrNotFound, store.ErrExists, store.ErrStillRunning, store.ErrIsChild, store.ErrFenced, store.ErrJobsLost,
	store.ErrNodeLost, store.ErrClosed, store.ErrNewerSchema, store.ErrTooOld,
}

// isAnswer reports whether err is one of the contract's own answers, which say something about the store's content and
// not about its health.
func isAnswer(err error) bool {
	for _, sentinel := range answers {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}

// trouble wraps an error of the database, saying whether trying again may help. Answers pass as they are.
func trouble(operation string, err error) error {
	if err == nil || isAnswer(err) {
		return err
	}
	var known *store.Error
	if errors.As(err, &known) {
		return err
	}
	return &store.Error{Operation: operation, Retryable: isPassing(err), Refused: isRefused(err), Err: told(err)}
}

// isRefused reports that a value can never be stored: class 22 is about its form, class 54 about its size.
func isRefused(err error) bool {
	code := sqlState(err)
	return strings.HasPrefix(code, "22") || strings.HasPrefix(code, "54") || isTooLarge(err)
}

// isTooLarge reports that a value is larger than the protocol or the server takes. The driver has no name for it, nor has
// the server.
func isTooLarge(err error) bool {
	if code := sqlState(err); code != "" {
		return code == "XX000" && strings.Contains(err.Error(), "invalid memory alloc request size")
	}
	return strings.Contains(err.Error(), "message body too large")
}

// told adds what to do to errors whose own text does not say it.
func told(err error) error {
	switch {
	case isTooLarge(err):
		return fmt.Errorf("more than the 1 GiB that PostgreSQL takes; keep large values elsewhere and pass references (%w)", err)
	case sqlState(err) == "57014":
		return fmt.Errorf("the statement was cancelled; is statement_timeout of the user or database too short? (%w)", err)
	case pgconn.Timeout(err):
		return fmt.Errorf("the server did not answer in time (%w)", err)
	}
	return err
}

func sqlState(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// isPassing reports whether the cause may go away by itself: conflicts with others, a server that restarts, fails over or
// has no room, a broken connection.
func isPassing(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	var known *store.Error
	if errors.As(err, &known) {
		return known.Retryable
	}
	code := sqlState(err)
	switch {
	case isTooLarge(err):
		return false
	case code == "":
		return isBrokenConnection(err)
	}
	switch code {
	case "40001", "40P01", // serialization failure, deadlock
		"57P01", "57P02", "57P03", // shut down by an administrator, crashed, starting up
		"57014", "57P05", // cancelled; idle too long
		"55P03",          // lock not available
		readOnlyState,    // the primary has become a standby
		"26000", "0A000", // a cached statement that is gone, or whose result has changed
		"XX000": // "cache lookup failed", "tuple concurrently updated": under migrations of others
		return code != "0A000" || strings.Contains(err.Error(), "cached plan")
	}
	return strings.HasPrefix(code, "53") || strings.HasPrefix(code, "08")
}

func isBrokenConnection(err error) bool {
	var network net.Error
	var connect *pgconn.ConnectError
	switch {
	case errors.Is(err, pgx.ErrNoRows), errors.Is(err, pgx.ErrTooManyRows):
		return false
	case errors.As(err, &connect):
		return !isPermanentConnect(connect)
	case errors.As(err, &network), pgconn.Timeout(err), pgconn.SafeToRetry(err), errors.Is(err, context.DeadlineExceeded):
		return true
	}
	text := err.Error()
	for _, sign := range []string{"EOF", "conn closed", "closed pool", "broken pipe", "connection reset", "conn busy", "failed to deallocate"} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}

// isPermanentConnect reports whether trying again to connect is in vain: each attempt met something that stays. With
// several hosts, or TLS only where there is some, an error holds one attempt for each way that was tried.
func isPermanentConnect(err error) bool {
	for _, attempt := range attempts(err) {
		code := sqlState(attempt)
		if !isTLSRefused(attempt) && !strings.HasPrefix(code, "28") && code != "3D000" && code != "42501" {
			return false
		}
	}
	return true
}

func isTLSRefused(err error) bool { return strings.Contains(err.Error(), "server refused TLS") }

// attempts gives the errors of all attempts to connect that an error holds.
func attempts(err error) []error {
	for at := err; at != nil; at = errors.Unwrap(at) {
		many, ok := at.(interface{ Unwrap() []error })
		if !ok {
			continue
		}
		var all []error
		for _, one := range many.Unwrap() {
			all = append(all, attempts(one)...)
		}
		return all
	}
	return []error{err}
}

// isUndone reports whether err says that the statement has certainly changed nothing: the server refused it, or it was
// never sent. A FATAL error may come after the commit.
func isUndone(err error) bool {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Severity == "ERROR" || e.SeverityUnlocalized == "ERROR"
	}
	return pgconn.SafeToRetry(err)
}

// explain says in plain words what most often lies behind an error at open.
func explain(err error) string {
	var own *store.Error
	if errors.As(err, &own) {
		err = own.Err // its operation is said already
	}
	text := err.Error()
	var e *pgconn.PgError
	if errors.As(err, &e) {
		switch {
		case e.Code == "28P01":
			return e.Message + ": check user and password"
		case e.Code == "28000" && strings.Contains(e.Message, "no encryption"):
			return e.Message + ": the server demands TLS; add sslmode=require"
		case e.Code == "28000" && strings.Contains(e.Message, "pg_hba.conf"):
			return e.Message + ": the server's pg_hba.conf does not let this user in from here"
		case e.Code == "3D000":
			return e.Message + ": create it first"
		case e.Code == "42501":
			return e.Message + ": the user needs CREATE on the schema, or on the database when the schema does not exist yet"
		case e.Code == "53300":
			return e.Message + ": the server has no connection left"
		case e.Code == readOnlyState:
			return e.Message + ": the server is read-only"
		case e.Code == "57P03":
			return e.Message + ": the server is starting up"
		case e.Code == "57014":
			return told(err).Error()
		}
		return e.Message + " (SQLSTATE " + e.Code + ")"
	}
	switch {
	case isTLSRefused(err) && isPermanentConnect(err):
		return "the server does not speak TLS, which sslmode of the connection string demands"
	case strings.Contains(text, "certificate"):
		return text + ": the server's certificate is not trusted; see sslrootcert and sslmode"
	}
	return text
}

var quotedString = regexp.MustCompile("(?s) ?`.*`| after \".*\"")

// unquoted takes the connection string out of the text of an error of its parser: where it is broken, nobody knows which
// part of it is the password.
func unquoted(err error) error {
	return errors.New(secrets.ReplaceAllString(quotedString.ReplaceAllString(err.Error(), ""), "${1}${2}xxxxx@"))
}

var secrets = regexp.MustCompile(`(?i)(://[^:/@\s]*:)[^@\s]*@|(password\s*=\s*)('[^']*'|\S+)`)
