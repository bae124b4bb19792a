package sqlite

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/duroxide/duroxide/core/store"
)

const (
	groupSize     = 64               // members of one transaction
	aloneBytes    = 1 << 20          // a member so big has a transaction of its own
	busyPatience  = 60 * time.Second // another process may hold the lock so long
	busyPause     = time.Millisecond
	courtesyPause = 1500 * time.Microsecond // after a group while another process writes: the lock is not fair
	courtesyTime  = 250 * time.Millisecond  // how long another process counts as present after it was noticed
)

// member is one piece of work for the writer. What run and read do must leave no trace in Go values but in the
// member's own result, which run resets first: both may run again, when another member took the transaction down.
type member struct {
	operation string
	path      string // of the database, for errors; set by write
	bytes     int    // payload, about
	// run writes. It is called inside a transaction; an error undoes what this member wrote and nothing else.
	run func(*tx) error
	// read is called after all members of the group have written, so that it sees what they sent to each other.
	read func(*tx) error
	// applied looks up, after a COMMIT whose outcome is unknown, whether the member's writes are there.
	// known is false when that cannot be told any more. Nil: cannot be told.
	applied func(*sqlite.Conn) (applied, known bool, err error)
	// alone runs outside of any transaction with the connection to itself. Then run and read are nil.
	alone func(*sqlite.Conn) error

	ctx   context.Context //nolint:containedctx // of who waits for it
	err   error
	wake  wakeup
	turns chan bool // true: lead now; false: done
	begun bool      // leads or is being run; guarded by queueMu
	since time.Time // when it was queued
}

// tx is what a member writes with.
type tx struct {
	*sqlite.Conn
	file   *file
	now    int64
	wake   *wakeup
	idsSet bool

	earlyMail map[string]int64 // kept for an id, as far as this member has counted it
}

// nextID draws the id of a message or job (all tables whose ids tell an order): from the clock, and above all ids so far, so that ids follow the order of
// insertion and an id is not used again when the row that had it goes.
func (t *tx) nextID() (int64, error) {
	if !t.idsSet {
		// Another process may have written since.
		if !t.file.memory || t.file.lastID == 0 {
			const highest = `SELECT max(ifnull((SELECT max(id) FROM duroxide_messages), 0),
				ifnull((SELECT max(id) FROM duroxide_jobs), 0), ifnull((SELECT max(id) FROM duroxide_early_mail), 0),
				ifnull((SELECT max(id) FROM duroxide_taken), 0))`
			_, err := prepared(t.Conn, highest).first(func(s *sqlite.Stmt) {
				t.file.lastID = max(t.file.lastID, s.ColumnInt64(0))
			})
			if err != nil {
				return 0, err
			}
		}
		t.idsSet = true
	}
	t.file.lastID = max(t.file.lastID+1, t.now*1000)
	return t.file.lastID, nil
}

// write queues members and waits until all are answered. Only a member that nobody has begun is withdrawn when ctx
// ends: a deadline that reached the connection would interrupt the writes of others in the same transaction. Who leads
// waits for the lock of another process no longer than its own ctx lasts.
func (f *file) write(ctx context.Context, members ...*member) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	now := time.Now()
	for _, m := range members {
		m.turns, m.ctx, m.path, m.since = make(chan bool, 1), ctx, f.name(), now
	}
	f.queueMu.Lock()
	if f.closing {
		f.queueMu.Unlock()
		return store.ErrClosed
	}
	f.queue = append(f.queue, members...)
	lead := !f.leading
	f.leading = true
	if lead {
		members[0].begun = true
	}
	f.queueMu.Unlock()

	if lead {
		f.lead() //nolint:contextcheck // for all in the queue, whoever of them still waits
	}
	// When leading, the first member is answered already unless the queue was longer than one group.
	for _, m := range members {
		f.await(ctx, m)
	}
	return nil
}

