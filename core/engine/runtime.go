package engine

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/duroxide/duroxide/core/park"
	"github.com/duroxide/duroxide/core/store"
)

// Runtime dispatches turns and activities of one store to the lanes that its host's threads lend it.
type Runtime struct {
	store  store.Store
	opt    Options
	timing timing
	names  registry
	meters meters
	base   time.Time // zero of the monotonic stamps below

	ctx     context.Context // of all store calls; ends when everything else has
	laneCtx context.Context // of those that lanes make
	cancel  context.CancelFunc
	owned   sync.WaitGroup // the runtime's goroutines
	done    chan struct{}  // closed when they are to end

	mu      sync.Mutex
	phase   phase
	exiting bool
	// blocking: an activity is registered that holds its lane while it waits.
	blocking bool
	node     store.NodeID // empty while none is joined
	epoch    int          // grows when the node was lost: whatever was begun before is void
	lease    leaseState

	instances map[string]*instance
	ready     fifo[*instance]
	loadAgain int64 // until then turns in memory go first (see popReadyLocked)
	live      lives
	forgets   []ExecutionID
	verifies  []verification
	verifyAt  int64 // see Runtime.now
	roles     int   // lanes that hold the turn role and are not slow

	claimed  map[int64]*job
	jobs     fifo[*job]     // claimed, waiting for a lane
	running  int            // permits of worker_concurrency in use
	detached int            // of them without a lane
	long     int            // of them in user code for long
	runs     map[RunID]*job // activities in user code
	nextRun  uint64
	overdue  int64   // when the next of them is to be timed out or to lose its slot; 0 = none
	reserved int     // slots promised to claims under way
	average  float64 // time from start to end of an activity, ns, moving
	moreJobs bool    // the store may have jobs for this node
	stalled  bool    // jobs claimed ahead found no lane, and no activity has ended since
	jobNews  int     // grows with every word of unclaimed jobs
	sessions sessions
	suspects suspects
	warned   map[string]bool // names that nobody registers, already logged
	blocked  map[string]*blockedInstance
	logs     []func() // records that wait for flushLogs
	flushing bool     // somebody is logging them

	unsettled      int // activity results without a commit
	unsettledBytes int64
	aging          fifo[*job] // those, oldest first

	pending  []*step         // turns that wait for the committer
	inflight int             // calls of CommitTurns now
	begun    int64           // such calls ever
	answered int64           // those of them that are over
	told     []chan struct{} // closed when one is over
	trouble  trouble
	// When clients of this process last started instances, a ring; and since when the committer waits for more turns.
	starts         [8]started
	commitTakes    float64 // of late, ns
	startsNext     int
	held           int   // first turns that wait for their start
	beginAgain     int64 // until then starts are stored by themselves (see Runtime.now)
	gatheringSince int64

	lanes        map[int64]*lane
	idle         []*lane // parked general lanes, the last one parked is woken first
	turnWake     bool    // a lane was woken for turns and has not arrived
	jobWakes     int     // lanes woken for activities that have not arrived
	laneRequests fifo[LaneRequest]
	nextLane     int64
	generals     int        // general lanes, requested ones included, replaced ones not
	failedLanes  []LaneKind // requests that the host could not meet; made again
	spares       int        // lanes replaced because they did not come back, that are still away
	nextExec     uint64

	clock   clockState
	settles fifo[settling]
	scout   scoutState

	committerKick, settlerKick, scoutKick, clockKick, keeperKick, drainKick chan struct{}
	superviseKick                                                           chan struct{}
	leave                                                                   func() // ends listening
	ended                                                                   chan struct{}
	drainBy                                                                 time.Time // what runs is waited for until then
	drained                                                                 bool
}

// phase of a runtime's life. It only goes forward.
type phase uint8

const (
	phaseNew      phase = iota
	phaseRunning        // work is taken
	phaseDraining       // nothing new is begun; what runs is waited for
	phaseClosing        // executions are forgotten
	phaseEnded          // lanes and goroutines end
)

