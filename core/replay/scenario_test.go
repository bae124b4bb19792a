package replay

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/duroxide/duroxide/core/history"
)

// TestScenarios runs the files in testdata: programs, the messages of each turn, and what has to be committed. Run it with
// -rewrite to write the outcomes afresh, then read the difference.
//
//	program [name=N] [version=V] [input=I] [parent=P] [latest=V] [kv=(k=v,..)] [cancel=REASON]
//	    a new instance running the program below; prints the commit of its first turn, whose message is the start, with a
//	    cancel beside it if there is a reason for one
//	turn [now=MS] [crash]
//	    one message a line: completed ID [DATA] | failed ID TEXT [kind=K] [final] | fired ID | event NAME [DATA] |
//	    mail QUEUE [DATA] | child_completed ID [DATA] | child_failed ID TEXT [kind=K] | cancel [REASON] | start | continue
//	    each with [execution=N] [life=L] [at=MS]. Mail that nobody took comes again by itself. With crash the turn is done
//	    twice, the first time in vain.
//	deploy      replaces the program and drops the live execution: the next turn replays
//	evict       drops the live execution
//	limits messages=N events=N bytes=N
//	history     prints the execution's history
//	verify      replays it from its first event
//
// Every turn is also run by an execution loaded from history, and must give the same.
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := &scenario{t: t}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.t, s.d = t, d
			return s.command()
		})
	})
}

type scenario struct {
	t       *testing.T
	d       *datadriven.TestData
	program []*statement
	code    *generators
	x       *Execution
	id      Identity
	limits  limits
	latest  string
	now     int64
	history []history.Event
	mail    []history.Message
	rows    int64
	guids   int
	changed bool // code differs from what recorded the history
}

func (s *scenario) command() string {
	switch s.d.Cmd {
	case "program":
		return s.start()
	case "turn":
		return s.turn()
	case "deploy":
		s.program, s.changed = parseProgram(s.d.Input), true
		s.load()
		return "ok"
	case "evict":
		s.load()
		return "ok"
	case "limits":
		var messages, events, bytes int
		s.d.ScanArgs(s.t, "messages", &messages)
		s.d.ScanArgs(s.t, "events", &events)
		s.d.ScanArgs(s.t, "bytes", &bytes)
		s.limits = limits{messages, int64(events), int64(bytes)}
		return "ok"
	case "history":
		return printEvents(s.history)
	case "verify":
		code := s.newCode()
		defer code.forget()
		if f := Verify(s.id, code, s.history); f != nil {
			return f.Text()
		}
		return "ok"
	}
	s.t.Fatalf("%s: no command %q", s.d.Pos, s.d.Cmd)
	return ""
}

func (s *scenario) start() string {
	t := s.t
	if s.code != nil {
		s.code.forget()
	}
	*s = scenario{t: s.t, d: s.d, program: parseProgram(s.d.Input), limits: turnLimits, now: 1000}
	messages := []history.Message{{Kind: history.MsgStart}}
	s.id = Identity{Instance: "order-7", Life: "L", Execution: 1, Name: "order", Version: "1.0.0", Input: "in"}
	for _, arg := range s.d.CmdArgs {
		switch arg.Key {
		case "name":
			s.d.ScanArgs(t, "name", &s.id.Name)
		case "version":
			s.d.ScanArgs(t, "version", &s.id.Version)
		case "input":
			s.d.ScanArgs(t, "input", &s.id.Input)
		case "latest":
			s.d.ScanArgs(t, "latest", &s.latest)
		case "cancel":
			messages = append(messages, s.message([]string{"cancel", arg.Vals[0]}))
		case "parent":
			s.id.Start.Parent = &history.Parent{Instance: arg.Vals[0], Life: "PL", Execution: 3, Schedule: 9}
		case "kv":
			s.id.Start.KV = map[string]history.KVEntry{}
			for _, pair := range arg.Vals {
				k, v, _ := strings.Cut(pair, ":")
				s.id.Start.KV[k] = history.KVEntry{Value: v, UpdatedAt: 500}
			}
		default:
			t.Fatalf("%s: no argument %q", s.d.Pos, arg.Key)
		}
	}
	s.code = s.newCode()
	s.x = New(s.id)
	return s.step(messages, false)
}

func (s *scenario) newCode() *generators {
	program := s.program
	return &generators{main: func(g *generator) (string, error) { return scriptBody(program)(g) }}
}

// loaded gives an execution replayed from the history.
func (s *scenario) loaded() (*Execution, *generators) {
	code := s.newCode()
	if len(s.history) == 0 {
		return New(s.id), code
	}
	return Load(Identity{Instance: s.id.Instance, Life: s.id.Life, Execution: s.id.Execution}, code, s.history), code
}

func (s *scenario) load() {
	s.code.forget()
	s.x, s.code = s.loaded()
}

