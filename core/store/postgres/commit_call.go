package postgres

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"math"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// commitCall is what duroxide_commit is called with. Slices of one struct run in parallel; members count from 1.
type commitCall struct {
	node, claimer string
	served        *served
	lease         int64
	mail          bool // some turn has used queues
	rest          rest
	begin         []int32 // members whose instances are not in the store yet
	turn          turnColumns
	message       struct {
		member []int32
		row    []int64
	}
	last       []int64 // rows of messages that turns consume which end their instances
	unrecorded bool    // some of those are of clients and leave no event
	job        struct {
		member []int32
		id     []int64
		token  []pgtype.UUID
	}
	batch struct {
		member                 []int32
		execution, first, last []int64
		events                 []string
	}
	work       workColumns
	token      history.Token // of all claims
	inSessions bool          // some of the turns' jobs are in a session: claims are made when they are in place
	filter     filter
	mayTake    int
	label      string

	starts map[string]*replay.Start // by the life that they would begin
}

type turnColumns struct {
	instance, life  []string
	expect, turn    []pgtype.UUID
	execution       []int64
	node            []string
	name, version   []*string // nil: as it is
	current         []int64   // execution afterwards
	next, last      []*int64  // next event, nil: as it is; last event of the turn
	status          []string
	output, failure []*string
	open, used      []string // JSON
	statusVersion   []*int64 // nil: as it is
	begins          []bool   // an execution starts
	how             []int32
	limit           []int64 // of claims
}

// How a turn leaves its execution.
const (
	howRunning   = 0
	howEnded     = 1
	howContinued = 2
)

type workColumns struct {
	member             []int32
	schedule           []int64
	name, input        []string
	session, tag       []string
	lane               []int64
	timeout            []int64
	attempt            []int32
	retryOf, claimRank []int64
}

// neverClaimed is the rank of a job that its own turn's node cannot run.
const neverClaimed = math.MaxInt64

// rest is what few turns have; it goes as JSON.
type rest struct {
	Recorded      []string      `json:"recorded,omitempty"`
	Taken         []restTaken   `json:"taken,omitempty"`
	JobsDropped   []restDropped `json:"jobs_dropped,omitempty"`
	TimersDropped []restDropped `json:"timers_dropped,omitempty"`
	News          []restNews    `json:"news,omitempty"`
	Starts        []restStart   `json:"starts,omitempty"`
	Sends         []restSend    `json:"sends,omitempty"`
	KVCleared     []restMember  `json:"kv_cleared,omitempty"`
	KV            []restKV      `json:"kv,omitempty"`
	Status        []restStatus  `json:"status,omitempty"`
}

type restMember struct {
	Member int `json:"m"`
}

type restTaken struct {
	Member int    `json:"m"`
	ID     string `json:"id"`
}

type restDropped struct {
	Member   int   `json:"m"`
	Schedule int64 `json:"schedule"`
}

type restNews struct {
	Member    int    `json:"m"`
	Kind      string `json:"kind"`
	Due       *int64 `json:"due,omitempty"`
	Execution int64  `json:"execution"`
	Source    *int64 `json:"source,omitempty"`
}

type restStart struct {
	Member   int    `json:"m"`
	Instance string `json:"instance"`
	Life     string `json:"life"`
	Turn     string `json:"turn"`
	Name     string `json:"name"`
	Version  string `json:"version"`
	Input    string `json:"input"`
	Schedule int64  `json:"schedule"`
	Refused  string `json:"refused"` // the failure that the parent gets when the id is in use
	Node     string `json:"node"`
}

type restSend struct {
	Member    int     `json:"m"`
	Instance  string  `json:"instance"`
	Life      *string `json:"life,omitempty"`
	Execution *int64  `json:"execution,omitempty"`
	Kind      string  `json:"kind"`
	MessageID *string `json:"message_id,omitempty"`
	Source    *int64  `json:"source,omitempty"`
	Name      *string `json:"name,omitempty"`
	Data      *string `json:"data,omitempty"`
	Failure   *string `json:"failure,omitempty"`
}

type restKV struct {
	Member int     `json:"m"`
	Hash   string  `json:"hash"`
	Key    string  `json:"key"`
	Value  *string `json:"value,omitempty"`
	At     int64   `json:"at"`
}

type restStatus struct {
	Member int     `json:"m"`
	Text   *string `json:"text,omitempty"`
}

func newCommitCall(node store.NodeID, turns []*store.Turn, s *served) (*commitCall, error) {
	c := &commitCall{node: string(node), claimer: string(node), served: s, filter: newFilter(&store.Claim{})}
	for i, turn := range turns {
		if err := c.add(i+1, turn); err != nil {
			return nil, err
		}
	}
	for _, turn := range turns {
		if claim := &turn.Claim; !claim.IsEmpty() {
			c.claimer, c.filter, c.mayTake, c.label = string(claim.Node), newFilter(claim), claim.MayTake, claim.Label
			c.token = history.NewToken()
			break
		}
	}
	return c, nil
}

