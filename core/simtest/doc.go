// Package simtest runs the whole engine without Python: orchestrations are Go functions that run as coroutines, lanes
// are goroutines. It exists so that end-to-end behaviour can be tested and measured where the race detector sees it.
//
//	p := simtest.NewProgram()
//	p.Orchestration("hello", func(c *simtest.Context, name string) (string, error) {
//		return c.Await(c.Activity("greet", name))
//	})
//	p.Activity("greet", func(a *engine.Activity) (string, error) { return "hello " + a.Input, nil })
//	node := simtest.Start(t, store, p)
//
// A program is code as users write it: deterministic, asking for everything through its Context. VerifyAll replays what
// a test left in a store, from the first event of each execution.
package simtest
