package main

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/duroxide/duroxide/core/client"
	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// What clients read: each answer has the names of Python's result classes.

type instanceAnswer struct {
	InstanceID           string  `json:"instance_id"`
	OrchestrationName    string  `json:"orchestration_name"`
	OrchestrationVersion string  `json:"orchestration_version"`
	CurrentExecutionID   int64   `json:"current_execution_id"`
	Status               string  `json:"status"`
	Output               *string `json:"output"`
	CreatedAt            int64   `json:"created_at"`
	UpdatedAt            int64   `json:"updated_at"`
	ParentInstanceID     *string `json:"parent_instance_id"`
	Blocked              *string `json:"blocked"`
}

// outcome is what an ended execution shows as its output: the result, or the text of the failure.
func outcome(status replay.Status, output string, f *history.Failure) *string {
	switch status {
	case replay.Running:
		return nil
	case replay.Failed:
		if f != nil {
			text := f.Text()
			return &text
		}
	case replay.Completed, replay.ContinuedAsNew:
	}
	return &output
}

func answerInstance(i *store.Instance) instanceAnswer {
	a := instanceAnswer{InstanceID: i.Instance, OrchestrationName: i.Name, OrchestrationVersion: i.Version,
		CurrentExecutionID: i.Execution, Status: i.Status.String(), Output: outcome(i.Status, i.Output, i.Failure),
		CreatedAt: i.CreatedAt, UpdatedAt: i.UpdatedAt}
	if i.Parent != "" {
		a.ParentInstanceID = &i.Parent
	}
	if i.Blocked != nil {
		a.Blocked = &i.Blocked.Reason
	}
	return a
}

func opInstance(r *request) (any, string, error) {
	p, err := provider(r)
	if err != nil {
		return nil, "", err
	}
	h, err := header[nameRequest](r)
	if err != nil {
		return nil, "", err
	}
	i, err := p.store.Instance(r.ctx, h.Instance)
	if errors.Is(err, store.ErrNotFound) || err == nil && i == nil {
		return nil, "", failed(classInstanceNotFound, "get_instance_info: Instance %s not found", h.Instance)
	}
	if err != nil {
		return nil, "", err
	}
	return answerInstance(i), "", nil
}

type instancesRequest struct {
	Name            string `json:"name"`
	Version         string `json:"version"`
	IDPrefix        string `json:"id_prefix"`
	Parent          string `json:"parent"`
	Status          string `json:"status"`
	ExecutionStatus string `json:"execution_status"`
	CreatedAfter    int64  `json:"created_after"`
	CreatedBefore   int64  `json:"created_before"`
	UpdatedAfter    int64  `json:"updated_after"`
	UpdatedBefore   int64  `json:"updated_before"`
	Blocked         *bool  `json:"blocked"`
	OldestFirst     bool   `json:"oldest_first"`
	Limit           int    `json:"limit"`
	Cursor          string `json:"cursor"`
	IDsOnly         bool   `json:"ids_only"`
}

var statuses = [...]replay.Status{replay.Running, replay.Completed, replay.Failed, replay.ContinuedAsNew}

func parseStatus(name string) *replay.Status {
	for _, s := range statuses {
		if s.String() == name {
			return &s
		}
	}
	return nil
}

func opInstances(r *request) (any, string, error) {
	p, err := provider(r)
	if err != nil {
		return nil, "", err
	}
	h, err := header[instancesRequest](r)
	if err != nil {
		return nil, "", err
	}
	if h.ExecutionStatus != "" && parseStatus(h.ExecutionStatus) == nil {
		return []string{}, "", nil
	}
	page, err := p.store.Instances(r.ctx, store.InstanceQuery{Name: h.Name, Version: h.Version, IDPrefix: h.IDPrefix,
		Parent: h.Parent, Status: parseStatus(h.Status), ExecutionStatus: parseStatus(h.ExecutionStatus),
		CreatedAfter: h.CreatedAfter, CreatedBefore: h.CreatedBefore, UpdatedAfter: h.UpdatedAfter,
		UpdatedBefore: h.UpdatedBefore, Blocked: h.Blocked, OldestFirst: h.OldestFirst, Limit: h.Limit, Cursor: h.Cursor})
	if trouble := (*store.Error)(nil); h.Cursor != "" && errors.As(err, &trouble) && !trouble.Retryable {
		return nil, "", failed(classInvalidArgument, "Invalid input: %v", trouble.Err)
	}
	if err != nil {
		return nil, "", err
	}
	if h.IDsOnly {
		ids := make([]string, len(page.Items))
		for i := range page.Items {
			ids[i] = page.Items[i].Instance
		}
		return ids, "", nil
	}
	items := make([]instanceAnswer, len(page.Items))
	for i := range page.Items {
		items[i] = answerInstance(&page.Items[i])
	}
	return map[string]any{"items": items, "next": page.Next}, "", nil
}

