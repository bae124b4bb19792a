//go:build unix

package sqlite

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// fileID is what a file is, whatever paths lead to it.
type fileID struct {
	device uint64
	inode  uint64
}

func identify(path string) (fileID, error) {
	info, err := os.Stat(path)
	if err != nil {
		return fileID{}, err
	}
	sys, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileID{}, fmt.Errorf("%s: the file system gives no inode", path)
	}
	return fileID{uint64(sys.Dev), sys.Ino}, nil //nolint:unconvert // Dev is signed on macOS
}

func checkWritable(path string) error {
	if err := unix.Access(path, unix.W_OK); err != nil {
		return fmt.Errorf("%s cannot be written: %w", path, err)
	}
	if err := unix.Access(filepath.Dir(path), unix.W_OK); err != nil {
		return fmt.Errorf("the directory of %s cannot be written, and SQLite needs files beside the database: %w", path, err)
	}
	return nil
}

// processLock is a small file beside the database that this process keeps locked as long as it lives. Who gets the
// lock of another process knows that it is dead: in any container, after exec, and whoever has its pid now.
//
// It is a record lock (F_SETLK) because a forked child does not inherit that. Such a lock falls when the process
// closes any descriptor of the file, so the file is opened once and never probed by its own process.
type processLock struct {
	path string
	fd   int
}

func newProcessLock(database string) (*processLock, error) {
	var id [8]byte
	_, _ = rand.Read(id[:])
	path := database + "-process-" + hex.EncodeToString(id[:])
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	p := &processLock{path: path, fd: fd}
	if err := setLock(fd, unix.F_SETLK); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), p.release(true))
	}
	return p, nil
}

// name of the file, as the row of a node has it: without the directory, which may be mounted elsewhere for others.
func (p *processLock) name() string { return filepath.Base(p.path) }

// release gives the lock up. The file stays when nodes of this process still have rows: others then see at once that
// these are dead.
func (p *processLock) release(remove bool) error {
	var err error
	if remove {
		err = os.Remove(p.path)
	}
	return errors.Join(err, unix.Close(p.fd))
}

// seize gets the lock of another process. dead is false when its owner lives or when nothing can be said; else the
// caller holds the lock until it calls done, which removes the file when bury is true.
func seize(database, name string) (dead bool, done func(bury bool)) {
	// The name comes from a table that anybody may have written.
	if name == "" || name != filepath.Base(name) || !strings.HasPrefix(name, filepath.Base(database)+"-process-") {
		return false, nil
	}
	path := filepath.Join(filepath.Dir(database), name)
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false, nil
	}
	if err := setLock(fd, unix.F_SETLK); err != nil {
		_ = unix.Close(fd)
		return false, nil
	}
	return true, func(bury bool) {
		if bury {
			_ = os.Remove(path)
		}
		_ = unix.Close(fd)
	}
}

func setLock(fd, how int) error {
	for {
		err := unix.FcntlFlock(uintptr(fd), how, &unix.Flock_t{Type: unix.F_WRLCK, Whence: int16(unix.SEEK_SET)})
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// lockMigration waits for the lock file under which schemas are migrated. The last one out removes it, so who has
// waited checks that it still has the file that others will see.
func lockMigration(database string, patience time.Duration) (unlock func(), err error) {
	path := database + "-migration"
	for deadline := time.Now().Add(patience); ; {
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return nil, fmt.Errorf("create %s: %w", path, err)
		}
		taken := func(err error) bool { return errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) }
		if err := waitForMigration(deadline, taken, func() error { return setLock(fd, unix.F_SETLK) }); err != nil {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), unix.Close(fd))
		}
		var mine, there unix.Stat_t
		if unix.Fstat(fd, &mine) == nil && unix.Stat(path, &there) == nil && mine.Ino == there.Ino {
			return func() {
				_ = os.Remove(path)
				_ = unix.Close(fd)
			}, nil
		}
		_ = unix.Close(fd)
	}
}
