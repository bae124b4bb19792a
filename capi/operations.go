package main

// operations by op code; python/duroxide/_frames.py has the same numbers. A number is never used for something else.
var operations = [...]operation{
	0: opOpenHandles,

	1: opOpenSQLite,
	2: opCloseProvider,
	3: opCheck,

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
}

// isWait reports whether an operation waits for what others do. Being cut short does not harm it.
func isWait(code int) bool { return code >= 15 && code <= 17 }

// isPrompt reports whether an operation never holds its thread for long. Reads do not wait for writers; a write to a
// file may, as long as another process holds the file's lock.
func isPrompt(code int, r *request) bool {
	switch code {
	case 0, 40, 41, 42, 46, 47, 48, 49, 52:
		return true
	case 14, 20, 23, 24, 27, 28, 29:
		return true
	case 10, 11, 12, 13:
		p, err := provider(r)
		return err != nil || p.memory
	}
	return false
}
