package postgres

// process identifies a process across machines: pids are counted in each namespace anew, boots tell machines apart, and
// the start time tells who has a pid now from who had it before. Empty and 0: not known.
type process struct {
	boot, namespace, started string
	pid                      int64
}

// known reports whether all of it is known: else nothing can be said of the process by looking.
func (p process) known() bool {
	return p.boot != "" && p.namespace != "" && p.started != "" && p.pid > 0
}

// state tells what can be seen of the process: gone if it certainly is, for it ran on this machine and in the namespace that we
// see, and its pid is nobody's, a zombie's or another one's by now.
func (p process) state() processState {
	if !p.known() {
		return processUnknown
	}
	here := thisProcess()
	if !here.known() || here.boot != p.boot || here.namespace != p.namespace {
		return processUnknown
	}
	started, state := processAt(p.pid)
	if state == processZombie || state == processRuns && started != p.started {
		return processGone
	}
	return state
}

// processState is what can be seen of a process.
type processState uint8

const (
	processUnknown processState = iota
	processRuns
	processZombie
	processGone
)
