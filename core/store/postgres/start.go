package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

//nolint:dupword // columns
const (
	callBegin = `SELECT n.at, b.life, b.message FROM (SELECT {schema}.duroxide_now() AS at) n LEFT JOIN LATERAL
		{schema}.duroxide_begin(n.at, $1, $2, $3, $4, $5, $6, $7, $8, NULL, NULL, NULL, NULL, $9) b ON true`
	callBeginOne = `SELECT {schema}.duroxide_begin_one($1, $2, $3, $4, $5, $6, $7, $8, $9)`
	callStart    = `SELECT started, at, message, removed, lost_id, lost_token
		FROM {schema}.duroxide_start($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`
	livesFound = `SELECT i.life FROM {schema}.duroxide_instances i WHERE i.instance = ANY ($1) AND i.life = ANY ($2)`
)

// newLife draws the name of an instance's life.
func newLife() string { return history.NewToken().String() }

// newcomer is an instance on its way into the store.
type newcomer struct {
	*store.Start
	life string
	turn history.Token
	node store.NodeID // that adopts it
}

func (n newcomer) weight() int { return len(n.Input) }

// beginning is what came of it.
type beginning struct {
	started bool
	at      int64
	message int64   // row of the start message; 0: not known
	tidings tidings // of what was deleted in its favour
}

// Start implements [store.Store].
func (s *Store) Start(ctx context.Context, st store.Start) (store.StartResult, error) {
	operation := fmt.Sprintf("start %q", st.Instance)
	if err := keepable(st.Instance, st.Name, st.Version, st.Input); err != nil {
		return store.StartResult{}, &store.Error{Operation: operation, Refused: true, Err: err}
	}
	if len(st.Instance) > replay.MaxNamedIDBytes {
		return store.StartResult{}, &store.Error{Operation: operation, Refused: true, Err: errIDTooLong}
	}
	n := newcomer{Start: &st, life: newLife(), turn: history.NewToken()}
	var adopter *listener
	if st.DelayMS <= 0 {
		adopter, n.node = s.news.listeners.adopt(st.Name, st.Version)
	}
	alone := func() (store.StartResult, error) { return s.start(ctx, operation, &n, adopter) }
	if adopter == nil {
		return alone()
	}
	return store.Begin(ctx, s, adopter.Listener, &st, store.Newborn(&st, n.life, n.turn, n.node, 0, s.Now()), alone)
}

// start stores a new instance with its start message.
func (s *Store) start(ctx context.Context, operation string, n *newcomer, adopter *listener) (store.StartResult, error) {
	st := n.Start
	var b beginning
	var err error
	if st.IfExists == store.ExistsRestartIfEnded {
		b, err = s.restart(ctx, operation, n)
	} else {
		b, err = s.starts.do(ctx, *n)
	}
	if err != nil {
		return store.StartResult{}, err
	}
	if !b.started {
		if st.IfExists == store.ExistsError {
			return store.StartResult{}, store.ErrExists
		}
		return store.StartResult{}, nil
	}
	t := &b.tidings
	t.Changed = append(t.Changed, st.Instance)
	switch {
	case adopter != nil && b.message != 0:
		adopter.call(func(to store.Listener) {
			to.Wake(store.Wake{Started: store.Newborn(st, n.life, n.turn, n.node, b.message, b.at)})
		})
	default:
		t.delivered(st.Instance, b.at+max(st.DelayMS, 0), b.at)
	}
	s.tell(t)
	return store.StartResult{Started: true, Life: n.life}, nil
}

