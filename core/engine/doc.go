// Package engine runs orchestrations and activities of one store on threads that a host lends it.
//
// A Runtime owns no user code and no thread. Its host registers names, starts the runtime, and lends it threads: one
// supervisor that creates others on request (Supervise), and lanes (RunLane). Everything a user wrote runs on a lane,
// called through the lane's Host; nothing of the user's is ever called from a goroutine of the runtime.
//
//	store ──Wake──▶ instances ready ──▶ lane with the turn role ──▶ replay (user code) ──▶ commit
//	                                                                                        │
//	inbox ◀── result ◀── lane with an activity ◀── claimed jobs ◀──────────────────────────┘
//
// # States of an instance
//
//	       wake, result              a lane takes it             the turn gives a commit
//	idle ───────────────▶ ready ───────────────────▶ running ───────────────────────────▶ committing
//	  ▲                     ▲                           │ nothing to do                        │
//	  ├─────────────────────┼───────────────────────────┘                                      │
//	  └─────────────────────┴──────────────── applied (ready when more has arrived) ───────────┘
//
// One turn at a time, never over an unfinished commit of the same instance; what arrives meanwhile waits in its inbox.
// A refused commit, or one whose outcome is unknown, throws the suspended user code away: it cannot be rewound, so the
// turn is done again from the store.
//
// # Alone and in batches
//
// A thread hand-off costs as much as a commit, so work that is alone stays on the lane that has it: the result of an
// activity, the next turn, its commit, the next activity. As soon as something else is ready, one lane runs the turns
// of all instances and hands their commits to the committer, which puts up to 64 of them into one transaction; few other
// lanes run the activities. A lane is always free to take either kind of work, and more lanes are woken only while those
// that run stay in user code for long: two lanes do more short activities than eight do.
//
// A start that comes while nothing is under way takes its first turn along: the client waits for the lane, and both are one
// commit. Until the code of the turn has returned the client may withdraw and store the start by itself.
//
// # Locks
//
// One mutex guards the scheduling state. It is never held while user code, the store or the log is called.
package engine
