package postgres

import (
	"slices"
	"sync"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/store"
)

// listeners of this process.
type listeners struct {
	mu  sync.RWMutex
	all []*listener
}

// listener counts the calls under way, so that its end can wait for them.
type listener struct {
	store.Listener
	mu    sync.Mutex
	idle  sync.Cond
	calls int
	ended bool
	noted map[subject]bool
}

// subject is what a notice is about. A listener hears of each once.
type subject string

// note tells the listener something for the log.
func (l *listener) note(about subject, notice string) {
	l.mu.Lock()
	again := l.noted[about]
	if !again {
		if l.noted == nil {
			l.noted = map[subject]bool{}
		}
		l.noted[about] = true
	}
	l.mu.Unlock()
	if !again {
		l.call(func(to store.Listener) { to.Wake(store.Wake{Notice: notice}) })
	}
}

// call runs fn unless the listener has ended.
func (l *listener) call(fn func(store.Listener)) {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return
	}
	l.calls++
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.calls--; l.calls == 0 {
			l.idle.Broadcast()
		}
	}()
	fn(l.Listener)
}

func (l *listener) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	for l.calls > 0 {
		l.idle.Wait()
	}
}

// add and remove replace the list: who calls the listeners reads the old one.
func (s *listeners) add(l *listener) (first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(slices.Clone(s.all), l)
	return len(s.all) == 1
}

func (s *listeners) remove(l *listener) (last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = slices.DeleteFunc(slices.Clone(s.all), func(other *listener) bool { return other == l })
	return len(s.all) == 0
}

func (s *listeners) list() []*listener {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.all
}

func (s *listeners) wake(w store.Wake) {
	for _, l := range s.list() {
		l.call(func(to store.Listener) { to.Wake(w) })
	}
}

// adopt asks who would run a new instance at once.
func (s *listeners) adopt(name, version string) (by *listener, node store.NodeID) {
	for _, l := range s.list() {
		l.call(func(to store.Listener) {
			if n, ok := to.Adopt(name, version); ok {
				by, node = l, n
			}
		})
		if by != nil {
			return by, node
		}
	}
	return nil, ""
}

// holds asks who has an instance in memory.
func (s *listeners) holds(instance string) (life string, turn history.Token, ok bool) {
	for _, l := range s.list() {
		l.call(func(to store.Listener) {
			if holder, can := to.(store.Holder); can {
				life, turn, ok = holder.Holds(instance)
			}
		})
		if ok {
			return life, turn, true
		}
	}
	return "", history.Token{}, false
}

var kindLetters = []struct {
	kind   store.Kinds
	letter byte
}{{store.KindReady, 'r'}, {store.KindJobs, 'j'}, {store.KindLost, 'l'}, {store.KindChanged, 'c'}, {store.KindNodes, 'n'}}

// told is what a write makes possible: for this process in detail, for others by kind.
type tidings struct {
	store.Wake
	others store.Kinds
}

func (t *tidings) ready(instance string) {
	t.Ready = append(t.Ready, instance)
	t.others |= store.KindReady
}

func (t *tidings) changed(instances ...string) {
	t.Changed = append(t.Changed, instances...)
	if len(instances) > 0 {
		t.others |= store.KindChanged
	}
}

// delivered: a message is visible at a time of the store's clock, which was now. Others note when it is due: this process
// may run nothing, or be gone by then.
func (t *tidings) delivered(instance string, visible, now int64) {
	if visible > now {
		t.Due = append(t.Due, store.DueInstance{Instance: instance, Due: visible})
		t.others |= store.KindReady
		return
	}
	t.ready(instance)
}

func (t *tidings) jobs() {
	t.Jobs = true
	t.others |= store.KindJobs
}

func (t *tidings) lost(ref store.JobRef) {
	t.LostJobs = append(t.LostJobs, ref)
	t.others |= store.KindLost
}

// tell reports a committed write.
func (s *Store) tell(t *tidings) {
	if t.Jobs || len(t.Ready)+len(t.Due)+len(t.LostJobs)+len(t.Changed) > 0 {
		s.news.listeners.wake(t.Wake)
	}
	s.news.announce(t.others)
}
