package main

import (
	"errors"

	"github.com/duroxide/duroxide/core/client"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// Deleting and pruning.

func answerDeleted(d store.Deleted, err error) (any, string, error) {
	return map[string]int64{"instances_deleted": d.Instances, "executions_deleted": d.Executions,
		"events_deleted": d.Events, "queue_messages_deleted": d.Messages}, "", err
}

func answerPruned(p store.Pruned, err error) (any, string, error) {
	return map[string]int64{"instances_processed": p.Instances, "executions_deleted": p.Executions,
		"events_deleted": p.Events}, "", err
}

func opDelete(r *request) (any, string, error) {
	p, err := provider(r)
	if err != nil {
		return nil, "", err
	}
	h, err := header[struct {
		Instance string `json:"i"`
		Force    bool   `json:"f"`
	}](r)
	if err != nil {
		return nil, "", err
	}
	d, err := p.store.Delete(r.ctx, h.Instance, h.Force)
	return answerDeleted(d, about(h.Instance, err))
}

// manageRequest chooses instances and executions; a missing field does not choose.
type manageRequest struct {
	Instance        string   `json:"i"`
	Instances       []string `json:"instance_ids"`
	CompletedBefore int64    `json:"completed_before"`
	Limit           int      `json:"limit"`
	KeepLast        *int     `json:"keep_last"`
	PruneBefore     int64    `json:"prune_before"`
}

func (m *manageRequest) filter() store.BulkFilter {
	return store.BulkFilter{Instances: m.Instances, CompletedBefore: m.CompletedBefore, Limit: m.Limit}
}

func (m *manageRequest) prune() store.PruneOptions {
	return store.PruneOptions{KeepLast: m.KeepLast, CompletedBefore: m.PruneBefore}
}

func opDeleteBulk(r *request) (any, string, error) {
	p, err := provider(r)
	if err != nil {
		return nil, "", err
	}
	h, err := header[manageRequest](r)
	if err != nil {
		return nil, "", err
	}
	return answerDeleted(p.store.DeleteBulk(r.ctx, h.filter()))
}

func opPrune(r *request) (any, string, error) {
	p, err := provider(r)
	if err != nil {
		return nil, "", err
	}
	h, err := header[manageRequest](r)
	if err != nil {
		return nil, "", err
	}
	d, err := p.store.Prune(r.ctx, h.Instance, h.prune())
	return answerPruned(d, about(h.Instance, err))
}

func opPruneBulk(r *request) (any, string, error) {
	p, err := provider(r)
	if err != nil {
		return nil, "", err
	}
	h, err := header[manageRequest](r)
	if err != nil {
		return nil, "", err
	}
	return answerPruned(p.store.PruneBulk(r.ctx, h.filter(), h.prune()))
}

func opRevive(r *request) (any, string, error) {
	p, err := provider(r)
	if err != nil {
		return nil, "", err
	}
	h, err := header[nameRequest](r)
	if err != nil {
		return nil, "", err
	}
	err = p.client.Revive(r.ctx, h.Instance)
	switch {
	case errors.Is(err, replay.ErrNotFailed):
		err = failed(classInvalidArgument, "Invalid input: Instance %s has not failed: there is nothing to revive", h.Instance)
	case errors.Is(err, replay.ErrOwnFailure):
		err = failed(classInvalidArgument, "Invalid input: Instance %s failed by its own code and would fail again: start it anew, "+
			"as with if_exists=\"restart_if_ended\"", h.Instance)
	case errors.Is(err, client.ErrUnreadable):
		err = failed(classInvalidArgument, "Invalid input: Instance %s: %v", h.Instance, err)
	}
	return nil, "", about(h.Instance, err)
}
