package store

import (
	"context"
	"time"

	"github.com/duroxide/duroxide/core/history"
)

// Store is what the engine and its clients need of a database. A provider passes storetest.Run; everything a method
// promises is tested there.
//
// Times are the store's own clock in ms since the epoch. An error that is not one of this package's sentinels and for
// which IsRetryable is false cannot be mended by trying again.
type Store interface {
	// Start inserts an instance and its start message. See StartResult for an id that exists.
	Start(ctx context.Context, s Start) (StartResult, error)
	// Enqueue inserts messages of clients: events, mail, cancels. Events and cancels for an instance that does not exist
	// or has ended are dropped; mail for an unknown one is kept (7 days, 10,000 for an id). The result says for each
	// message whether it was stored.
	Enqueue(ctx context.Context, messages []Enqueue) ([]bool, error)

	// Ready finds instances with something to do: due messages other than mail, mail of an open queue. Instances that
	// another live node committed last are left out until their message has been visible for q.LeaveMS.
	Ready(ctx context.Context, q ReadyQuery) (ReadyResult, error)
	// Load reads an instance with its untaken messages; with its history unless the instance's turn is have.
	// ErrNotFound when there is no such instance.
	Load(ctx context.Context, instance string, have history.Token) (*Snapshot, error)
	// CommitTurns applies each commit whose instance still has the expected life and turn and whose consumed jobs still
	// have their claim token; one result for each, in order. The group is one transaction where the store allows it.
	// An error means that no member was applied, or that their outcome is unknown (IsUnknown tells).
	CommitTurns(ctx context.Context, node NodeID, commits []Turn) ([]TurnResult, error)

	// ClaimJobs claims the oldest eligible jobs for the node. Jobs of a session are claimed one after another, whoever owns it.
	// What is claimed here, or by a commit, for a node that has no row any more is free again after the next BuryDead.
	ClaimJobs(ctx context.Context, c Claim) ([]Job, error)
	// SettleJobs ends jobs without a turn: result to message, or given back. Those no longer claimed so are told.
	SettleJobs(ctx context.Context, s []Settlement) ([]bool, error)
	// LostJobs tells which of the claimed jobs are gone or claimed anew: cancelled, or taken over.
	LostJobs(ctx context.Context, jobs []JobRef) ([]JobRef, error)
	// CountAttempt writes an attempt of suspect work in a commit of its own, before it starts, and gives the count.
	CountAttempt(ctx context.Context, w Suspect) (int, error)
	// Block notes that the code of a node does not fit the history of an instance. It is listed as blocked until the next
	// commit for it. ErrFenced when its turn is not b.Turn any more.
	Block(ctx context.Context, b Block) error
	// Unclaimable lists work whose name no live node has registered, with the time since which some live node existed.
	Unclaimable(ctx context.Context) ([]Unclaimable, error)

	// Join inserts the row of a node. Renew extends its lease (compare-and-swap on the counter); ErrNodeLost when the
	// row is gone: whoever gets that holds nothing any more. A store that is far away tells in l.Waiting what waits in it, so
	// that nobody has to ask.
	Join(ctx context.Context, n Node) (*Lease, error)
	Renew(ctx context.Context, l *Lease) error
	// Leave frees everything the node holds and removes its row, in one transaction.
	Leave(ctx context.Context, node NodeID) error
	// BuryDead finds nodes that are dead (lease over, or their process provably gone), frees what they held, marks it
	// suspect and removes their rows, one transaction for each. It returns those buried.
	BuryDead(ctx context.Context, self NodeID) ([]NodeID, error)
	// ReleaseSessions gives up sessions that the node owns and of which no job is claimed.
	ReleaseSessions(ctx context.Context, node NodeID, sessions []string) error

	// Listen registers for news of this process's own writes, and of other processes' where the store can tell.
	// The returned function ends it and waits for a call under way.
	Listen(l Listener) (cancel func())

	Queries
	Management

	// Now is the store's clock, in ms.
	Now() int64
	// Describe names the store for people: kind and place, never a secret.
	Describe() string
	// Close flushes and closes. Idempotent.
	Close() error
}

// AffinityDelay is how long other nodes leave a new message to the node that committed its instance last, if they do not ask
// to leave it longer.
const AffinityDelay = 100 * time.Millisecond

// Queries read what clients ask for. None of them changes anything.
type Queries interface {
	// Status of an instance; ErrNotFound for an unknown id.
	Status(ctx context.Context, instance string) (*Status, error)
	KVValue(ctx context.Context, instance, key string) (*string, error)
	KVAll(ctx context.Context, instance string) (map[string]string, error)
	Instance(ctx context.Context, instance string) (*Instance, error)
	Instances(ctx context.Context, q InstanceQuery) (InstancePage, error)
	Executions(ctx context.Context, instance string) ([]Execution, error)
	// History reads the events of one execution; execution 0 is the current one. Unknown: empty.
	History(ctx context.Context, instance string, execution int64) ([]history.Event, error)
	// Tree gives the instance and its descendants, parents before children.
	Tree(ctx context.Context, instance string) ([]string, error)
	SystemMetrics(ctx context.Context) (SystemMetrics, error)
	QueueDepths(ctx context.Context) (QueueDepths, error)
	// WaitingJobs gives, for each activity and tag, since when the oldest unclaimed job could run.
	WaitingJobs(ctx context.Context) ([]WaitingJobs, error)
	InstanceStats(ctx context.Context, instance string) (*InstanceStats, error)
}

