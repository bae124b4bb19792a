package replay

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/duroxide/duroxide/core/history"
)

// soundHistory is a finished history with calls and news of many kinds.
func soundHistory(t *testing.T) ([]history.Event, func() *generators) {
	t.Helper()
	program := parseProgram(`
status s
set k v
x = all
  activity a
  child c
  race
    timer 10
    wait e
  dequeue q
  guid
detached d d-1
activity last
return done
`)
	code := func() *generators { return &generators{main: scriptBody(program)} }
	x := New(Identity{Instance: "i", Life: "L", Execution: 1, Name: "o", Version: "1.0.0", Input: "in"})
	g := code()
	var events []history.Event
	for _, batch := range [][]history.Message{
		nil,
		{{Kind: history.MsgTimer, Source: 6}, {Kind: history.MsgActivityCompleted, Source: 4, Data: "A"}},
		{{Kind: history.MsgMail, Name: "q", Data: "m"}, {Kind: history.MsgChildCompleted, Source: 5, Data: "C"}},
	} {
		events = append(events, x.Turn(g, Input{NowMS: 1000, NewGUID: func() string { return "g" }, Messages: batch}).Events...)
	}
	last := events[len(events)-1].ID
	events = append(events, x.Turn(g, Input{NowMS: 1000, Messages: []history.Message{{Kind: history.MsgActivityCompleted, Source: last}}}).Events...)
	if !x.finished || Verify(x.identity, code(), events) != nil {
		t.Fatalf("the history to spoil is not sound:\n%s", list(events))
	}
	return events, code
}

func TestCorruptedHistoryFailsWithoutRunningCode(t *testing.T) {
	sound, _ := soundHistory(t)
	spoil := func(change func([]history.Event) []history.Event) []history.Event { return change(slices.Clone(sound)) }
	for _, c := range []struct {
		name   string
		events []history.Event
		want   string
	}{
		{"empty", nil, "corrupted history: empty"},
		{"headless", sound[1:], "corrupted history: first event must be OrchestrationStarted"},
		{"hole", spoil(func(e []history.Event) []history.Event { return slices.Delete(e, 3, 4) }), "corrupted history: event 5 stands where event 4 belongs"},
		{"twice", spoil(func(e []history.Event) []history.Event { return slices.Insert(e, 3, e[2]) }), "corrupted history: event 3 stands where event 4 belongs"},
		{"zero id", spoil(func(e []history.Event) []history.Event { e[2].ID = 0; return e }), "corrupted history: event 0 stands where event 3 belongs"},
		{"negative id", spoil(func(e []history.Event) []history.Event { e[2].ID = -9; return e }), "corrupted history: event -9 stands where event 3 belongs"},
		{"second start", spoil(func(e []history.Event) []history.Event { e[2].Kind = history.OrchestrationStarted; return e }), "corrupted history: event 3 is a second OrchestrationStarted"},
		{"no kind", spoil(func(e []history.Event) []history.Event { e[2].Kind = history.KindUnknown; return e }), "corrupted history: event 3 is of no known kind"},
		{"strange kind", spoil(func(e []history.Event) []history.Event { e[2].Kind = 250; return e }), "corrupted history: event 3 is of no known kind"},
		{"after the end", spoil(func(e []history.Event) []history.Event {
			return append(e, history.Event{ID: int64(len(e) + 1), Kind: history.TimerFired})
		}), "follows the terminal event"},
		{"failure without details", spoil(func(e []history.Event) []history.Event { e[3].Kind = history.ActivityFailed; return e }), "corrupted history: event 4 is a failure without details"},
		{"cancel without an end", spoil(func(e []history.Event) []history.Event {
			e[len(e)-1].Kind = history.OrchestrationCancelRequested
			return e
		}), "corrupted history: cancelled without a terminal event"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code := &generators{main: func(*generator) (string, error) { t.Error("code ran"); return "", nil }}
			x := Load(Identity{Instance: "i", Life: "L", Execution: 1}, code, c.events)
			f := x.Mismatch()
			if f == nil || f.Kind != history.Nondeterminism || !strings.Contains(f.Message, c.want) {
				t.Fatalf("%v, want %q", f, c.want)
			}
			if code.begun {
				t.Error("a generator was made")
			}
			commit := x.Turn(code, Input{NowMS: 5})
			want := 1
			if len(c.events) == 0 {
				want = 2 // the start as well, so that what is stored then is a history
			}
			if commit.Status != Failed || len(commit.Events) != want || commit.Failure != f {
				t.Fatalf("committed %s", printCommit(commit, nil))
			}
			for i := range c.events {
				if c.events[i].ID >= commit.Events[0].ID {
					t.Errorf("the terminal event %d meets event %d", commit.Events[0].ID, c.events[i].ID)
				}
			}
			if Verify(Identity{}, code, c.events) == nil {
				t.Error("verified")
			}
		})
	}
}

