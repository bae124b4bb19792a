package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// fill sets every field it can reach to a value that is not the zero value, each one different.
func fill(v reflect.Value, next *int64) {
	*next++
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d", *next))
	case reflect.Int, reflect.Int64:
		v.SetInt(*next)
	case reflect.Uint8:
		v.SetUint(uint64(ActivityScheduled))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), next)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), next)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for _, key := range []string{"b", "a", "", "ключ\u2028"} {
			value := reflect.New(v.Type().Elem()).Elem()
			fill(value, next)
			v.SetMapIndex(reflect.ValueOf(key), value)
		}
	default:
		panic("teach fill the kind " + v.Kind().String())
	}
}

func roundTrip(t *testing.T, events []Event) string {
	t.Helper()
	text, err := EncodeEvents(events)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid([]byte(text)) || !utf8.ValidString(text) || strings.Contains(text, "\x00") {
		t.Fatalf("not a JSON text that every store can keep: %q", text)
	}
	back, err := DecodeEvents(text)
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if !reflect.DeepEqual(events, back) {
		t.Fatalf("read back\n%+v, wrote\n%+v", back, events)
	}
	return text
}

func TestEveryFieldSurvives(t *testing.T) {
	var e Event
	next := int64(0)
	fill(reflect.ValueOf(&e).Elem(), &next)
	roundTrip(t, []Event{e})
}

func TestEncodingAgreesWithTheTags(t *testing.T) {
	var e Event
	next := int64(0)
	fill(reflect.ValueOf(&e).Elem(), &next)
	text, err := EncodeEvents([]Event{e, {ID: 2, Kind: TimerFired}})
	if err != nil {
		t.Fatal(err)
	}
	want, err := json.Marshal([]Event{e, {ID: 2, Kind: TimerFired}})
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if json.Unmarshal([]byte(text), &a) != nil || json.Unmarshal(want, &b) != nil || !reflect.DeepEqual(a, b) {
		t.Fatalf("hand-appended\n%s\nby tags\n%s", text, want)
	}
}

func TestEveryKindSurvives(t *testing.T) {
	var events []Event
	for k := KindUnknown + 1; int(k) < len(kindNames); k++ {
		events = append(events, Event{ID: int64(k), Kind: k, Time: 1700000000000 + int64(k)})
	}
	text := roundTrip(t, events)
	for k := KindUnknown + 1; int(k) < len(kindNames); k++ {
		if kindNames[k] == "" || strings.Count(text, `"kind":"`+kindNames[k]+`"`) != 1 {
			t.Errorf("kind %d is written as %q", k, kindNames[k])
		}
	}
}

func TestUserTextSurvives(t *testing.T) {
	control := make([]byte, 0, 31)
	for c := byte(1); c < 0x20; c++ {
		control = append(control, c)
	}
	for name, text := range map[string]string{
		"quotes":            `{"a": "b\"c\\"} 'x' "`,
		"markup":            `<script>&amp;</script>`,
		"line separators":   "a\u2028b\u2029c",
		"control":           string(control) + "\x7f",
		"unicode":           "Привет, 世界 🦆 e\u0301 \U0010FFFF \uFEFF",
		"escaped surrogate": `"\ud800"`,
		"not a number":      `[NaN, 12345678901234567890, 1e999]`,
		"nul escape":        `"\u0000"`,
		"replacement":       "\uFFFD",
		"big":               strings.Repeat("0123456789abcde\n", 1<<18),
	} {
		t.Run(name, func(t *testing.T) {
			roundTrip(t, []Event{
				{ID: 1, Kind: OrchestrationStarted, Name: text, Data: text, Start: &Start{Status: &text, KV: map[string]KVEntry{text: {Value: text}}}},
				{ID: 2, Kind: ActivityFailed, Source: 1, Failure: &Failure{Kind: ActivityError, Message: text, Traceback: text}},
			})
			got, err := DecodeFailure(EncodeFailure(&Failure{Kind: Cancelled, Message: text}))
			if err != nil || got.Message != text {
				t.Fatalf("failure: %v", err)
			}
		})
	}
}