// Management deletes. Checks and deletion are one transaction: of an instance with its descendants, of an execution. What
// names more than that may take several, and what an error leaves undone is done by the next call.
type Management interface {
	// Delete removes an instance with all descendants. ErrNotFound, ErrIsChild, ErrStillRunning.
	Delete(ctx context.Context, instance string, force bool) (Deleted, error)
	DeleteBulk(ctx context.Context, f BulkFilter) (Deleted, error)
	Prune(ctx context.Context, instance string, o PruneOptions) (Pruned, error)
	PruneBulk(ctx context.Context, f BulkFilter, o PruneOptions) (Pruned, error)
	// Revive opens a failed instance again: the events behind r.Keep go, what is open is given its jobs and timers, children
	// that have ended meanwhile answer, and those that never began are started. A message makes it run. ErrFenced when it is
	// not as it was loaded.
	Revive(ctx context.Context, r Revival) error
}

// Listener hears of writes. Both methods are called on the thread of whoever wrote, after the commit (Adopt: before it);
// they must not block and must not call the store.
type Listener interface {
	// Adopt is asked before an instance is started: a listener that runs a node with a free slot and the name answers
	// with its node id. The first one that does gets the new instance in Wake.Started, already claimed.
	Adopt(name, version string) (NodeID, bool)
	Wake(Wake)
}

// Holder is a listener that has instances in memory. A write for one of them reads along what its next turn needs.
type Holder interface {
	// Holds gives life and turn of an instance that would go on at once. Called like Adopt.
	Holds(instance string) (life string, turn history.Token, ok bool)
}

// Beginner is a listener that can run the first turn of an instance before it is stored, so that a start and its first turn
// are one commit. The end of listening does not wait for its methods: it answers what is under way when it stops.
type Beginner interface {
	// Begin runs the first turn of what it would be told as Wake.Started by a store that has adopted it, and commits it with
	// Turn.Begin. It waits for that. ErrExists when the id is in use; ErrNotBegun when nothing is stored and the instance is to
	// be stored by itself: the turn cannot run now, takes long, or could not be committed. Else nobody knows the outcome.
	Begin(ctx context.Context, s *Snapshot) error
	// Unbegun is told when the start that was stored by itself has returned, whatever came of it. If it was stored,
	// Wake has told so before.
	Unbegun(s *Snapshot)
}

// TurnReader is a store that tells cheaply which of many instances may have changed.
type TurnReader interface {
	// Turns gives the turns of those of the instances that there are. Whatever clients can wait for comes with another turn.
	Turns(ctx context.Context, instances []string) (map[string]history.Token, error)
}

// Refresher is a store in which reading several instances at once is cheaper than one after another.
type Refresher interface {
	// Refresh reads for instances that are at the given turns what Load would read: their life, turn, untaken messages and
	// when the next is due. Those at another turn, and those that have ended, are left out.
	Refresh(ctx context.Context, turns map[string]history.Token) ([]*Snapshot, error)
}

// Wake tells what a commit made possible. Hearing too much is harmless.
type Wake struct {
	// Started is an adopted new instance with its start message: it can run without being read. Only for its adopter.
	Started *Snapshot
	// Ready are instances that got a message due now (mail included, whether or not anybody waits for it).
	Ready []string
	// Loaded are instances among Ready as the write left them, for the listener that said it holds them: what Load would
	// give for the turn that it has, without asking.
	Loaded []*Snapshot
	// Delivered are results of activities that were stored for instances among Ready, where the store had them at hand: who
	// has the instance in memory need not read them.
	Delivered []Delivered
	// Due are instances with a message due later, and when (ms).
	Due []DueInstance
	// Jobs: unclaimed jobs were inserted or given back.
	Jobs bool
	// LostJobs were deleted or re-claimed while claimed: their activities are cancelled.
	LostJobs []JobRef
	// Changed are instances whose status, custom status, output or KV changed, or that were deleted.
	Changed []string
	// Ended are the statuses of instances among Changed that ended for good, where the store had them at hand: who waits
	// for the end need not read.
	Ended []*Status
	// Elsewhere: another process wrote; anything of these kinds may have changed, anything at all when there are none.
	Elsewhere bool
	Kinds     Kinds
	// Notice is for the log: something about the store that people should know. Each listener is told once.
	Notice string
}

// Delivered is a message as it was stored for an instance, due now.
type Delivered struct {
	Instance string
	Message  history.Message
}

// Kinds of news from other processes.
type Kinds uint8

// The kinds.
const (
	KindReady   Kinds = 1 << iota // instances have something to do
	KindJobs                      // jobs are unclaimed
	KindLost                      // claimed jobs are gone
	KindChanged                   // what clients wait for
	KindNodes                     // nodes came or went
)

// Tells reports whether the news are of the kind.
func (w *Wake) Tells(kind Kinds) bool { return w.Elsewhere && (w.Kinds == 0 || w.Kinds&kind != 0) }

// DueInstance is an instance and the time its next message is due.
type DueInstance struct {
	Instance string
	Due      int64 // ms
}