// TestSpoiledHistoryIsNoticedOrReplaysTheSame changes one or two events of a sound history at random: never a panic, never
// a commit that does not fit, and what code does differently is always told.
func TestSpoiledHistoryIsNoticedOrReplaysTheSame(t *testing.T) {
	sound, newCode := soundHistory(t)
	r := rand.New(rand.NewPCG(1, 2))
	noticed := 0
	rounds := 20_000
	if testing.Short() || raceDetector {
		rounds = 1000
	}
	for range rounds {
		events := slices.Clone(sound[:1+r.IntN(len(sound))])
		for range 1 + r.IntN(2) {
			e := &events[r.IntN(len(events))]
			switch r.IntN(8) {
			case 0:
				e.Kind = history.Kind(r.IntN(30))
			case 1:
				e.Source = int64(r.IntN(20)) - 2
			case 2:
				e.Name = "other"
			case 3:
				e.Data = "other"
			case 4:
				e.Failure = &history.Failure{Kind: history.FailureKind([]string{"activity", "infrastructure", "strange", ""}[r.IntN(4)])}
			case 5:
				e.Instance, e.InstanceGiven = "x", r.IntN(2) == 0
			case 6:
				i, k := r.IntN(len(events)), r.IntN(len(events))
				events[i], events[k] = events[k], events[i]
				if r.IntN(2) == 0 {
					events[i].ID, events[k].ID = int64(i+1), int64(k+1)
				}
			case 7:
				e.FireAt, e.Time, e.Cleared, e.Start = -5, -5, true, nil
			}
		}
		code := newCode()
		x := Load(Identity{Instance: "i", Life: "L", Execution: 1}, code, events)
		if x.Mismatch() != nil {
			noticed++
		}
		c := x.Turn(code, Input{NowMS: 2000, NewGUID: func() string { return "g" }, Messages: []history.Message{{Kind: history.MsgContinue}}})
		for i := range c.Events {
			if want := x.Events() - int64(len(c.Events)-1-i); c.Events[i].ID != want {
				t.Fatalf("event id %d instead of %d", c.Events[i].ID, want)
			}
		}
		if x.Mismatch() != nil && c.Status == Running {
			t.Fatalf("a history that does not fit went on: %s", x.Mismatch().Text())
		}
		code.forget()
		code = newCode()
		Verify(Identity{Instance: "i", Life: "L", Execution: 1}, code, events)
		code.forget()
	}
	if noticed < rounds/3 {
		t.Errorf("only %d of %d spoiled histories were noticed", noticed, rounds)
	}
}

func TestCompletionOfAnotherKindIsTold(t *testing.T) {
	events := []history.Event{
		{ID: 1, Kind: history.OrchestrationStarted},
		{ID: 2, Kind: history.ActivityScheduled, Name: "a"},
		{ID: 3, Kind: history.TimerFired, Source: 2},
	}
	code := &generators{main: scriptBody(parseProgram("activity a\nreturn"))}
	f := Load(Identity{}, code, events).Mismatch()
	if want := "nondeterministic: completion kind mismatch: expected activity, event 3 is TimerFired of event 2"; f == nil || f.Text() != want {
		t.Fatalf("%v, want %s", f, want)
	}
}

func TestInputsThatMeanTheSameAreTheSame(t *testing.T) {
	events := []history.Event{{ID: 1, Kind: history.OrchestrationStarted}, {ID: 2, Kind: history.ActivityScheduled, Name: "a", Data: "1.0"}}
	for _, same := range []bool{true, false} {
		asked := ""
		code := &generators{main: scriptBody(parseProgram("activity a 1.00\nreturn"))}
		code.same = func(recorded, now string) bool { asked = recorded + " " + now; return same }
		if f := Load(Identity{}, code, events).Mismatch(); (f == nil) != same || asked != "1.0 1.00" {
			t.Errorf("same %v: asked %q, %v", same, asked, f)
		}
	}
}
