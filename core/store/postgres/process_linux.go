package postgres

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// thisProcess is asked each time: a forked child is another process.
func thisProcess() process {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return process{}
	}
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return process{}
	}
	// /proc may show another namespace than the one we live in. Then pids cannot be compared.
	self, err := os.Readlink("/proc/self")
	if err != nil || self != strconv.Itoa(os.Getpid()) {
		return process{}
	}
	pid := int64(os.Getpid())
	started, state := processAt(pid)
	if state != processRuns {
		return process{}
	}
	return process{boot: strings.TrimSpace(string(boot)), namespace: namespace, started: started, pid: pid}
}

// processAt gives the start time (in clock ticks since boot) and state of the process with the pid.
func processAt(pid int64) (started string, state processState) {
	stat, err := os.ReadFile("/proc/" + strconv.FormatInt(pid, 10) + "/stat")
	if errors.Is(err, fs.ErrNotExist) {
		// With hidepid the processes of others are invisible too.
		if visible() {
			return "", processGone
		}
		return "", processUnknown
	}
	if err != nil {
		return "", processUnknown
	}
	// The name in parentheses may hold anything, parentheses too.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	const stateField, startField = 0, 19
	if len(fields) <= startField {
		return "", processUnknown
	}
	if s := fields[stateField]; s == "Z" || s == "X" {
		return "", processZombie
	}
	return fields[startField], processRuns
}

// visible reports whether /proc shows the processes of all users: that of init is one of root's.
func visible() bool {
	_, err := os.Stat("/proc/1/stat")
	return err == nil
}
