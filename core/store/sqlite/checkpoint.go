package sqlite

import (
	"context"
	"sync/atomic"
	"time"

	"zombiezen.com/go/sqlite"
)

const (
	// checkpointPages are copied back even under load. Then the log begins anew and overwrites what it has: that is
	// cheaper than growing (see ahead).
	checkpointPages = 8_000
	restartPages    = 8_000
	lookEvery       = 50              // commits between looks at the log's length under load
	idleAfter       = 2 * time.Second // without a commit: the log is copied back while nobody waits

	// What was deleted is used again first. Only what is more than so many pages goes back to the file system, some at
	// once, while nobody waits.
	freeKept   = 2_000
	vacuumSome = "PRAGMA incremental_vacuum(500)"
)

// keeper copies the log back into the database on a connection of its own, so that no commit has to.
type keeper struct {
	file    *file
	commits chan struct{}
	quit    chan struct{}
	done    chan struct{}
	conn    *sqlite.Conn
	unseen  atomic.Int64 // commits since the last look
	// checkpointPages and restartPages; tests have less patience.
	checkpointAt, restartAt int64
}

func startKeeper(f *file) *keeper {
	k := newKeeper(f)
	go k.run()
	return k
}

func newKeeper(f *file) *keeper {
	return &keeper{
		file: f, commits: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
		checkpointAt: checkpointPages, restartAt: restartPages,
	}
}

// committed tells of a commit without waiting.
func (k *keeper) committed() {
	if n := k.unseen.Add(1); n != 1 && n%lookEvery != 0 {
		return // one notice is enough between looks
	}
	select {
	case k.commits <- struct{}{}:
	default:
	}
}

func (k *keeper) stop() {
	close(k.quit)
	<-k.done
}

// run sleeps while there are no commits: an idle store costs nothing.
func (k *keeper) run() {
	defer close(k.done)
	defer k.closeConn()
	idle := time.NewTimer(idleAfter)
	idle.Stop()
	defer idle.Stop()
	for {
		select {
		case <-k.quit:
			return
		case <-k.commits:
			if k.unseen.Load() >= lookEvery {
				k.unseen.Store(1)
				k.look(false)
			}
			idle.Reset(idleAfter)
		case <-idle.C:
			k.unseen.Store(0) // the next commit is noticed
			k.look(true)
			k.shrink()
		}
	}
}

// look copies what has grown long enough, or everything when nobody is writing. What fails now is tried again with
// the next commits; the writer's own limit stays behind it.
func (k *keeper) look(idle bool) {
	if k.conn == nil {
		c, err := sqlite.OpenConn(k.file.path, sqlite.OpenReadWrite)
		if err != nil {
			return
		}
		c.SetBusyTimeout(0)
		k.conn = c
	}
	pages := k.checkpoint("NOOP")
	if pages >= k.checkpointAt || idle && pages > 0 {
		k.checkpoint("PASSIVE")
	}
	if pages >= k.restartAt {
		k.restart()
	}
}

// restart makes the next commit begin the log anew. It needs the write lock, so it takes its turn among the writers: had
// it a connection of its own, they would take it for another process and be courteous to it for a while. What is left
// to copy is little. A reader that still needs the log, or another process that writes, puts it off to the next look.
func (k *keeper) restart() {
	_ = k.file.write(context.Background(), &member{operation: "checkpoint", alone: func(c *sqlite.Conn) error {
		return prepared(c, "PRAGMA wal_checkpoint(RESTART)").each(func(*sqlite.Stmt) (bool, error) { return true, nil })
	}})
}

// shrink gives pages that are free back to the file system, until somebody writes: it goes on when nobody does.
func (k *keeper) shrink() {
	for shrunk := false; ; shrunk = true {
		if k.isWanted() || k.free() <= freeKept || !k.vacuum() {
			if shrunk {
				k.look(true) // the file becomes shorter when the log is copied back
			}
			return
		}
		k.look(false)
	}
}

// isWanted reports whether there was a commit, or the store is to be closed.
func (k *keeper) isWanted() bool {
	select {
	case <-k.quit:
		return true
	default:
		return len(k.commits) > 0
	}
}

// free gives the number of pages of the database that hold nothing.
func (k *keeper) free() (pages int64) {
	if k.conn == nil {
		return 0
	}
	_, err := prepared(k.conn, "PRAGMA freelist_count").first(func(s *sqlite.Stmt) { pages = s.ColumnInt64(0) })
	if err != nil {
		k.closeConn()
		return 0
	}
	return pages
}

// vacuum frees some pages in the writers' queue. Another process that writes puts it off.
func (k *keeper) vacuum() bool {
	m := &member{operation: "shrink", alone: func(c *sqlite.Conn) error {
		return prepared(c, vacuumSome).each(func(*sqlite.Stmt) (bool, error) { return true, nil })
	}}
	return k.file.write(context.Background(), m) == nil && m.err == nil
}

// checkpoint gives the number of pages in the log.
func (k *keeper) checkpoint(mode string) int64 {
	if k.conn == nil {
		return 0
	}
	pages := int64(0)
	_, err := prepared(k.conn, "PRAGMA wal_checkpoint("+mode+")").first(func(s *sqlite.Stmt) { pages = s.ColumnInt64(1) })
	if err != nil {
		k.closeConn()
		return 0
	}
	return pages
}

func (k *keeper) closeConn() {
	if k.conn != nil {
		_ = k.conn.Close()
		k.conn = nil
	}
}
