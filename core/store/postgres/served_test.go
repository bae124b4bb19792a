package postgres

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// telling is a process with a node, and one that hears of it.
type telling struct {
	*testing.T
	writer *Store
	h      hearer
	marks  int
}

func newTelling(t *testing.T) *telling {
	t.Helper()
	schema := newSchema(t)
	writer, reader := openSchema(t, schema, Options{}), openSchema(t, schema, Options{PollInterval: time.Hour, lookEvery: time.Hour})
	node := store.Node{ID: "A", LeaseMS: 60_000, Orchestrations: []string{"flow@1.0.0", "flow@1.1.0"}}
	if _, err := writer.Join(context.Background(), node); err != nil {
		t.Fatal(err)
	}
	h := listening(t, reader)
	until(t, "notifications come through", reader.news.listening.Load)
	return &telling{T: t, writer: writer, h: h}
}

// told gives the kinds of which the reader has heard, once it has heard of everything that was written so far.
func (t *telling) told() store.Kinds {
	t.Helper()
	t.marks++
	mark := store.Node{ID: store.NodeID("mark-" + strconv.Itoa(t.marks)), LeaseMS: 60_000}
	if _, err := t.writer.Join(context.Background(), mark); err != nil {
		t.Fatal(err)
	}
	until(t.T, "the mark is heard of", func() bool { return t.h.kinds.Load()&uint32(store.KindNodes) != 0 })
	return store.Kinds(t.h.kinds.Swap(0)) &^ store.KindNodes //nolint:gosec // only kinds
}

// begun starts an instance, and waits until that is old news.
func (t *telling) begun(id string) *store.Snapshot {
	t.Helper()
	startOne(t.T, t.writer, id)
	t.told()
	snapshot, err := t.writer.Load(context.Background(), id, history.Token{})
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

// first makes what commits the first turn of an instance.
func (t *telling) first(change func(id string, c *replay.Commit)) func(id string) {
	return func(id string) {
		snapshot := t.begun(id)
		turn := store.Turn{
			Instance: id, Life: snapshot.Life, Expect: snapshot.Turn, New: history.NewToken(), Name: "flow", Version: "1.0.0",
			Commit: &replay.Commit{
				Execution: 1, Consumed: snapshot.Messages,
				Events: []history.Event{{ID: 1, Kind: history.OrchestrationStarted, Name: "flow", Version: "1.0.0"}},
			},
		}
		change(id, turn.Commit)
		results, err := t.writer.CommitTurns(context.Background(), "A", []store.Turn{turn})
		if err != nil || results[0].Err != nil {
			t.Fatal(err, results)
		}
	}
}

func (t *telling) child(name, version string) func(id string) {
	return t.first(func(id string, c *replay.Commit) {
		c.Starts = []replay.Start{{Instance: id + "-child", Name: name, Version: version, Schedule: 2}}
	})
}

func (t *telling) continued(version string) func(id string) {
	return t.first(func(_ string, c *replay.Commit) {
		c.Events = append(c.Events, history.Event{ID: 2, Kind: history.OrchestrationContinuedAsNew})
		c.Status, c.Next = replay.ContinuedAsNew, &history.Event{ID: 1, Kind: history.OrchestrationStarted, Name: "flow", Version: version}
	})
}

// What the process of a node can run itself is not told to others: that would cost a notification each time. What it
// cannot, or may not live to see, is.
func TestOthersHearOfWorkThatTheWriterCannotDo(tt *testing.T) {
	t := newTelling(tt)
	for _, c := range []struct {
		what string
		do   func(id string)
		want store.Kinds
	}{
		{"a child that the node runs", t.child("flow", ""), 0},
		{"a child of a version that the node runs", t.child("flow", "1.1.0"), 0},
		{"a child of a name that only others have", t.child("elsewhere", ""), store.KindReady},
		{"a child of a version that only others have", t.child("flow", "2.0.0"), store.KindReady},
		{"going on as a version that the node runs", t.continued("1.1.0"), 0},
		{"going on as a version that only others have", t.continued("2.0.0"), store.KindReady},
		{"a timer of the node's own", t.first(func(_ string, c *replay.Commit) {
			c.Timers = []replay.Timer{{Schedule: 2, FireAt: t.writer.Now() + 3_600_000}}
		}), 0},
		{"a delayed start", func(id string) {
			if _, err := t.writer.Start(context.Background(), store.Start{Instance: id, Name: "flow", DelayMS: 60_000}); err != nil {
				t.Fatal(err)
			}
		}, store.KindReady},
		{"an instance that the code of the node does not fit", func(id string) {
			snapshot := t.begun(id)
			if err := t.writer.Block(context.Background(), store.Block{Instance: id, Life: snapshot.Life, Turn: snapshot.Turn}); err != nil {
				t.Fatal(err)
			}
		}, store.KindReady | store.KindChanged},
	} {
		t.told()
		c.do(c.what)
		if got := t.told(); got != c.want {
			t.Errorf("%s: others heard of the kinds %b, want %b", c.what, got, c.want)
		}
	}
	if err := t.writer.Leave(context.Background(), "A"); err != nil {
		t.Fatal(err)
	}
	if t.writer.served.by("A", "flow", "") {
		t.Error("a node that has left is taken for one that runs something")
	}
}

// A child is left to the node that started it for a while, but not when that node cannot run it.
func TestAChildThatOnlyOthersRunIsTheirsAtOnce(tt *testing.T) {
	t := newTelling(tt)
	other := store.Node{ID: "B", LeaseMS: 60_000, Orchestrations: []string{"elsewhere@1.0.0"}}
	if _, err := t.writer.Join(context.Background(), other); err != nil {
		t.Fatal(err)
	}
	t.child("elsewhere", "")("a")
	found, err := t.writer.Ready(context.Background(), store.ReadyQuery{Node: "B", Names: []string{"elsewhere"}, Limit: 10})
	if err != nil || len(found.Instances) != 1 || found.Instances[0] != "a-child" {
		t.Errorf("node B is to run %v (%v), want a-child", found.Instances, err)
	}
}
