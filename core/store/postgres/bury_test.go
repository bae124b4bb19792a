package postgres

import (
	"context"
	"errors"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/duroxide/duroxide/core/store"
	"github.com/duroxide/duroxide/core/store/storetest"
)

// member is a node in a process of its own, as far as its store goes.
type member struct {
	*Store
	t     *testing.T
	id    store.NodeID
	lease *store.Lease
}

func (m *member) renews() {
	m.t.Helper()
	if err := m.Renew(context.Background(), m.lease); err != nil {
		m.t.Fatalf("%s: %v", m.id, err)
	}
}

func (m *member) buries(want ...store.NodeID) {
	m.t.Helper()
	buried, err := m.BuryDead(context.Background(), m.id)
	if err != nil || !slices.Equal(buried, want) {
		m.t.Fatalf("%s buried %q, want %q: %v", m.id, buried, want, err)
	}
}

// cluster is a schema in which time is a test's.
type cluster struct {
	t      *testing.T
	clock  *storetest.Clock
	schema string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, clock: new(storetest.Clock), schema: newSchema(t)}
	c.clock.Advance(time.Duration(time.Now().UnixMilli()) * time.Millisecond)
	return c
}

// joins gives a node with a lease of ten seconds. Nothing is known of its process.
func (c *cluster) joins(id store.NodeID) *member {
	c.t.Helper()
	m := &member{Store: openClockedIn(c.t, c.clock, c.schema), t: c.t, id: id}
	var err error
	if m.lease, err = m.Join(context.Background(), store.Node{ID: id, LeaseMS: 10_000}); err != nil {
		c.t.Fatal(err)
	}
	asProcess(c.t, m.Store, id, process{})
	return m
}

func TestAfterAnOutageEveryoneMayRenewFirst(t *testing.T) {
	c := newCluster(t)
	a, b := c.joins("a"), c.joins("b")
	c.clock.Advance(15 * time.Second) // the database is away
	a.renews()
	a.buries()
	fresh := c.joins("fresh")
	fresh.buries()
	b.renews()

	// An outage that spares a's own lease, but not its renewal.
	for range 2 {
		c.clock.Advance(5 * time.Second)
		a.renews()
		fresh.renews()
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if err := a.Renew(gone, a.lease); err == nil {
		t.Fatal("renewed without a database")
	}
	c.clock.Advance(time.Second)
	a.buries()
	a.renews()
	a.buries()
	b.renews()
}

// Renewals do not wait for the disk: a server that crashes may not know of the last ones when it is back.
func TestRenewalsThatACrashHasUndoneLoseNoNode(t *testing.T) {
	c := newCluster(t)
	a := c.joins("a")
	for range 3 {
		a.renews()
	}
	setCounter := func(to string) {
		if _, err := a.pool.Exec(context.Background(), a.sql.in("UPDATE {schema}.duroxide_nodes SET counter = counter "+to)); err != nil {
			t.Fatal(err)
		}
	}
	setCounter("- 2")
	a.renews()
	a.renews()
	setCounter("+ 1") // another holds the node
	if err := a.Renew(context.Background(), a.lease); !errors.Is(err, store.ErrNodeLost) {
		t.Fatal(err)
	}
}

func TestWhoDoesNotComeBackAfterAnOutageIsBuriedALeaseLater(t *testing.T) {
	c := newCluster(t)
	a := c.joins("a")
	c.joins("b")
	c.clock.Advance(time.Minute)
	for range 2 {
		a.renews()
		a.buries()
		c.clock.Advance(5 * time.Second)
	}
	a.buries("b")
	a.buries()
}

func TestAHostThatDiesIsBuriedWhenItsLeaseIsOver(t *testing.T) {
	c := newCluster(t)
	a, b := c.joins("a"), c.joins("b")
	for range 4 {
		c.clock.Advance(5 * time.Second)
		a.renews()
		b.renews()
	}
	c.clock.Advance(5 * time.Second)
	a.renews()
	c.clock.Advance(5 * time.Second)
	a.buries()
	c.clock.Advance(time.Millisecond)
	a.buries("b")
}

func TestALivingProcessOfThisMachineIsGivenTwoLeases(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	c := newCluster(t)
	a, b := c.joins("a"), c.joins("b")
	sleeper := exec.Command("sleep", "600")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = sleeper.Process.Kill()
		_ = sleeper.Wait()
	}()
	living := thisProcess()
	living.pid = int64(sleeper.Process.Pid)
	living.started, _ = processAt(living.pid)
	asProcess(t, b.Store, "b", living)
	for range 4 {
		c.clock.Advance(5 * time.Second)
		a.renews()
		a.buries()
	}
	c.clock.Advance(time.Millisecond)
	a.buries("b")
}
