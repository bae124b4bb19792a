package sqlite

import (
	"os"

	"golang.org/x/sys/unix"
)

// notice tells of changes to a file through inotify. It is a hint: own writes are among them, and nothing is promised.
type notice struct {
	changed chan struct{}
	file    *os.File
	done    chan struct{}
}

// startNotice gives nil when the file cannot be watched.
func startNotice(path string) *notice {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil
	}
	n := &notice{changed: make(chan struct{}, 1), done: make(chan struct{}), file: os.NewFile(uintptr(fd), "inotify")}
	if _, err := unix.InotifyAddWatch(fd, path, unix.IN_MODIFY); err != nil {
		_ = n.file.Close()
		return nil
	}
	go n.run()
	return n
}

func (n *notice) run() {
	defer close(n.done)
	buffer := make([]byte, 4096)
	for {
		if _, err := n.file.Read(buffer); err != nil {
			return
		}
		select {
		case n.changed <- struct{}{}:
		default:
		}
	}
}

func (n *notice) stop() {
	_ = n.file.Close()
	<-n.done
}
