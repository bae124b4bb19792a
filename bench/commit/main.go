// Commit measures what the disk allows: the statements of one workflow step, committed durably one transaction after
// another, with the driver and the settings of the SQLite provider and nothing around them.
//
//	go run ./bench/commit FOLDER COUNT
//
// It prints one line of JSON, in seconds: p50 and p95 of a commit while the write-ahead log grows, as it does in every
// young database, and the p50 while it is overwritten, which flushes less.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// The tables of a step in their plainest form: an instance with its fence, its history, its waiting activity.
const schema = `
CREATE TABLE instances (id INTEGER PRIMARY KEY, turn BLOB NOT NULL, next_event INTEGER NOT NULL, updated_at INTEGER NOT NULL);
CREATE TABLE history (id INTEGER PRIMARY KEY, instance_id INTEGER NOT NULL, first_event INTEGER NOT NULL, events TEXT NOT NULL);
CREATE UNIQUE INDEX history_order ON history (instance_id, first_event);
CREATE TABLE jobs (id INTEGER PRIMARY KEY, instance_id INTEGER NOT NULL, visible_at INTEGER NOT NULL, name TEXT NOT NULL, input TEXT);
CREATE INDEX jobs_ready ON jobs (visible_at);
INSERT INTO instances VALUES (1, x'00', 1, 0);
`

var pragmas = []string{
	"PRAGMA page_size = 2048", // as the store has
	"PRAGMA journal_mode = WAL",
	"PRAGMA synchronous = FULL",
	"PRAGMA wal_autocheckpoint = 10000",
}

const (
	eventBytes = 450
	inputBytes = 60
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "commit:", err)
		os.Exit(1)
	}
}

func run(args []string) (err error) {
	if len(args) != 2 {
		return errors.New("usage: commit FOLDER COUNT")
	}
	count, err := strconv.Atoi(args[1])
	if err != nil || count < 1 {
		return fmt.Errorf("COUNT is %q, want a positive number", args[1])
	}
	conn, err := sqlite.OpenConn(filepath.Join(args[0], "commit.db"), sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	for _, pragma := range pragmas {
		if err := sqlitex.ExecuteTransient(conn, pragma, nil); err != nil {
			return fmt.Errorf("%s: %w", pragma, err)
		}
	}
	if err := sqlitex.ExecuteScript(conn, schema, nil); err != nil {
		return err
	}

	grown, err := steps(conn, 0, count)
	if err != nil {
		return err
	}
	if err := sqlitex.ExecuteTransient(conn, "PRAGMA wal_checkpoint(RESTART)", nil); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	overwritten, err := steps(conn, count, count)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]float64{
		"p50":             grown[count/2],
		"p95":             grown[count*95/100],
		"p50_overwritten": overwritten[count/2],
	})
}

// steps commits count steps and gives their times in seconds, sorted.
func steps(conn *sqlite.Conn, first, count int) ([]float64, error) {
	times := make([]float64, count)
	for i := range times {
		begun := time.Now()
		if err := step(conn, int64(first+i)); err != nil {
			return nil, fmt.Errorf("commit %d: %w", first+i, err)
		}
		times[i] = time.Since(begun).Seconds()
	}
	slices.Sort(times)
	return times, nil
}

var (
	events = strings.Repeat("e", eventBytes)
	input  = strings.Repeat("i", inputBytes)
)

// step commits what one step of a workflow writes: fence, history, the finished job out, the next one in.
func step(conn *sqlite.Conn, n int64) (err error) {
	end, err := sqlitex.ImmediateTransaction(conn)
	if err != nil {
		return err
	}
	defer end(&err)
	turn := fmt.Sprintf("%016d", n)
	for _, statement := range []struct {
		query string
		args  []any
	}{
		{"UPDATE instances SET turn = ?, next_event = next_event + 2, updated_at = ? WHERE id = 1", []any{turn, n}},
		{"INSERT INTO history (instance_id, first_event, events) VALUES (1, ?, ?)", []any{2 * n, events}},
		{"DELETE FROM jobs WHERE id = ?", []any{n}},
		{"INSERT INTO jobs (id, instance_id, visible_at, name, input) VALUES (?, 1, ?, 'Noop', ?)", []any{n + 1, n, input}},
	} {
		if err := sqlitex.Execute(conn, statement.query, &sqlitex.ExecOptions{Args: statement.args}); err != nil {
			return err
		}
	}
	return nil
}
