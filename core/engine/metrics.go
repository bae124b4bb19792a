package engine

import (
	"sync/atomic"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
)

// Metrics are the counters users see; the JSON names are those of MetricsSnapshot.
type Metrics struct {
	OrchStarts                   int64 `json:"orch_starts"` // instances that began; continue-as-new is counted apart
	OrchCompletions              int64 `json:"orch_completions"`
	OrchFailures                 int64 `json:"orch_failures"` // all of them; the next four by category
	OrchApplicationErrors        int64 `json:"orch_application_errors"`
	OrchInfrastructureErrors     int64 `json:"orch_infrastructure_errors"`
	OrchConfigurationErrors      int64 `json:"orch_configuration_errors"`
	OrchPoison                   int64 `json:"orch_poison"`
	OrchContinueAsNew            int64 `json:"orch_continue_as_new"`
	SuborchestrationCalls        int64 `json:"suborchestration_calls"`
	ActivitySuccess              int64 `json:"activity_success"` // runs whose result was wanted
	ActivityAppErrors            int64 `json:"activity_app_errors"`
	ActivityInfraErrors          int64 `json:"activity_infra_errors"`
	ActivityConfigErrors         int64 `json:"activity_config_errors"`
	ActivityPoison               int64 `json:"activity_poison"`
	OrchDispatcherItemsFetched   int64 `json:"orch_dispatcher_items_fetched"`   // instances taken for a turn
	WorkerDispatcherItemsFetched int64 `json:"worker_dispatcher_items_fetched"` // jobs claimed
	ProviderErrors               int64 `json:"provider_errors"`
}

// Counters let tests assert the design's decisions.
type Counters struct {
	Turns           int64 `json:"turns"`            // turns run
	Commits         int64 `json:"commits"`          // calls of CommitTurns
	TurnsCommitted  int64 `json:"turns_committed"`  // members of them that were applied
	SettledAlone    int64 `json:"settled_alone"`    // activity results that did not wait for a turn
	Loads           int64 `json:"loads"`            // snapshots read with history
	EventsReplayed  int64 `json:"events_replayed"`  // events of those, replayed
	LiveTurns       int64 `json:"live_turns"`       // turns of an execution that was still in memory
	Handed          int64 `json:"handed"`           // messages of this process that needed no read
	Begun           int64 `json:"begun"`            // starts that were committed with their first turns
	FoundByPoll     int64 `json:"found_by_poll"`    // instances and jobs found by the fall-back poll
	LeaseWrites     int64 `json:"lease_writes"`     // renewals written
	AttemptsWritten int64 `json:"attempts_written"` // for suspect work
	Inline          int64 `json:"inline"`           // turns run on the lane that ran the activity
	LanesWoken      int64 `json:"lanes_woken"`      // times that a parked lane was woken
	ClockLooks      int64 `json:"clock_looks"`      // times that the clock was
	Lanes           int64 `json:"lanes"`            // lanes now
	Goroutines      int64 `json:"goroutines"`       // of this runtime, now
	Verified        int64 `json:"verified"`         // live executions replayed for verify_replay
	VerifyFailures  int64 `json:"verify_failures"`  // those of them that replayed otherwise
	Live            int64 `json:"live"`             // executions in memory now
}

// meters are the live counters behind Metrics and Counters.
type meters struct {
	orchStarts, orchCompletions, orchFailures        atomic.Int64
	orchApplication, orchInfrastructure              atomic.Int64
	orchConfiguration, orchPoison, orchContinueAsNew atomic.Int64
	subCalls                                         atomic.Int64
	activitySuccess, activityApp, activityInfra      atomic.Int64
	activityConfig, activityPoison                   atomic.Int64
	orchFetched, workerFetched, providerErrors       atomic.Int64

	turns, commits, turnsCommitted, settledAlone, loads                atomic.Int64
	eventsReplayed, liveTurns, handed, begun, foundByPoll, leaseWrites atomic.Int64
	attemptsWritten, inline, goroutines, verified, verifyFail          atomic.Int64
	lanesWoken, clockLooks                                             atomic.Int64
}

