package replay

import (
	"strings"
	"testing"

	"github.com/duroxide/duroxide/core/history"
)

// TestTextsThatCodeSeesAreFrozen lists the engine's own texts that reach user code. A workflow that passes one on (into an
// activity's input, say) replays differently after a release that changes it: add texts, never change one.
func TestTextsThatCodeSeesAreFrozen(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{(&history.Failure{Kind: history.ActivityTimeout, Message: textActivityTimedOut}).Text(), "timeout: activity timed out"},
		{textEmptyRace, "race needs at least one task"},
		{textChildIDTooLong, "the generated id of the child exceeds the limit of 2048 bytes: give the child an id of its own"},
		{(&history.Failure{Kind: history.Cancelled, Message: reasonParentCanceled}).Text(), "canceled: parent canceled"},
		{(&history.Failure{Kind: history.Cancelled, Message: reasonParentDropped}).Text(), "canceled: parent dropped sub-orchestration future"},
		{(&history.Failure{Kind: history.Cancelled}).Text(), "canceled: "},
		{(&history.Failure{Kind: history.ActivityError, Message: "as it is: {}"}).Text(), "as it is: {}"},
		{(&history.Failure{Kind: history.OrchestrationError, Message: "as it is"}).Text(), "as it is"},
		{history.SyscallNewGUID, "__duroxide_syscall:new_guid"},
		{history.SyscallUTCNow, "__duroxide_syscall:utc_now_ms"},
		{reasonLostRace, "dropped_future"},
		{reasonFailed, "orchestration_terminal_failed"},
		{reasonContinued, "orchestration_terminal_continued_as_new"},
	} {
		if c.got != c.want {
			t.Errorf("%q is now %q", c.want, c.got)
		}
	}
}

// TestWhatCodeIsGivenHoldsNothingOfTheProcess drives every way in which the engine makes a value or an error for code and
// compares what code sees, character by character.
func TestWhatCodeIsGivenHoldsNothingOfTheProcess(t *testing.T) {
	program := parseProgram(`
try
  activity a attempts=2 attempt_timeout=5
except e
  set timeout "$e"
try
  activity a attempts=2 total=5
except e
  set total "$e"
try
  race
except e
  set empty "$e"
x = all
  race
    activity b
    wait e
  activity c attempts=1
  guid
  clock
  detached d d-1
  timer 1
set all $x
return
`)
	code := &generators{main: scriptBody(program)}
	x := New(Identity{Instance: "i", Life: "L", Execution: 1})
	in := Input{NowMS: 1000, NewGUID: func() string { return "g" }}
	message := func(kind history.MessageKind, source int64) history.Message {
		m := history.Message{Kind: kind, Source: source}
		if kind == history.MsgActivityFailed {
			m.Failure = &history.Failure{Kind: history.ActivityError, Message: "Activity 'b' call failed: ValueError: no", Traceback: "File x.py, line 3", At: "x.py:3"}
		}
		return m
	}
	for _, step := range [][]history.Message{
		nil,
		{message(history.MsgTimer, 3)},
		{message(history.MsgTimer, 7)},
		{message(history.MsgActivityFailed, 13), message(history.MsgActivityFailed, 15), message(history.MsgTimer, 21)},
	} {
		in.Messages = step
		x.Turn(code, in)
	}
	want := map[string]string{
		"timeout": "timeout: activity timed out",
		"total":   "timeout: activity timed out",
		"empty":   "race needs at least one task",
		"all": "[err Activity 'b' call failed: ValueError: no, err Activity 'b' call failed: ValueError: no, " +
			`ok "g", ok 1000, ok None, ok None]`,
	}
	for key, text := range want {
		if got := x.state.kv[key].Value; got != text {
			t.Errorf("%s: code was given %q, not %q", key, got, text)
		}
		if got := x.state.kv[key].Value; strings.Contains(got, "x.py") || strings.Contains(got, "0x") {
			t.Errorf("%s holds a place or an address: %q", key, got)
		}
	}
}
