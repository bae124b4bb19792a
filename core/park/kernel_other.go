//go:build !linux

package park

import (
	"sync/atomic"
	"time"
)

const canHold = false

func sleep(*atomic.Uint32, uint32, time.Duration) {}

func rouse(*atomic.Uint32) {}
