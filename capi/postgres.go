package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/duroxide/duroxide/core/client"
	"github.com/duroxide/duroxide/core/store"
	"github.com/duroxide/duroxide/core/store/postgres"
)

// defaultCallBound is how long a call of a client tries to reach a database.
const defaultCallBound = 30 * time.Second

// postgresRequest is what Python opens a database with; times in ms, 0 = the default.
type postgresRequest struct {
	URL              string `json:"url"`
	Schema           string `json:"schema"`
	MaxConnections   int    `json:"max_connections"`
	ConnectTimeoutMS int64  `json:"connect_timeout_ms"`
	AcquireTimeoutMS int64  `json:"acquire_timeout_ms"`
	MustExist        bool   `json:"must_exist"`
	Passwords        int64  `json:"passwords"` // handle of a password desk; 0 = none, the password stands in the URL
}

func opOpenPostgres(r *request) (any, string, error) {
	h, err := header[postgresRequest](r)
	if err != nil {
		return nil, "", err
	}
	o := postgres.Options{
		Schema: h.Schema, MustExist: h.MustExist, MaxConns: h.MaxConnections, ConnectTimeout: milliseconds(h.ConnectTimeoutMS),
	}
	bound := defaultCallBound
	if h.AcquireTimeoutMS > 0 {
		bound = milliseconds(h.AcquireTimeoutMS)
	}
	var desk *passwordDesk
	if h.Passwords != 0 {
		if desk, err = lookup[passwordDesk](h.Passwords); err != nil {
			return nil, "", err
		}
		o.Password = desk.ask
	}
	s, err := postgres.Open(r.ctx, h.URL, o)
	if err != nil {
		if desk != nil {
			desk.close()
		}
		e := classify(err)
		e.Class = classProvider
		e.Text = strings.TrimPrefix(e.Text, "open: ")
		if desk != nil {
			e.Text = desk.hide(e.Text)
			if desk.open.Load() > 0 {
				e.Text += "; the password callable did not return in time"
			}
		}
		if e.Fields == nil {
			e.Fields = map[string]any{"operation": "open", "retryable": false}
		}
		return nil, "", e
	}
	p := &providerHandle{store: s, client: client.New(s), bound: bound, passwords: desk}
	return map[string]any{"handle": register(p), "describe": s.Describe()}, "", nil
}

// callBound ends a call of a client that has waited for the database for too long. A write that is under way then is
// still given a moment, so that its outcome is known.
func callBound(ctx context.Context, bound time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, bound, &store.Error{Operation: "wait for the database", Retryable: true,
		Err: fmt.Errorf("no answer within %v", bound)})
}

// passwordDesk is where connections that are being made ask for a password, and where a thread of Python's comes to
// answer: user code never runs on a thread that Go has made.
type passwordDesk struct {
	asked  chan chan<- passwordAnswer
	quit   chan struct{}
	closed sync.Once
	open   atomic.Int64 // questions that Python has not answered

	mu   sync.Mutex
	last string // what was answered last: it must not show in the text of an error
}

type passwordAnswer struct {
	password string
	err      error
}

func newPasswordDesk() *passwordDesk {
	return &passwordDesk{asked: make(chan chan<- passwordAnswer), quit: make(chan struct{})}
}

func (d *passwordDesk) close() { d.closed.Do(func() { close(d.quit) }) }

// ask waits for Python's answer.
func (d *passwordDesk) ask(ctx context.Context) (string, error) {
	answer := make(chan passwordAnswer, 1)
	select {
	case d.asked <- answer:
	case <-ctx.Done():
		return "", fmt.Errorf("the password callable is busy: %w", ctx.Err())
	case <-d.quit:
		return "", store.ErrClosed
	}
	select {
	case a := <-answer:
		if a.err == nil {
			d.mu.Lock()
			d.last = a.password
			d.mu.Unlock()
		}
		return a.password, a.err
	case <-ctx.Done():
		return "", fmt.Errorf("the password callable did not return in time: %w", ctx.Err())
	case <-d.quit:
		return "", store.ErrClosed
	}
}

// hide takes the last password out of a text.
func (d *passwordDesk) hide(text string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.last) < 3 {
		return text
	}
	return strings.ReplaceAll(text, d.last, "xxxxx")
}

// passwordQuestion is one connection that waits.
type passwordQuestion struct {
	desk   *passwordDesk
	answer chan<- passwordAnswer
}

// opNewPasswordDesk makes a desk for a provider that is opened next.
func opNewPasswordDesk(*request) (any, string, error) {
	return map[string]int64{"handle": register(newPasswordDesk())}, "", nil
}

// opAwaitPasswordQuestion parks Python's thread until a connection wants a password. It gives the handle to answer with;
// nothing when the provider is closed, and then the desk is gone.
func opAwaitPasswordQuestion(r *request) (any, string, error) {
	d, err := lookup[passwordDesk](r.handle)
	if err != nil {
		return nil, "", nil //nolint:nilerr // the desk has ended
	}
	select {
	case answer := <-d.asked:
		d.open.Add(1)
		return map[string]int64{"handle": register(&passwordQuestion{desk: d, answer: answer})}, "", nil
	case <-d.quit:
		release(r.handle)
		return nil, "", nil
	}
}

// opAnswerPassword answers a question: with the body, or with what went wrong instead.
func opAnswerPassword(r *request) (any, string, error) {
	q, err := lookup[passwordQuestion](r.handle)
	if err != nil {
		return nil, "", err
	}
	release(r.handle)
	h, err := header[struct {
		Error     string `json:"error"`
		Retryable bool   `json:"retryable"`
	}](r)
	a := passwordAnswer{password: r.body, err: err}
	if err == nil && h.Error != "" {
		a = passwordAnswer{err: &store.Error{Operation: "ask for the password", Retryable: h.Retryable, Err: errors.New(h.Error)}}
	}
	q.desk.open.Add(-1)
	q.answer <- a
	return nil, "", nil
}

// opClosePasswordDesk ends a desk whose provider was never asked for.
func opClosePasswordDesk(r *request) (any, string, error) {
	if d, err := lookup[passwordDesk](r.handle); err == nil {
		d.close()
	}
	return nil, "", nil
}
