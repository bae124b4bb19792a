package store

import (
	"context"
	"errors"

	"github.com/duroxide/duroxide/core/history"
)

// Begin makes a start whose instance was adopted: together with its first turn, if the adopter can and the start
// wants nothing that only Start does; else by alone, which stores it by itself with the life of first.
func Begin(ctx context.Context, s Store, adopter Listener, start *Start, first *Snapshot, alone func() (StartResult, error)) (StartResult, error) {
	by, can := adopter.(Beginner)
	if !can || start.DelayMS > 0 || start.IfExists == ExistsRestartIfEnded {
		return alone()
	}
	begun := by.Begin(ctx, first)
	switch {
	case begun == nil:
		return StartResult{Started: true, Life: first.Life}, nil
	case !errors.Is(begun, ErrExists):
	case start.IfExists == ExistsError:
		return StartResult{}, ErrExists
	default:
		return StartResult{}, nil
	}
	result, err := alone()
	by.Unbegun(first)
	if errors.Is(begun, ErrNotBegun) || result.Started || err != nil && !errors.Is(err, ErrExists) {
		return result, err
	}
	// Nobody knows what came of the turn, and the id is in use: it may be by this very start.
	found, unread := s.Load(ctx, start.Instance, history.Token{})
	switch {
	case unread != nil && !errors.Is(unread, ErrNotFound):
		return StartResult{}, unread
	case unread == nil && found.Life == first.Life:
		return StartResult{Started: true, Life: found.Life}, nil
	}
	return result, err
}

// Newborn is an instance as it is after its start, before its first turn. Row is that of the start message; 0: there is none,
// the first turn is to be committed with Turn.Begin.
func Newborn(start *Start, life string, turn history.Token, node NodeID, row, at int64) *Snapshot {
	return &Snapshot{
		Instance: start.Instance, Life: life, Turn: turn, Execution: 1, Name: start.Name, Version: start.Version, NextEventID: 1, Node: node,
		Messages: []history.Message{{
			Kind: history.MsgStart, Row: row, Life: life, Execution: 1, Data: start.Input, VisibleAt: at, InsertedAt: at,
		}},
	}
}
