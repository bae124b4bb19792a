package store

import (
	"cmp"
	"slices"
	"strings"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
)

// What every provider decides alike, whatever its database.

// Order puts the untaken messages of an instance into the order in which they are applied: cancel, start, the others as
// they came, mail. One that was due later than it was inserted (a timer) goes before the first one inserted after its due
// time. It sorts in place and returns the slice.
func Order(messages []history.Message) []history.Message {
	if len(messages) < 2 {
		return messages
	}
	slices.SortFunc(messages, func(a, b history.Message) int {
		by := placeOf(&a)
		if other := placeOf(&b); by != other {
			return cmp.Compare(by, other)
		}
		if by == placeDelayed {
			return cmp.Or(cmp.Compare(a.VisibleAt, b.VisibleAt), cmp.Compare(a.Row, b.Row))
		}
		return cmp.Compare(a.Row, b.Row)
	})
	first := slices.IndexFunc(messages, func(m history.Message) bool { return placeOf(&m) == placeDelayed })
	if first < 0 {
		return messages
	}
	rest := messages[first:]
	split := slices.IndexFunc(rest, func(m history.Message) bool { return placeOf(&m) > placeDelayed })
	if split < 0 {
		return messages
	}
	delayed := slices.Clone(rest[:split])
	merged := rest[:0]
	for _, m := range slices.Clone(rest[split:]) {
		for len(delayed) > 0 && (placeOf(&m) == placeMail || delayed[0].VisibleAt < m.InsertedAt) {
			merged = append(merged, delayed[0])
			delayed = delayed[1:]
		}
		merged = append(merged, m)
	}
	return append(messages[:first+len(merged)], delayed...)
}

const (
	placeCancel = iota
	placeStart
	placeDelayed
	placeQueue
	placeMail
)

func placeOf(m *history.Message) int {
	switch {
	case m.Kind == history.MsgCancel:
		return placeCancel
	case m.Kind == history.MsgStart:
		return placeStart
	case m.Kind == history.MsgMail:
		return placeMail
	case m.VisibleAt > m.InsertedAt:
		return placeDelayed
	default:
		return placeQueue
	}
}

// ParseStatus is the inverse of a status' String; a name that no status has is Running.
func ParseStatus(name string) replay.Status {
	for _, s := range []replay.Status{replay.Completed, replay.Failed, replay.ContinuedAsNew} {
		if s.String() == name {
			return s
		}
	}
	return replay.Running
}

// Serves reports whether jobs with the tag are taken; the empty tag is none.
func (f *TagFilter) Serves(tag string) bool {
	if f.Any {
		return true
	}
	if tag == "" {
		return f.Untagged
	}
	return slices.Contains(f.Tags, tag)
}

// Serves reports whether the claim takes jobs of the activity and tag, as far as no session forbids it. Tags say which
// of the users' activities a node takes: system calls run on any.
func (c *Claim) Serves(activity, tag string) bool {
	return c.Activities[activity] && (c.Tags.Serves(tag) || strings.HasPrefix(activity, history.SyscallPrefix))
}

// IsEmpty reports whether the claim can take nothing.
func (c *Claim) IsEmpty() bool { return c.Limit <= 0 || len(c.Activities) == 0 }

// Bound is how many instances the filter chooses at most.
func (f *BulkFilter) Bound() int {
	if f.Limit > 0 {
		return f.Limit
	}
	return 1000
}