// timing are the engine's own intervals, in one place so that tests can shorten them.
type timing struct {
	resultWait     time.Duration // a result waits so long for its turn before it is settled alone
	startWithin    time.Duration // a claimed job not started by then is given back
	slowStep       time.Duration // a turn in user code for so long lets another lane take turns
	longActivity   time.Duration // an activity in user code for so long lets another lane run activities
	tick           time.Duration // how often the last two are looked at while work waits
	heldLane       time.Duration // an activity or a turn in user code for so long is worth a further lane
	lostJobs       time.Duration // how often rows of running jobs are looked at
	bury           time.Duration
	unclaimable    time.Duration
	unclaimedFor   time.Duration // work that nobody can run is poisoned after
	horizon        time.Duration // timers due within it are kept in memory
	pollFloor      time.Duration // fall-back poll without any sign of another process
	clockJump      time.Duration
	prefetch       time.Duration // jobs are claimed ahead for about so much work
	retryFirst     time.Duration // back-off of the store
	retryMost      time.Duration
	undecodable    time.Duration // pause between attempts to read a history
	maxResults     int
	maxResultBytes int64
	longCommit     time.Duration // a commit that takes so long is worth sharing
	stream         time.Duration // as many starts as are remembered within this make a stream
	gather         time.Duration // so long a small group waits for more turns in it
	gatherTurns    int           // a group of so many does not wait
	beginSoon      time.Duration // so long the start of an instance waits for a lane to run its first turn
	beginLong      time.Duration // and so much longer for the code of it
	beginLate      time.Duration // and so long for its commit, after its client has given up
	beginRest      time.Duration // no start waits for so long after one did so in vain
	maxGroup       int           // turns in one commit
	maxPending     int           // turns waiting for the committer before lanes stop running more
	maxBacklog     int           // ready instances before new ones are no longer adopted
	maxPrefetch    int
	maxSpares      int
}

// defaultTiming is a variable for tests only.
var defaultTiming = func() timing {
	return timing{
		resultWait: 50 * time.Millisecond, startWithin: time.Second, slowStep: 8 * time.Millisecond,
		longActivity: 2 * time.Millisecond, tick: 2 * time.Millisecond, heldLane: 20 * time.Millisecond, lostJobs: 500 * time.Millisecond,
		bury: time.Second, unclaimable: 2 * time.Second, unclaimedFor: 300 * time.Second, horizon: 2 * time.Minute,
		pollFloor: 5 * time.Second, clockJump: 2 * time.Second, prefetch: 50 * time.Millisecond,
		retryFirst: 10 * time.Millisecond, retryMost: 2 * time.Second, undecodable: time.Second,
		longCommit: 150 * time.Microsecond, stream: 20 * time.Millisecond, gather: 3 * time.Millisecond, gatherTurns: 24,
		beginSoon: 3 * time.Millisecond, beginLong: 3 * time.Millisecond, beginLate: 5 * time.Second, beginRest: time.Second,
		maxResults: 4096, maxResultBytes: 64 << 20, maxGroup: 64, maxPending: 256, maxBacklog: 4096, maxPrefetch: 1024,
		maxSpares: 16,
	}
}

