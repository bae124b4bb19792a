package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duroxide/duroxide/core/store"
)

const (
	defaultSchema         = "public"
	defaultConns          = 10
	defaultConnectTimeout = 10 * time.Second
	defaultPoll           = 100 * time.Millisecond
	maxIdentifier         = 63 // bytes; Postgres cuts longer ones off without a word
	minServer             = 140000
	minStatementTimeout   = time.Second
)

// Options of a store. The zero value has the defaults.
type Options struct {
	// Schema that holds the tables; created when it is missing. Empty: public. At most 63 bytes.
	Schema string
	// MustExist refuses a schema without tables instead of making them: for tools that only look.
	MustExist bool
	// MaxConns bounds the pool; 0: pool_max_conns of the URL, else 10. One connection more listens.
	MaxConns int
	// ConnectTimeout bounds Open and each later attempt to connect; 0: connect_timeout of the URL, else 10 s.
	ConnectTimeout time.Duration
	// Password is asked before each new connection, for passwords that expire; nil: that of the URL.
	Password func(context.Context) (string, error)
	// PollInterval is how often the database is asked for writes of other processes while notifications do not come
	// through; it grows to 1 s while nothing happens. 0: 100 ms.
	PollInterval time.Duration

	now       func() int64          // the local clock; tests move it
	configure func(*pgxpool.Config) // tests set more
	lookEvery time.Duration         // at the counter while notifications come; tests do not wait so long
}

// Open connects to the database that the URL or keyword string names, and brings the schema up to date. Every error
// begins "Failed to connect to PostgreSQL: " and says what to do about it; none holds the password.
// store.ErrNewerSchema and store.ErrTooOld tell that a newer version has been here.
//
// Parameters of the URL are those of libpq, and pool_max_conns and default_query_exec_mode of pgx.
func Open(ctx context.Context, url string, o Options) (*Store, error) {
	s, secret, err := open(ctx, url, o)
	if err == nil {
		return s, nil
	}
	var known *store.Error
	retryable := isPassing(err)
	if errors.As(err, &known) {
		retryable = known.Retryable
	}
	return nil, &openError{err: err, secret: secret, retryable: retryable}
}

// openError hides the password, wherever in the text of its cause it stands.
type openError struct {
	err       error
	secret    string
	retryable bool
}

func (e *openError) Error() string {
	text := "Failed to connect to PostgreSQL: " + explain(e.err)
	if len(e.secret) >= 3 {
		text = strings.ReplaceAll(text, e.secret, "xxxxx")
	}
	return text
}

// As lets callers ask whether trying again may help. The cause itself is not handed out, only what it is.
func (e *openError) As(target any) bool {
	t, ok := target.(**store.Error)
	if ok {
		*t = &store.Error{Operation: "open", Retryable: e.retryable, Err: errors.New(e.Error())}
	}
	return ok
}

// Is passes the sentinels of the contract.
func (e *openError) Is(target error) bool { return isAnswer(target) && errors.Is(e.err, target) }

func open(ctx context.Context, url string, o Options) (s *Store, secret string, err error) {
	schema := o.Schema
	if schema == "" {
		schema = defaultSchema
	}
	if err := checkSchema(schema); err != nil {
		return nil, "", err
	}
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		// The parser's own text may repeat what it could not read.
		var parse *pgconn.ParseConfigError
		if errors.As(err, &parse) && errors.Unwrap(parse) == nil {
			return nil, "", errors.New("the connection string cannot be read; it should look like postgresql://user:password@host:5432/database")
		}
		return nil, "", fmt.Errorf("the connection string cannot be read: %w", unquoted(err))
	}
	secret = config.ConnConfig.Password
	s = &Store{
		schema: schema, sql: newStatements(schema), clock: newClock(o.now), connections: rand.Int64(),
		place: net.JoinHostPort(config.ConnConfig.Host, strconv.Itoa(int(config.ConnConfig.Port))) + "/" + config.ConnConfig.Database,
	}
	s.poolConfig(config, url, o)
	s.nodes.init()
	s.joinCalls()
	ctx, cancel := context.WithTimeout(ctx, config.ConnConfig.ConnectTimeout)
	defer cancel()
	// The pool belongs to the store, not to this call.
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(ctx), config)
	if err != nil {
		return nil, secret, err
	}
	s.pool = pool
	defer func() {
		if err != nil {
			pool.Close()
		}
	}()
	if err := s.checkServer(ctx); err != nil {
		return nil, secret, connecting(ctx, err, config.ConnConfig.ConnectTimeout)
	}
	if err := s.migrate(ctx, o.MustExist); err != nil {
		return nil, secret, connecting(ctx, err, config.ConnConfig.ConnectTimeout)
	}
	poll := o.PollInterval
	if poll <= 0 {
		poll = defaultPoll
	}
	look := o.lookEvery
	if look <= 0 {
		look = defaultLook
	}
	s.news = newNews(s, config.ConnConfig, poll, look)
	return s, secret, nil
}

