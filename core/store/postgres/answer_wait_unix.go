//go:build unix

package postgres

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// awaitData blocks the calling thread until there is something to read, for as long as told.
func awaitData(raw syscall.RawConn, atMost time.Duration) {
	_ = raw.Control(func(fd uintptr) {
		// Whatever comes of it, the read that follows finds out.
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(atMost.Milliseconds())) //nolint:gosec // descriptors are small
	})
}
