package sqlite

import (
	"slices"
	"sync"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

// wakeup is what one member's writes make possible. It counts only when they are committed.
type wakeup struct {
	store.Wake
	adopter store.Listener // of Wake.Started
}

func (w *wakeup) ready(instance string) { w.Ready = append(w.Ready, instance) }

func (w *wakeup) changed(instance string) { w.Changed = append(w.Changed, instance) }

func (w *wakeup) due(instance string, at int64) {
	w.Due = append(w.Due, store.DueInstance{Instance: instance, Due: at})
}

// listeners of a file, whichever store they came through.
type listeners struct {
	change sync.Mutex // held while one comes or goes, so that the watcher runs exactly while there are any
	mu     sync.RWMutex
	all    []*listener
}

// listener counts the calls under way, so that its end can wait for them.
type listener struct {
	store.Listener
	mu    sync.Mutex
	idle  sync.Cond
	calls int
	ended bool
}

func (l *listener) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	l.calls++
	return true
}

func (l *listener) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls--; l.calls == 0 {
		l.idle.Broadcast()
	}
}

func (l *listener) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	for l.calls > 0 {
		l.idle.Wait()
	}
}

// Listen implements [store.Store].
func (s *Store) Listen(target store.Listener) (cancel func()) {
	f := s.file
	l := &listener{Listener: target}
	l.idle.L = &l.mu
	f.listeners.change.Lock()
	f.listeners.mu.Lock()
	f.listeners.all = append(slices.Clone(f.listeners.all), l) // who calls them reads the old slice
	first := len(f.listeners.all) == 1
	f.listeners.mu.Unlock()
	if first && !f.memory {
		f.watch.start(f)
	}
	f.listeners.change.Unlock()
	return sync.OnceFunc(func() {
		f.listeners.change.Lock()
		f.listeners.mu.Lock()
		all := slices.Clone(f.listeners.all)
		f.listeners.all = slices.DeleteFunc(all, func(other *listener) bool { return other == l })
		last := len(f.listeners.all) == 0
		f.listeners.mu.Unlock()
		if last {
			f.watch.stop()
		}
		f.listeners.change.Unlock()
		l.end()
	})
}

func (f *file) listening() []*listener {
	f.listeners.mu.RLock()
	defer f.listeners.mu.RUnlock()
	return f.listeners.all
}

// adopt asks who would run a new instance at once.
func (f *file) adopt(name, version string) (*listener, store.NodeID) {
	for _, l := range f.listening() {
		if !l.enter() {
			continue
		}
		node, ok := l.Adopt(name, version)
		l.leave()
		if ok {
			return l, node
		}
	}
	return nil, ""
}

// holds asks who has an instance in memory.
func (f *file) holds(instance string) (turn history.Token, ok bool) {
	for _, l := range f.listening() {
		holder, can := l.Listener.(store.Holder)
		if !can || !l.enter() {
			continue
		}
		_, turn, ok = holder.Holds(instance)
		l.leave()
		if ok {
			return turn, true
		}
	}
	return history.Token{}, false
}

// tell reports the committed writes of a group: everything merged to everybody, a new instance to its adopter.
func (f *file) tell(group []*member) {
	all := f.listening()
	if len(all) == 0 {
		return
	}
	var merged store.Wake
	for _, m := range group {
		if m.err != nil {
			continue
		}
		if w := m.wake; w.Started != nil {
			if l, ok := w.adopter.(*listener); ok && l.enter() {
				l.Wake(store.Wake{Started: w.Started})
				l.leave()
			}
		}
		merged.Ready = append(merged.Ready, m.wake.Ready...)
		merged.Due = append(merged.Due, m.wake.Due...)
		merged.LostJobs = append(merged.LostJobs, m.wake.LostJobs...)
		merged.Changed = append(merged.Changed, m.wake.Changed...)
		merged.Ended = append(merged.Ended, m.wake.Ended...)
		merged.Loaded = append(merged.Loaded, m.wake.Loaded...)
		merged.Delivered = append(merged.Delivered, m.wake.Delivered...)
		merged.Jobs = merged.Jobs || m.wake.Jobs
	}
	if merged.Jobs || len(merged.Ready)+len(merged.Due)+len(merged.LostJobs)+len(merged.Changed) > 0 {
		wakeAll(all, merged)
	}
}

func wakeAll(all []*listener, w store.Wake) {
	for _, l := range all {
		if l.enter() {
			l.Wake(w)
			l.leave()
		}
	}
}

// watcher notices writes of other processes while somebody listens. It asks on the writer's own connection: there the
// data version moves with the commits of others only. When to ask is told by the system where it can; the poll is what
// is left elsewhere, and the fall-back.
type watcher struct {
	mu   sync.Mutex
	quit chan struct{}
	done chan struct{}
}

func (w *watcher) start(f *file) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.quit != nil {
		return
	}
	w.quit, w.done = make(chan struct{}), make(chan struct{})
	go f.watchOthers(w.quit, w.done)
}

func (w *watcher) stop() {
	w.mu.Lock()
	quit, done := w.quit, w.done
	w.quit, w.done = nil, nil
	w.mu.Unlock()
	if quit != nil {
		close(quit)
		<-done
	}
}

// watchFallback is how often is asked although the system tells of changes.
const watchFallback = time.Second

func (f *file) watchOthers(quit, done chan struct{}) {
	defer close(done)
	every, hints := f.poll, (chan struct{})(nil)
	if n := startNotice(f.path + "-wal"); n != nil {
		defer n.stop()
		every, hints = watchFallback, n.changed
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	var seen int64
	var on *sqlite.Conn
	for {
		var moved bool
		look := &member{operation: "watch", alone: func(c *sqlite.Conn) error {
			version := int64(0)
			_, err := prepared(c, "PRAGMA data_version").first(func(s *sqlite.Stmt) { version = s.ColumnInt64(0) })
			// A new connection counts anew, and may have missed what was written between.
			moved = err == nil && on != nil && (version != seen || c != on)
			seen, on = version, c
			if moved {
				f.foreignSeen(time.Now())
			}
			return err
		}}
		if err := f.write(backgroundContext, look); err != nil {
			return // closed
		}
		if moved {
			wakeAll(f.listening(), store.Wake{Elsewhere: true})
		}
		select {
		case <-quit:
			return
		case <-tick.C:
		case <-hints:
			// While this process writes, each of its own commits is a hint. Then the poll interval is enough.
			if f.committedWithin(f.poll) {
				select {
				case <-quit:
					return
				case <-time.After(f.poll):
				}
			}
		}
	}
}