// New checks the options. It touches neither store nor threads. The error is an *OptionError.
func New(s store.Store, o Options) (*Runtime, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	r := &Runtime{
		store: s, opt: o, timing: defaultTiming(), names: newRegistry(), base: time.Now(), done: make(chan struct{}),
		instances: map[string]*instance{}, claimed: map[int64]*job{}, runs: map[RunID]*job{}, lanes: map[int64]*lane{},
		committerKick: make(chan struct{}, 1), settlerKick: make(chan struct{}, 1), scoutKick: make(chan struct{}, 1),
		clockKick: make(chan struct{}, 1), keeperKick: make(chan struct{}, 1), drainKick: make(chan struct{}, 1),
		superviseKick: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	r.live = newLives(o.LiveExecutions, o.LiveBytes)
	r.warned = map[string]bool{}
	r.blocked = map[string]*blockedInstance{}
	r.sessions.held = map[string]*session{}
	r.clock.due = map[string]int64{}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.laneCtx = park.Bound(r.ctx)
	return r, nil
}

// RegisterOrchestration makes name@version runnable here. Before Start only. The error is a *RegistrationError.
func (r *Runtime) RegisterOrchestration(name, version string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.phase != phaseNew {
		return registrationErrorf("orchestration %s cannot be registered after start: register everything before start()", name)
	}
	return r.names.addOrchestration(name, version)
}

// RegisterActivity makes an activity runnable here. blocks tells whether it may hold its lane while it waits; lanes for
// such activities are made at the start. Before Start only. The error is a *RegistrationError.
func (r *Runtime) RegisterActivity(name string, blocks bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.phase != phaseNew {
		return registrationErrorf("activity %s cannot be registered after start: register everything before start()", name)
	}
	if err := r.names.addActivity(name); err != nil {
		return err
	}
	r.blocking = r.blocking || blocks
	return nil
}

// RegisterSyscall makes a system call runnable here that its host implements as a short activity. Its name begins with
// [history.SyscallPrefix]; it runs whatever tags the node serves. Before Start only.
func (r *Runtime) RegisterSyscall(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names.activities[name] = true
}

// Start joins the store as a node and begins to take work. Lanes are asked for through Supervise. It waits for the
// store's answer to the join, not for the first work. A second call is a *StateError.
func (r *Runtime) Start(ctx context.Context) error {
	r.mu.Lock()
	if r.phase != phaseNew {
		r.mu.Unlock()
		return &StateError{Text: "runtime was started already: make a new Runtime for a second start"}
	}
	r.phase = phaseRunning
	r.mu.Unlock()

	if err := r.join(ctx); err != nil {
		r.mu.Lock()
		r.phase = phaseNew
		r.mu.Unlock()
		return err
	}
	// A predecessor that died on this host is recognised at once, and what it held comes with the first query.
	buried, err := r.store.BuryDead(ctx, r.nodeID())
	if err != nil {
		r.storeFailed("bury dead nodes", err)
	}
	r.leave = r.store.Listen(listener{r})

	r.mu.Lock()
	for range r.firstLanes() {
		r.requestLaneLocked(LaneGeneral)
	}
	r.scout.want(askStart)
	r.moreJobs = true
	r.scout.jobs = true
	r.mu.Unlock()
	kick(r.scoutKick)
	for _, loop := range []func(){r.runCommitter, r.runSettler, r.runScout, r.runClock, r.runKeeper, r.runHousekeeping} {
		r.spawn(loop)
	}
	r.logf("info", "runtime started", "node", string(r.nodeID()), "store", r.store.Describe(),
		"took_over", strconv.Itoa(len(buried)))
	return nil
}

// spawn runs a loop that ends when done is closed; Shutdown waits for it.
func (r *Runtime) spawn(loop func()) {
	r.owned.Add(1)
	r.meters.goroutines.Add(1)
	go func() {
		defer r.owned.Done()
		defer r.meters.goroutines.Add(-1)
		loop()
	}()
}

func (r *Runtime) nodeID() store.NodeID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.node
}

// now is a monotonic stamp: nanoseconds since the runtime was made.
func (r *Runtime) now() int64 { return int64(time.Since(r.base)) }

// kick wakes a goroutine that looks at its state after each receive; more kicks than one are one.
func kick(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// fifo is a queue that keeps its memory.
type fifo[T any] struct {
	items []T
	head  int
}

func (q *fifo[T]) len() int { return len(q.items) - q.head }

func (q *fifo[T]) push(v T) {
	if q.head > 64 && q.head*2 > len(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, v)
}

func (q *fifo[T]) at(i int) T { return q.items[q.head+i] }

// remove takes an item out from behind the head.
func (q *fifo[T]) remove(i int) T {
	v := q.at(i)
	copy(q.items[q.head+1:q.head+i+1], q.items[q.head:q.head+i])
	q.pop()
	return v
}

func (q *fifo[T]) front() T { return q.items[q.head] }

func (q *fifo[T]) pop() T {
	var zero T
	v := q.items[q.head]
	q.items[q.head] = zero
	q.head++
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return v
}

// take empties the queue.
func (q *fifo[T]) take() []T {
	all := append([]T(nil), q.items[q.head:]...)
	clear(q.items)
	q.items, q.head = q.items[:0], 0
	return all
}

// each visits the waiting items, oldest first.
func (q *fifo[T]) each(visit func(T)) {
	for _, v := range q.items[q.head:] {
		visit(v)
	}
}

// filter keeps the items that keep approves, in order.
func (q *fifo[T]) filter(keep func(T) bool) {
	kept := q.items[:0]
	for _, v := range q.items[q.head:] {
		if keep(v) {
			kept = append(kept, v)
		}
	}
	clear(q.items[len(kept):])
	q.items, q.head = kept, 0
}
