package park

import (
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const canHold = true

// The operations of futex(2), within one process.
const (
	futexWait = 0 | 128
	futexWake = 1 | 128
)

// sleep returns when rouse is called, at once when the word is not as told, after d, or for no reason.
func sleep(word *atomic.Uint32, is uint32, d time.Duration) {
	limit := unix.NsecToTimespec(d.Nanoseconds())
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWait, uintptr(is), uintptr(unsafe.Pointer(&limit)), 0, 0) //nolint:gosec // as futex(2) wants it
}

func rouse(word *atomic.Uint32) {
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWake, 1, 0, 0, 0) //nolint:gosec // as futex(2) wants it
}