// begin starts instances whose ids are not in use, all in one transaction.
func (s *Store) begin(ctx context.Context, all []newcomer) ([]beginning, error) {
	operation := fmt.Sprintf("start %q", all[0].Instance)
	if len(all) > 1 {
		operation = fmt.Sprintf("start %d instances", len(all))
	}
	n := len(all)
	node, instance, life := make([]string, n), make([]string, n), make([]string, n)
	turn, delay := make([]pgtype.UUID, n), make([]int64, n)
	name, version, input := make([]string, n), make([]string, n), make([]string, n)
	byLife := make(map[string]int, n)
	for i := range all {
		x := &all[i]
		node[i], instance[i], life[i], turn[i] = string(x.node), x.Instance, x.life, uuid(x.turn)
		name[i], version[i], input[i], delay[i] = x.Name, x.Version, x.Input, max(x.DelayMS, 0)
		byLife[x.life] = i
	}
	results := make([]beginning, n)
	err := s.write(ctx, write{
		operation: operation,
		run: func(ctx context.Context, c session) error {
			clear(results)
			if n == 1 {
				return s.beginOne(ctx, c, &all[0], &results[0])
			}
			sent := s.clock.local()
			args := []any{node, instance, life, turn, name, version, input, delay, c.call}
			return each(ctx, c, s.sql.in(callBegin), args, func(rows pgx.Rows) error {
				var at int64
				var begun *string
				var message *int64
				if err := rows.Scan(&at, &begun, &message); err != nil {
					return err
				}
				s.clock.heard(sent, at)
				if begun != nil {
					results[byLife[*begun]] = beginning{started: true, at: at, message: value(message)}
				}
				return nil
			})
		},
		// Of a group that was applied those are found whose ids were free. When none is, nothing was done, or there was
		// nothing to do: that may be done again.
		applied: func(ctx context.Context, q querier) (applied, known bool, err error) {
			clear(results)
			err = each(ctx, q, s.sql.in(livesFound), []any{instance, life}, func(rows pgx.Rows) error {
				var begun string
				err := rows.Scan(&begun)
				results[byLife[begun]] = beginning{started: true, at: s.Now()}
				applied = true
				return err
			})
			return applied, true, err
		},
	})
	return results, err
}

// beginOne starts an instance if its id is not in use, in a call for single rows: what clients start most.
func (s *Store) beginOne(ctx context.Context, c session, x *newcomer, result *beginning) error {
	sent := s.clock.local()
	var answer []int64
	args := []any{string(x.node), x.Instance, x.life, uuid(x.turn), x.Name, x.Version, x.Input, max(x.DelayMS, 0), c.call}
	if err := c.QueryRow(ctx, s.sql.in(callBeginOne), args...).Scan(&answer); err != nil || answer == nil {
		return err
	}
	at, message := answer[0], answer[1]
	s.clock.heard(sent, at)
	*result = beginning{started: true, at: at, message: message}
	return nil
}

// restart starts an instance and deletes one of its id before that has ended.
func (s *Store) restart(ctx context.Context, operation string, n *newcomer) (b beginning, err error) {
	err = s.write(ctx, write{
		operation: operation,
		run: func(ctx context.Context, c session) error {
			var removed []string
			var lostID []int64
			var lostToken []pgtype.UUID
			var row *int64
			b = beginning{}
			sent := s.clock.local()
			err := c.QueryRow(ctx, s.sql.in(callStart), n.Instance, n.life, uuid(n.turn), n.Name, n.Version, n.Input, max(n.DelayMS, 0),
				string(n.node), true, c.call).Scan(&b.started, &b.at, &row, &removed, &lostID, &lostToken)
			if err != nil {
				if sqlState(err) == codeRunning {
					return fmt.Errorf("%w: %w", store.ErrStillRunning, err)
				}
				return err
			}
			s.clock.heard(sent, b.at)
			b.message = value(row)
			b.tidings.changed(removed...)
			for i := range lostID {
				b.tidings.lost(store.JobRef{ID: lostID[i], Token: lostToken[i].Bytes})
			}
			return nil
		},
		applied: func(ctx context.Context, q querier) (applied, known bool, err error) {
			b = beginning{at: s.Now()}
			err = each(ctx, q, s.sql.in(livesFound), []any{[]string{n.Instance}, []string{n.life}}, func(pgx.Rows) error {
				b.started = true
				return nil
			})
			return b.started, true, err
		},
	})
	return b, err
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
