// Package check proves that what a store holds makes sense as a whole: that histories are dense and end once, that
// status and keys are what the events say, that every open activity and child still has something that will answer it,
// and that nothing is left of what has ended.
//
// It reads through the store's own contract and changes nothing. Each instance is read in one snapshot, so a store may
// be checked while it is in use. Tests run it after every scenario; operators may run it when in doubt:
//
//	violations, err := check.Run(ctx, s)
//
// A violation is always a fault of ours or damage to the file, never of a workflow.
package check
