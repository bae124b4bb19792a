package postgres

import (
	"context"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// The kernel breaks connections that nobody acknowledges, in seconds and not in hours.
func TestConnectionsAreBoundByTheKernel(t *testing.T) {
	_, through := newWire(t) // over TCP, whatever the tests' server listens on
	s := openThrough(t, through, Options{})
	c, err := s.pool.Acquire(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	made, ok := c.Conn().PgConn().Conn().(*socket)
	if !ok {
		t.Fatalf("not ours: %T", c.Conn().PgConn().Conn())
	}
	tcp, ok := made.Conn.(*net.TCPConn)
	if !ok {
		t.Fatalf("not TCP: %T", made.Conn)
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		for name, option := range map[string]struct{ number, want int }{
			"user timeout":   {unix.TCP_USER_TIMEOUT, int(unheardBound.Milliseconds())},
			"keep-alive":     {unix.TCP_KEEPIDLE, int(keepAlive.Idle.Seconds())},
			"between probes": {unix.TCP_KEEPINTVL, int(keepAlive.Interval.Seconds())},
		} {
			if got, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, option.number); err != nil || got != option.want {
				t.Errorf("%s: %d, want %d: %v", name, got, option.want, err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
