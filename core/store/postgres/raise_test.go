package postgres

import (
	"context"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/duroxide/duroxide/core/history"
	"github.com/duroxide/duroxide/core/replay"
	"github.com/duroxide/duroxide/core/store"
)

// keeper has one instance in memory, and collects what it is told: by whoever raises, and by the watch for other processes.
type keeper struct {
	instance, life string
	turn           history.Token

	mu     sync.Mutex
	ready  []string
	loaded []*store.Snapshot
}

func (k *keeper) Adopt(string, string) (store.NodeID, bool) { return "", false }

func (k *keeper) Holds(instance string) (life string, turn history.Token, ok bool) {
	return k.life, k.turn, instance == k.instance
}

func (k *keeper) Wake(w store.Wake) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ready = append(k.ready, w.Ready...)
	k.loaded = append(k.loaded, w.Loaded...)
}

// heard is what it was told until now.
func (k *keeper) heard() (ready []string, loaded []*store.Snapshot) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.ready), slices.Clone(k.loaded)
}

// Who has an instance in memory gets with a message what the next turn needs, exactly as it would read it, whatever else
// waits for the instance; and where that is not to be had it is told to read.
func TestWhatIsHandedOverWithAMessageIsWhatWouldBeRead(t *testing.T) {
	ctx := context.Background()
	event := func(id string) history.Message {
		return history.Message{Kind: history.MsgEvent, ID: id, Name: "e", Data: `"x"`}
	}
	turn := func(t *testing.T, s *Store, x *steps, c *replay.Commit) {
		t.Helper()
		now := &x.turns[0]
		now.Expect, now.New, now.Commit = now.New, history.NewToken(), c
		now.Claim.Limit = 0
		if results, err := s.CommitTurns(ctx, "n", x.turns); err != nil || results[0].Err != nil {
			t.Fatal(results, err)
		}
	}
	for _, c := range []struct {
		name    string
		before  func(*testing.T, *Store, *steps)
		message history.Message
		stored  bool
		handed  bool
	}{
		{name: "nothing else", message: event("m"), stored: true, handed: true},
		{name: "without data", message: history.Message{Kind: history.MsgEvent, ID: "m", Name: "e"}, stored: true, handed: true},
		{name: "a cancel", message: history.Message{Kind: history.MsgCancel, ID: "m", Data: "enough"}, stored: true, handed: true},
		{name: "mail of a queue on which nobody waits", message: history.Message{Kind: history.MsgMail, ID: "m", Name: "q", Data: "1"}, stored: true, handed: true},
		{
			name: "a timer that is not due", message: event("m"), stored: true, handed: true,
			before: func(t *testing.T, s *Store, x *steps) {
				turn(t, s, x, &replay.Commit{Execution: 1, Events: []history.Event{{ID: 2, Kind: history.TimerCreated}},
					Timers: []replay.Timer{{Schedule: 2, FireAt: s.Now() + 3_600_000}}})
			},
		},
		{
			name: "another message", message: event("m"), stored: true, handed: true,
			before: func(t *testing.T, s *Store, _ *steps) {
				if stored, err := s.Enqueue(ctx, []store.Enqueue{{Instance: "instance-0", Message: event("before")}}); err != nil || !stored[0] {
					t.Fatal(stored, err)
				}
			},
		},
		{
			name: "a queue with mail", message: event("m"), stored: true, handed: true,
			before: func(t *testing.T, s *Store, x *steps) {
				turn(t, s, x, &replay.Commit{Execution: 1, Events: []history.Event{{ID: 2, Kind: history.QueueSubscribed, Name: "q"}},
					OpenQueues: []string{"q"}, UsedQueues: []string{"q"}})
				if _, err := s.Enqueue(ctx, []store.Enqueue{{Instance: "instance-0", Message: history.Message{Kind: history.MsgMail, Name: "q", ID: "before"}}}); err != nil {
					t.Fatal(err)
				}
			},
		},
		{
			name: "it has ended", message: event("m"), stored: false,
			before: func(t *testing.T, s *Store, x *steps) {
				turn(t, s, x, &replay.Commit{Execution: 1, Status: replay.Completed, Events: []history.Event{{ID: 2, Kind: history.OrchestrationCompleted}}})
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStore(t)       //nolint:contextcheck // tests clean up on their own time
			x := newSteps(t, s, 1) //nolint:contextcheck // tests clean up on their own time
			if c.before != nil {
				c.before(t, s, x)
			}
			k := &keeper{instance: "instance-0", life: x.turns[0].Life, turn: x.turns[0].New}
			defer s.Listen(k)() //nolint:contextcheck // it ends with the test
			stored, err := s.Enqueue(ctx, []store.Enqueue{{Instance: "instance-0", Message: c.message}})
			if err != nil || stored[0] != c.stored {
				t.Fatalf("stored %v, want %v; %v", stored, c.stored, err)
			}
			_, loaded := k.heard()
			if (len(loaded) == 1) != c.handed {
				t.Fatalf("handed over: %v", loaded)
			}
			if !c.handed {
				return
			}
			read, err := s.Load(ctx, "instance-0", k.turn)
			if err != nil {
				t.Fatal(err)
			}
			got := loaded[0]
			if got.Instance != read.Instance || got.Life != read.Life || got.Turn != read.Turn || got.Ended || got.NextDue != read.NextDue {
				t.Errorf("handed over %+v, read %+v", got, read)
			}
			if !reflect.DeepEqual(got.Messages, read.Messages) && len(got.Messages)+len(read.Messages) > 0 {
				t.Errorf("handed over %+v, read %+v", got.Messages, read.Messages)
			}
		})
	}
}

// An instance that has gone on since is read by its holder.
func TestNothingIsHandedOverForAnotherTurn(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	x := newSteps(t, s, 1)
	k := &keeper{instance: "instance-0", life: x.turns[0].Life, turn: history.NewToken()}
	defer s.Listen(k)()
	for i := range 2 {
		stored, err := s.Enqueue(ctx, []store.Enqueue{{Instance: "instance-0", Message: history.Message{Kind: history.MsgEvent, ID: strconv.Itoa(i), Name: "e"}}})
		if err != nil || !stored[0] {
			t.Fatal(stored, err)
		}
	}
	if ready, loaded := k.heard(); len(loaded) != 0 || len(ready) != 2 {
		t.Errorf("ready %v, handed over %v", ready, loaded)
	}
}
