package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/duroxide/duroxide/core/engine"
)

const targetEngine = "duroxide.engine"

// maxQueuedLogs bounds the records that wait for Python; what comes beyond is counted and said.
const maxQueuedLogs = 10_000

// maxLogBatch is how many are handed over at once.
const maxLogBatch = 500

var levelRanks = map[string]int{"debug": 0, "info": 1, "warn": 2, "error": 3}

// logQueue holds records until Python's log thread comes for them. Writing to it never blocks.
type logQueue struct {
	mu      sync.Mutex
	records []engine.LogRecord
	dropped int
	closed  bool
	least   map[string]int // rank below which a target's records are not wanted
	news    chan struct{}  // capacity 1
}

func newLogQueue() *logQueue { return &logQueue{news: make(chan struct{}, 1)} }

func (q *logQueue) put(r engine.LogRecord) {
	if r.TimeMS == 0 {
		r.TimeMS = time.Now().UnixMilli()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return
	case levelRanks[r.Level] < q.least[r.Target]:
		return
	case len(q.records) >= maxQueuedLogs:
		q.dropped++
		return
	}
	q.records = append(q.records, r)
	q.signal()
}

func (q *logQueue) signal() {
	select {
	case q.news <- struct{}{}:
	default:
	}
}

// setLeast names, for each target, the least level that is wanted.
func (q *logQueue) setLeast(levels map[string]string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.least = make(map[string]int, len(levels))
	for target, level := range levels {
		rank, known := levelRanks[level]
		if !known {
			rank = len(levelRanks) // off
		}
		q.least[target] = rank
	}
}

// close ends the queue: what is in it is still handed over.
func (q *logQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.signal()
}

// pull waits for records. None means that the queue has ended.
func (q *logQueue) pull() []engine.LogRecord {
	for {
		q.mu.Lock()
		n := min(len(q.records), maxLogBatch)
		batch := append([]engine.LogRecord(nil), q.records[:n]...)
		q.records = q.records[n:]
		if len(q.records) == 0 {
			q.records = nil
		} else {
			q.signal()
		}
		dropped, closed := q.dropped, q.closed
		q.dropped = 0
		if closed {
			q.signal() // for the next pull, which finds the end
		}
		q.mu.Unlock()
		if dropped > 0 {
			batch = append(batch, engine.LogRecord{TimeMS: time.Now().UnixMilli(), Level: "warn", Target: targetEngine,
				Message: fmt.Sprintf("%d log records were dropped: they came faster than Python's logging took them", dropped)})
		}
		if len(batch) > 0 || closed {
			return batch
		}
		<-q.news
	}
}
