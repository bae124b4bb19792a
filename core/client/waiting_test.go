package client

import (
	"slices"
	"testing"

	"github.com/duroxide/duroxide/core/history"
)

func TestOpenWaitsAreTheLeavesWithoutAnAnswer(t *testing.T) {
	started := history.Event{Kind: history.OrchestrationStarted, Name: "W"}
	for _, c := range []struct {
		name   string
		events []history.Event
		want   []int64
	}{
		{"nothing asked for", nil, nil},
		{"one of each", []history.Event{
			{Kind: history.ActivityScheduled, Name: "A"}, {Kind: history.TimerCreated, FireAt: 9},
			{Kind: history.ExternalSubscribed, Name: "e"}, {Kind: history.QueueSubscribed, Name: "q"},
			{Kind: history.SubOrchestrationScheduled, Name: "C"},
		}, []int64{2, 3, 4, 5, 6}},
		{"answered by their ids", []history.Event{
			{Kind: history.ActivityScheduled, Name: "A"}, {Kind: history.ActivityScheduled, Name: "A"},
			{Kind: history.ActivityCompleted, Source: 3}, {Kind: history.TimerCreated}, {Kind: history.TimerFired, Source: 5},
		}, []int64{2}},
		{"closed", []history.Event{
			{Kind: history.ExternalSubscribed, Name: "e"}, {Kind: history.ExternalSubscribedCancelled, Source: 2},
			{Kind: history.SubOrchestrationScheduled}, {Kind: history.SubOrchestrationCancelRequested, Source: 4},
		}, nil},
		{"the oldest wait of a name takes the event", []history.Event{
			{Kind: history.ExternalSubscribed, Name: "other"}, {Kind: history.ExternalSubscribed, Name: "e"},
			{Kind: history.ExternalSubscribed, Name: "e"}, {Kind: history.ExternalEvent, Name: "e"},
		}, []int64{2, 4}},
		{"mail and events are apart", []history.Event{
			{Kind: history.ExternalSubscribed, Name: "n"}, {Kind: history.QueueSubscribed, Name: "n"},
			{Kind: history.QueueEventDelivered, Name: "n"},
		}, []int64{2}},
		{"built-in calls answer at once", []history.Event{
			{Kind: history.ActivityScheduled, Name: history.SyscallNewGUID},
		}, nil},
		{"nothing after the end", []history.Event{
			{Kind: history.ActivityScheduled, Name: "A"}, {Kind: history.OrchestrationFailed},
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			events := append([]history.Event{started}, c.events...)
			for i := range events {
				events[i].ID = int64(i + 1)
			}
			var ids []int64
			for _, w := range OpenWaits(events) {
				ids = append(ids, w.EventID)
			}
			if !slices.Equal(ids, c.want) {
				t.Errorf("waits for %v, want %v", ids, c.want)
			}
		})
	}
}
