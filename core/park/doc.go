// Package park lets a thread that is bound to its goroutine wait for another one.
//
// A goroutine that came in from C keeps its thread. When it waits on a channel, Go gives its place among the running
// threads to another thread, and when it is woken a third one hands a place back: on two cores this takes 50 us there and
// back between threads that are awake, where waiting in the kernel takes 13 us. So short waits are spent in the kernel and
// long ones on a channel, since a thread in the kernel keeps its place for a while.
package park

import (
	"context"
	"time"
)

// Hold is how long a thread waits in the kernel. It keeps its place among the threads that may run Go code, which others
// may want, for so long at most.
const Hold = 2 * time.Millisecond

type boundKey struct{}

// Bound marks what is done with a context as done by a goroutine that is bound to its thread, or by one of few. Where many
// plain ones wait, each would keep a thread for the time of Hold.
func Bound(ctx context.Context) context.Context { return context.WithValue(ctx, boundKey{}, true) }

// IsBound reports whether a context was marked by Bound.
func IsBound(ctx context.Context) bool { return ctx.Value(boundKey{}) != nil }
