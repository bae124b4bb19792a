package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// EncodeEvents gives events as one JSON array, readable with any SQL client. The text is valid UTF-8 without a NUL, so
// every store can keep it in a text column. Nothing is escaped for HTML. Bytes of user text that are not UTF-8 become
// U+FFFD. The error names an event whose kind has no stored name.
//
// The array is appended by hand because it is on the path of every step: encoding/json costs about ten times as much.
func EncodeEvents(events []Event) (string, error) {
	size := 2
	for i := range events {
		size += 128 + len(events[i].Data) + len(events[i].Name) + len(events[i].At)
	}
	b := make([]byte, 0, size)
	b = append(b, '[')
	for i := range events {
		e := &events[i]
		if e.Kind == KindUnknown || int(e.Kind) >= len(kindNames) {
			return "", fmt.Errorf("encode event %d: no name for %s", e.ID, e.Kind)
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = appendEvent(b, e)
	}
	b = append(b, ']')
	return string(b), nil
}

// DecodeEvents reads what EncodeEvents wrote. Fields it does not know are ignored, kinds it does not know are an error;
// every error wraps ErrUndecodable.
func DecodeEvents(text string) ([]Event, error) {
	var events []Event
	if err := json.Unmarshal([]byte(text), &events); err != nil {
		return nil, undecodable(err)
	}
	if events == nil {
		return nil, fmt.Errorf("%w: null instead of events", ErrUndecodable)
	}
	for i := range events {
		if events[i].Kind == KindUnknown {
			return nil, fmt.Errorf("%w: event %d has no kind", ErrUndecodable, events[i].ID)
		}
	}
	return events, nil
}

// EncodeFailure gives a failure as one JSON object; nil gives the empty text.
func EncodeFailure(f *Failure) string {
	if f == nil {
		return ""
	}
	return string(appendFailure(make([]byte, 0, 64+len(f.Message)+len(f.Traceback)), f))
}

// DecodeStored completes a message with its kind and failure as a store keeps them. ErrUndecodable names what cannot be read.
func (m *Message) DecodeStored(kind, failure string) (err error) {
	if m.Kind = ParseMessageKind(kind); m.Kind == MessageUnknown {
		return fmt.Errorf("%w: message %d is of kind %q", ErrUndecodable, m.Row, kind)
	}
	if m.Failure, err = DecodeFailure(failure); err != nil {
		return fmt.Errorf("message %d: %w", m.Row, err)
	}
	return nil
}

// DecodeFailure reads what EncodeFailure wrote; the empty text gives nil. Errors wrap ErrUndecodable.
func DecodeFailure(text string) (*Failure, error) {
	if text == "" {
		return nil, nil
	}
	var f *Failure
	if err := json.Unmarshal([]byte(text), &f); err != nil {
		return nil, undecodable(err)
	}
	if f == nil || f.Kind == "" {
		return nil, fmt.Errorf("%w: failure without a kind", ErrUndecodable)
	}
	return f, nil
}

func undecodable(err error) error {
	if errors.Is(err, ErrUndecodable) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUndecodable, err)
}

// The appenders below write the fields in the order of the struct and leave out the empty ones, as the json tags say.
// TestEveryFieldSurvives fails when a field is added to a struct and not here.

func appendEvent(b []byte, e *Event) []byte {
	b = append(b, `{"id":`...)
	b = strconv.AppendInt(b, e.ID, 10)
	b = append(b, `,"kind":"`...)
	b = append(b, kindNames[e.Kind]...)
	b = append(b, '"')
	b = appendInt(b, "source", e.Source)
	b = append(b, `,"time":`...)
	b = strconv.AppendInt(b, e.Time, 10)
	b = appendText(b, "name", e.Name)
	b = appendText(b, "version", e.Version)
	b = appendText(b, "data", e.Data)
	b = appendText(b, "fingerprint", e.Fingerprint)
	b = appendText(b, "instance", e.Instance)
	b = appendBool(b, "instance_given", e.InstanceGiven)
	b = appendText(b, "session", e.Session)
	b = appendText(b, "tag", e.Tag)
	b = appendInt(b, "timeout_ms", e.TimeoutMS)
	b = appendInt(b, "attempt", int64(e.Attempt))
	b = appendInt(b, "retry_of", e.RetryOf)
	b = appendInt(b, "fire_at", e.FireAt)
	b = appendText(b, "reason", e.Reason)
	b = appendBool(b, "cleared", e.Cleared)
	b = appendText(b, "message_id", e.MessageID)
	if e.Failure != nil {
		b = appendFailure(append(b, `,"failure":`...), e.Failure)
	}
	b = appendText(b, "at", e.At)
	b = appendText(b, "engine", e.Engine)
	if e.Start != nil {
		b = appendStart(append(b, `,"start":`...), e.Start)
	}
	return append(b, '}')
}

