// Package replay runs one turn of an orchestration: history and messages in, a commit out. A turn is pure. It reads no
// clock, does no I/O, starts no goroutine and draws nothing at random but through Input, so the same turn can be run again
// after a crash, on another node, or in a test.
//
// # Words
//
// A call is anything user code asks for that history records: a leaf task (activity, timer, wait, dequeue, child, detached
// start, random id, clock), a status or key-value call, the cancel of a task that lost a race. A message is news from
// outside: a completion, an event, mail of a queue, a cancel. The cursor is a position in history.
//
// # How a turn runs
//
//	            New, or event 1 alone loaded
//	                      │
//	                      ▼
//	  ┌────────────── code runs ◄──────────────────────────────┐
//	  │   each call: inside loaded history it must be the      │
//	  │   event at the cursor; at its end it is appended       │
//	  │                   │                                    │
//	  │                   ▼                                    │
//	  │            all code blocked ── no message ──► commit   │
//	  │                   │                              │     │
//	  │            apply one message:                    │     │
//	  │            append its event, resolve its leaf    │     │
//	  │                   │                              │     │
//	  │            bubble: a composite settles, closes   │     │
//	  │            its losers, then its parent …         │     │
//	  │                   │                              │     │
//	  │            a branch is to be resumed ────────────┼─────┘
//	  │                   │ turn too long, or            │     ▲
//	  │                   │ loaded history at its end    │     │
//	  │                   ▼                              │     │
//	  │                paused ─────► commit (Continue) ──┴─────┘
//	  │                                            next turn
//	  ▼
//	ended: close what is open, terminal event, commit
//
// The rules that make history depend on the order of messages alone, and not on where turns end:
//
//   - A call is recorded when it is made. Live code and replayed code pass the same function (record).
//   - The members of all and race start in argument order, depth first, each branch run to its first block before the next
//     member starts. Only a random id, the clock and a detached start are resolved by their own start. A dequeue never is:
//     it subscribes, even if mail waits.
//   - An all is resolved when every member is, a race when any is, the lowest first. Losers are closed in argument order,
//     depth first, before anything is resumed.
//   - One message at a time, and only when all code is blocked. Its event is appended then, not when the batch was read. So
//     code has reacted fully to completion k before completion k+1 exists for it, in one turn or in ten.
//   - Every node of the await tree has one parent. A resolved leaf reaches the code that awaits it along a line: there is
//     no ready queue and so no choice.
//   - The rest of a batch is not applied once the root has ended.
//
// # Replay
//
// Load steps fresh generators through recorded events by the same functions. Where code is blocked, the event at the
// cursor must be news; where code makes a call, the event must be that call. Everything else is nondeterminism, and the
// next Turn ends the instance with a text that names both. Once OrchestrationCancelRequested is reached, or code has
// continued as new or failed with members of a composite still open, the events that follow were made by the engine and
// are skipped.
//
// Load does not resume code past the last event. A turn may have been cut there, and what code does next needs a clock; the
// next Turn does it first.
//
// # Messages and the mailbox
//
// An Execution remembers no message between turns. What a commit does not list in Consumed is still a row of the store and
// comes again with the next batch. That matters for mail: a message of a queue that no dequeue is open for is left alone,
// and is taken the moment code opens one, before any message that is younger. A completion that nothing open takes is
// consumed without an event; a recorded one is nondeterminism.
//
// # Ends
//
// The terminal event is always the last. In the same commit the parent is told, detached starts are sent, and what else
// the turn had scheduled is recorded and not begun. Continue-as-new is one commit, too: it carries event 1 of the next
// execution with status, key-value map and parent.
//
// # Memory and cost
//
// A live Execution holds the await tree, what is subscribed to, status and key-value map; resolved leaves are dropped and
// history is not kept. A turn costs the same whether ten events or a million lie behind it.
//
// # Caveats
//
// A turn is cut between steps of code. One step that makes a million calls, or one composite of a million members, is one
// turn. A loop inside the start of a composite that awaits only what is resolved at once never ends its turn.
package replay
