// Package postgres keeps instances in a PostgreSQL database (14 or newer), through which many processes on many machines
// work together. Each schema is a store of its own.
//
// # One statement a write
//
// Every write is one call of a function that lives in the schema (schema/*.sql) and does its work in that call's implicit
// transaction: a turn costs one round trip, a group of turns too, and no process ever holds a transaction open between
// two of its messages. One that is stopped or cut off in the middle leaves no locks behind; unless it is stopped before it has
// read an answer that is large, which is broken off when its node is buried.
//
//	CommitTurns ─ duroxide_commit: fence ─ jobs ─ messages ─ history ─ claims ─ untaken messages
//	                               │
//	                               └ conditional UPDATE of the instances' rows; the rest takes its instances from
//	                                 what that has hit, so a turn that comes too late changes nothing
//
// Rows of several instances are locked in the order of their ids, jobs after their instance, and nothing waits for a row
// that it could skip. Time is the database's: clock_timestamp(), never now().
//
// # Connections
//
// A bounded pool serves all calls. Statements are described once for each connection and sent unnamed from then on, so
// nothing is left on the server that a pooler in transaction mode, or DISCARD ALL, could take away. On a connection that
// leads straight to a server process (it says the same process id that the connection was given) the hot ones are prepared,
// which saves parsing them each time; should they vanish all the same, they are sent anew. The plans that matter are those
// inside the functions: they are made once for each session, with settings that keep them to the indexes however small the
// tables are at that moment. Schema names stand in the statements, not in the search path, which a pooler would lose.
//
// Starts, messages of clients and reads of statuses that come while others are under way share the next call; who is alone
// never waits for company.
//
// A turn alone that takes at most one result and one message and inserts at most one job goes through duroxide_step, written
// for single rows, with the start of its instance if it is the first; groups and everything else through duroxide_commit, which works on sets.
//
// # News
//
// What a commit makes possible is told to the listeners of this process at once. Others hear of it by NOTIFY, which names
// kinds of news only. It is sent after the commit, at most one at a time: inside the transaction it would make all commits
// of the database wait for one another. One connection of its own listens; whether notifications really come through it
// (they do not behind some poolers) is found out by sending one to itself, later with each renewal. Without them the store looks at a counter that
// every write moves, at the poll interval, and more seldom while nothing happens, down to once a second.
//
// The renewal of a node's lease brings all that an idle node wants to know: whether anything waits, what is due next, which
// other nodes there are. So an idle runtime sends nothing else; whether the processes of the others live is looked at here,
// and the database is asked only when one seems dead.
//
// # Errors
//
// No call waits for ever: for a connection and an answer there are bounds, wide ones where much is read or deleted. The hot
// calls and the renewals have narrow ones, so that a server that has fallen silent is left for the next one in time.
//
// What may pass by itself (a fail-over, a deadlock, a full server) is tried again a few times, then reported as retryable.
// When the connection breaks while a write is under way, the write is looked up before it is answered: by the token of the
// turn, the life of the instance, the id of the message; and where no row could tell, by the answer, which is stored with
// what the call has done and kept for five minutes. The server may still be at it then, or get it later. So every call has a
// number, which it confirms as the last thing in its transaction, and before anybody looks the number is voided: a write of
// which was said that it has not come through never will.
package postgres