type executionAnswer struct {
	ExecutionID int64   `json:"execution_id"`
	Status      string  `json:"status"`
	Output      *string `json:"output"`
	StartedAt   int64   `json:"started_at"`
	CompletedAt *int64  `json:"completed_at"`
	EventCount  int64   `json:"event_count"`
}

func opExecutions(r *request) (any, string, error) {
	p, err := provider(r)
	if err != nil {
		return nil, "", err
	}
	h, err := header[nameRequest](r)
	if err != nil {
		return nil, "", err
	}
	rows, err := p.store.Executions(r.ctx, h.Instance)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, "", err
	}
	answers := make([]executionAnswer, len(rows))
	for i := range rows {
		e := &rows[i]
		answers[i] = executionAnswer{ExecutionID: e.Execution, Status: e.Status.String(),
			Output: outcome(e.Status, e.Output, e.Failure), StartedAt: e.StartedAt, EventCount: e.EventCount}
		if e.CompletedAt != 0 {
			answers[i].CompletedAt = &e.CompletedAt
		}
	}
	slices.SortFunc(answers, func(a, b executionAnswer) int { return int(a.ExecutionID - b.ExecutionID) })
	return answers, "", nil
}

type eventAnswer struct {
	EventID       int64   `json:"event_id"`
	Kind          string  `json:"kind"`
	SourceEventID *int64  `json:"source_event_id"`
	TimestampMS   int64   `json:"timestamp_ms"`
	Data          *string `json:"data"`
	At            string  `json:"at,omitempty"`
}

func opHistory(r *request) (any, string, error) {
	p, err := provider(r)
	if err != nil {
		return nil, "", err
	}
	h, err := header[struct {
		Instance  string `json:"i"`
		Execution int64  `json:"e"`
	}](r)
	if err != nil {
		return nil, "", err
	}
	events, err := p.store.History(r.ctx, h.Instance, h.Execution)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, "", err
	}
	answers := make([]eventAnswer, len(events))
	for i := range events {
		e := &events[i]
		answers[i] = eventAnswer{EventID: e.ID, Kind: e.Kind.String(), TimestampMS: e.Time, Data: eventData(e), At: e.At}
		if e.Source != 0 {
			answers[i].SourceEventID = &e.Source
		}
	}
	return answers, "", nil
}

// payload is text inside JSON: as it is when it is JSON, else as a string, so that the whole stays JSON.
func payload(text string) json.RawMessage {
	if json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	return json.RawMessage(quote(text))
}

func quote(s string) string {
	b, err := encodeAnswer(s, "")
	if err != nil || len(b) < 5 {
		return strconv.Quote(s)
	}
	return string(b[4 : len(b)-1]) // without the length in front and the newline behind
}

// eventData is the JSON text that shows what an event holds; nil for kinds that hold nothing of their own.
func eventData(e *history.Event) *string {
	fields := func(pairs ...any) *string {
		parts := make([]string, 0, len(pairs)/2)
		for i := 0; i < len(pairs); i += 2 {
			name, _ := pairs[i].(string)
			var value string
			switch v := pairs[i+1].(type) {
			case string:
				value = quote(v)
			case int64:
				value = strconv.FormatInt(v, 10)
			case json.RawMessage:
				value = string(v)
			}
			parts = append(parts, quote(name)+":"+value)
		}
		s := "{" + strings.Join(parts, ",") + "}"
		return &s
	}
	switch e.Kind {
	case history.OrchestrationStarted:
		return fields("name", e.Name, "version", e.Version, "input", payload(e.Data))
	case history.ActivityScheduled:
		return fields("name", e.Name, "input", payload(e.Data))
	case history.OrchestrationCompleted, history.OrchestrationContinuedAsNew, history.ActivityCompleted,
		history.SubOrchestrationCompleted:
		text := e.Data
		return &text
	case history.OrchestrationFailed, history.ActivityFailed, history.SubOrchestrationFailed:
		b, err := json.Marshal(e.Failure)
		if err != nil {
			return nil
		}
		text := string(b)
		return &text
	case history.TimerCreated, history.TimerFired:
		return fields("fireAtMs", e.FireAt)
	case history.ExternalSubscribed, history.QueueSubscribed:
		return fields("name", e.Name)
	case history.ExternalEvent, history.QueueEventDelivered:
		return fields("name", e.Name, "data", payload(e.Data))
	case history.OrchestrationChained, history.SubOrchestrationScheduled:
		return fields("name", e.Name, "instance", e.Instance, "input", payload(e.Data))
	case history.KeyValueSet:
		return fields("key", e.Name, "value", e.Data)
	case history.KeyValueCleared:
		return fields("key", e.Name)
	case history.CustomStatusUpdated:
		if e.Cleared {
			return fields("status", json.RawMessage("null"))
		}
		return fields("status", e.Data)
	case history.OrchestrationCancelRequested, history.ActivityCancelRequested, history.SubOrchestrationCancelRequested:
		return fields("reason", e.Reason)
	case history.KindUnknown, history.ExternalSubscribedCancelled, history.QueueSubscriptionCancelled,
		history.KeyValuesCleared:
	}
	return nil
}

