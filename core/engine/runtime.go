package engine

import (
	"context"
	"time"

	"github.com/duroxide/duroxide/core/store"
)

// Runtime dispatches turns and activities of one store to the lanes that its host's threads lend it.
type Runtime struct{}

// New checks the options. It touches neither store nor threads.
func New(s store.Store, o Options) (*Runtime, error) { panic("being written") }

// RegisterOrchestration makes name@version runnable here. Before Start only.
func (r *Runtime) RegisterOrchestration(name, version string) error { panic("being written") }

// RegisterActivity makes an activity runnable here. Before Start only.
func (r *Runtime) RegisterActivity(name string) error { panic("being written") }

// Start joins the store as a node and begins to take work. Lanes are asked for through Supervise.
func (r *Runtime) Start(ctx context.Context) error { panic("being written") }

// Supervise parks the calling thread until a lane is wanted, or until the runtime has stopped (LaneEnd).
func (r *Runtime) Supervise() LaneRequest { panic("being written") }

// RunLane lends the calling thread to the runtime. It returns when the lane is to end; the thread must then end too.
func (r *Runtime) RunLane(req LaneRequest, host Host) { panic("being written") }

// Shutdown stops taking work, waits up to timeout for what runs, gives the rest back uncounted, ends all lanes and
// leaves the store as a node. It reports whether everything was drained. Idempotent; concurrent callers wait.
func (r *Runtime) Shutdown(timeout time.Duration) (drained bool) { panic("being written") }

// Exiting tells that the process is ending: from here on only successes are committed, failed activities go back
// uncounted and no new turn is taken, since user code gets errors from the dying interpreter.
func (r *Runtime) Exiting() { panic("being written") }

// Metrics of the runtime since Start.
func (r *Runtime) Metrics() Metrics { panic("being written") }

// Counters of the runtime's inner workings since Start.
func (r *Runtime) Counters() Counters { panic("being written") }

// Health of the runtime.
func (r *Runtime) Health(ctx context.Context) Health { panic("being written") }

// Metrics are the counters users see; the JSON names are those of MetricsSnapshot.
type Metrics struct {
	OrchStarts                   int64 `json:"orch_starts"`
	OrchCompletions              int64 `json:"orch_completions"`
	OrchFailures                 int64 `json:"orch_failures"`
	OrchApplicationErrors        int64 `json:"orch_application_errors"`
	OrchInfrastructureErrors     int64 `json:"orch_infrastructure_errors"`
	OrchConfigurationErrors      int64 `json:"orch_configuration_errors"`
	OrchPoison                   int64 `json:"orch_poison"`
	OrchContinueAsNew            int64 `json:"orch_continue_as_new"`
	SuborchestrationCalls        int64 `json:"suborchestration_calls"`
	ActivitySuccess              int64 `json:"activity_success"`
	ActivityAppErrors            int64 `json:"activity_app_errors"`
	ActivityInfraErrors          int64 `json:"activity_infra_errors"`
	ActivityConfigErrors         int64 `json:"activity_config_errors"`
	ActivityPoison               int64 `json:"activity_poison"`
	OrchDispatcherItemsFetched   int64 `json:"orch_dispatcher_items_fetched"`
	WorkerDispatcherItemsFetched int64 `json:"worker_dispatcher_items_fetched"`
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
	FoundByPoll     int64 `json:"found_by_poll"`    // instances and jobs found by the fall-back poll
	LeaseWrites     int64 `json:"lease_writes"`     // renewals written
	AttemptsWritten int64 `json:"attempts_written"` // for suspect work
	Inline          int64 `json:"inline"`           // turns run on the lane that ran the activity
	Lanes           int64 `json:"lanes"`            // lanes now
	Goroutines      int64 `json:"goroutines"`       // of this runtime, now
	Verified        int64 `json:"verified"`         // live executions replayed for verify_replay
	Live            int64 `json:"live"`             // executions in memory now
}

// Health of a runtime, for people and probes.
type Health struct {
	LeaseAgeMS     int64        `json:"lease_age_ms"`
	StoreReachable bool         `json:"store_reachable"`
	Stuck          []StuckLane  `json:"stuck"`
	Waiting        []OldestWait `json:"waiting"`
	Blocked        []string     `json:"blocked"`
}

// StuckLane is a lane that stays in user code.
type StuckLane struct {
	Instance string `json:"instance"`
	Name     string `json:"name"`
	At       string `json:"at"`
	SinceMS  int64  `json:"since_ms"`
}

// OldestWait is the oldest waiting job of a name and tag.
type OldestWait struct {
	Activity string `json:"activity"`
	Tag      string `json:"tag"`
	AgeMS    int64  `json:"age_ms"`
}
