package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/duroxide/duroxide/core/store"
)

// file is a database as this process has it open: one for each file however often it is opened, found by device and
// inode, because there must be one writer, one lock file and one set of listeners for it.
type file struct {
	path   string // absolute, symbolic links resolved; empty in memory
	memory bool
	id     fileID
	now    func() int64
	poll   time.Duration
	refs   int // guarded by open.mu

	ready   chan struct{} // closed when openErr is set
	openErr error

	// The queue of the writer.
	lastCommit atomic.Int64 // Unix ns

	queueMu sync.Mutex
	queue   []*member
	leading bool
	closing bool
	drained chan struct{} // closed when closing and nothing is queued any more

	// Only for who leads.
	writer       *sqlite.Conn
	ahead        ahead
	lastID       int64
	foreignUntil time.Time
	lockedSince  time.Time                // by another process; zero: it was to be had
	commitHook   func(*sqlite.Conn) error // tests: in place of COMMIT

	readers   chan *sqlite.Conn // idle ones; nil in memory
	readerSem chan struct{}
	scanSem   chan struct{} // see scan
	scanTime  time.Duration // see scan

	processMu sync.Mutex
	process   *processLock // from the first Join on

	listeners listeners
	nodes     joined
	watch     watcher
	keeper    *keeper
}

// open is the registry of the process.
var open = struct {
	mu    sync.Mutex
	files map[fileID]*file
}{files: map[fileID]*file{}}

const (
	readerCount = 4
	// scanCount of them read the whole store at the same time: such a read may take seconds, and what the engine and its
	// waits read must not queue behind it.
	scanCount = 2
)

// openFile finds or opens the database at path.
func openFile(path string, o Options) (*file, error) {
	path, err := preparePath(path)
	if err != nil {
		return nil, err
	}
	id, err := identify(path)
	if err != nil {
		return nil, err
	}
	open.mu.Lock()
	f, known := open.files[id]
	if !known {
		f = newFile(o)
		f.path, f.id = path, id
		open.files[id] = f
	}
	f.refs++
	open.mu.Unlock()

	if !known {
		f.openErr = f.openFirst()
		close(f.ready)
	}
	<-f.ready
	if f.openErr != nil {
		return nil, errors.Join(f.openErr, f.release())
	}
	return f, nil
}

func (f *file) openFirst() error {
	if err := refuseNetwork(f.path); err != nil {
		return err
	}
	f.readers = make(chan *sqlite.Conn, readerCount)
	f.readerSem = make(chan struct{}, readerCount)
	f.scanSem = make(chan struct{}, scanCount)
	if err := f.setUp(); err != nil {
		return err
	}
	f.keeper = startKeeper(f)
	return nil
}

// openMemory makes a database of its own that lives as long as the store.
func openMemory(o Options) (*file, error) {
	f := newFile(o)
	f.memory = true
	f.refs = 1
	if err := f.setUp(); err != nil {
		return nil, errors.Join(err, f.release())
	}
	return f, nil
}

func newFile(o Options) *file {
	f := &file{ready: make(chan struct{}), drained: make(chan struct{}), poll: o.PollInterval, now: o.Now, scanTime: scanTime}
	if f.poll <= 0 {
		f.poll = 25 * time.Millisecond
	}
	if f.now == nil {
		f.now = func() int64 { return time.Now().UnixMilli() }
	}
	f.nodes.init()
	return f
}