func (s *scenario) turn() string {
	s.now += 100
	crash := false
	for _, arg := range s.d.CmdArgs {
		switch arg.Key {
		case "now":
			s.d.ScanArgs(s.t, "now", &s.now)
		case "crash":
			crash = true
		}
	}
	var messages, mail []history.Message
	for line := range strings.Lines(s.d.Input) {
		if m := s.message(splitWords(strings.TrimSpace(line))); m.Kind == history.MsgMail {
			mail = append(mail, m)
		} else {
			messages = append(messages, m)
		}
	}
	s.mail = append(s.mail, mail...)
	return s.step(messages, crash)
}

func (s *scenario) message(words []string) history.Message {
	s.rows++
	m := history.Message{Row: s.rows, VisibleAt: 1_000_000 + s.rows, InsertedAt: 1_000_000 + s.rows}
	kind := history.ActivityError
	final := false
	var plain []string
	for _, w := range words {
		name, value, ok := strings.Cut(w, "=")
		n, _ := strconv.ParseInt(value, 10, 64)
		switch {
		case ok && name == "kind":
			kind = history.FailureKind(value)
		case ok && name == "execution":
			m.Execution = n
		case ok && name == "life":
			m.Life = value
		case ok && name == "at":
			m.VisibleAt, m.InsertedAt = n, n
		case w == "final":
			final = true
		default:
			plain = append(plain, w)
		}
	}
	arg := func(i int) string {
		if i < len(plain) {
			return plain[i]
		}
		return ""
	}
	answer := func(k history.MessageKind) {
		m.Kind = k
		m.Source, _ = strconv.ParseInt(arg(1), 10, 64)
		if m.Execution == 0 {
			m.Execution = s.id.Execution
		}
		if m.Life == "" {
			m.Life = s.id.Life
		}
	}
	switch plain[0] {
	case "start":
		m.Kind = history.MsgStart
	case "continue":
		m.Kind = history.MsgContinue
	case "cancel":
		m.Kind, m.Data, m.ID = history.MsgCancel, arg(1), "id"+strconv.FormatInt(m.Row, 10)
	case "event":
		m.Kind, m.Name, m.Data, m.ID = history.MsgEvent, arg(1), arg(2), "id"+strconv.FormatInt(m.Row, 10)
	case "mail":
		m.Kind, m.Name, m.Data, m.ID = history.MsgMail, arg(1), arg(2), "id"+strconv.FormatInt(m.Row, 10)
	case "completed":
		answer(history.MsgActivityCompleted)
		m.Data = arg(2)
	case "failed":
		answer(history.MsgActivityFailed)
		m.Failure = &history.Failure{Kind: kind, Message: arg(2), NonRetryable: final}
	case "fired":
		answer(history.MsgTimer)
	case "child_completed":
		answer(history.MsgChildCompleted)
		m.Data = arg(2)
	case "child_failed":
		answer(history.MsgChildFailed)
		m.Failure = &history.Failure{Kind: kind, Message: arg(2)}
	default:
		s.t.Fatalf("%s: no message %q", s.d.Pos, plain[0])
	}
	return m
}

// step runs one turn and applies its commit.
func (s *scenario) step(messages []history.Message, crash bool) string {
	messages = append(messages, s.mail...)
	guids := s.guids
	run := func(x *Execution, code *generators) *Commit {
		x.limits = s.limits
		s.guids = guids
		return x.Turn(code, Input{
			NowMS: s.now, Messages: messages,
			NewGUID: func() string { s.guids++; return "guid-" + strconv.Itoa(s.guids) },
			Latest:  func(string) (string, bool) { return s.latest, s.latest != "" },
		})
	}
	if crash {
		run(s.x, s.code)
		s.load()
	}
	loaded, code := s.loaded()
	c := run(s.x, s.code)
	if d := run(loaded, code); !s.changed && !sameCommit(c, d) {
		s.t.Fatalf("%s: an execution loaded from history commits\n%s\nnot\n%s", s.d.Pos, printCommit(d, code.log), printCommit(c, s.code.log))
	}
	code.forget()
	s.mail = slices.DeleteFunc(s.mail, func(m history.Message) bool {
		return slices.ContainsFunc(c.Consumed, func(o history.Message) bool { return o.Row == m.Row })
	})
	s.history = append(s.history, c.Events...)
	out := printCommit(c, s.code.log)
	s.code.log = nil
	if c.Status == ContinuedAsNew {
		s.code.forget()
		s.history = []history.Event{*c.Next}
		s.id.Execution++
		s.x, s.code = s.loaded()
	}
	return out
}

// sameCommit leaves out traces: those made while code catches up with history are muted.
func sameCommit(a, b *Commit) bool {
	x, y := *a, *b
	x.Traces, y.Traces = nil, nil
	for _, c := range []*Commit{&x, &y} {
		if len(c.DropTimers) == 0 {
			c.DropTimers = nil
		}
	}
	return reflect.DeepEqual(x, y)
}

func printEvents(events []history.Event) string {
	var b strings.Builder
	for i := range events {
		b.WriteString(printEvent(&events[i]) + "\n")
	}
	return b.String()
}

