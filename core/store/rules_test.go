package store_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

func TestMessagesAreAppliedInOneOrderHoweverTheyCome(t *testing.T) {
	const timer, event = history.MsgTimer, history.MsgEvent
	want := []history.Message{
		{Row: 9, Kind: history.MsgCancel, InsertedAt: 50, VisibleAt: 50},
		{Row: 1, Kind: history.MsgStart, InsertedAt: 1, VisibleAt: 1},
		{Row: 4, Kind: event, InsertedAt: 10, VisibleAt: 10},
		{Row: 5, Kind: timer, InsertedAt: 2, VisibleAt: 15}, // due before the next was inserted
		{Row: 6, Kind: event, InsertedAt: 20, VisibleAt: 20},
		{Row: 7, Kind: event, InsertedAt: 30, VisibleAt: 30},
		{Row: 2, Kind: timer, InsertedAt: 2, VisibleAt: 30}, // due when that one came: behind it
		{Row: 3, Kind: timer, InsertedAt: 2, VisibleAt: 30},
		{Row: 8, Kind: timer, InsertedAt: 5, VisibleAt: 40},
		{Row: 10, Kind: history.MsgMail, InsertedAt: 3, VisibleAt: 3},
		{Row: 11, Kind: history.MsgMail, InsertedAt: 3, VisibleAt: 3},
	}
	rows := func(messages []history.Message) (ids []int64) {
		for i := range messages {
			ids = append(ids, messages[i].Row)
		}
		return ids
	}
	for keep := len(want); keep >= 0; keep-- {
		for range 50 {
			// Any part of them, shuffled, comes out in the same order.
			part := slices.Clone(want)
			for len(part) > keep {
				i := rand.N(len(part))
				part = slices.Delete(part, i, i+1)
			}
			sorted := rows(part)
			rand.Shuffle(len(part), func(i, j int) { part[i], part[j] = part[j], part[i] })
			if got := rows(store.Order(part)); !slices.Equal(got, sorted) {
				t.Fatalf("got %v, want %v", got, sorted)
			}
		}
	}
}

func TestStatusesParseBack(t *testing.T) {
	for _, s := range []replay.Status{replay.Running, replay.Completed, replay.Failed, replay.ContinuedAsNew} {
		if got := store.ParseStatus(s.String()); got != s {
			t.Errorf("%v is read as %v", s, got)
		}
	}
}

func TestFiltersServeExactlyTheirTags(t *testing.T) {
	for _, c := range []struct {
		f    store.TagFilter
		want []string
	}{
		{store.TagFilter{}, nil},
		{store.TagFilter{Untagged: true}, []string{""}},
		{store.TagFilter{Tags: []string{"gpu"}}, []string{"gpu"}},
		{store.TagFilter{Untagged: true, Tags: []string{"gpu"}}, []string{"", "gpu"}},
		{store.TagFilter{Any: true}, []string{"", "gpu", "eu"}},
	} {
		var got []string
		for _, tag := range []string{"", "gpu", "eu"} {
			if c.f.Serves(tag) {
				got = append(got, tag)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v serves %q, want %q", c.f, got, c.want)
		}
	}
}