// preparePath makes the path absolute and creates directories and file, readable by their owner only.
func preparePath(path string) (string, error) {
	if path == "" {
		return "", errors.New("the path of the database is empty")
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(absolute)
	switch {
	case err == nil && info.IsDir():
		return "", fmt.Errorf("%s is a directory, not a database file", absolute)
	case err == nil && !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is not a regular file", absolute)
	case err == nil:
		// Never opened and closed here: on Unix that would drop the locks that this process may hold on the file.
	case errors.Is(err, os.ErrNotExist):
		if err := os.MkdirAll(filepath.Dir(absolute), 0o700); err != nil {
			return "", fmt.Errorf("create the directory of the database: %w", err)
		}
		created, err := os.OpenFile(absolute, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil && !errors.Is(err, os.ErrExist) {
			return "", fmt.Errorf("create the database: %w", err)
		}
		if err == nil {
			if err := created.Close(); err != nil {
				return "", fmt.Errorf("create the database: %w", err)
			}
		}
	default:
		return "", err
	}
	resolved, err := filepath.EvalSymlinks(absolute)
	if err != nil {
		return "", err
	}
	return resolved, checkWritable(resolved)
}

// setUp opens the writer and brings the schema up to date. Processes that find a file without the current schema take
// turns: the switch to the write-ahead log does not wait for others by itself, and the migration library checks and
// migrates in separate transactions.
func (f *file) setUp() error {
	if f.memory {
		if err := f.ensureWriter(); err != nil {
			return explain(f.name(), err)
		}
		if err := f.migrate(); err != nil {
			return err
		}
		return checkMinWriter(f.writer)
	}
	c, err := f.connect()
	if err != nil {
		return explain(f.name(), err)
	}
	// Before anything is changed: the file may be another program's.
	current, err := checkVersion(c, f.path)
	if err == nil && !current {
		var unlock func()
		if unlock, err = lockMigration(f.path, migrationPatience); err == nil {
			defer unlock()
			current, err = checkVersion(c, f.path)
		}
	}
	if err != nil {
		return errors.Join(err, c.Close())
	}
	if err := configure(c); err != nil {
		return explain(f.name(), errors.Join(err, c.Close()))
	}
	f.writer = c
	if !current {
		if err := f.migrate(); err != nil {
			return err
		}
	}
	return checkMinWriter(f.writer)
}

func (f *file) name() string {
	if f.memory {
		return ":memory:"
	}
	return f.path
}

// ensureWriter opens the writer's connection when there is none: at the start, and after trouble with the one before.
func (f *file) ensureWriter() error {
	if f.writer != nil {
		return nil
	}
	if f.memory {
		c, err := sqlite.OpenConn(":memory:", sqlite.OpenReadWrite|sqlite.OpenCreate)
		if err != nil {
			return err
		}
		f.writer = c
		return errors.Join(prepared(c, "PRAGMA temp_store = MEMORY").exec(), prepareEnds(c))
	}
	c, err := f.connect()
	if err != nil {
		return err
	}
	if err := configure(c); err != nil {
		return errors.Join(err, c.Close())
	}
	f.writer = c
	return nil
}

// connect opens a connection to the file as it is.
func (f *file) connect() (*sqlite.Conn, error) {
	// No OpenCreate: a file that was deleted must not come back empty.
	c, err := sqlite.OpenConn(f.path, sqlite.OpenReadWrite)
	if err != nil {
		return nil, err
	}
	c.SetBusyTimeout(10 * time.Second)
	return c, nil
}

// prepareEnds has what ends a transaction ready before it is needed: without memory there is no preparing it.
func prepareEnds(c *sqlite.Conn) error {
	for _, sql := range []string{"COMMIT", "ROLLBACK", "ROLLBACK TO member", "RELEASE member"} {
		if _, err := c.Prepare(sql); err != nil {
			return err
		}
	}
	return nil
}

// pageSize of new databases. A commit writes each page whole that it changes, and a step changes seven of them by some
// hundred bytes: with 4,096 it takes 15 % longer, with 1,024 groups of turns do.
const pageSize = 2048

// logKept is what is left of a log that had to grow, as of a large deletion or a long read, when it begins anew: else the
// disk would be without that room as long as anybody has the database open.
const logKept = 64 << 20

// configure makes a connection the writer's.
func configure(c *sqlite.Conn) error {
	for _, pragma := range []string{
		fmt.Sprintf("PRAGMA page_size = %d", pageSize), // this and the next only before the first table
		"PRAGMA auto_vacuum = INCREMENTAL",
		"PRAGMA journal_mode = WAL",
		"PRAGMA synchronous = FULL",
		"PRAGMA fullfsync = ON", // macOS: fsync alone does not reach the disk
		"PRAGMA temp_store = MEMORY",
		"PRAGMA cache_size = -65536",
		"PRAGMA wal_autocheckpoint = 32768", // only if the keeper falls behind
		fmt.Sprintf("PRAGMA journal_size_limit = %d", logKept),
	} {
		mode := ""
		if _, err := prepared(c, pragma).one(func(s *sqlite.Stmt) { mode = s.ColumnText(0) }); err != nil {
			return err
		}
		if strings.HasSuffix(pragma, "WAL") && !strings.EqualFold(mode, "wal") {
			return fmt.Errorf("no write-ahead log can be used (journal mode %q)", mode)
		}
	}
	c.SetBusyTimeout(0) // begin waits in its own way
	return prepareEnds(c)
}

// dropWriter closes the connection after trouble; the next use opens another. In memory it is the database itself.
func (f *file) dropWriter() {
	if f.writer == nil || f.memory {
		return
	}
	f.ahead.close()
	_ = f.writer.Close() // its transaction is rolled back either way
	f.writer = nil
}

// stillThere fails when the file is no longer the one at its path: what was just committed went to a file that nobody
// will find again.
func (f *file) stillThere() error {
	if f.memory {
		return nil
	}
	id, err := identify(f.path)
	if err == nil && id == f.id {
		return nil
	}
	if err == nil {
		err = errors.New("another file stands in its place")
	}
	return &store.Error{Operation: "commit", Err: fmt.Errorf("the database %s was deleted or replaced: %w", f.path, err)}
}

func (f *file) committed() {
	if f.memory {
		return
	}
	f.lastCommit.Store(time.Now().UnixNano())
	if f.keeper != nil {
		f.keeper.committed()
	}
}

// committedWithin reports whether this process has committed in the last d.
func (f *file) committedWithin(d time.Duration) bool {
	return time.Now().UnixNano()-f.lastCommit.Load() < int64(d)
}

// release gives up one use of the file and closes it with the last.
func (f *file) release() error {
	open.mu.Lock()
	f.refs--
	last := f.refs == 0
	if last && !f.memory {
		delete(open.files, f.id)
	}
	open.mu.Unlock()
	if !last {
		return nil
	}
	return f.close()
}

func (f *file) close() error {
	f.watch.stop()
	f.queueMu.Lock()
	f.closing = true
	idle := !f.leading
	f.queueMu.Unlock()
	if !idle {
		<-f.drained
	}
	if f.keeper != nil {
		f.keeper.stop()
	}
	var errs []error
	if f.readers != nil {
		for range readerCount {
			f.readerSem <- struct{}{} // until the last reader is done
		}
		close(f.readers)
		for c := range f.readers {
			errs = append(errs, c.Close())
		}
	}
	f.ahead.close()
	if f.writer != nil {
		errs = append(errs, f.writer.Close())
		f.writer = nil
	}
	f.processMu.Lock()
	defer f.processMu.Unlock()
	if f.process != nil { // a node of this process has not left
		errs = append(errs, f.process.release(f.nodes.none()))
		f.process = nil
	}
	return errors.Join(errs...)
}
