package client

import (
	"context"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

// Client starts, signals, waits for and reads instances of one store. It needs no runtime. Its methods may be called
// by any number of goroutines. Errors are the store's.
type Client struct {
	store store.Store
	hub   *hub
}

// New makes a client. Close ends its waits.
func New(s store.Store) *Client {
	c := &Client{store: s, hub: newHub()}
	c.hub.turns, _ = s.(store.TurnReader)
	c.hub.leave = s.Listen(c.hub)
	return c
}

// Start stores a new instance; durable when it returns. See store.Start for ids that exist.
func (c *Client) Start(ctx context.Context, s store.Start) error {
	c.hub.starting(s.Instance)
	result, err := c.store.Start(ctx, s)
	c.hub.started(s.Instance, result.Life, err == nil)
	return err
}

// RaiseEvent sends a positional event. An unknown or ended instance drops it.
func (c *Client) RaiseEvent(ctx context.Context, instance, event, data string) error {
	_, err := c.Send(ctx, instance, history.Message{Kind: history.MsgEvent, Name: event, Data: data})
	return err
}

// EnqueueEvent sends mail to a queue of the instance.
func (c *Client) EnqueueEvent(ctx context.Context, instance, queue, data string) error {
	_, err := c.Send(ctx, instance, history.Message{Kind: history.MsgMail, Name: queue, Data: data})
	return err
}

// Cancel asks an instance to end. Unknown or ended: nothing happens.
func (c *Client) Cancel(ctx context.Context, instance, reason string) error {
	_, err := c.Send(ctx, instance, history.Message{Kind: history.MsgCancel, Data: reason})
	return err
}

// Send stores one message under a random id, by which the store knows it again when a write's outcome was unknown. Not
// stored: nobody is there to take it, or too much waits for an id that was not started yet.
func (c *Client) Send(ctx context.Context, instance string, m history.Message) (stored bool, err error) {
	m.ID = history.NewToken().String()
	all, err := c.store.Enqueue(ctx, []store.Enqueue{{Instance: instance, Message: m}})
	return err == nil && all[0], err
}

// Status reads once; store.ErrNotFound for an unknown id.
func (c *Client) Status(ctx context.Context, instance string) (*store.Status, error) {
	return c.store.Status(ctx, instance)
}

// Store gives the queries and management of the client's store.
func (c *Client) Store() store.Store { return c.store }

// Close ends all waits with store.ErrClosed. It leaves the store open. Idempotent.
func (c *Client) Close() { c.hub.close() }
