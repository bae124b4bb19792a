//go:build unix

package main

import "syscall"

// notify writes to a descriptor that the caller polls. It is non-blocking: when the pipe is full its reader has news
// enough.
func notify(fd int, news []byte) { _, _ = syscall.Write(fd, news) }
