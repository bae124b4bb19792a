package engine

import (
	"strconv"
	"time"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
)

// The targets of log records.
const (
	targetEngine        = "duroxide.engine"
	targetOrchestration = "duroxide.orchestration"
)

// logf logs for the engine itself; fields are keys and values in turn. Never called with the mutex held.
func (r *Runtime) logf(level, message string, fields ...string) {
	r.record(targetEngine, level, message, fields...)
}

// logLocked is logf for records that arise with the mutex held: the clock logs them.
func (r *Runtime) logLocked(level, message string, fields ...string) {
	if r.opt.Log != nil {
		r.logs = append(r.logs, func() { r.logf(level, message, fields...) })
		r.armClockLocked(r.now())
	}
}

// flushLogs logs what waits, in order. Of several callers one does it for all: the turns of an instance are committed by
// different goroutines, and its records must not overtake each other.
func (r *Runtime) flushLogs() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.flushing {
		return
	}
	r.flushing = true
	for len(r.logs) > 0 {
		logs := r.logs
		r.logs = nil
		r.mu.Unlock()
		for _, log := range logs {
			log()
		}
		r.mu.Lock()
	}
	r.flushing = false
}

// saysSomething tells whether logStep has anything to log.
func saysSomething(c *replay.Commit) bool {
	return len(c.Traces) > 0 || len(c.Dropped) > 0 || c.Status == replay.Failed
}

func (r *Runtime) record(target, level, message string, fields ...string) {
	if r.opt.Log == nil {
		return
	}
	rec := LogRecord{TimeMS: time.Now().UnixMilli(), Level: level, Target: target, Message: message}
	if len(fields) > 1 {
		rec.Fields = make(map[string]string, len(fields)/2)
		for i := 0; i+1 < len(fields); i += 2 {
			if fields[i+1] != "" {
				rec.Fields[fields[i]] = fields[i+1]
			}
		}
	}
	r.opt.Log(rec)
}

// logStep logs what an applied turn has to say: the user's traces, messages without a taker, its end.
func (r *Runtime) logStep(s *step) {
	if r.opt.Log == nil {
		return
	}
	c := s.turn.Commit
	fields := []string{
		"instance_id", s.turn.Instance, "execution_id", strconv.FormatInt(c.Execution, 10),
		"orchestration_name", s.turn.Name, "orchestration_version", s.turn.Version,
	}
	for i := range c.Traces {
		r.record(targetOrchestration, c.Traces[i].Level, c.Traces[i].Value, append(fields, "at", c.Traces[i].At)...)
	}
	for i := range c.Dropped {
		r.record(targetEngine, "debug", "message dropped: "+c.Dropped[i].Message.Kind.String()+": "+c.Dropped[i].Why, fields...)
	}
	if c.Status == replay.Failed && c.Failure != nil {
		level := "warn"
		switch {
		case c.Failure.Kind == history.Cancelled:
			level = "info"
		case c.Failure.Category() != history.CategoryApplication:
			level = "error"
		}
		r.record(targetEngine, level, "orchestration failed: "+c.Failure.Text(), fields...)
	}
}

// logTraces logs the traces of a turn that had nothing to commit.
func (r *Runtime) logTraces(e *liveExecution, c *replay.Commit) {
	if r.opt.Log == nil {
		return
	}
	for i := range c.Traces {
		r.record(targetOrchestration, c.Traces[i].Level, c.Traces[i].Value, "instance_id", e.inst.id,
			"execution_id", strconv.FormatInt(e.exec, 10), "orchestration_name", e.name, "orchestration_version", e.ver,
			"at", c.Traces[i].At)
	}
}
