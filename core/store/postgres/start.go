package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

const callStart = `SELECT started, at, message, removed, lost_id, lost_token FROM {schema}.duroxide_start($1, $2, $3, $4, $5, $6, $7, $8, $9)`

// newLife draws the name of an instance's life.
func newLife() string { return history.NewToken().String() }

// Start implements [store.Store].
func (s *Store) Start(ctx context.Context, st store.Start) (store.StartResult, error) {
	operation := fmt.Sprintf("start %q", st.Instance)
	if err := keepable(st.Instance, st.Name, st.Version, st.Input); err != nil {
		return store.StartResult{}, &store.Error{Operation: operation, Err: err}
	}
	if len(st.Instance) > replay.MaxNamedIDBytes {
		return store.StartResult{}, &store.Error{Operation: operation, Err: errIDTooLong}
	}
	life, turn := newLife(), history.NewToken()
	var adopter *listener
	var node store.NodeID
	if st.DelayMS <= 0 {
		adopter, node = s.news.listeners.adopt(st.Name, st.Version)
	}
	var started bool
	var at int64
	var row *int64
	var t tidings
	err := s.write(ctx, write{
		operation: operation,
		run: func(ctx context.Context, c *pgxpool.Conn) error {
			var removed []string
			var lostID []int64
			var lostToken []pgtype.UUID
			sent := s.clock.local()
			err := c.QueryRow(ctx, s.sql.in(callStart), hot(c, []any{
				st.Instance, life, uuid(turn), st.Name, st.Version, st.Input, max(st.DelayMS, 0), string(node),
				st.IfExists == store.ExistsRestartIfEnded,
			})...).Scan(&started, &at, &row, &removed, &lostID, &lostToken)
			if err != nil {
				if sqlState(err) == codeRunning {
					return fmt.Errorf("%w: %w", store.ErrStillRunning, err)
				}
				return err
			}
			s.clock.heard(sent, at)
			t = tidings{}
			t.changed(removed...)
			for i := range lostID {
				t.lost(store.JobRef{ID: lostID[i], Token: lostToken[i].Bytes})
			}
			return nil
		},
		applied: func(ctx context.Context, q querier) (applied, known bool, err error) {
			started, err = exists(ctx, q, s.sql.in(`SELECT EXISTS (SELECT FROM {schema}.duroxide_instances WHERE instance = $1 AND life = $2)`),
				st.Instance, life)
			at, row, t = s.Now(), nil, tidings{}
			return started, true, err
		},
	})
	if err != nil {
		return store.StartResult{}, err
	}
	if !started {
		if st.IfExists == store.ExistsError {
			return store.StartResult{}, store.ErrExists
		}
		return store.StartResult{}, nil
	}
	t.Changed = append(t.Changed, st.Instance)
	switch {
	case adopter != nil && row != nil:
		adopter.call(func(to store.Listener) {
			to.Wake(store.Wake{Started: &store.Snapshot{
				Instance: st.Instance, Life: life, Turn: turn, Execution: 1, Name: st.Name, Version: st.Version, NextEventID: 1, Node: node,
				Messages: []history.Message{{
					Kind: history.MsgStart, Row: *row, Life: life, Execution: 1, Data: st.Input, VisibleAt: at, InsertedAt: at,
				}},
			}})
		})
	default:
		t.delivered(st.Instance, at+max(st.DelayMS, 0), at)
	}
	s.tell(&t)
	return store.StartResult{Started: true}, nil
}

var errIDTooLong = fmt.Errorf("the id is longer than %d bytes", replay.MaxNamedIDBytes)

// keepable refuses text that Postgres cannot keep.
func keepable(texts ...string) error {
	for _, text := range texts {
		if storable(text) != text {
			return errors.New("text with a NUL character or invalid UTF-8 cannot be stored in PostgreSQL")
		}
	}
	return nil
}
