package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/duroxide/duroxide/core/client"
	"github.com/duroxide/duroxide/core/store"
)

// providerHandle is an open store with the client that all of Python's clients of it share.
type providerHandle struct {
	store  store.Store
	client *client.Client
	memory bool
	// bound is how long a client's call waits for a server; 0: the store is in this process.
	bound     time.Duration
	passwords *passwordDesk // nil: none

	mu       sync.Mutex
	runtimes int // that are started on it
	closed   bool
}

// borrow is called for a runtime that starts, giveBack when it has stopped.
func (p *providerHandle) borrow() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errStaleHandle
	}
	p.runtimes++
	return nil
}

func (p *providerHandle) giveBack() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.runtimes--
}

// header decodes the header of a request.
func header[T any](r *request) (T, error) {
	var v T
	if err := json.Unmarshal(r.head, &v); err != nil {
		return v, fmt.Errorf("decode a request: %w", err)
	}
	return v, nil
}

func opOpenSQLite(r *request) (any, string, error) {
	h, err := header[struct {
		Path   string `json:"path"`
		Memory bool   `json:"memory"`
	}](r)
	if err != nil {
		return nil, "", err
	}
	s, err := openSQLite(h.Path, h.Memory)
	if err != nil {
		e := classify(err)
		return nil, "", &callError{Class: classProvider, Text: fmt.Sprintf("Failed to open SQLite database %s: %v", h.Path, err), Fields: e.Fields}
	}
	if r.ctx.Err() != nil { // given up meanwhile: nobody would ever close it
		return nil, "", errors.Join(context.Cause(r.ctx), s.Close())
	}
	p := &providerHandle{store: s, client: client.New(s), memory: h.Memory}
	return map[string]any{"handle": register(p), "describe": s.Describe()}, "", nil
}

// opCloseProvider ends the waits of the provider's clients and closes the store. Under a started runtime it refuses,
// unless force says that the process is ending.
func opCloseProvider(r *request) (any, string, error) {
	p, err := lookup[providerHandle](r.handle)
	if err != nil {
		return nil, "", nil //nolint:nilerr // closed before: nothing to do
	}
	h, err := header[struct {
		Force bool `json:"force"`
	}](r)
	if err != nil {
		return nil, "", err
	}
	p.mu.Lock()
	if p.runtimes > 0 && !h.Force {
		p.mu.Unlock()
		return nil, "", failed(classState, "a runtime is still running on this provider; call runtime.shutdown() before provider.close()")
	}
	already := p.closed
	p.closed = true
	p.mu.Unlock()
	if already {
		return nil, "", nil
	}
	release(r.handle)
	p.client.Close()
	if h.Force && p.bound > 0 {
		return nil, "", p.closeAtExit()
	}
	return nil, "", p.closeStore()
}

func (p *providerHandle) closeStore() error {
	if p.passwords != nil {
		p.passwords.close() // connections that are being made do not hold up the end
	}
	return p.store.Close()
}

// exitPatience is how long the end of the process waits for a server's answers.
const exitPatience = 2 * time.Second

// closeAtExit closes the store, but does not let a server that is silent keep the process from ending.
func (p *providerHandle) closeAtExit() error {
	done := make(chan error, 1)
	go func() { done <- p.closeStore() }()
	select {
	case err := <-done:
		return err
	case <-time.After(exitPatience):
		return nil
	}
}

// opOpenHandles counts the handles in use, for leak tests.
func opOpenHandles(*request) (any, string, error) { return map[string]int{"n": openHandles()}, "", nil }
