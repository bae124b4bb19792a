// Package history is what an execution of an orchestration leaves behind: its events, the messages that became events,
// and the failures among them, with the encoding in which they are stored.
//
// A history is a list of events with dense ids from 1. Event 1 is always OrchestrationStarted; the last one of a finished
// execution is its terminal event. Everything in between is either a call, which user code made (an activity scheduled,
// a timer created, a status set), or news, which came from outside (a result, a fired timer, an event of a client). A
// call that awaits something is answered by the news that names its id as Source:
//
//	1 OrchestrationStarted  name, version, input
//	2 ActivityScheduled     call
//	3 TimerCreated          call
//	4 ActivityCompleted     news, Source 2
//	5 ActivityScheduled     call: what code did with the result
//	...
//
// Package replay explains how the order comes about and why a history can be run again.
//
// Payloads (inputs, outputs, event data) are text of the user's side. Nothing here parses them.
//
// Stored names of kinds never change; an unknown one means that a newer engine wrote the event, and makes the history
// undecodable for this one (ErrUndecodable) rather than wrong.
package history
