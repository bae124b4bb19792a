package store

import (
	"context"
	"errors"

	"github.com/duroxide/duroxide/core/history"
)

// Begun is what came of a start with its first turn.
type Begun struct {
	// Done: the start has its Result and Err. Else it is to be made without the turn.
	Done   bool
	Result StartResult
	Err    error
	by     Beginner
	first  *Snapshot
	unsure bool // nobody knows whether it was stored
}

// Begin makes a start whose instance was adopted together with its first turn, if the adopter can and the start wants nothing
// that only Start does.
func Begin(ctx context.Context, adopter Listener, start *Start, s *Snapshot) Begun {
	by, can := adopter.(Beginner)
	if !can || start.DelayMS > 0 || start.IfExists == ExistsRestartIfEnded {
		return Begun{}
	}
	switch err := by.Begin(ctx, s); {
	case err == nil:
		return Begun{Done: true, Result: StartResult{Started: true, Life: s.Life}}
	case errors.Is(err, ErrNotBegun):
		return Begun{by: by, first: s}
	case !errors.Is(err, ErrExists):
		return Begun{by: by, first: s, unsure: true}
	case start.IfExists == ExistsError:
		return Begun{Done: true, Err: ErrExists}
	}
	return Begun{Done: true}
}

// Settle gives the outcome of a start that was made without the turn, with the same life. When it finds the id in use, the
// instance with the turn may have been stored after all.
func (b Begun) Settle(ctx context.Context, s Store, instance string, result StartResult, err error) (StartResult, error) {
	if b.by != nil {
		b.by.Unbegun(b.first)
	}
	if !b.unsure || result.Started || err != nil && !errors.Is(err, ErrExists) {
		return result, err
	}
	found, unread := s.Load(ctx, instance, history.Token{})
	switch {
	case unread != nil && !errors.Is(unread, ErrNotFound):
		return StartResult{}, unread
	case unread == nil && found.Life == b.first.Life:
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
