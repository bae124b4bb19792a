package sqlite

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/windows"
)

// fileID is what a file is, whatever paths lead to it.
type fileID struct {
	device uint64
	inode  uint64
}

func identify(path string) (fileID, error) {
	f, err := os.Open(path)
	if err != nil {
		return fileID{}, err
	}
	var info windows.ByHandleFileInformation
	err = windows.GetFileInformationByHandle(windows.Handle(f.Fd()), &info)
	if err = errors.Join(err, f.Close()); err != nil {
		return fileID{}, fmt.Errorf("%s: %w", path, err)
	}
	return fileID{uint64(info.VolumeSerialNumber), uint64(info.FileIndexHigh)<<32 | uint64(info.FileIndexLow)}, nil
}

func checkWritable(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("%s cannot be written: %w", path, err)
	}
	return f.Close()
}

// processLock is a small file beside the database that this process keeps locked as long as it lives. Who gets the
// lock of another process knows that it is dead.
type processLock struct {
	path string
	file *os.File
}

func newProcessLock(database string) (*processLock, error) {
	var id [8]byte
	_, _ = rand.Read(id[:])
	path := database + "-process-" + hex.EncodeToString(id[:])
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	p := &processLock{path: path, file: f}
	if err := lockFile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), p.release(true))
	}
	return p, nil
}

// name of the file, as the row of a node has it.
func (p *processLock) name() string { return filepath.Base(p.path) }

// release gives the lock up. The file stays when nodes of this process still have rows: others then see at once that
// these are dead.
func (p *processLock) release(remove bool) error {
	err := p.file.Close() // an open file cannot be removed here
	if remove {
		err = errors.Join(err, os.Remove(p.path))
	}
	return err
}

// seize gets the lock of another process. dead is false when its owner lives or when nothing can be said; else the
// caller holds the lock until it calls done, which removes the file when bury is true.
func seize(database, name string) (dead bool, done func(bury bool)) {
	// The name comes from a table that anybody may have written.
	if name == "" || name != filepath.Base(name) || !strings.HasPrefix(name, filepath.Base(database)+"-process-") {
		return false, nil
	}
	path := filepath.Join(filepath.Dir(database), name)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false, nil
	}
	if err := lockFile(f); err != nil {
		_ = f.Close()
		return false, nil
	}
	return true, func(bury bool) {
		_ = f.Close()
		if bury {
			_ = os.Remove(path)
		}
	}
}

// lockFile does not wait.
func lockFile(f *os.File) error {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	return windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, new(windows.Overlapped))
}

// lockMigration waits for the lock file under which schemas are migrated. It stays: who waits for it has it open.
func lockMigration(database string, patience time.Duration) (unlock func(), err error) {
	path := database + "-migration"
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	taken := func(err error) bool { return errors.Is(err, windows.ERROR_LOCK_VIOLATION) }
	if err := waitForMigration(time.Now().Add(patience), taken, func() error { return lockFile(f) }); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}