// connecting names the time-out instead of the context that ran out.
func connecting(ctx context.Context, err error, after time.Duration) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return &store.Error{Operation: "open", Retryable: true, Err: fmt.Errorf("no answer within %v (%w)", after, err)}
	}
	return err
}

func (s *Store) poolConfig(config *pgxpool.Config, url string, o Options) {
	if !strings.Contains(url, "default_query_exec_mode") {
		config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	switch {
	case o.MaxConns > 0:
		config.MaxConns = int32(min(o.MaxConns, 10_000))
	case !strings.Contains(url, "pool_max_conns"):
		config.MaxConns = defaultConns
	}
	switch {
	case o.ConnectTimeout > 0:
		config.ConnConfig.ConnectTimeout = o.ConnectTimeout
	case config.ConnConfig.ConnectTimeout <= 0 || !strings.Contains(url, "connect_timeout"):
		config.ConnConfig.ConnectTimeout = defaultConnectTimeout
	}
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "duroxide"
	}
	config.ConnConfig.DialFunc = s.sockets.dial
	config.ShouldPing = s.tryIdle(cmp.Or(config.PingTimeout, pingBound))
	if o.Password != nil {
		config.BeforeConnect = func(ctx context.Context, c *pgx.ConnConfig) error {
			password, err := o.Password(ctx)
			if err != nil {
				return fmt.Errorf("no password: %w", err)
			}
			c.Password = password
			return nil
		}
	}
	if config.ConnConfig.DefaultQueryExecMode == pgx.QueryExecModeCacheDescribe {
		config.AfterConnect = s.markDirect
	}
	if o.configure != nil {
		o.configure(config)
	}
}

// checkSchema refuses names that Postgres would cut off or that belong to it.
func checkSchema(name string) error {
	switch {
	case len(name) > maxIdentifier:
		return fmt.Errorf("schema name %q has %d bytes; Postgres allows %d", name, len(name), maxIdentifier)
	case !utf8.ValidString(name), strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("schema name %q holds characters that cannot stand in a name", name)
	case strings.Contains(name, "$duroxide$"):
		return fmt.Errorf("schema name %q cannot be used", name)
	case strings.HasPrefix(name, "pg_"), name == "information_schema":
		return fmt.Errorf("schema name %q is reserved by Postgres", name)
	}
	return nil
}

const checkServer = `SELECT current_setting('server_version_num')::integer, current_setting('server_version'), pg_is_in_recovery(),
	current_setting('default_transaction_read_only') = 'on', current_setting('default_transaction_isolation'), current_setting('server_encoding'),
	(SELECT setting::bigint FROM pg_settings WHERE name = 'statement_timeout')`

// serverFacts are what has to be known of a server before anything is changed on it.
type serverFacts struct {
	number            int
	version, encoding string
	isolation         string
	standby, readOnly bool
	statementTimeout  time.Duration
}

func (s *Store) checkServer(ctx context.Context) error {
	var v serverFacts
	var timeoutMS int64
	row := s.pool.QueryRow(ctx, checkServer)
	if err := row.Scan(&v.number, &v.version, &v.standby, &v.readOnly, &v.isolation, &v.encoding, &timeoutMS); err != nil {
		return err
	}
	v.statementTimeout = time.Duration(timeoutMS) * time.Millisecond
	return v.refusal()
}

// refusal tells why the server could not do the work; nil when it can.
func (v *serverFacts) refusal() error {
	switch {
	case v.number < minServer:
		return fmt.Errorf("the server is PostgreSQL %s; 14 or newer is needed", v.version)
	case v.standby:
		return &store.Error{Operation: "open", Retryable: true, Err: errors.New(
			"the server is a read-only standby; connect to the primary (target_session_attrs=read-write finds it among several hosts)")}
	case v.readOnly:
		return errors.New("transactions of this user or database are read-only (default_transaction_read_only); writing is needed")
	case v.isolation != "read committed" && v.isolation != "read uncommitted": // the same to Postgres
		return fmt.Errorf("transactions of this user or database are %s (default_transaction_isolation), which do not see what was "+
			"written while they waited for a lock; read committed is needed", v.isolation)
	case v.encoding != "UTF8":
		return fmt.Errorf("the database is encoded in %s; UTF8 is needed", v.encoding)
	case v.statementTimeout > 0 && v.statementTimeout < minStatementTimeout:
		return fmt.Errorf("statement_timeout is %v for this user or database; at least %v, or 0, is needed", v.statementTimeout, minStatementTimeout)
	}
	return nil
}