func (c *commitCall) add(member int, turn *store.Turn) error {
	m := turn.Commit
	c.addTurn(turn)
	if turn.Begin {
		c.begin = append(c.begin, int32(member)) //nolint:gosec // at most groupSize
	}
	c.addConsumed(member, m)
	if n := len(m.Events); n > 0 {
		if err := c.addHistory(member, m.Execution, m.Events); err != nil {
			return err
		}
	}
	if m.Status == replay.ContinuedAsNew && m.Next != nil {
		if err := c.addHistory(member, m.Execution+1, []history.Event{*m.Next}); err != nil {
			return err
		}
	}
	if m.Status == replay.Running {
		c.addWork(member, turn)
		for _, schedule := range m.DropJobs {
			c.rest.JobsDropped = append(c.rest.JobsDropped, restDropped{Member: member, Schedule: schedule})
		}
		for _, schedule := range m.DropTimers {
			c.rest.TimersDropped = append(c.rest.TimersDropped, restDropped{Member: member, Schedule: schedule})
		}
	}
	c.addNews(member, m)
	c.addOthers(member, turn)
	c.addState(member, m)
	return nil
}

func (c *commitCall) addTurn(turn *store.Turn) {
	m, t := turn.Commit, &c.turn
	var name, version, output, failure *string
	var next, last, statusVersion *int64
	how, current, status, open, used, begins := howRunning, m.Execution, m.Status.String(), m.OpenQueues, m.UsedQueues, false
	last = new(int64)
	if n := len(m.Events); n > 0 {
		*last = m.Events[n-1].ID
		after := *last + 1
		name, version, next = &turn.Name, &turn.Version, &after
		begins = m.Events[0].ID == 1
	}
	switch {
	case ended(m):
		how = howEnded
		text := storable(m.Output)
		output = &text
		failure = optional(history.EncodeFailure(m.Failure))
	case m.Status == replay.ContinuedAsNew:
		how, current, status, open, used, begins = howContinued, m.Execution+1, replay.Running.String(), nil, nil, true
		text, first := storable(m.Output), int64(1)
		output, next = &text, &first
		if m.Next != nil {
			after := m.Next.ID + 1
			version, next = &m.Next.Version, &after
		}
	}
	if m.CustomStatus != nil {
		statusVersion = &m.CustomStatus.Version
	}
	limit := int64(0)
	if !turn.Claim.IsEmpty() {
		limit = int64(turn.Claim.Limit)
	}
	t.instance, t.life = append(t.instance, turn.Instance), append(t.life, turn.Life)
	t.expect, t.turn = append(t.expect, uuid(turn.Expect)), append(t.turn, uuid(turn.New))
	t.execution, t.node = append(t.execution, m.Execution), append(t.node, c.node)
	t.name, t.version = append(t.name, name), append(t.version, version)
	t.current, t.next, t.last = append(t.current, current), append(t.next, next), append(t.last, last)
	t.status, t.output, t.failure = append(t.status, status), append(t.output, output), append(t.failure, failure)
	t.open, t.used = append(t.open, jsonList(open)), append(t.used, jsonList(used))
	t.statusVersion, t.begins = append(t.statusVersion, statusVersion), append(t.begins, begins)
	t.how, t.limit = append(t.how, int32(how)), append(t.limit, limit) //nolint:gosec // 0, 1 or 2
	c.mail = c.mail || how == howRunning && len(used) > 0
}

// addConsumed names what goes, and the client messages among it that leave no event.
func (c *commitCall) addConsumed(member int, m *replay.Commit) {
	var recorded []string
	for i := range m.Events {
		if id := m.Events[i].MessageID; id != "" {
			recorded = append(recorded, id)
		}
	}
	if ended(m) {
		c.rest.Recorded = append(c.rest.Recorded, recorded...)
	}
	for i := range m.Consumed {
		message := &m.Consumed[i]
		if message.JobID != 0 {
			c.job.member = append(c.job.member, int32(member)) //nolint:gosec // at most groupSize
			c.job.id = append(c.job.id, message.JobID)
			c.job.token = append(c.job.token, uuid(message.JobToken))
		}
		if message.Row == 0 {
			continue
		}
		if ended(m) { // all messages go
			c.last = append(c.last, message.Row)
			c.unrecorded = c.unrecorded || message.ID != "" && !slices.Contains(recorded, message.ID)
			continue
		}
		c.message.member = append(c.message.member, int32(member)) //nolint:gosec // at most groupSize
		c.message.row = append(c.message.row, message.Row)
		if message.ID != "" && !slices.Contains(recorded, message.ID) {
			c.rest.Taken = append(c.rest.Taken, restTaken{Member: member, ID: storable(message.ID)})
		}
	}
}