func (f *file) await(ctx context.Context, m *member) {
	done := ctx.Done()
	for {
		select {
		case leads := <-m.turns:
			if !leads {
				return
			}
			f.lead() //nolint:contextcheck // as above
		case <-done:
			if f.withdraw(m) {
				m.err = context.Cause(ctx)
				return
			}
			done = nil // begun: its outcome is what counts
		}
	}
}

// withdraw takes a member out of the queue if it has not begun and was not asked to lead.
func (f *file) withdraw(m *member) bool {
	f.queueMu.Lock()
	defer f.queueMu.Unlock()
	if i := slices.Index(f.queue, m); i >= 0 && !m.begun {
		f.queue = slices.Delete(f.queue, i, i+1)
		return true
	}
	return false
}

// lead commits one group, the head of the queue in it, on this goroutine, and hands the lead to the next in line.
func (f *file) lead() {
	f.queueMu.Lock()
	head := f.queue[0]
	f.queueMu.Unlock()

	var group []*member
	if head.alone != nil {
		group = f.take(justTheHead)
		f.runAlone(head)
	} else {
		group = f.commitNext(head)
	}

	f.queueMu.Lock()
	if len(f.queue) > 0 {
		f.queue[0].begun = true
		f.queue[0].turns <- true
	} else {
		f.leading = false
		if f.closing {
			close(f.drained)
		}
	}
	f.queueMu.Unlock()

	f.tell(group)
	for _, m := range group {
		m.turns <- false
	}
}

// commitNext commits the head of the queue and what is behind it once the write lock is there. Until then everybody but
// the head may withdraw: nobody is bound to wait for a lock that another process keeps as long as the head does.
func (f *file) commitNext(head *member) []*member {
	err := f.beginSafely(head)
	switch {
	case err == nil:
		group := f.take(nextGroup)
		f.commitSafely(group)
		return group
	case errors.Is(err, errImpatient):
		head.err = context.Cause(head.ctx)
		return f.take(justTheHead)
	case errors.Is(err, errLocked):
		group := f.take(outOfPatience)
		for _, m := range group {
			m.fail(err)
		}
		return group
	default:
		group := f.take(nextGroup)
		for _, m := range group {
			m.fail(err)
		}
		return group
	}
}

// take cuts the head off the queue, and as much behind it as the rule says.
func (f *file) take(rule func(queue []*member) int) []*member {
	f.queueMu.Lock()
	defer f.queueMu.Unlock()
	n := rule(f.queue)
	group := make([]*member, n)
	copy(group, f.queue)
	rest := copy(f.queue, f.queue[n:])
	clear(f.queue[rest:])
	f.queue = f.queue[:rest]
	return group
}

func justTheHead([]*member) int { return 1 }

// nextGroup: members in order, big and lone ones by themselves.
func nextGroup(queue []*member) int {
	n := 1
	if head := queue[0]; head.alone == nil && head.bytes < aloneBytes {
		for n < len(queue) && n < groupSize && queue[n].alone == nil && queue[n].bytes < aloneBytes {
			n++
		}
	}
	return n
}

// outOfPatience: those that have waited for the lock as long as one does.
func outOfPatience(queue []*member) int {
	n := 1
	for n < len(queue) && queue[n].alone == nil && time.Since(queue[n].since) > busyPatience {
		n++
	}
	return n
}

func (f *file) runAlone(m *member) {
	defer f.answerPanic(m)
	err := f.ensureWriter()
	if err == nil {
		err = m.alone(f.writer)
	}
	m.err = trouble(f.name(), m.operation, err)
}

// answerPanic is deferred where a defect must not end the lead: those who wait would wait for ever.
func (f *file) answerPanic(members ...*member) {
	if p := recover(); p != nil {
		f.dropWriter()
		for _, m := range members {
			m.fail(defect(m.operation, p))
		}
	}
}

