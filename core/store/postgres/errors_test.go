package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/duroxide/duroxide/core/store"
)

// connectError is what connecting gives to a server that behaves so, with TLS where there is some.
func connectError(t *testing.T, url string, behave func(net.Conn)) error {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			behave(c)
			_ = c.Close()
		}
	}()
	_, err = pgx.Connect(context.Background(), fmt.Sprintf(url, l.Addr()))
	if err == nil {
		t.Fatal("connected to a server that is none")
	}
	return err
}

func TestServerThatRestartsIsNotTakenForOneWithoutTLS(t *testing.T) {
	refuseTLS := func(c net.Conn) {
		request := make([]byte, 8)
		if _, err := c.Read(request); err == nil && request[4] == 0x04 && request[5] == 0xd2 {
			_, _ = c.Write([]byte("N"))
		}
	}
	for _, c := range []struct {
		mode    string
		passing bool
	}{{"prefer", true}, {"require", false}} {
		err := connectError(t, "postgresql://u@%s/db?sslmode="+c.mode, refuseTLS)
		if isPassing(err) != c.passing {
			t.Errorf("sslmode=%s: passing is %v, want %v: %v", c.mode, isPassing(err), c.passing, err)
		}
	}
}

func TestConnectingIsInVainOnlyWhenEveryAttemptIs(t *testing.T) {
	password, missing := &pgconn.PgError{Code: "28P01"}, &pgconn.PgError{Code: "3D000"}
	reset := errors.New("connection reset by peer")
	for _, c := range []struct {
		err       error
		permanent bool
	}{
		{password, true},
		{reset, false},
		{errors.Join(password, missing), true},
		{errors.Join(password, reset), false},
		{fmt.Errorf("outer: %w", errors.Join(reset, password)), false},
		{errors.Join(password, errors.Join(missing, reset)), false},
	} {
		if got := isPermanentConnect(c.err); got != c.permanent {
			t.Errorf("%v: permanent is %v, want %v", c.err, got, c.permanent)
		}
	}
}

// unsent is an error of the driver about what it has not sent.
type unsent struct{ error }

func (unsent) SafeToRetry() bool { return true }

func TestWhatIsTooLargeIsRefused(t *testing.T) {
	// The driver's own word for it.
	_, tooLarge := (&pgproto3.CopyData{Data: make([]byte, 1<<30)}).Encode(nil)
	for _, c := range []struct {
		err     error
		refused bool
	}{
		{unsent{fmt.Errorf("flush: %w", tooLarge)}, true},
		{&pgconn.PgError{Severity: "ERROR", Code: "XX000", Message: "invalid memory alloc request size 1073741824"}, true},
		{&pgconn.PgError{Severity: "ERROR", Code: "54000", Message: "array size exceeds the maximum allowed (1073741823)"}, true},
		{unsent{errors.New("broken pipe")}, false},
		{&pgconn.PgError{Severity: "ERROR", Code: "XX000", Message: "tuple concurrently updated"}, false},
	} {
		err := trouble("commit", c.err)
		if store.IsRefused(err) != c.refused || store.IsRetryable(err) == c.refused {
			t.Errorf("%v: refused is %v, retryable %v", err, store.IsRefused(err), store.IsRetryable(err))
		}
	}
}
