package check

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/duroxide/duroxide/core/store"
)

// Violation is one thing that cannot be right.
type Violation struct {
	Instance  string // empty: the store as a whole
	Execution int64  // 0: the instance as a whole
	Problem   string
}

func (v Violation) String() string {
	switch {
	case v.Instance == "":
		return v.Problem
	case v.Execution == 0:
		return fmt.Sprintf("%q: %s", v.Instance, v.Problem)
	}
	return fmt.Sprintf("%q execution %d: %s", v.Instance, v.Execution, v.Problem)
}

// ErrOpaque says that the store does not show its rows.
var ErrOpaque = errors.New("the store does not show its rows")

// pageSize is how many instances are listed at a time.
const pageSize = 500

// Run checks everything in the store. No violation: nil. The error is the store's, or ErrOpaque.
func Run(ctx context.Context, s store.Store) ([]Violation, error) {
	inspector, ok := s.(store.Inspector)
	if !ok {
		return nil, ErrOpaque
	}
	found, err := checkShared(ctx, inspector)
	if err != nil {
		return nil, err
	}
	page := store.InstancePage{}
	for {
		if page, err = s.Instances(ctx, store.InstanceQuery{OldestFirst: true, Limit: pageSize, Cursor: page.Next}); err != nil {
			return nil, err
		}
		for i := range page.Items {
			violations, err := Instance(ctx, s, page.Items[i].Instance)
			if err != nil {
				return nil, err
			}
			found = append(found, violations...)
		}
		if page.Next == "" {
			return found, nil
		}
	}
}

// Instance checks one instance. One that does not exist has no violations.
func Instance(ctx context.Context, s store.Store, instance string) ([]Violation, error) {
	inspector, ok := s.(store.Inspector)
	if !ok {
		return nil, ErrOpaque
	}
	rows, err := inspector.Inspect(ctx, instance)
	if err != nil || rows == nil {
		return nil, err
	}
	c := &checker{instance: instance, rows: rows}
	if reason := rows.Snapshot.Undecodable; reason != "" {
		c.report(0, "its history cannot be read: %s", reason)
		return c.found, nil // everything else follows from it
	}
	c.checkExecutions()
	if current := c.current(); current != nil {
		c.checkState(current)
		c.checkWork(current)
		if err := c.checkChildren(ctx, inspector, current); err != nil {
			return nil, err
		}
	}
	if err := c.checkParent(ctx, inspector); err != nil {
		return nil, err
	}
	return c.found, nil
}

func checkShared(ctx context.Context, s store.Inspector) ([]Violation, error) {
	shared, err := s.InspectShared(ctx)
	if err != nil {
		return nil, err
	}
	var found []Violation
	report := func(format string, args ...any) {
		found = append(found, Violation{Problem: fmt.Sprintf(format, args...)})
	}
	for table, n := range shared.Orphans {
		if n > 0 {
			report("%d rows of %s belong to no instance", n, table)
		}
	}
	for session, node := range shared.Sessions {
		if node != "" && !slices.Contains(shared.Nodes, node) {
			report("session %q is held by node %q, which is not there", session, node)
		}
	}
	for _, node := range shared.Claims {
		if !slices.Contains(shared.Nodes, node) {
			report("jobs are claimed by node %q, which is not there", node)
		}
	}
	return found, nil
}

// checker collects what is wrong with one instance.
type checker struct {
	instance string
	rows     *store.Rows
	found    []Violation
}

func (c *checker) report(execution int64, format string, args ...any) {
	c.found = append(c.found, Violation{Instance: c.instance, Execution: execution, Problem: fmt.Sprintf(format, args...)})
}

// current is the execution that the instance is in, nil when its history is not there.
func (c *checker) current() *store.ExecutionHistory {
	for i := range c.rows.Histories {
		if c.rows.Histories[i].Execution.Execution == c.rows.Snapshot.Execution {
			return &c.rows.Histories[i]
		}
	}
	c.report(c.rows.Snapshot.Execution, "the current execution is not listed")
	return nil
}
