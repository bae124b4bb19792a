package client

import (
	"context"
	"errors"

	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// WaitEnd waits until the instance is Completed or Failed. An unknown id is waited for. It ends with ctx's error.
func (c *Client) WaitEnd(ctx context.Context, instance string) (*store.Status, error) {
	var ended *store.Status
	err := c.wait(ctx, instance, func(w *waiter) (bool, error) {
		if ended = c.hub.told(w); ended != nil {
			return true, nil
		}
		s, err := c.store.Status(ctx, instance)
		if err != nil || !isTerminal(s.Status) {
			return false, err
		}
		ended = s
		return true, nil
	})
	return ended, err
}

// WaitStatus waits for a custom status newer than seen. Nil, without an error, when the instance has ended with
// nothing newer. An unknown id is waited for.
func (c *Client) WaitStatus(ctx context.Context, instance string, seen int64) (*store.Status, error) {
	var newer *store.Status
	err := c.wait(ctx, instance, func(*waiter) (bool, error) {
		s, err := c.store.Status(ctx, instance)
		if err != nil {
			return false, err
		}
		if s.CustomStatusVersion > seen {
			newer = s
			return true, nil
		}
		return isTerminal(s.Status), nil
	})
	return newer, err
}

// WaitKV waits until the key has a value. An unknown id is waited for, and so is an instance that has ended.
func (c *Client) WaitKV(ctx context.Context, instance, key string) (string, error) {
	var value string
	err := c.wait(ctx, instance, func(*waiter) (bool, error) {
		v, err := c.store.KVValue(ctx, instance, key)
		if err != nil || v == nil {
			return false, err
		}
		value = *v
		return true, nil
	})
	return value, err
}

func isTerminal(s replay.Status) bool { return s == replay.Completed || s == replay.Failed }

// wait looks until there is what is waited for: at once, unless the instance was started a moment ago, and again after
// each change. Storage trouble that may pass is waited out with a look at each further change, and once a retry time.
func (c *Client) wait(ctx context.Context, instance string, look func(*waiter) (bool, error)) error {
	w, headStart, err := c.hub.join(ctx, instance)
	if err != nil {
		return err
	}
	defer c.hub.part(w)
	if headStart > 0 {
		if err := w.await(ctx, headStart); err != nil {
			return err
		}
	}
	pause := firstRetry
	for {
		done, err := look(w)
		switch {
		case done:
			return nil
		case err == nil || errors.Is(err, store.ErrNotFound):
			pause = firstRetry
			err = w.await(ctx, 0)
		case ctx.Err() != nil:
			return ctx.Err()
		case store.IsRetryable(err):
			err = w.await(ctx, pause)
			pause = min(pause*2, lastRetry)
		}
		if err != nil {
			return err
		}
	}
}
