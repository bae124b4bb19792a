package postgres

import (
	"context"
	"sync"
	"testing"
)

// Who inspects needs one connection: with more, some at once would wait for each other, and all else for them.
func TestInspectingTakesOneConnection(t *testing.T) {
	s := openSchema(t, newSchema(t), Options{MaxConns: 1})
	startOne(t, s, "a")
	ctx, cancel := context.WithTimeout(context.Background(), bounded)
	defer cancel()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			rows, err := s.Inspect(ctx, "a")
			if err != nil || rows == nil || len(rows.Messages) != 1 {
				t.Errorf("%+v, %v", rows, err)
			}
			if _, err := s.InspectShared(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}