func printEvent(e *history.Event) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s", e.ID, e.Kind)
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, " %s=%q", name, value)
		}
	}
	number := func(name string, value int64) {
		if value != 0 {
			fmt.Fprintf(&b, " %s=%d", name, value)
		}
	}
	if e.Name != "" {
		fmt.Fprintf(&b, " %s", e.Name)
	}
	number("of", e.Source)
	field("version", e.Version)
	field("instance", e.Instance)
	if e.InstanceGiven {
		b.WriteString(" given")
	}
	field("data", e.Data)
	field("fingerprint", e.Fingerprint)
	field("session", e.Session)
	field("tag", e.Tag)
	number("timeout", e.TimeoutMS)
	number("attempt", int64(e.Attempt))
	number("retry_of", e.RetryOf)
	number("fire_at", e.FireAt)
	field("reason", e.Reason)
	if e.Cleared {
		b.WriteString(" cleared")
	}
	field("message", e.MessageID)
	if e.Failure != nil {
		field("failure", e.Failure.Text())
	}
	if e.Start != nil {
		if p := e.Start.Parent; p != nil {
			field("parent", p.Instance)
		}
		if e.Start.Status != nil {
			field("status", *e.Start.Status)
		}
		number("status_version", e.Start.StatusVersion)
		for _, key := range slices.Sorted(maps.Keys(e.Start.KV)) {
			field("kv."+key, e.Start.KV[key].Value)
		}
	}
	return b.String()
}

func printCommit(c *Commit, log []string) string {
	var b strings.Builder
	for i := range c.Events {
		b.WriteString(printEvent(&c.Events[i]) + "\n")
	}
	for _, j := range c.Jobs {
		fmt.Fprintf(&b, "job %d %s", j.Schedule, j.Name)
		if j.Attempt != 0 {
			fmt.Fprintf(&b, " attempt %d of %d", j.Attempt, j.RetryOf)
		}
		b.WriteString("\n")
	}
	for _, t := range c.Timers {
		fmt.Fprintf(&b, "timer %d at %d\n", t.Schedule, t.FireAt)
	}
	for _, s := range c.Starts {
		kind := "detached"
		if s.Schedule != 0 {
			kind = "child of event " + strconv.FormatInt(s.Schedule, 10)
		}
		fmt.Fprintf(&b, "start %s as %q %s\n", s.Name, s.Instance, kind)
	}
	for _, s := range c.Sends {
		fmt.Fprintf(&b, "send %s to %q", s.Message.Kind, s.Instance)
		if s.Message.Source != 0 {
			fmt.Fprintf(&b, " life %s execution %d for event %d", s.Message.Life, s.Message.Execution, s.Message.Source)
		}
		if s.Message.Data != "" {
			fmt.Fprintf(&b, " %q", s.Message.Data)
		}
		if f := s.Message.Failure; f != nil {
			fmt.Fprintf(&b, " %q from %q", f.Text(), f.Instance)
		}
		b.WriteString("\n")
	}
	if len(c.DropJobs) > 0 {
		fmt.Fprintf(&b, "drop jobs %v\n", c.DropJobs)
	}
	if len(c.DropTimers) > 0 {
		fmt.Fprintf(&b, "drop timers %v\n", c.DropTimers)
	}
	if s := c.CustomStatus; s != nil {
		text := "none"
		if s.Text != nil {
			text = strconv.Quote(*s.Text)
		}
		fmt.Fprintf(&b, "custom status %s version %d\n", text, s.Version)
	}
	if c.KVClearAll {
		b.WriteString("kv clear all\n")
	}
	for _, k := range c.KV {
		if k.Value == nil {
			fmt.Fprintf(&b, "kv clear %s\n", k.Key)
		} else {
			fmt.Fprintf(&b, "kv set %s=%q at %d\n", k.Key, *k.Value, k.UpdatedAt)
		}
	}
	if len(c.UsedQueues) > 0 {
		fmt.Fprintf(&b, "queues open %v used %v\n", c.OpenQueues, c.UsedQueues)
	}
	for _, d := range c.Dropped {
		fmt.Fprintf(&b, "dropped %s %s%d: %s\n", d.Message.Kind, d.Message.Name, d.Message.Source, d.Why)
	}
	for _, t := range c.Traces {
		fmt.Fprintf(&b, "trace %s\n", t.Value)
	}
	for _, l := range log {
		b.WriteString(l + "\n")
	}
	if c.Continue {
		b.WriteString("cut: to be continued\n")
	}
	fmt.Fprintf(&b, "%s", c.Status)
	if c.Failure != nil {
		fmt.Fprintf(&b, " (%s) %q", c.Failure.Kind, c.Failure.Text())
	} else if c.Status != Running {
		fmt.Fprintf(&b, " %q", c.Output)
	}
	b.WriteString("\n")
	if c.Next != nil {
		fmt.Fprintf(&b, "next: %s\n", printEvent(c.Next))
	}
	return b.String()
}
