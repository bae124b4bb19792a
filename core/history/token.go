package history

import (
	"crypto/rand"
	"encoding/hex"
)

// Token is a random 128-bit value: the turn of an instance, the claim of a job.
type Token [16]byte

// NewToken draws a fresh token.
func NewToken() Token {
	var t Token
	_, _ = rand.Read(t[:]) // never fails: crypto/rand ends the process instead
	return t
}

// IsZero reports whether the token was never set.
func (t Token) IsZero() bool { return t == Token{} }

// String gives the token as 32 hexadecimal digits.
func (t Token) String() string { return hex.EncodeToString(t[:]) }