func (c *commitCall) addHistory(member int, execution int64, events []history.Event) error {
	text, err := history.EncodeEvents(events)
	if err != nil {
		return err
	}
	b := &c.batch
	b.member, b.execution = append(b.member, int32(member)), append(b.execution, execution) //nolint:gosec // at most groupSize
	b.first, b.last = append(b.first, events[0].ID), append(b.last, events[len(events)-1].ID)
	b.events = append(b.events, text)
	return nil
}

// eventsOf gives the events of a turn as they were sent.
func (c *commitCall) eventsOf(place int) string {
	if i := slices.Index(c.batch.member, int32(place+1)); i >= 0 { //nolint:gosec // at most groupSize
		return c.batch.events[i]
	}
	return ""
}

func (c *commitCall) addWork(member int, turn *store.Turn) {
	w, rank := &c.work, int64(0)
	for i := range turn.Commit.Jobs {
		j := &turn.Commit.Jobs[i]
		c.inSessions = c.inSessions || j.Session != ""
		at := int64(neverClaimed)
		if j.Session == "" && !turn.Claim.IsEmpty() && turn.Claim.Serves(j.Name, j.Tag) {
			rank++
			at = rank
		}
		w.member, w.schedule = append(w.member, int32(member)), append(w.schedule, j.Schedule) //nolint:gosec // at most groupSize
		w.name, w.input = append(w.name, storable(j.Name)), append(w.input, storable(j.Input))
		w.session, w.tag = append(w.session, storable(j.Session)), append(w.tag, storable(j.Tag))
		w.lane, w.timeout = append(w.lane, lane(j.Tag, j.Name)), append(w.timeout, j.TimeoutMS)
		w.attempt, w.retryOf = append(w.attempt, int32(j.Attempt)), append(w.retryOf, j.RetryOf) //nolint:gosec // few
		w.claimRank = append(w.claimRank, at)
	}
}

func (c *commitCall) addNews(member int, m *replay.Commit) {
	switch m.Status {
	case replay.ContinuedAsNew:
		c.rest.News = append(c.rest.News, restNews{Member: member, Kind: history.MsgContinue.String(), Execution: m.Execution + 1})
	case replay.Completed, replay.Failed:
	case replay.Running:
		for i := range m.Timers {
			t := &m.Timers[i]
			c.rest.News = append(c.rest.News, restNews{
				Member: member, Kind: history.MsgTimer.String(), Due: &t.FireAt, Execution: m.Execution, Source: &t.Schedule,
			})
		}
		if m.Continue {
			c.rest.News = append(c.rest.News, restNews{Member: member, Kind: history.MsgContinue.String(), Execution: m.Execution})
		}
	}
}

func (c *commitCall) addOthers(member int, turn *store.Turn) {
	m := turn.Commit
	for i := range m.Starts {
		start := &m.Starts[i]
		refused := &history.Failure{
			Kind: history.OrchestrationError, Message: store.ErrExists.Error(), Instance: start.Instance, NonRetryable: true,
		}
		life := newLife()
		if c.starts == nil {
			c.starts = map[string]*replay.Start{}
		}
		c.starts[life] = start
		node := c.node
		if !c.served.by(store.NodeID(node), start.Name, start.Version) {
			node = "" // who finds it runs it
		}
		c.rest.Starts = append(c.rest.Starts, restStart{
			Member: member, Instance: storable(start.Instance), Life: life, Turn: history.NewToken().String(), Name: storable(start.Name),
			Version: storable(start.Version), Input: storable(start.Input), Schedule: start.Schedule, Refused: history.EncodeFailure(refused), Node: node,
		})
	}
	for i := range m.Sends {
		send := &m.Sends[i]
		x := &send.Message
		c.rest.Sends = append(c.rest.Sends, restSend{
			Member: member, Instance: storable(send.Instance), Life: optional(x.Life), Execution: optionalInt(x.Execution), Kind: x.Kind.String(),
			MessageID: optional(x.ID), Source: optionalInt(x.Source), Name: optional(x.Name), Data: optional(x.Data),
			Failure: optional(history.EncodeFailure(x.Failure)),
		})
	}
}

