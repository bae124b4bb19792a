// Package store is the contract between the engine and a database, and nothing else: what is stored, what belongs into
// one transaction, who may change what. Providers are packages below it; package storetest holds what each has to pass.
//
// # What is stored
//
// An instance is one row. It belongs to a life, drawn when it was started and kept until it is deleted, and is in one
// execution; continue-as-new begins the next. Beside it stand the history of each execution, messages that no turn has
// taken yet (events, mail, cancels, timers, completions), jobs (activities to run), keys and custom status. Nodes are the
// runtimes that work on the store; sessions tie activities to one of them.
//
// # One compare-and-swap
//
// The row carries a token, turn, that every commit replaces. A commit is applied only if the token is still the one that
// its node loaded or last wrote, and if each job whose result it takes is still claimed with the token it was claimed
// with. That alone keeps histories right. Claims, leases, affinity and the burial of dead nodes only decide who tries; if
// all of them are wrong, work is done twice and one history results.
//
//	Start ──> Ready ──> Load ──> (a turn of code) ──> CommitTurns ──┬─> applied: what else has arrived, jobs claimed
//	            ^                                                   ├─> ErrFenced: load again
//	            └───────── Wake, timers, Enqueue, SettleJobs        └─> ErrJobsLost: without those results
//
// A commit is all or nothing: events, jobs, timers, starts and messages for other instances, status and keys. It answers
// with the messages that are untaken after it, so that an instance whose turns are fed from memory still sees what others
// have sent.
//
// # Dead nodes
//
// A node keeps a lease. When it dies, BuryDead frees what it had claimed and marks it suspect: attempts of suspect work
// are written before they are made (CountAttempt), so that what kills process after process is found out. All other work
// writes no attempts. The first commit that gets through clears the suspicion.
//
// # Errors
//
// The sentinels of this package are answers. Everything else is an *Error, which tells whether trying again may help and
// whether the write may have been applied all the same. A provider looks up what it can before it says Unknown.
package store