// countCommit counts an applied commit.
func (m *meters) countCommit(c *replay.Commit) {
	m.turnsCommitted.Add(1)
	for i := range c.Events {
		switch c.Events[i].Kind { //nolint:exhaustive // only two kinds are counted
		case history.OrchestrationStarted:
			if c.Execution == 1 {
				m.orchStarts.Add(1)
			}
		case history.SubOrchestrationScheduled:
			m.subCalls.Add(1)
		}
	}
	switch c.Status {
	case replay.Running:
	case replay.Completed:
		m.orchCompletions.Add(1)
	case replay.ContinuedAsNew:
		m.orchContinueAsNew.Add(1)
	case replay.Failed:
		m.orchFailures.Add(1)
		if c.Failure == nil {
			return
		}
		switch c.Failure.Category() {
		case history.CategoryApplication:
			m.orchApplication.Add(1)
		case history.CategoryConfiguration:
			m.orchConfiguration.Add(1)
		case history.CategoryPoison:
			m.orchPoison.Add(1)
		case history.CategoryInfrastructure:
			m.orchInfrastructure.Add(1)
		}
	}
}

// countActivity counts a run whose result is wanted.
func (m *meters) countActivity(f *history.Failure) {
	if f == nil {
		m.activitySuccess.Add(1)
		return
	}
	switch f.Category() {
	case history.CategoryApplication:
		m.activityApp.Add(1)
	case history.CategoryConfiguration:
		m.activityConfig.Add(1)
	case history.CategoryPoison:
		m.activityPoison.Add(1)
	case history.CategoryInfrastructure:
		m.activityInfra.Add(1)
	}
}

// Metrics of the runtime since Start. Whoever was told by the store that an instance ended finds it counted.
func (r *Runtime) Metrics() Metrics {
	r.settleCounts()
	m := &r.meters
	return Metrics{
		OrchStarts: m.orchStarts.Load(), OrchCompletions: m.orchCompletions.Load(), OrchFailures: m.orchFailures.Load(),
		OrchApplicationErrors: m.orchApplication.Load(), OrchInfrastructureErrors: m.orchInfrastructure.Load(),
		OrchConfigurationErrors: m.orchConfiguration.Load(), OrchPoison: m.orchPoison.Load(),
		OrchContinueAsNew: m.orchContinueAsNew.Load(), SuborchestrationCalls: m.subCalls.Load(),
		ActivitySuccess: m.activitySuccess.Load(), ActivityAppErrors: m.activityApp.Load(),
		ActivityInfraErrors: m.activityInfra.Load(), ActivityConfigErrors: m.activityConfig.Load(),
		ActivityPoison: m.activityPoison.Load(), OrchDispatcherItemsFetched: m.orchFetched.Load(),
		WorkerDispatcherItemsFetched: m.workerFetched.Load(), ProviderErrors: m.providerErrors.Load(),
	}
}

// Counters of the runtime's inner workings since Start.
func (r *Runtime) Counters() Counters {
	r.settleCounts()
	m := &r.meters
	r.mu.Lock()
	lanes, live := int64(len(r.lanes)), int64(r.live.order.Len())
	r.mu.Unlock()
	return Counters{
		Turns: m.turns.Load(), Commits: m.commits.Load(), TurnsCommitted: m.turnsCommitted.Load(),
		SettledAlone: m.settledAlone.Load(), Loads: m.loads.Load(), EventsReplayed: m.eventsReplayed.Load(),
		LiveTurns: m.liveTurns.Load(), Handed: m.handed.Load(), Begun: m.begun.Load(), FoundByPoll: m.foundByPoll.Load(), LeaseWrites: m.leaseWrites.Load(),
		AttemptsWritten: m.attemptsWritten.Load(), Inline: m.inline.Load(), Lanes: lanes,
		LanesWoken: m.lanesWoken.Load(), ClockLooks: m.clockLooks.Load(),
		Goroutines: m.goroutines.Load(), Verified: m.verified.Load(), VerifyFailures: m.verifyFail.Load(), Live: live,
	}
}
