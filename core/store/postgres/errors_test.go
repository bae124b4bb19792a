package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
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
