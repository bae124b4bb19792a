// Pgcommit measures what a PostgreSQL server allows: one-row updates, each a durable transaction of its own, in one
// round trip, with the driver of the provider and nothing around it.
//
//	go run ./bench/pgcommit URL COUNT
//
// It prints one line of JSON: p50 of an update alone, in seconds, and updates per second over 32 connections.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const connections = 32

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "pgcommit:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: pgcommit URL COUNT")
	}
	count, err := strconv.Atoi(args[1])
	if err != nil || count < connections {
		return fmt.Errorf("COUNT is %q, want a number of at least %d", args[1], connections)
	}
	if err := prepare(ctx, args[0]); err != nil {
		return err
	}
	times, err := updates(ctx, args[0], 0, count)
	if err != nil {
		return err
	}
	slices.Sort(times)

	begun := time.Now()
	var all sync.WaitGroup
	failed := make(chan error, connections)
	for row := range connections {
		all.Go(func() {
			if _, err := updates(ctx, args[0], row, count/connections*8); err != nil {
				failed <- err
			}
		})
	}
	all.Wait()
	select {
	case err := <-failed:
		return err
	default:
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]float64{
		"p50":        times[count/2].Seconds(),
		"per_second": float64(count/connections*8*connections) / time.Since(begun).Seconds(),
	})
}

func prepare(ctx context.Context, url string) (err error) {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close(ctx)) }()
	_, err = c.Exec(ctx, `CREATE TABLE pgcommit AS SELECT row, 0 AS n FROM generate_series(0, 31) AS row;
		ALTER TABLE pgcommit ADD PRIMARY KEY (row)`)
	return err
}

// updates commits count updates of one row over a connection of its own and gives their times.
func updates(ctx context.Context, url string, row, count int) (times []time.Duration, err error) {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close(ctx)) }()
	for range count {
		begun := time.Now()
		if _, err := c.Exec(ctx, "UPDATE pgcommit SET n = n + 1 WHERE row = $1", row); err != nil {
			return nil, err
		}
		times = append(times, time.Since(begun))
	}
	return times, nil
}
