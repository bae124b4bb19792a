package postgres

import (
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
)

// statements puts the schema into SQL texts. Names are qualified, since a search path would be lost behind a pooler.
type statements struct {
	quoted string
	cache  *sync.Map // of text with {schema} to text with the name
}

func newStatements(schema string) statements {
	return statements{quoted: pgx.Identifier{schema}.Sanitize(), cache: new(sync.Map)}
}

// in gives sql with {schema} replaced by the quoted schema.
func (s *statements) in(sql string) string {
	if known, ok := s.cache.Load(sql); ok {
		return known.(string) //nolint:errcheck,forcetypeassert // only strings go in
	}
	text := strings.ReplaceAll(sql, "{schema}", s.quoted)
	s.cache.Store(sql, text)
	return text
}