func defect(operation string, p any) error {
	return &store.Error{Operation: operation, Unknown: true, Err: fmt.Errorf("the store has a defect: %v\n%s", p, debug.Stack())}
}

// beginSafely begins a transaction for who leads.
func (f *file) beginSafely(head *member) (err error) {
	defer func() {
		if p := recover(); p != nil {
			f.dropWriter()
			err = defect(head.operation, p)
		}
	}()
	return f.begin(head.ctx, head.since)
}

// unhurried waits for as long as the store does.
var unhurried = context.Background()

// errImpatient says that the caller's time ended before the lock was to be had.
var errImpatient = errors.New("the lock could not be waited for")

// errGone says that an error took the whole transaction down.
var errGone = errors.New("transaction was rolled back")

// errLocked says that another process has kept the lock for too long.
var errLocked = errors.New("another program has held the lock")

// commitGroup runs the members in the transaction that has begun and sets the error of each. Savepoints do not isolate
// every error: a full disk or an interrupt in one member rolls back all of them. Then the members are redone one by one,
// each in a transaction of its own.
func (f *file) commitGroup(group []*member) {
	err := f.commitTogether(group)
	if errors.Is(err, errGone) && len(group) > 1 {
		for _, m := range group {
			if err = f.begin(unhurried, time.Now()); err == nil {
				err = f.commitTogether([]*member{m})
			}
			if err != nil {
				m.fail(err)
			}
		}
		return
	}
	if err != nil {
		for _, m := range group {
			m.fail(err)
		}
	}
}

// commitSafely answers the members even if a defect makes commitGroup panic.
func (f *file) commitSafely(group []*member) {
	defer f.answerPanic(group...)
	f.commitGroup(group)
}

func (m *member) fail(err error) {
	m.wake = wakeup{}
	m.err = trouble(m.path, m.operation, err)
}

// commitTogether returns nil when each member has its answer. errGone: the transaction fell to an error of one member,
// nothing is applied. Any other error is everybody's.
func (f *file) commitTogether(group []*member) error {
	t := &tx{Conn: f.writer, file: f, now: f.now()}
	wrote := false
	for _, m := range group {
		m.err, m.wake = nil, wakeup{}
		t.wake, t.earlyMail = &m.wake, nil
		err := f.runMember(t, m, len(group) > 1)
		if err == nil {
			wrote = true
			continue
		}
		if f.writer == nil || f.writer.AutocommitEnabled() {
			m.fail(err)
			return fmt.Errorf("%w: %w", errGone, err)
		}
		m.fail(err)
	}
	for _, m := range group {
		if m.err != nil || m.read == nil {
			continue
		}
		t.wake = &m.wake
		if err := m.read(t); err != nil {
			f.rollback()
			return fmt.Errorf("%w: %w", errGone, err)
		}
	}
	if !wrote {
		f.rollback()
		return nil
	}
	if !f.memory {
		f.ahead.extend(f.path)
	}
	if err := f.endTransaction(); err != nil {
		return f.settleUnknown(group, explain(f.name(), err))
	}
	f.committed()
	return f.stillThere()
}

func (f *file) endTransaction() error {
	if f.commitHook != nil {
		return f.commitHook(f.writer)
	}
	return prepared(f.writer, "COMMIT").exec()
}

// runMember runs one member under a savepoint; a single member needs none, since the transaction is its own.
func (f *file) runMember(t *tx, m *member, shared bool) error {
	if !shared {
		if err := m.run(t); err != nil {
			return err
		}
		return nil
	}
	if err := prepared(t.Conn, "SAVEPOINT member").exec(); err != nil {
		return err
	}
	if err := m.run(t); err != nil {
		if !t.AutocommitEnabled() {
			if undo := prepared(t.Conn, "ROLLBACK TO member").exec(); undo != nil {
				f.rollback() // the savepoint cannot be undone: nothing of this transaction may stand
				return errors.Join(err, undo)
			}
			if undo := prepared(t.Conn, "RELEASE member").exec(); undo != nil {
				f.rollback()
				return errors.Join(err, undo)
			}
		}
		return err
	}
	return prepared(t.Conn, "RELEASE member").exec()
}