type waitingAnswer struct {
	Kind     string  `json:"kind"`
	Name     *string `json:"name"`
	EventID  int64   `json:"event_id"`
	Since    int64   `json:"since"`
	DueAt    *int64  `json:"due_at"`
	Attempt  *int    `json:"attempt"`
	Location string  `json:"location"`
}

// given is a pointer to v, or nil for its zero value.
func given[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func opWaiting(r *request) (any, string, error) {
	p, err := provider(r)
	if err != nil {
		return nil, "", err
	}
	h, err := header[nameRequest](r)
	if err != nil {
		return nil, "", err
	}
	status, err := p.client.Status(r.ctx, h.Instance)
	if err != nil {
		return nil, "", about(h.Instance, err)
	}
	events, err := p.store.History(r.ctx, h.Instance, 0)
	if err != nil {
		return nil, "", about(h.Instance, err)
	}
	waits := client.OpenWaits(events)
	answers := make([]waitingAnswer, 0, len(waits)+1)
	if b := status.Blocked; b != nil {
		answers = append(answers, waitingAnswer{Kind: "code", Name: &b.Reason, Since: b.SinceMS, Location: b.At})
	}
	for _, w := range waits {
		answers = append(answers, waitingAnswer{Kind: w.Kind, Name: given(w.Name), EventID: w.EventID, Since: w.Since,
			DueAt: given(w.DueAt), Attempt: given(w.Attempt), Location: w.At})
	}
	return answers, "", nil
}

func opTree(r *request) (any, string, error) {
	p, err := provider(r)
	if err != nil {
		return nil, "", err
	}
	h, err := header[nameRequest](r)
	if err != nil {
		return nil, "", err
	}
	ids, err := p.store.Tree(r.ctx, h.Instance)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, "", err
	}
	if len(ids) == 0 {
		ids = []string{h.Instance}
	}
	return ids, "", nil
}

func opSystemMetrics(r *request) (any, string, error) {
	p, err := provider(r)
	if err != nil {
		return nil, "", err
	}
	m, err := p.store.SystemMetrics(r.ctx)
	return map[string]int64{"total_instances": m.TotalInstances, "total_executions": m.TotalExecutions,
		"running_instances": m.RunningInstances, "completed_instances": m.CompletedInstances,
		"failed_instances": m.FailedInstances, "total_events": m.TotalEvents}, "", err
}

func opQueueDepths(r *request) (any, string, error) {
	p, err := provider(r)
	if err != nil {
		return nil, "", err
	}
	d, err := p.store.QueueDepths(r.ctx)
	return map[string]int64{"orchestrator_queue": d.Orchestrator, "worker_queue": d.Worker, "timer_queue": d.Timer}, "", err
}

// opInstanceStats answers without a header for an unknown instance.
func opInstanceStats(r *request) (any, string, error) {
	p, err := provider(r)
	if err != nil {
		return nil, "", err
	}
	h, err := header[nameRequest](r)
	if err != nil {
		return nil, "", err
	}
	s, err := p.store.InstanceStats(r.ctx, h.Instance)
	if errors.Is(err, store.ErrNotFound) || err == nil && s == nil {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	return map[string]int64{"history_event_count": s.HistoryEvents, "history_size_bytes": s.HistoryBytes,
		"queue_pending_count": s.QueuePending, "kv_user_key_count": s.KVKeys, "kv_total_value_bytes": s.KVBytes}, "", nil
}

// opKVValue answers with the header true and the value as the body; without a header when there is none.
func opKVValue(r *request) (any, string, error) {
	p, err := provider(r)
	if err != nil {
		return nil, "", err
	}
	h, err := header[waitRequest](r)
	if err != nil {
		return nil, "", err
	}
	v, err := p.store.KVValue(r.ctx, h.Instance, h.Key)
	if errors.Is(err, store.ErrNotFound) || err == nil && v == nil {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	return true, *v, nil
}