func appendFailure(b []byte, f *Failure) []byte {
	b = appendQuoted(append(b, `{"kind":`...), string(f.Kind))
	b = appendQuoted(append(b, `,"message":`...), f.Message)
	b = appendText(b, "type", f.Type)
	b = appendText(b, "traceback", f.Traceback)
	b = appendText(b, "activity", f.Activity)
	b = appendInt(b, "attempt", int64(f.Attempt))
	b = appendBool(b, "non_retryable", f.NonRetryable)
	b = appendText(b, "operation", f.Operation)
	b = appendText(b, "at", f.At)
	b = appendText(b, "instance", f.Instance)
	return append(b, '}')
}

func appendStart(b []byte, s *Start) []byte {
	// A leading member of fixed type spares the question of the first comma.
	b = append(b, `{"status_version":`...)
	b = strconv.AppendInt(b, s.StatusVersion, 10)
	if p := s.Parent; p != nil {
		b = appendQuoted(append(b, `,"parent":{"instance":`...), p.Instance)
		b = appendQuoted(append(b, `,"life":`...), p.Life)
		b = strconv.AppendInt(append(b, `,"execution":`...), p.Execution, 10)
		b = strconv.AppendInt(append(b, `,"schedule":`...), p.Schedule, 10)
		b = append(b, '}')
	}
	if s.Status != nil {
		b = appendQuoted(append(b, `,"status":`...), *s.Status)
	}
	if len(s.KV) > 0 {
		keys := make([]string, 0, len(s.KV))
		for key := range s.KV {
			keys = append(keys, key)
		}
		slices.Sort(keys) // the same map gives the same bytes
		b = append(b, `,"kv":{`...)
		for i, key := range keys {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendQuoted(b, key)
			b = appendQuoted(append(b, `:{"value":`...), s.KV[key].Value)
			b = strconv.AppendInt(append(b, `,"updated_at":`...), s.KV[key].UpdatedAt, 10)
			b = append(b, '}')
		}
		b = append(b, '}')
	}
	return append(b, '}')
}

func appendKey(b []byte, key string) []byte {
	b = append(b, ',', '"')
	b = append(b, key...)
	return append(b, '"', ':')
}

func appendText(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	return appendQuoted(appendKey(b, key), value)
}

func appendInt(b []byte, key string, value int64) []byte {
	if value == 0 {
		return b
	}
	return strconv.AppendInt(appendKey(b, key), value, 10)
}

func appendBool(b []byte, key string, value bool) []byte {
	if !value {
		return b
	}
	return append(appendKey(b, key), "true"...)
}

// appendQuoted appends a JSON string. Only the quote, the backslash and control characters are escaped; U+2028 and the
// other characters that JavaScript once refused are legal JSON.
func appendQuoted(b []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	b = append(b, '"')
	plain := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[plain:i]...)
		plain = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\t':
			b = append(b, '\\', 't')
		case '\r':
			b = append(b, '\\', 'r')
		default:
			const hex = "0123456789abcdef"
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	b = append(b, s[plain:]...)
	return append(b, '"')
}

// CutEvents gives a stored batch of events without those behind the event keep.
func CutEvents(batch string, keep int64) (string, error) {
	events, err := DecodeEvents(batch)
	if err != nil {
		return "", err
	}
	for len(events) > 0 && events[len(events)-1].ID > keep {
		events = events[:len(events)-1]
	}
	return EncodeEvents(events)
}
