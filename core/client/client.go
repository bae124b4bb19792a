package client

import (
	"context"

	"github.com/duroxide/duroxide/core/store"
)

// Client starts, signals, waits for and reads instances of one store. It needs no runtime.
type Client struct{}

// New makes a client. Close ends its waits.
func New(s store.Store) *Client { panic("being written") }

// Start stores a new instance; durable when it returns.
func (c *Client) Start(ctx context.Context, s store.Start) error { panic("being written") }

// RaiseEvent sends a positional event. An unknown or ended instance drops it.
func (c *Client) RaiseEvent(ctx context.Context, instance, event, data string) error {
	panic("being written")
}

// EnqueueEvent sends mail to a queue of the instance.
func (c *Client) EnqueueEvent(ctx context.Context, instance, queue, data string) error {
	panic("being written")
}

// Cancel asks an instance to end. Unknown or ended: nothing happens.
func (c *Client) Cancel(ctx context.Context, instance, reason string) error { panic("being written") }

// Status reads once; store.ErrNotFound for an unknown id.
func (c *Client) Status(ctx context.Context, instance string) (*store.Status, error) {
	panic("being written")
}

// WaitEnd waits until the instance is Completed or Failed. An unknown id is waited for. It ends with ctx's error.
func (c *Client) WaitEnd(ctx context.Context, instance string) (*store.Status, error) {
	panic("being written")
}

// WaitStatus waits for a custom status newer than seen. Nil, without an error, when the instance has ended with
// nothing newer.
func (c *Client) WaitStatus(ctx context.Context, instance string, seen int64) (*store.Status, error) {
	panic("being written")
}

// WaitKV waits until the key has a value.
func (c *Client) WaitKV(ctx context.Context, instance, key string) (string, error) {
	panic("being written")
}

// Store gives the queries and management of the client's store.
func (c *Client) Store() store.Store { panic("being written") }

// Close ends all waits with store.ErrClosed.
func (c *Client) Close() { panic("being written") }
