package postgres

import (
	"strings"
	"sync"

	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// served is what the nodes of this process can run. What they cannot is news for other processes.
type served struct {
	mu    sync.RWMutex
	nodes map[store.NodeID]map[orchestration]bool
}

// orchestration is a registered one; without a version, the latest of its name.
type orchestration struct{ name, version string }

func (s *served) add(n *store.Node) {
	names := make(map[orchestration]bool, 2*len(n.Orchestrations))
	for _, registered := range n.Orchestrations {
		name, version := registered, ""
		if at := strings.LastIndexByte(registered, '@'); at >= 0 {
			name, version = registered[:at], registered[at+1:]
		}
		names[orchestration{name, version}], names[orchestration{name, ""}] = true, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nodes == nil {
		s.nodes = map[store.NodeID]map[orchestration]bool{}
	}
	s.nodes[n.ID] = names
}

func (s *served) remove(node store.NodeID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.nodes, node)
}

// by reports whether the node is known to run what is asked for.
func (s *served) by(node store.NodeID, name, version string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.nodes[node][orchestration{name, version}]
}

// leavesToOthers reports whether a turn leaves its instance with something to do, now or later, that its node cannot run:
// an execution that continues as a version which only others have, for one.
func (s *served) leavesToOthers(node store.NodeID, turn *store.Turn, result *store.TurnResult) bool {
	m, version := turn.Commit, turn.Version
	if result.Err != nil || ended(m) || len(result.Messages) == 0 && result.NextDue == 0 {
		return false
	}
	if m.Status == replay.ContinuedAsNew && m.Next != nil {
		version = m.Next.Version
	}
	return !s.by(node, turn.Name, version)
}
