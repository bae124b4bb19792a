package replay

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// The scenario files hold programs in a small language with one statement a line and blocks by indentation. A task in the
// place of a statement is awaited, `x = task` keeps what it gives, $x stands for it in any later argument, and $input,
// $now, $version and $replaying for what the context tells.
//
//	activity NAME [INPUT] [session=S] [tag=T] [timeout=MS] [attempts=N backoff=none|fixed|linear|exponential initial=MS
//	         max=MS jitter=F attempt_timeout=MS total=MS]
//	timer MS              wait EVENT            dequeue QUEUE         guid                  clock
//	child NAME [INPUT] [id=I] [version=V]       detached NAME ID [INPUT] [version=V]
//	continue_as_new [INPUT] [version=V]
//	all | race            with one task a line below
//	branch                with statements below
//
//	status TEXT | reset_status | set KEY VALUE | clear KEY | clear_all | trace TEXT
//	return TEXT | raise TEXT | fatal TEXT
//	try .. except [NAME] .. finally ..
//	loop [N]              for ever without N
//	if A == B             compares texts

// statement is one line of a program and the block below it.
type statement struct {
	line  int
	into  string // variable
	words []string
	block []*statement
}

func parseProgram(text string) []*statement {
	type open struct {
		indent int
		block  *[]*statement
	}
	var top []*statement
	stack := []open{{0, &top}}
	var last *statement
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimLeft(line, " ")
		if trimmed == "" || trimmed[0] == '#' {
			continue
		}
		indent := len(line) - len(trimmed)
		for indent < stack[len(stack)-1].indent {
			stack = stack[:len(stack)-1]
		}
		if indent > stack[len(stack)-1].indent {
			stack = append(stack, open{indent, &last.block})
		}
		last = &statement{line: i + 1, words: splitWords(trimmed)}
		if len(last.words) > 2 && last.words[1] == "=" {
			last.into, last.words = last.words[0], last.words[2:]
		}
		block := stack[len(stack)-1].block
		*block = append(*block, last)
	}
	return top
}

// splitWords splits at spaces outside of double quotes, which are taken off.
func splitWords(s string) []string {
	var words []string
	var word strings.Builder
	quoted, begun := false, false
	for _, c := range s {
		switch {
		case c == '"':
			quoted, begun = !quoted, true
		case c == ' ' && !quoted:
			if begun {
				words = append(words, word.String())
				word.Reset()
				begun = false
			}
		default:
			word.WriteRune(c)
			begun = true
		}
	}
	if begun {
		words = append(words, word.String())
	}
	return words
}

// script runs a program; its variables are shared by all branches.
type script struct {
	g    *generator
	vars map[string]string
}

func scriptBody(program []*statement) body {
	return func(g *generator) (string, error) {
		s := &script{g: g, vars: map[string]string{"input": g.code.begin.Input, "version": g.code.begin.Version}}
		result, _, err := s.run(program)
		return result, err
	}
}

func (s *script) text(word string) string {
	if !strings.Contains(word, "$") {
		return word
	}
	s.vars["now"] = strconv.FormatInt(s.g.moment.NowMS, 10)
	s.vars["replaying"] = strconv.FormatBool(s.g.moment.Replaying)
	names := slices.SortedFunc(maps.Keys(s.vars), func(a, b string) int { return len(b) - len(a) })
	for _, name := range names { // longer names first: one may begin another
		word = strings.ReplaceAll(word, "$"+name, s.vars[name])
	}
	return word
}

func (s *script) at(st *statement) string { return "main:" + strconv.Itoa(st.line) }

// run runs a block; returned says that it ended the generator.
func (s *script) run(block []*statement) (result string, returned bool, err error) {
	for i := 0; i < len(block); i++ {
		st := block[i]
		arg := func(k int) string {
			if k < len(st.words) {
				return s.text(st.words[k])
			}
			return ""
		}
		at := s.at(st)
		switch st.words[0] {
		case "status":
			s.g.call(Immediate{Kind: CallSetStatus, Value: arg(1), At: at})
		case "reset_status":
			s.g.call(Immediate{Kind: CallResetStatus, At: at})
		case "set":
			s.g.call(Immediate{Kind: CallSetKV, Key: arg(1), Value: arg(2), At: at})
		case "clear":
			s.g.call(Immediate{Kind: CallClearKV, Key: arg(1), At: at})
		case "clear_all":
			s.g.call(Immediate{Kind: CallClearAllKV, At: at})
		case "trace":
			s.g.call(Immediate{Kind: CallTrace, Level: "info", Value: arg(1), At: at})
		case "return":
			return arg(1), true, nil
		case "raise":
			return "", true, &userError{text: arg(1)}
		case "fatal":
			return "", true, &userError{text: arg(1), fatal: true}
		case "if":
			if arg(1) == arg(3) {
				if result, returned, err = s.run(st.block); returned {
					return result, true, err
				}
			}
		case "loop":
			n := -1
			if len(st.words) > 1 {
				n, _ = strconv.Atoi(arg(1))
			}
			for k := 0; k != n; k++ {
				if result, returned, err = s.run(st.block); returned {
					return result, true, err
				}
			}
		case "try":
			var except, finally *statement
			for i+1 < len(block) && (block[i+1].words[0] == "except" || block[i+1].words[0] == "finally") {
				i++
				if block[i].words[0] == "except" {
					except = block[i]
				} else {
					finally = block[i]
				}
			}
			result, returned, err = s.try(st.block, except, finally)
			if returned {
				return result, true, err
			}
		default:
			task := s.task(st)
			v, err := s.g.await(&task, at)
			if err != nil {
				return "", true, err
			}
			if st.into != "" {
				s.vars[st.into] = show(v)
			}
		}
	}
	return "", false, nil
}

