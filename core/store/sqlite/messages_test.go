package sqlite

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// However much waits in a queue, a turn is given no more than it can use, in order, and always the oldest of each queue.
func TestBacklogOfLargeMailIsReadInPieces(t *testing.T) {
	s := openMemoryForTest(t)
	turn := begun(t, s, 1, 1)[0]
	const queued = 12
	large := strings.Repeat("x", mailBytes/4)
	var wanted []string
	for i := range queued {
		id, queue, data := fmt.Sprintf("id-%02d", i), "q", large
		if i == queued-1 {
			queue, data = "other", strings.Repeat("x", 2*mailBytes)
		} else {
			wanted = append(wanted, id)
		}
		m := history.Message{Kind: history.MsgMail, ID: id, Name: queue, Data: data}
		if _, err := s.Enqueue(t.Context(), []store.Enqueue{{Instance: turn.Instance, Message: m}}); err != nil {
			t.Fatal(err)
		}
	}
	var taken []string
	var consumed []history.Message
	for event := int64(2); ; event++ {
		turn.Commit = &replay.Commit{
			Execution: 1, OpenQueues: []string{"q", "other"}, UsedQueues: []string{"q", "other"}, Consumed: consumed,
			Events: []history.Event{{ID: event, Kind: history.QueueSubscribed, Name: "q", Time: s.Now()}},
		}
		results, err := s.CommitTurns(t.Context(), "node", []store.Turn{turn})
		if err != nil || results[0].Err != nil {
			t.Fatal(err, results)
		}
		bytes, others := 0, 0
		consumed = nil
		for _, m := range results[0].Messages {
			if m.Name == "other" {
				others++
				continue
			}
			bytes += len(m.Data)
			taken = append(taken, m.ID)
			consumed = append(consumed, m)
		}
		if bytes > mailBytes || others != 1 {
			t.Fatalf("given %d bytes of one queue and %d messages of the other", bytes, others)
		}
		if len(consumed) == 0 {
			break
		}
		turn.Expect, turn.New = turn.New, history.NewToken()
	}
	if !slices.Equal(taken, wanted) {
		t.Errorf("taken %v, want %v", taken, wanted)
	}
}

// Of thousands of queues only those with mail are asked for it, and none of these is forgotten.
func TestOnlyQueuesWithMailAreRead(t *testing.T) {
	s := openMemoryForTest(t)
	turn := begun(t, s, 1, 1)[0]
	var used []string
	for i := range 500 {
		used = append(used, fmt.Sprintf("reply-%03d", i))
	}
	send := func(queues ...string) {
		t.Helper()
		for _, queue := range queues {
			m := history.Message{Kind: history.MsgMail, ID: queue, Name: queue, Data: queue}
			if _, err := s.Enqueue(t.Context(), []store.Enqueue{{Instance: turn.Instance, Message: m}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func(used, wanted []string, read int) {
		t.Helper()
		exclusively(t, s, func(c *sqlite.Conn) error {
			asked, err := withMail(c, 1, used)
			if err != nil {
				return err
			}
			if len(asked) != read {
				t.Errorf("%d queues are read, want %d", len(asked), read)
			}
			u, err := readUntaken(c, 1, turn.Life, s.Now(), used, nil)
			var got []string
			for _, m := range u.messages {
				got = append(got, m.Data)
			}
			if !slices.Equal(got, wanted) {
				t.Errorf("read %v, want %v", got, wanted)
			}
			return err
		})
	}
	check(used, nil, 0)
	send("reply-400", "unused", "a", "reply-007")
	check(used, []string{"reply-400", "reply-007"}, 2)
	check(used[:8], []string{"reply-007"}, 8)
	for i := range 9 {
		send(fmt.Sprintf("b-%d", i))
	}
	check(used[:10], []string{"reply-007"}, 10) // more queues with mail than are asked for
}

// However much is due, a turn is given no more than it applies, in order, and a cancel first.
func TestLargeDueMessagesAreReadInPieces(t *testing.T) {
	s := openMemoryForTest(t)
	turn := begun(t, s, 1, 1)[0]
	var wanted []string
	send := func(kind history.MessageKind, bytes int) string {
		id := fmt.Sprintf("id-%02d", len(wanted))
		m := history.Message{Kind: kind, ID: id, Name: "e", Data: strings.Repeat("x", bytes)}
		if _, err := s.Enqueue(t.Context(), []store.Enqueue{{Instance: turn.Instance, Message: m}}); err != nil {
			t.Fatal(err)
		}
		return id
	}
	for i := range 12 {
		wanted = append(wanted, send(history.MsgEvent, []int{dueBytes / 3, 0, dueBytes / 5, 7}[i%4]))
	}
	wanted = append([]string{send(history.MsgCancel, 3)}, wanted...)
	var taken []string
	var consumed []history.Message
	for event, pieces := int64(2), 0; ; event++ {
		turn.Commit = &replay.Commit{
			Execution: 1, Consumed: consumed, Timers: []replay.Timer{{Schedule: event, FireAt: s.Now() + 3_600_000}},
			Events: []history.Event{{ID: event, Kind: history.TimerCreated, Time: s.Now()}},
		}
		results, err := s.CommitTurns(t.Context(), "node", []store.Turn{turn})
		if err != nil || results[0].Err != nil {
			t.Fatal(err, results)
		}
		if results[0].NextDue == 0 {
			t.Error("the timer is forgotten")
		}
		bytes := 0
		consumed = results[0].Messages
		for i, m := range consumed {
			taken = append(taken, m.ID)
			if bytes >= dueBytes {
				t.Fatalf("message %d comes after %d bytes", i, bytes)
			}
			bytes += len(m.Data)
			if want := map[history.MessageKind]int{history.MsgCancel: 3}[m.Kind]; want > 0 && len(m.Data) != want {
				t.Errorf("the cancel carries %d bytes", len(m.Data))
			}
		}
		if len(consumed) == 0 {
			if pieces < 2 {
				t.Errorf("%d pieces", pieces)
			}
			break
		}
		pieces++
		turn.Expect, turn.New = turn.New, history.NewToken()
	}
	if !slices.Equal(taken, wanted) {
		t.Errorf("taken %v, want %v", taken, wanted)
	}
}
