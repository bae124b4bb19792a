package replay

import (
	"strconv"
	"testing"

	"github.com/duroxide/duroxide/core/history"
)

func TestLimitsOfATurn(t *testing.T) {
	if want := (limits{messages: 1000, events: 1000, bytes: 16 << 20}); turnLimits != want {
		t.Errorf("turns are cut at %+v, not at %+v", turnLimits, want)
	}
}

// TestLoopDrainsAnyNumberOfMessages takes 5,000 messages that all wait from the beginning, in turns of bounded length.
func TestLoopDrainsAnyNumberOfMessages(t *testing.T) {
	const n = 5000
	code := newChain(n)
	code.task = Task{Kind: TaskDequeue, Name: "q"}
	x := New(Identity{Instance: "i", Life: "L", Execution: 1})
	c := x.Turn(code, Input{NowMS: 1})
	mail := make([]history.Message, n)
	for i := range mail {
		mail[i] = history.Message{Kind: history.MsgMail, Row: int64(i + 1), Name: "q", Data: strconv.Itoa(i), InsertedAt: 1, VisibleAt: 1}
	}
	events := c.Events
	for turns := 0; c.Status == Running; turns++ {
		if turns > 2*n/500 {
			t.Fatalf("%d turns and %d messages are left", turns, len(mail))
		}
		c = x.Turn(code, Input{NowMS: 1, Messages: mail})
		if len(c.Events) > 1002 {
			t.Fatalf("a turn of %d events", len(c.Events))
		}
		if len(c.Consumed) == 0 || !c.Continue && c.Status == Running {
			t.Fatalf("stuck with %d messages left", len(mail))
		}
		mail = mail[len(c.Consumed):]
		events = append(events, c.Events...)
	}
	next := 0
	for i := range events {
		if events[i].Kind == history.QueueEventDelivered {
			if events[i].Data != strconv.Itoa(next) {
				t.Fatalf("message %s delivered instead of %d", events[i].Data, next)
			}
			next++
		}
	}
	if next != n || len(mail) != 0 {
		t.Fatalf("%d of %d messages delivered, %d left", next, n, len(mail))
	}
	fresh := newChain(n)
	fresh.task = code.task
	if f := Verify(Identity{}, fresh, events); f != nil {
		t.Fatal(f.Text())
	}
}

// TestEachTurnMustBeGivenAllUntakenMail shows the contract with the store: what was given and not taken is not remembered.
func TestEachTurnMustBeGivenAllUntakenMail(t *testing.T) {
	code := &generators{main: scriptBody(parseProgram("dequeue p\nwait go\ndequeue q\nreturn"))}
	x := New(Identity{Instance: "i", Life: "L", Execution: 1})
	x.Turn(code, Input{NowMS: 1})
	q := history.Message{Kind: history.MsgMail, Row: 1, Name: "q"}
	if c := x.Turn(code, Input{NowMS: 1, Messages: []history.Message{q, {Kind: history.MsgMail, Row: 2, Name: "p"}}}); len(c.Consumed) != 1 || c.Consumed[0].Row != 2 {
		t.Fatalf("consumed %v", c.Consumed)
	}
	if c := x.Turn(code, Input{NowMS: 1, Messages: []history.Message{{Kind: history.MsgEvent, Name: "go", Row: 3}}}); c.Status != Running {
		t.Fatal("took a message that it was not given")
	}
	if c := x.Turn(code, Input{NowMS: 1, Messages: []history.Message{q}}); c.Status != Completed || len(c.Consumed) != 1 {
		t.Fatal("did not take the message when it came again")
	}
}