// begin takes the write lock, trying every millisecond: SQLite's own handler waits longer each time and loses against
// a busy process again and again. Its patience counts from when the caller began to wait, and from when another process
// was first found to have the lock: what this process does with it is no reason to give up.
func (f *file) begin(ctx context.Context, since time.Time) error {
	if wait := f.courtesy(); wait > 0 {
		f.pause(wait)
	}
	f.rollback() // what an earlier one could not take back
	if err := f.ensureWriter(); err != nil {
		return err
	}
	for {
		err := prepared(f.writer, "BEGIN IMMEDIATE").exec()
		if err == nil || !isBusy(err) {
			f.lockedSince = time.Time{}
			return err
		}
		now := time.Now()
		f.foreignSeen(now)
		if f.lockedSince.IsZero() {
			f.lockedSince = now
		}
		if ctx.Err() != nil {
			return errImpatient
		}
		if now.Sub(since) > busyPatience && now.Sub(f.lockedSince) > busyPatience {
			return fmt.Errorf("%w of %s for %v: %w", errLocked, f.path, busyPatience, err)
		}
		f.pause(busyPause)
	}
}

// pause waits without being woken by anything: the lead cannot be given away while it lasts.
func (f *file) pause(d time.Duration) {
	t := time.NewTimer(d)
	<-t.C
}

// courtesy is how long to wait before the next group, so that another process gets the lock in between.
func (f *file) courtesy() time.Duration {
	if f.memory || f.foreignUntil.IsZero() {
		return 0
	}
	now := time.Now()
	if now.After(f.foreignUntil) {
		f.foreignUntil = time.Time{}
		return 0
	}
	return courtesyPause - time.Duration(now.UnixNano()-f.lastCommit.Load())
}

func (f *file) foreignSeen(now time.Time) { f.foreignUntil = now.Add(courtesyTime) }

func (f *file) rollback() {
	if f.writer == nil || f.writer.AutocommitEnabled() {
		return
	}
	if err := prepared(f.writer, "ROLLBACK").exec(); err != nil && !f.memory {
		f.dropWriter() // closing the connection rolls back
	}
}

// settleUnknown finds out what a COMMIT that reported an error has done. In a WAL its frames may be in the file
// although the error says otherwise, and would come back with the next recovery. So the connection is opened anew, the
// writes are looked up, and a small commit on top decides the matter: it follows them or overwrites them.
func (f *file) settleUnknown(group []*member, cause error) error {
	if f.memory {
		// The connection is the database. While a transaction is open nothing was committed; when it is closed after
		// an error, it was rolled back.
		f.rollback()
		return fmt.Errorf("%w: %w", errGone, cause)
	}
	f.dropWriter()
	unknown := &store.Error{Operation: "commit", Retryable: true, Unknown: true, Err: cause}
	if err := f.ensureWriter(); err != nil {
		return unknown
	}
	if err := f.begin(unhurried, time.Now()); err != nil {
		return unknown
	}
	applied, known := false, false
	for _, m := range group {
		if m.err != nil || m.applied == nil || known {
			continue
		}
		var err error
		if applied, known, err = m.applied(f.writer); err != nil {
			f.rollback()
			return unknown
		}
	}
	err := prepared(f.writer, "UPDATE duroxide_meta SET value = value + 1 WHERE key = 'barrier'").exec()
	if err == nil {
		err = prepared(f.writer, "COMMIT").exec()
	}
	if err != nil {
		f.dropWriter()
		return unknown
	}
	f.committed()
	switch {
	case !known:
		return unknown
	case applied:
		return f.stillThere()
	default:
		return &store.Error{Operation: "commit", Retryable: true, Err: cause}
	}
}