func TestMarkupAndUnicodeStayReadable(t *testing.T) {
	text := roundTrip(t, []Event{{ID: 1, Kind: ExternalEvent, Data: "<é\u2028>"}})
	if !strings.Contains(text, "<é\u2028>") {
		t.Fatalf("escaped: %s", text)
	}
}

func TestNULAndBrokenBytesDoNotReachTheStore(t *testing.T) {
	text, err := EncodeEvents([]Event{{ID: 1, Kind: ExternalEvent, Data: "a\x00b\xffc"}})
	if err != nil || strings.Contains(text, "\x00") || !utf8.ValidString(text) {
		t.Fatalf("%q, %v", text, err)
	}
	events, err := DecodeEvents(text)
	if err != nil || events[0].Data != "a\x00b\uFFFDc" {
		t.Fatalf("%q, %v", events[0].Data, err)
	}
}

func TestEmptyBatchSurvives(t *testing.T) {
	text := roundTrip(t, []Event{})
	if text != "[]" {
		t.Fatal(text)
	}
}

func TestKindWithoutNameIsNotWritten(t *testing.T) {
	for _, k := range []Kind{KindUnknown, Kind(len(kindNames)), 255} {
		if _, err := EncodeEvents([]Event{{ID: 1, Kind: k}}); err == nil {
			t.Errorf("kind %d was written", k)
		}
	}
}

func TestUnreadableTextIsUndecodable(t *testing.T) {
	for _, text := range []string{
		"", "null", "{}", "[", "[null]", "[{}]", `[{"id":1}]`, `[{"id":1,"kind":"Unknown"}]`, `[{"id":1,"kind":"FromTheFuture"}]`,
		`[{"id":"1","kind":"TimerFired"}]`, `[{"id":1,"kind":7}]`, `[{"id":1,"kind":"TimerFired"}]x`, `[{"id":1,"kind":"TimerFired","start":[]}]`,
		"\x00", strings.Repeat("[", 20000),
	} {
		if _, err := DecodeEvents(text); !errors.Is(err, ErrUndecodable) {
			t.Errorf("%.40q: %v", text, err)
		}
	}
	for _, text := range []string{"null", "{}", "[]", "x", `{"kind":1}`} {
		if _, err := DecodeFailure(text); !errors.Is(err, ErrUndecodable) {
			t.Errorf("failure %q: %v", text, err)
		}
	}
}

func TestNoFailureIsTheEmptyText(t *testing.T) {
	if EncodeFailure(nil) != "" {
		t.Fatal("nil gave a text")
	}
	if f, err := DecodeFailure(""); f != nil || err != nil {
		t.Fatal(f, err)
	}
}

func FuzzDecodeEvents(f *testing.F) {
	f.Add(`[{"id":1,"kind":"OrchestrationStarted","time":5,"start":{"status_version":0}}]`)
	f.Add(`[{"id":2,"kind":"ActivityFailed","failure":{"kind":"activity","message":"x"}}]`)
	f.Fuzz(func(t *testing.T, text string) {
		events, err := DecodeEvents(text)
		if err != nil {
			if !errors.Is(err, ErrUndecodable) {
				t.Fatal(err)
			}
			return
		}
		again, err := EncodeEvents(events)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeEvents(again); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkEncodeStep(b *testing.B) {
	events := []Event{
		{ID: 12, Kind: ActivityCompleted, Source: 10, Time: 1700000000000, Data: `{"ok": true, "n": 12}`},
		{ID: 13, Kind: ActivityScheduled, Time: 1700000000000, Name: "charge", Data: `{"order": "A-7", "amount": 12.5}`, At: "orders.py:42"},
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := EncodeEvents(events); err != nil {
			b.Fatal(err)
		}
	}
}
