package postgres

import (
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/duroxide/duroxide/core/history"
)

// storable gives text as Postgres can keep it: valid UTF-8 without NUL. What cannot be kept becomes U+FFFD, since a turn
// that could never be committed would never end.
func storable(text string) string {
	if strings.IndexByte(text, 0) >= 0 {
		text = strings.ReplaceAll(text, "\x00", "\uFFFD")
	}
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	return text
}

// optional gives nil for the empty text.
func optional(text string) *string {
	if text == "" {
		return nil
	}
	text = storable(text)
	return &text
}

func optionalInt(v int64) *int64 {
	if v == 0 {
		return nil
	}
	return &v
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func uuid(t history.Token) pgtype.UUID { return pgtype.UUID{Bytes: t, Valid: true} }

func uuids(tokens []history.Token) []pgtype.UUID {
	all := make([]pgtype.UUID, len(tokens))
	for i := range tokens {
		all[i] = uuid(tokens[i])
	}
	return all
}

// jsonList gives a list of queues as JSON.
func jsonList(names []string) string {
	if len(names) == 0 {
		return "[]"
	}
	text, err := json.Marshal(names)
	if err != nil {
		panic(err) // strings always encode
	}
	return string(text)
}

// tokenScanner reads a uuid that may be NULL.
type tokenScanner struct{ token history.Token }

// ScanUUID implements [pgtype.UUIDScanner].
func (s *tokenScanner) ScanUUID(v pgtype.UUID) error {
	s.token = v.Bytes
	return nil
}

func errorsIsNoRows(err error) bool { return errors.Is(err, pgx.ErrNoRows) }