func (c *commitCall) addState(member int, m *replay.Commit) {
	if m.KVClearAll {
		c.rest.KVCleared = append(c.rest.KVCleared, restMember{Member: member})
	}
	for i := range m.KV {
		change := restKV{Member: member, Hash: keyHash(m.KV[i].Key), Key: storable(m.KV[i].Key), At: m.KV[i].UpdatedAt}
		if v := m.KV[i].Value; v != nil {
			text := storable(*v)
			change.Value = &text
		}
		// One statement writes a key once: the last change counts.
		if before := slices.IndexFunc(c.rest.KV, func(x restKV) bool { return x.Member == member && x.Hash == change.Hash }); before >= 0 {
			c.rest.KV[before] = change
			continue
		}
		c.rest.KV = append(c.rest.KV, change)
	}
	if s := m.CustomStatus; s != nil {
		status := restStatus{Member: member}
		if s.Text != nil {
			text := storable(*s.Text)
			status.Text = &text
		}
		c.rest.Status = append(c.rest.Status, status)
	}
}

// keyHash stands for a key of the key-value store in its index.
func keyHash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return history.Token(sum[:16]).String()
}

func (r *rest) empty() bool { return len(r.Recorded) == 0 && r.onlyRecorded() }

func (r *rest) onlyRecorded() bool {
	return len(r.Taken) == 0 && len(r.JobsDropped) == 0 && len(r.TimersDropped) == 0 && len(r.News) == 0 &&
		len(r.Starts) == 0 && len(r.Sends) == 0 && len(r.KVCleared) == 0 && len(r.KV) == 0 && len(r.Status) == 0
}

// text gives the rest as JSON; nil when there is none.
func (r *rest) text() *string {
	if r.empty() {
		return nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil {
		panic(err) // strings and numbers always encode
	}
	text := strings.TrimSuffix(b.String(), "\n")
	return &text
}

// args are the parameters of duroxide_commit, in its order.
func (c *commitCall) args(call int64) []any {
	t, w := &c.turn, &c.work
	return []any{
		c.node, c.claimer, c.lease, c.mail, c.rest.text(), list(c.begin),
		t.instance, t.life, t.expect, t.turn, t.execution, t.node, t.name, t.version, t.current, t.next, t.last, t.status, t.output, t.failure,
		t.open, t.used, t.statusVersion, t.begins, t.how, t.limit,
		list(c.message.member), list(c.message.row),
		list(c.job.member), list(c.job.id), list(c.job.token),
		list(c.batch.member), list(c.batch.execution), list(c.batch.first), list(c.batch.last), list(c.batch.events),
		list(w.member), list(w.schedule), list(w.name), list(w.input), list(w.session), list(w.tag), list(w.lane), list(w.timeout),
		list(w.attempt), list(w.retryOf), list(w.claimRank),
		uuid(c.token), c.inSessions, c.filter.names, c.filter.tags, c.filter.any, c.filter.held, c.mayTake, c.label, call,
	}
}

// isStep reports whether duroxide_step can make the commit. It claims nothing but the turn's own job.
func (c *commitCall) isStep() bool {
	t, w := &c.turn, &c.work
	return len(t.instance) == 1 && !c.mail && !c.inSessions && t.how[0] != howContinued && t.statusVersion[0] == nil && c.rest.onlyRecorded() &&
		t.open[0] == "[]" && t.used[0] == "[]" && len(c.batch.member) <= 1 && len(c.job.id) <= 1 && len(c.message.row)+len(c.last) <= 1 && !c.unrecorded &&
		len(w.schedule) <= 1 && (t.limit[0] == 0 || t.limit[0] == 1 && c.claimsOwn())
}

// claimsOwn reports whether the only job of the only turn may be claimed as it is inserted.
func (c *commitCall) claimsOwn() bool {
	return len(c.work.schedule) == 1 && c.work.claimRank[0] <= c.turn.limit[0]
}

// stepArgs are the parameters of duroxide_step, in its order.
func (c *commitCall) stepArgs(call int64) []any {
	t, w, b := &c.turn, &c.work, &c.batch
	var claimer *string
	if c.claimsOwn() {
		claimer = &c.claimer
	}
	return []any{
		c.node, c.lease, len(c.begin) > 0,
		t.instance[0], t.life[0], t.expect[0], t.turn[0], t.execution[0], t.name[0], t.version[0], t.next[0], t.begins[0],
		t.how[0] == howEnded, t.status[0], t.output[0], t.failure[0],
		only(append(c.last, c.message.row...)), only(c.job.id), only(c.job.token), only(b.first), only(b.last), only(b.events),
		only(w.schedule), only(w.name), only(w.input), only(w.tag), only(w.lane), only(w.timeout), only(w.attempt), only(w.retryOf),
		claimer, uuid(c.token), call,
	}
}

// only gives the only element, nil when there is none.
func only[T any](v []T) *T {
	if len(v) == 0 {
		return nil
	}
	return &v[0]
}

// list gives an empty array for nil, which would be NULL.
func list[T any](v []T) []T {
	if v == nil {
		return []T{}
	}
	return v
}
