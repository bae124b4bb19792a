package main

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/duroxide/duroxide/core/engine"
	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
)

// yieldFrame is a yield as Python writes it: two immediate calls, then a tree of tasks.
func yieldFrame() string {
	var f frame
	f.u8(uint8(replay.YieldAwait))
	f.u8(0)
	f.text("app.py:7")
	f.u32(2)
	for _, c := range []struct{ kind, level uint8 }{{uint8(replay.CallSetKV), 0}, {uint8(replay.CallTrace), 2}} {
		f.u8(c.kind)
		f.u8(c.level)
		f.text("k")
		f.text("v")
		f.text("app.py:6")
	}
	f.u8(uint8(replay.TaskAll))
	f.u32(3)
	f.u8(uint8(replay.TaskActivity))
	f.u8(hasSession | hasTag | hasNumber | hasRetry | hasAt)
	f.text("Charge")
	f.text(`{"n": 1}`)
	f.text("s")
	f.text("t")
	f.i64(500)
	f.u32(3)
	f.u8(uint8(replay.BackoffLinear))
	for _, ms := range []int64{100, 30000, 5, 6} {
		f.i64(ms)
	}
	f.i64(0x4000000000000000) // 2.0
	f.i64(0x3fe0000000000000) // 0.5
	f.text("app.py:5")
	f.u8(uint8(replay.TaskBranch))
	f.u32(4)
	f.u8(uint8(replay.TaskTimer))
	f.u8(hasNumber)
	f.text("")
	f.text("")
	f.i64(1000)
	return string(f)
}

func TestYieldIsReadAsItWasWritten(t *testing.T) {
	y, ended, err := readYield(yieldFrame())
	if err != nil || ended {
		t.Fatal(ended, err)
	}
	want := replay.Yield{
		Kind: replay.YieldAwait, At: "app.py:7",
		Calls: []replay.Immediate{
			{Kind: replay.CallSetKV, Key: "k", Value: "v", At: "app.py:6"},
			{Kind: replay.CallTrace, Key: "k", Value: "v", Level: "warn", At: "app.py:6"},
		},
		Task: &replay.Task{Kind: replay.TaskAll, Members: []replay.Task{
			{Kind: replay.TaskActivity, Name: "Charge", Input: `{"n": 1}`, Session: "s", Tag: "t", TimeoutMS: 500, At: "app.py:5",
				Retry: &replay.RetryPolicy{MaxAttempts: 3, Backoff: replay.BackoffLinear, InitialMS: 100, MaxMS: 30000,
					TimeoutMS: 5, TotalTimeoutMS: 6, Multiplier: 2, Jitter: 0.5}},
			{Kind: replay.TaskBranch, Branch: 4},
			{Kind: replay.TaskTimer, DelayMS: 1000},
		}},
	}
	if !reflect.DeepEqual(y, want) {
		got, _ := json.Marshal(y)
		wanted, _ := json.Marshal(want)
		t.Errorf("read %s\nwant %s", got, wanted)
	}
}

// Every prefix and every changed byte of a frame is read or refused; none panics or asks for memory without bound.
func TestMalformedYieldsAreRefused(t *testing.T) {
	whole := yieldFrame()
	for n := range len(whole) {
		if _, _, err := readYield(whole[:n]); err == nil {
			t.Errorf("a frame cut at %d of %d bytes was taken", n, len(whole))
		}
		for _, b := range []byte{0, 1, 0x7f, 0xff} {
			changed := []byte(whole)
			changed[n] = b
			_, _, _ = readYield(string(changed))
		}
	}
	if _, _, err := readYield(whole + "x"); err == nil {
		t.Error("a frame with something behind it was taken")
	}
}

func TestDeepTreesAreRefused(t *testing.T) {
	var f frame
	f.u8(uint8(replay.YieldAwait))
	f.u8(0)
	f.text("")
	f.u32(0)
	for range 2 * maxNesting {
		f.u8(uint8(replay.TaskAll))
		f.u32(1)
	}
	if _, _, err := readYield(string(f)); err == nil {
		t.Error("taken")
	}
}

func TestActivityEndsAreRead(t *testing.T) {
	a := &engine.Activity{}
	a.Name, a.Attempt = "Charge", 2
	var done, failed frame
	done.u8(0)
	done.text(`"out"`)
	failed.u8(1)
	failed.u8(1)
	failed.text("message")
	failed.text("ValueError")
	failed.text("trace")
	for _, c := range []struct {
		answer string
		want   engine.ActivityResult
	}{
		{string(done), engine.ActivityResult{Output: `"out"`}},
		{string(failed), engine.ActivityResult{Failure: &history.Failure{Kind: history.ActivityError, Message: "message",
			Type: "ValueError", Traceback: "trace", Activity: "Charge", Attempt: 2, NonRetryable: true}}},
		{"\x02", engine.ActivityResult{GiveBack: true}},
	} {
		got, err := readActivity(c.answer, a)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %+v, %v", c.answer, got, err)
		}
	}
	for _, bad := range []string{"", "\x07", "\x00\x05\x00\x00\x00ab"} {
		if _, err := readActivity(bad, a); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestKeysOfABeginAreSorted(t *testing.T) {
	b := replay.Begin{Start: history.Start{KV: map[string]history.KVEntry{}}}
	for _, k := range []string{"c", "a", "b", "z", "y", "x"} {
		b.Start.KV[k] = history.KVEntry{Value: k}
	}
	var first frame
	first.begin(&b)
	for range 20 {
		var again frame
		again.begin(&b)
		if string(again) != string(first) {
			t.Fatal("code would see its keys in another order in a replay")
		}
	}
}

func TestHistoryDataIsJSONWhateverThePayloadsAre(t *testing.T) {
	for _, payload := range []string{`{"a":1}`, "no json", `a "quoted" <text>`, "12345678901234567890", ""} {
		e := history.Event{Kind: history.ActivityScheduled, Name: "A\"b", Data: payload}
		data := eventData(&e)
		if data == nil || !json.Valid([]byte(*data)) {
			t.Errorf("payload %q gives %v", payload, data)
		}
	}
}

func TestMemoryOfLargeFramesIsNotKept(t *testing.T) {
	var f frame
	for _, c := range []struct {
		bytes int
		kept  bool
	}{{100, true}, {mostKept / 2, true}, {mostKept + 1, false}, {100, true}} {
		f.head(laneResume, 1, 0)
		f.text(strings.Repeat("x", c.bytes))
		f.sent()
		if kept := cap(f) > 0; kept != c.kept {
			t.Errorf("%d bytes: kept %v, want %v", c.bytes, kept, c.kept)
		}
	}
}
