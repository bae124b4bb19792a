package engine

import (
	"testing"

	"github.com/duroxide/duroxide/core/history"
)

func TestResultsInMemoryTakeTheirPlaceInTime(t *testing.T) {
	stored := func(kind history.MessageKind, at int64) history.Message {
		return history.Message{Kind: kind, VisibleAt: at, InsertedAt: at, Row: at}
	}
	result := func(at int64) *job {
		return &job{result: history.Message{Kind: history.MsgActivityCompleted, VisibleAt: at, JobID: at}}
	}
	for _, c := range []struct {
		promise string
		stored  []history.Message
		results []*job
		want    string
	}{
		{"before what was inserted after the activity ended", []history.Message{stored(history.MsgEvent, 5), stored(history.MsgEvent, 9)}, []*job{result(7)}, "e5 r7 e9 "},
		{"a timer that was due before goes first", []history.Message{stored(history.MsgTimer, 6)}, []*job{result(7)}, "t6 r7 "},
		{"a tie goes to the activity", []history.Message{stored(history.MsgTimer, 7)}, []*job{result(7)}, "r7 t7 "},
		{"cancel stays first", []history.Message{stored(history.MsgCancel, 9), stored(history.MsgEvent, 9)}, []*job{result(7), result(8)}, "c9 r7 r8 e9 "},
		{"mail stays last", []history.Message{stored(history.MsgMail, 1)}, []*job{result(7)}, "r7 m1 "},
		{"results keep their order", nil, []*job{result(3), result(2)}, "r3 r2 "},
	} {
		got := ""
		for _, m := range mergeResults(c.stored, c.results) {
			got += map[history.MessageKind]string{
				history.MsgEvent: "e", history.MsgTimer: "t", history.MsgCancel: "c", history.MsgMail: "m", history.MsgActivityCompleted: "r",
			}[m.Kind] + string(rune('0'+m.VisibleAt)) + " "
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.promise, got, c.want)
		}
	}
}

func TestQueueKeepsOrderThroughReuse(t *testing.T) {
	var q fifo[int]
	next, want := 0, 0
	for round := range 50 {
		for range round * 3 {
			q.push(next)
			next++
		}
		for range min(q.len(), round*2) {
			if got := q.pop(); got != want {
				t.Fatalf("popped %d, want %d", got, want)
			}
			want++
		}
	}
	q.filter(func(v int) bool { return v%2 == 0 })
	want += want % 2
	for _, got := range q.take() {
		if got != want {
			t.Fatalf("took %d, want %d", got, want)
		}
		want += 2
	}
	if q.len() != 0 {
		t.Errorf("%d left", q.len())
	}
}
