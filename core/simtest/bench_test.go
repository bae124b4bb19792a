package simtest_test

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/duroxide/duroxide/core/engine"
	"github.com/duroxide/duroxide/core/simtest"
)

// benchWorld opens both kinds of store for a benchmark, without verification and without a log.
func benchWorld(b *testing.B, run func(b *testing.B, w *world, n *simtest.Node)) {
	quiet := func(o *engine.Options) { o.VerifyReplay, o.Log = 0, nil }
	for _, kind := range kinds {
		b.Run(kind, func(b *testing.B) {
			s := openAny(b, kind)
			p := standard()
			w := newWorld(b, s, nil)
			n := simtest.Start(b, s, p, quiet)
			b.ResetTimer()
			run(b, w, n)
			b.StopTimer()
		})
	}
}

// BenchmarkHello is the latency of one instance with one activity, from start to the answer.
func BenchmarkHello(b *testing.B) {
	benchWorld(b, func(b *testing.B, w *world, _ *simtest.Node) {
		for i := range b.N {
			id := strconv.Itoa(i)
			w.start(id, "hello", "x")
			w.completes(id, "hello x")
		}
	})
}

// BenchmarkStep is the time of a sequential step of an instance that is alone.
func BenchmarkStep(b *testing.B) {
	benchWorld(b, func(b *testing.B, w *world, n *simtest.Node) {
		steps := strconv.Itoa(b.N)
		w.start("s", "steps", steps)
		w.completes("s", steps)
		b.ReportMetric(float64(n.Counters().Commits)/float64(b.N), "commits/step")
	})
}

// BenchmarkOpen300 is the time of a step with 300 instances of 100 steps open.
func BenchmarkOpen300(b *testing.B) {
	benchWorld(b, func(b *testing.B, w *world, n *simtest.Node) {
		for round := range b.N {
			begun := time.Now()
			for i := range 300 {
				w.start(strconv.Itoa(round)+"-"+strconv.Itoa(i), "steps", "100")
			}
			for i := range 300 {
				w.completes(strconv.Itoa(round)+"-"+strconv.Itoa(i), "100")
			}
			b.ReportMetric(300*100/time.Since(begun).Seconds(), "steps/s")
		}
		c := n.Counters()
		b.ReportMetric(float64(c.TurnsCommitted)/float64(c.Commits), "turns/commit")
		b.ReportMetric(float64(c.SettledAlone)/float64(b.N), "settled/round")
	})
}

// BenchmarkFan is the time of an instance with 1,000 activities side by side.
func BenchmarkFan(b *testing.B) {
	benchWorld(b, func(b *testing.B, w *world, n *simtest.Node) {
		for round := range b.N {
			w.start(strconv.Itoa(round), "fan", "1000")
			w.completes(strconv.Itoa(round), "1999") // bytes of the list of a thousand x
		}
		b.ReportMetric(1000*float64(b.N)/b.Elapsed().Seconds(), "activities/s")
		b.ReportMetric(float64(n.Counters().Commits)/float64(b.N), "commits/fan")
	})
}

// BenchmarkHellos is the time of a hello with 300 of them open.
func BenchmarkHellos(b *testing.B) {
	benchWorld(b, func(b *testing.B, w *world, _ *simtest.Node) {
		open := make(chan struct{}, 300)
		var all sync.WaitGroup
		for i := range b.N {
			open <- struct{}{}
			all.Go(func() {
				defer func() { <-open }()
				id := strconv.Itoa(i)
				w.start(id, "hello", "x")
				w.completes(id, "hello x")
			})
		}
		all.Wait()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "hellos/s")
	})
}

// BenchmarkBurst is the time of a hello when all are started by one caller, one after another.
func BenchmarkBurst(b *testing.B) {
	benchWorld(b, func(b *testing.B, w *world, n *simtest.Node) {
		for i := range b.N {
			w.start(strconv.Itoa(i), "hello", "x")
		}
		for i := range b.N {
			w.completes(strconv.Itoa(i), "hello x")
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "hellos/s")
		b.ReportMetric(float64(n.Counters().Commits)/float64(b.N), "commits/hello")
	})
}

// BenchmarkHop is the time from an event that is raised to the end of the instance that waited for it.
func BenchmarkHop(b *testing.B) {
	benchWorld(b, func(b *testing.B, w *world, _ *simtest.Node) {
		for i := range b.N {
			w.start(strconv.Itoa(i), "waits", "")
		}
		b.ResetTimer()
		for i := range b.N {
			w.must(w.client.RaiseEvent(w.ctx, strconv.Itoa(i), "go", "x"))
			w.completes(strconv.Itoa(i), "x")
		}
	})
}

// BenchmarkNodes is the time of a step with 300 instances of 100 steps open, on one PostgreSQL and several nodes. Each is
// started a share of them, or the first one is started all.
func BenchmarkNodes(b *testing.B) {
	for _, c := range []struct {
		name          string
		nodes, starts int
	}{{"1", 1, 1}, {"2", 2, 2}, {"4", 4, 4}, {"2 all by one", 2, 1}} {
		b.Run(c.name, func(b *testing.B) {
			schema := database.Schema(b)
			p := standard()
			worlds := make([]*world, c.nodes)
			for i := range worlds {
				worlds[i] = newWorld(b, elsewhere(b, schema), nil)
				simtest.Start(b, worlds[i].store, p, func(o *engine.Options) { o.VerifyReplay, o.Log = 0, nil })
			}
			b.ResetTimer()
			for round := range b.N {
				var all sync.WaitGroup
				for k, w := range worlds[:c.starts] {
					all.Go(func() {
						for i := k; i < 300; i += c.starts {
							w.start(strconv.Itoa(round)+"-"+strconv.Itoa(i), "steps", "100")
						}
						for i := k; i < 300; i += c.starts {
							w.completes(strconv.Itoa(round)+"-"+strconv.Itoa(i), "100")
						}
					})
				}
				all.Wait()
			}
			b.ReportMetric(float64(b.N)*300*100/b.Elapsed().Seconds(), "steps/s")
		})
	}
}
