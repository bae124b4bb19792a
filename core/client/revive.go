package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// ErrUnreadable says that the history of the instance cannot be read by this version.
var ErrUnreadable = errors.New("its history cannot be read by this version of duroxide")

const reviveTries = 5

// Revive opens an instance again that failed by no fault of its own code: its code did not fit its history, its work was
// given up as poison, the infrastructure failed. It goes on where it stood; children over whose like failure it failed
// are revived before it. What had not been taken when it failed, messages and mail, is gone. A running instance is left
// as it is. store.ErrNotFound, replay.ErrNotFailed (it has completed), replay.ErrOwnFailure, ErrUnreadable.
func (c *Client) Revive(ctx context.Context, instance string) error {
	for try := 1; ; try++ {
		s, err := c.store.Load(ctx, instance, history.Token{})
		switch {
		case err != nil:
			return err
		case !s.Ended:
			return nil
		case s.Undecodable != "":
			return fmt.Errorf("%w: %s", ErrUnreadable, s.Undecodable)
		}
		plan, err := replay.Reopen(s.Events)
		if err != nil {
			return err
		}
		for _, child := range plan.Children {
			if err := c.reviveChild(ctx, child.Instance); err != nil {
				return fmt.Errorf("revive child %q: %w", child.Instance, err)
			}
		}
		err = c.store.Revive(ctx, store.Revival{
			Instance: instance, Life: s.Life, Execution: s.Execution, Expect: s.Turn, New: history.NewToken(), Reopening: *plan,
		})
		if !errors.Is(err, store.ErrFenced) || try == reviveTries {
			return err
		}
	}
}

// reviveChild revives a child if it can be; what it cannot, its parent hears of.
func (c *Client) reviveChild(ctx context.Context, instance string) error {
	err := c.Revive(ctx, instance)
	for _, none := range []error{store.ErrNotFound, replay.ErrNotFailed, replay.ErrOwnFailure, ErrUnreadable} {
		if errors.Is(err, none) {
			return nil
		}
	}
	return err
}
