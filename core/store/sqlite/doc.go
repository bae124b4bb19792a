// Package sqlite keeps instances in a SQLite database: a file, or memory.
//
// # One writer
//
// All writes of a process to a file go through one connection. Who finds it free leads: it takes up to 64 waiting
// writes, commits them as one transaction on its own thread, and answers the others; who finds it busy waits. So a write
// that is alone costs no hand-off, and many cost one flush together. Each write runs under a savepoint. Some errors (a
// full disk) take the whole transaction down all the same; then the writes are redone one by one, so that one of them
// never fails another.
//
// No context reaches that connection. A deadline can withdraw a write that has not begun; once begun, its outcome is
// waited for.
//
//	Start, CommitTurns, ...  ->  queue  ->  leader: BEGIN IMMEDIATE, members, COMMIT  ->  listeners, answers
//
// Reads use a few connections of their own, in short snapshots of the write-ahead log. In memory there is one
// connection for everything, and reads wait in the same queue.
//
// # Durability
//
// A file is flushed with every commit (synchronous=FULL): what was answered survives the loss of power. When COMMIT
// itself reports an error, its outcome is unknown; the connection is then opened anew, the writes are looked up, and a
// further commit makes the answer final.
//
// The log is kept longer than it is filled, with zeros (see ahead), and begins anew at 16 MB: then commits overwrite
// blocks that the file has, which costs half a flush of one that it has not.
//
// # Several processes
//
// Any number of processes may use a file at once. While somebody listens, a process learns of the writes of others:
// from the system where it can tell (Linux), else by asking every 25 ms. Each process that runs a node keeps a lock on a small file beside the database, so
// that others see at once when it has died.
//
// # Caveats
//
// The file must lie on a local disk. Python's own sqlite3 module in the same process, or any other SQLite library, drops
// our locks on the file when it closes it: use another process to look at a database in use. Never copy or delete a
// database in use; the -wal and -shm files beside it belong to it.
package sqlite
