package postgres

import (
	"slices"

	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

const (
	// groupSize bounds a call: with more turns their rows stay locked longer than the round trips cost that are saved.
	groupSize = 64
	// groupBytes bounds its payload: the protocol and the server take no message over 1 GiB.
	groupBytes = 64 << 20
)

// split cuts the turns into groups of one call each: not too many nor too large, no instance twice, and with equal claims.
func split(turns []store.Turn, members []int) [][]int {
	var groups [][]int
	for len(members) > 0 {
		n, bytes := 1, weight(turns[members[0]].Commit)
		for n < len(members) && n < groupSize && turns[members[n]].Instance != turns[members[n-1]].Instance &&
			claimsAlike(&turns[members[0]].Claim, &turns[members[n]].Claim) {
			if bytes += weight(turns[members[n]].Commit); bytes > groupBytes {
				break
			}
			n++
		}
		groups = append(groups, members[:n])
		members = members[n:]
	}
	return groups
}

// claimsAlike reports whether one filter serves both. What a node serves does not change between the turns of a group.
func claimsAlike(a, b *store.Claim) bool {
	return a.Limit <= 0 || b.Limit <= 0 || a.Node == b.Node && a.Label == b.Label && len(a.Activities) == len(b.Activities) &&
		a.Tags.Any == b.Tags.Any && a.Tags.Untagged == b.Tags.Untagged && slices.Equal(a.Tags.Tags, b.Tags.Tags)
}

// weight is about how many bytes of payload a commit sends.
func weight(m *replay.Commit) int {
	n := len(m.Output)
	if m.Next != nil {
		n += len(m.Next.Data)
	}
	for i := range m.Events {
		if n += len(m.Events[i].Data); m.Events[i].Failure != nil {
			n += len(m.Events[i].Failure.Message)
		}
	}
	for i := range m.Jobs {
		n += len(m.Jobs[i].Input)
	}
	for i := range m.Starts {
		n += len(m.Starts[i].Input)
	}
	for i := range m.Sends {
		n += len(m.Sends[i].Message.Data)
	}
	for i := range m.KV {
		if v := m.KV[i].Value; v != nil {
			n += len(*v)
		}
	}
	return n
}
