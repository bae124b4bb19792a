package main

import (
	"context"
	"errors"
	"time"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

// The operations of clients. Payloads travel as the body, everything else in the header.

// withTimeout bounds a request; negative = no bound.
func withTimeout(r *request, ms int64) (context.Context, context.CancelFunc) {
	if ms < 0 {
		return context.WithCancel(r.ctx)
	}
	return context.WithDeadline(r.ctx, r.started.Add(time.Duration(min(ms, maxWaitMS))*time.Millisecond))
}

// maxWaitMS keeps a wait within what time.Duration holds: a hundred years.
const maxWaitMS = 100 * 365 * 24 * 3600 * 1000

func provider(r *request) (*providerHandle, error) { return lookup[providerHandle](r.handle) }

func opStart(r *request) (any, string, error) {
	p, err := provider(r)
	if err != nil {
		return nil, "", err
	}
	h, err := header[struct {
		Instance string `json:"i"`
		Name     string `json:"n"`
		Version  string `json:"v"`
		DelayMS  int64  `json:"d"`
		IfExists uint8  `json:"x"`
	}](r)
	if err != nil {
		return nil, "", err
	}
	err = p.client.Start(r.ctx, store.Start{Instance: h.Instance, Name: h.Name, Version: h.Version, Input: r.body,
		DelayMS: h.DelayMS, IfExists: store.IfExists(h.IfExists)})
	return nil, "", about(h.Instance, err)
}

type nameRequest struct {
	Instance string `json:"i"`
	Name     string `json:"n"`
}

func opRaiseEvent(r *request) (any, string, error) {
	p, err := provider(r)
	if err != nil {
		return nil, "", err
	}
	h, err := header[nameRequest](r)
	if err != nil {
		return nil, "", err
	}
	stored, err := p.client.Send(r.ctx, h.Instance, history.Message{Kind: history.MsgEvent, Name: h.Name, Data: r.body})
	return stored, "", err
}

func opEnqueueEvent(r *request) (any, string, error) {
	p, err := provider(r)
	if err != nil {
		return nil, "", err
	}
	h, err := header[nameRequest](r)
	if err != nil {
		return nil, "", err
	}
	stored, err := p.client.Send(r.ctx, h.Instance, history.Message{Kind: history.MsgMail, Name: h.Name, Data: r.body})
	return stored, "", err
}

func opCancel(r *request) (any, string, error) {
	p, err := provider(r)
	if err != nil {
		return nil, "", err
	}
	h, err := header[nameRequest](r)
	if err != nil {
		return nil, "", err
	}
	return nil, "", p.client.Cancel(r.ctx, h.Instance, r.body)
}

// statusAnswer is a status without its output, which travels as the body.
type statusAnswer struct {
	Status        string         `json:"status"`
	Error         *string        `json:"error,omitempty"`
	CustomStatus  *string        `json:"custom_status,omitempty"`
	StatusVersion int64          `json:"custom_status_version"`
	Failure       *failureAnswer `json:"failure,omitempty"`
	Blocked       *string        `json:"blocked,omitempty"`
}

// failureAnswer is what a client's exception carries beside its text.
type failureAnswer struct {
	Kind      history.FailureKind `json:"kind"`
	Type      string              `json:"type,omitempty"`
	Traceback string              `json:"traceback,omitempty"`
	Activity  string              `json:"activity,omitempty"`
	Attempt   int                 `json:"attempt,omitempty"`
	Instance  string              `json:"instance,omitempty"`
	At        string              `json:"at,omitempty"`
}

func answerStatus(s *store.Status) (any, string, error) {
	a := statusAnswer{Status: s.Status.String(), CustomStatus: s.CustomStatus, StatusVersion: s.CustomStatusVersion}
	if s.Blocked != nil {
		a.Blocked = &s.Blocked.Reason
	}
	if f := s.Failure; f != nil {
		text := f.Text()
		a.Error = &text
		a.Failure = &failureAnswer{Kind: f.Kind, Type: f.Type, Traceback: f.Traceback, Activity: f.Activity,
			Attempt: f.Attempt, Instance: f.Instance, At: f.At}
	}
	return a, s.Output, nil
}

func opStatus(r *request) (any, string, error) {
	p, err := provider(r)
	if err != nil {
		return nil, "", err
	}
	h, err := header[nameRequest](r)
	if err != nil {
		return nil, "", err
	}
	s, err := p.client.Status(r.ctx, h.Instance)
	if errors.Is(err, store.ErrNotFound) {
		return statusAnswer{Status: "NotFound"}, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	return answerStatus(s)
}

// waitRequest is a wait; TimeoutMS negative = without end.
type waitRequest struct {
	Instance  string `json:"i"`
	Key       string `json:"k"`
	Seen      int64  `json:"s"`
	TimeoutMS int64  `json:"t"`
}

func opWaitEnd(r *request) (any, string, error) {
	p, err := provider(r)
	if err != nil {
		return nil, "", err
	}
	h, err := header[waitRequest](r)
	if err != nil {
		return nil, "", err
	}
	if h.TimeoutMS == 0 {
		s, err := p.client.Status(r.ctx, h.Instance)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, "", err
		}
		if err != nil || s.Status.String() == "Running" {
			return nil, "", context.DeadlineExceeded
		}
		return answerStatus(s)
	}
	ctx, cancel := withTimeout(r, h.TimeoutMS)
	defer cancel()
	s, err := p.client.WaitEnd(ctx, h.Instance)
	if r.impatient(err) {
		return nil, "", errImpatient
	}
	if err != nil {
		return nil, "", err
	}
	return answerStatus(s)
}

// opWaitStatus answers without a header when there is nothing newer.
func opWaitStatus(r *request) (any, string, error) {
	p, err := provider(r)
	if err != nil {
		return nil, "", err
	}
	h, err := header[waitRequest](r)
	if err != nil {
		return nil, "", err
	}
	if h.TimeoutMS == 0 {
		s, err := p.client.Status(r.ctx, h.Instance)
		if errors.Is(err, store.ErrNotFound) || err == nil && s.CustomStatusVersion <= h.Seen {
			return nil, "", nil
		}
		if err != nil {
			return nil, "", err
		}
		return answerStatus(s)
	}
	ctx, cancel := withTimeout(r, h.TimeoutMS)
	defer cancel()
	s, err := p.client.WaitStatus(ctx, h.Instance, h.Seen)
	if r.impatient(err) {
		return nil, "", errImpatient
	}
	if errors.Is(err, context.DeadlineExceeded) || err == nil && s == nil {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	return answerStatus(s)
}

func opWaitKV(r *request) (any, string, error) {
	p, err := provider(r)
	if err != nil {
		return nil, "", err
	}
	h, err := header[waitRequest](r)
	if err != nil {
		return nil, "", err
	}
	late := failed(classWaitTimeout, "Timed out waiting for value '%s' on instance '%s'", h.Key, h.Instance)
	if h.TimeoutMS == 0 {
		v, err := p.store.KVValue(r.ctx, h.Instance, h.Key)
		if err == nil && v == nil || errors.Is(err, store.ErrNotFound) {
			return nil, "", late
		}
		if err != nil {
			return nil, "", err
		}
		return nil, *v, nil
	}
	ctx, cancel := withTimeout(r, h.TimeoutMS)
	defer cancel()
	v, err := p.client.WaitKV(ctx, h.Instance, h.Key)
	if r.impatient(err) {
		return nil, "", errImpatient
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, "", late
	}
	return nil, v, err
}