func (s *script) try(block []*statement, except, finally *statement) (result string, returned bool, err error) {
	if finally != nil {
		defer func() { // also when the generator is closed
			if r, over, e := s.run(finally.block); over {
				result, returned, err = r, true, e
			}
		}()
	}
	result, returned, err = s.run(block)
	var raised *userError
	if err == nil || except == nil || !errors.As(err, &raised) || raised.fatal {
		return result, returned, err
	}
	if len(except.words) > 1 {
		s.vars[except.words[1]] = err.Error()
	}
	return s.run(except.block)
}

// task makes the task of a line.
func (s *script) task(st *statement) Task {
	var plain []string
	named := map[string]string{}
	for _, w := range st.words[1:] {
		if name, value, ok := strings.Cut(w, "="); ok && taskOptions[name] {
			named[name] = s.text(value)
		} else {
			plain = append(plain, s.text(w))
		}
	}
	arg := func(i int) string {
		if i < len(plain) {
			return plain[i]
		}
		return ""
	}
	number := func(text string) int64 {
		n, _ := strconv.ParseInt(text, 10, 64)
		return n
	}
	t := Task{Name: arg(0), Version: named["version"], At: s.at(st)}
	members := func() {
		for _, m := range st.block {
			t.Members = append(t.Members, s.task(m))
		}
	}
	switch st.words[0] {
	case "activity":
		t.Kind, t.Input, t.Session, t.Tag, t.TimeoutMS = TaskActivity, arg(1), named["session"], named["tag"], number(named["timeout"])
		t.Fingerprint = named["fingerprint"]
		if named["attempts"] != "" {
			t.Retry = &RetryPolicy{
				MaxAttempts: int(number(named["attempts"])), Backoff: backoffs[named["backoff"]], InitialMS: number(named["initial"]),
				MaxMS: number(named["max"]), Multiplier: 2, TimeoutMS: number(named["attempt_timeout"]), TotalTimeoutMS: number(named["total"]),
			}
			t.Retry.Jitter, _ = strconv.ParseFloat(named["jitter"], 64)
		}
	case "timer":
		t.Kind, t.Name, t.DelayMS = TaskTimer, "", number(arg(0))
	case "wait":
		t.Kind = TaskEvent
	case "dequeue":
		t.Kind = TaskDequeue
	case "guid":
		t.Kind = TaskGUID
	case "clock":
		t.Kind = TaskClock
	case "child":
		t.Kind, t.Input, t.Instance = TaskChild, arg(1), named["id"]
		t.InstanceGiven = t.Instance != ""
	case "detached":
		t.Kind, t.Instance, t.Input = TaskDetached, arg(1), arg(2)
	case "continue_as_new":
		t.Kind, t.Name, t.Input = TaskContinueAsNew, "", arg(0)
	case "all":
		t.Kind = TaskAll
		members()
	case "race":
		t.Kind = TaskRace
		members()
	case "branch":
		block := st.block
		b := s.g.branch(func(g *generator) (string, error) {
			result, _, err := (&script{g: g, vars: s.vars}).run(block)
			return result, err
		})
		b.At = t.At
		return b
	default:
		panic(fmt.Sprintf("line %d: no statement %q", st.line, st.words[0]))
	}
	return t
}

var taskOptions = map[string]bool{
	"version": true, "session": true, "tag": true, "timeout": true, "fingerprint": true, "attempts": true, "backoff": true, "initial": true,
	"max": true, "attempt_timeout": true, "total": true, "jitter": true, "id": true,
}

var backoffs = map[string]Backoff{"": BackoffExponential, "exponential": BackoffExponential, "none": BackoffNone, "fixed": BackoffFixed, "linear": BackoffLinear}
