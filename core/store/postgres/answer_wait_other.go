//go:build !unix

package postgres

import (
	"syscall"
	"time"
)

// Elsewhere reads are left to Go's own way of waiting.
func awaitData(syscall.RawConn, time.Duration) {}
