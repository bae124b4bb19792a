package main

// operations by op code; python/duroxide/_frames.py has the same numbers. A number is never used for something else.
var operations = [...]operation{
	0: opOpenHandles,

	1: opOpenSQLite,
	2: opCloseProvider,
	3: opCheck,
	4: opOpenPostgres,
	5: opNewPasswordDesk,
	6: opAwaitPasswordQuestion,
	7: opAnswerPassword,
	8: opClosePasswordDesk,

	10: opStart,
	11: opRaiseEvent,
	12: opEnqueueEvent,
	13: opCancel,
	14: opStatus,
	15: opWaitEnd,
	16: opWaitStatus,
	17: opWaitKV,

	20: opInstance,
	21: opInstances,
	22: opExecutions,
	23: opHistory,
	24: opTree,
	25: opSystemMetrics,
	26: opQueueDepths,
	27: opInstanceStats,
	28: opKVValue,
	29: opWaiting,

	30: opDelete,
	31: opDeleteBulk,
	32: opPrune,
	33: opPruneBulk,
	34: opRevive,

	40: opNewRuntime,
	41: opRegisterActivity,
	42: opRegisterOrchestration,
	43: opStartRuntime,
	44: opSupervise,
	45: opShutdown,
	46: opExiting,
	47: opReleaseRuntime,
	48: opMetrics,
	49: opCounters,
	50: opHealth,
	51: opPullLogs,
	52: opLog,
	53: opEndActivities,
	54: opLaneFailed,

	90: opMortal,
	91: opLivesLeft,
}

// isWait reports whether an operation waits for what others do. Being cut short does not harm it.
func isWait(code int) bool { return code >= 15 && code <= 17 }

// isClientCall reports whether an operation is one question to the store, or one change in it.
func isClientCall(code int) bool { return code >= 10 && code <= 39 && !isWait(code) }

// isWithdrawn reports whether an operation leaves no trace when its time ends: a write to a SQLite file, which its
// thread makes itself as long as no other process holds the file's lock.
func isWithdrawn(code int, r *request) bool {
	if code < 10 || code > 13 {
		return false
	}
	p, err := provider(r)
	return err == nil && p.bound == 0
}

// isPrompt reports whether an operation never holds its thread for long. Reads of a file do not wait for writers; a write
// to it may, as long as another process holds the file's lock. A server may be long in answering whatever it is asked.
func isPrompt(code int, r *request) bool {
	switch code {
	case 0, 5, 7, 8, 40, 41, 42, 46, 47, 48, 49, 52, 53, 54:
		return true
	case 14, 20, 23, 24, 27, 28, 29:
		p, err := provider(r)
		return err != nil || p.bound == 0
	case 10, 11, 12, 13:
		p, err := provider(r)
		return err != nil || p.memory
	}
	return false
}
