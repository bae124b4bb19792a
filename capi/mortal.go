package main

import (
	"github.com/duroxide/duroxide/core/client"
	"github.com/duroxide/duroxide/core/store/faulty"
)

// opMortal opens a second provider on the store of another one, as a process sees it that dies after so many writes.
// For tests only: it lets Python run a workflow with a crash between any two of its commits, without a process for each.
func opMortal(r *request) (any, string, error) {
	h, err := header[struct {
		Provider int64 `json:"provider"`
		Writes   int   `json:"writes"`
	}](r)
	if err != nil {
		return nil, "", err
	}
	p, err := lookup[providerHandle](h.Provider)
	if err != nil {
		return nil, "", err
	}
	s := faulty.Kill(p.store, h.Writes)
	mortal := &providerHandle{store: s, client: client.New(s), memory: p.memory}
	return map[string]any{"handle": register(mortal), "describe": "mortal " + s.Describe()}, "", nil
}

// opLivesLeft is the number of writes that still get through to a mortal store.
func opLivesLeft(r *request) (any, string, error) {
	p, err := provider(r)
	if err != nil {
		return nil, "", err
	}
	s, ok := p.store.(*faulty.Mortal)
	if !ok {
		return nil, "", failed(classState, "this provider is not mortal")
	}
	return s.Left(), "", nil
}
