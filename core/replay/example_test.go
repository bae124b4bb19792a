package replay_test

import (
	"fmt"
	"slices"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
)

// greeting is user code without branches: it awaits one activity and returns what that gave.
type greeting struct{ awaited bool }

func (g *greeting) Begin(replay.Begin)              { g.awaited = false }
func (g *greeting) Close(replay.Branch)             {}
func (g *greeting) SamePayload(string, string) bool { return false }

func (g *greeting) Resume(_ replay.Branch, r replay.Resolution, _ replay.Moment) replay.Yield {
	if !g.awaited {
		g.awaited = true
		return replay.Yield{Kind: replay.YieldAwait, Task: &replay.Task{Kind: replay.TaskActivity, Name: "hello", Input: `"world"`}}
	}
	return replay.Yield{Kind: replay.YieldReturn, Result: r.Value.Text}
}

// The caller makes each commit durable before it acts on it, and gives the next turn what has come in.
func Example() {
	id := replay.Identity{Instance: "greeting-1", Life: "5f0c", Execution: 1, Name: "greet", Version: "1.0.0"}
	code := &greeting{}
	x := replay.New(id)

	first := x.Turn(code, replay.Input{NowMS: 1000, Messages: []history.Message{{Kind: history.MsgStart}}})
	fmt.Println(first.Status, "job:", first.Jobs[0].Schedule, first.Jobs[0].Name, first.Jobs[0].Input)

	// The process ends and another one goes on, with what the store holds.
	code = &greeting{}
	x = replay.Load(id, code, first.Events)

	second := x.Turn(code, replay.Input{NowMS: 2000, Messages: []history.Message{
		{Kind: history.MsgActivityCompleted, Source: first.Jobs[0].Schedule, Data: `"hello, world"`},
	}})
	fmt.Println(second.Status, second.Output)

	whole := slices.Concat(first.Events, second.Events)
	for i := range whole {
		fmt.Println(whole[i].ID, whole[i].Kind)
	}
	fmt.Println("differs:", replay.Verify(id, &greeting{}, whole))
	// Output:
	// Running job: 2 hello "world"
	// Completed "hello, world"
	// 1 OrchestrationStarted
	// 2 ActivityScheduled
	// 3 ActivityCompleted
	// 4 OrchestrationCompleted
	// differs: <nil>
}
