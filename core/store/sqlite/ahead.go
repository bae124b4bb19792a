package sqlite

import (
	"io"
	"os"
)

const (
	aheadBytes = 4 << 20    // of zeros, written at once; some 10 ms with the first commit
	frameMost  = 24 + 65536 // a page in the log, with its header, of whatever page size
)

// ahead keeps zeros in front of the end of the write-ahead log. A commit that overwrites blocks of the file costs half
// as much as one that makes it longer, since the file system has nothing to record but the data: 115 us against 230 us
// for five pages on ext4. To SQLite zeros are the end of the log: no frame has the salt of its header there.
//
// All is done by who leads and holds the database's write lock, so that nobody appends meanwhile. The file is open only
// while the writer's connection is, and so belongs to that connection's log.
type ahead struct {
	log  *os.File
	seen int64 // size at which there was nothing to do
	full bool  // no room: the log grows as it can
}

// extend lengthens the log when frames have reached its end. Trouble is no trouble: then commits lengthen it.
func (a *ahead) extend(path string) {
	if a.full {
		return
	}
	if a.log == nil {
		log, err := os.OpenFile(path+"-wal", os.O_RDWR, 0) // made by SQLite, which sets its owner and mode
		if err != nil {
			return
		}
		a.log = log
	}
	// Not Stat: who asks for the times of a file makes its next write change them, and the flush has to write them too.
	size, err := a.log.Seek(0, io.SeekEnd)
	if err != nil || size == a.seen || size == 0 {
		return
	}
	a.seen = size
	// A log as long as is kept begins anew long before its end, and would be cut back to that length each time.
	if size >= logKept || a.endsInZeros(size) {
		return
	}
	if _, err := a.log.WriteAt(make([]byte, aheadBytes), size); err != nil {
		a.full = true
		return
	}
	a.seen = size + aheadBytes
}

// endsInZeros: another process, or this one before, has written ahead and the room is not used up. No frame is zeros
// alone, since its header has the number of a page.
func (a *ahead) endsInZeros(size int64) bool {
	var end [frameMost]byte
	n, err := a.log.ReadAt(end[:min(size, frameMost)], max(0, size-frameMost))
	return err == nil && end == [frameMost]byte{} && n == frameMost
}

// close is called before the writer's connection closes: the last one out deletes the log.
func (a *ahead) close() {
	if a.log != nil {
		_ = a.log.Close()
	}
	*a = ahead{}
}
