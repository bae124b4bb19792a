package main

import (
	"fmt"

	"github.com/go-python/gopy/gopyh"
)

// A handle is the number under which Python holds one of our values. Numbers are never used twice, so one that outlived
// its value is refused and never reaches another. Only providers, runtimes and
// questions for a password have handles.

// register gives v a handle. The first reference is taken at once: gopyh registers with none, and releasing a handle
// without one is a panic.
func register[T any](v *T) int64 {
	h := gopyh.Register(fmt.Sprintf("%T", v), v)
	gopyh.IncRef(h)
	return int64(h)
}

// lookup gives the value behind a handle. gopyh does not look at the type, so it is checked here.
func lookup[T any](handle int64) (*T, error) {
	v, err := gopyh.VarFromHandleTry(gopyh.CGoHandle(handle), "")
	if err != nil {
		return nil, errStaleHandle
	}
	t, ok := v.(*T)
	if !ok {
		return nil, errStaleHandle
	}
	return t, nil
}

// release forgets a handle. A handle that is not known any more is no error.
func release(handle int64) { gopyh.DecRef(gopyh.CGoHandle(handle)) }

func openHandles() int { return gopyh.NumHandles() }
