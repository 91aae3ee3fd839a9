package bubble

import (
	"context"
	"time"

	"viewring/client/admin"
	"viewring/ring"
)

// membersMax bounds the joins.
const membersMax = 7

// disturb plays the faults of the seed, one after the other but each going on
// for a while, and returns when the last is over and everything is repaired.
func (w *world) disturb() {
	for range w.opts.Faults {
		w.rest(w.between(w.opts.Span/time.Duration(2*w.opts.Faults), 3*w.opts.Span/time.Duration(2*w.opts.Faults)))
		w.fault()
	}
	w.faults.Wait()
	w.powerBack()
}

func (w *world) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(w.rng.Int64N(int64(hi-lo)+1))
}

func (w *world) chance(p float64) bool { return w.rng.Float64() < p }

// during does something now, and undoes it after a while, beside other faults.
func (w *world) during(kind string, d time.Duration, do func(), undo func()) {
	w.counts[kind]++
	w.trace.note("fault: %s for %v", kind, d)
	do()
	w.faults.Go(func() {
		w.rest(d)
		undo()
	})
}

// kinds are the faults, each as often as it is listed.
var kinds = []func(w *world, n *node, d time.Duration, c crash){
	func(w *world, n *node, _ time.Duration, c crash) {
		w.during("crash for long", outAfter+w.between(0, 20*time.Second), func() { n.crash(c) }, n.begin)
	},
	crashServer, crashServer,
	cutAll, cutAll,
	func(w *world, _ *node, d time.Duration, c crash) {
		n := w.leader()
		w.during("view leader crash", d, func() { n.crash(c) }, n.begin)
	},
	func(w *world, _ *node, d time.Duration, c crash) {
		w.powerCut("view leaders' power cut", w.leaders, d, c)
	},
	func(w *world, _ *node, d time.Duration, _ crash) {
		n := w.leader()
		w.cut("view leader isolated", d, condition{held: true, lossy: w.chance(0.5)}, append(w.around(n, false), w.around(n, true)...))
	},
	func(w *world, _ *node, d time.Duration, _ crash) {
		w.cut("view leader slow", d, condition{slow: w.between(10*time.Millisecond, time.Second)}, w.around(w.leader(), w.chance(0.5)))
	},
	func(w *world, n *node, d time.Duration, _ crash) {
		w.cut("isolated", d, condition{held: true, lossy: w.chance(0.5)}, append(w.around(n, false), w.around(n, true)...))
	},
	func(w *world, n *node, d time.Duration, _ crash) {
		w.cut("pause", d, condition{held: true}, append(append(w.around(n, false), w.around(n, true)...), path{n.name, outside}, path{outside, n.name}))
	},
	func(w *world, n *node, d time.Duration, _ crash) {
		w.cut("one way", d, condition{held: true, lossy: w.chance(0.5)}, w.around(n, w.chance(0.5)))
	},
	func(w *world, n *node, d time.Duration, _ crash) {
		other := w.servers[w.rng.IntN(len(w.servers))]
		w.cut("link cut", d, condition{held: true, lossy: w.chance(0.5)}, []path{{n.name, other.name}, {other.name, n.name}})
	},
	func(w *world, n *node, d time.Duration, _ crash) {
		var paths []path
		for _, l := range w.leaders {
			paths = append(paths, path{n.name, l.name}, path{l.name, n.name})
		}
		w.cut("no view leader", d, condition{held: true, lossy: w.chance(0.5)}, paths)
	},
	func(w *world, n *node, d time.Duration, _ crash) {
		w.cut("slow", d, condition{slow: w.between(10*time.Millisecond, time.Second)}, w.around(n, w.chance(0.5)))
	},
	func(w *world, n *node, _ time.Duration, _ crash) { w.joinOrLeave(n) },
	func(w *world, n *node, _ time.Duration, _ crash) { w.drain(n) },
}

func (w *world) fault() {
	n := w.servers[w.rng.IntN(len(w.servers))]
	d := w.between(200*time.Millisecond, 8*time.Second)
	c := crash{silent: w.chance(0.4), percent: w.rng.IntN(101)}
	if w.chance(0.7) {
		c.after = 1 + w.rng.IntN(60)
	}
	kinds[w.rng.IntN(len(kinds))](w, n, d, c)
}

// leader is one of the view leaders, mostly the head.
func (w *world) leader() *node {
	any := w.leaders[w.rng.IntN(len(w.leaders))]
	if len(w.leaders) == 1 || w.chance(0.4) {
		return any
	}
	ctx, cancel := context.WithTimeout(context.Background(), operatorPatience)
	defer cancel()
	g, err := admin.ViewLeaders(ctx, w.options())
	if err != nil {
		return any // there is none, most likely
	}
	for _, m := range g.Members {
		for _, n := range w.leaders {
			if m.Head && n.addr == m.Addr {
				return n
			}
		}
	}
	return any
}

func crashServer(w *world, n *node, d time.Duration, c crash) {
	w.during("crash", d, func() { n.crash(c) }, n.begin)
}

func cutAll(w *world, _ *node, _ time.Duration, c crash) {
	w.powerCut("power cut", w.nodes(), w.between(armedMax, 2*time.Second), c)
}

// powerCut ends some at one moment, that of one of them, while all their disks are
// slow. Often nothing stays that was not synced: what somebody was told too early is
// nowhere then.
func (w *world) powerCut(kind string, nodes []*node, d time.Duration, c crash) {
	if c.with = nodes; w.chance(0.6) {
		c.percent = 0
	}
	for _, n := range nodes {
		n.slowDown()
	}
	w.rest(slowBefore)
	w.during(kind, d, func() { nodes[w.rng.IntN(len(nodes))].crash(c) }, w.powerBack)
}

func (w *world) powerBack() {
	for _, n := range w.nodes() {
		n.begin()
	}
}

// around are the paths between a node and all others but the clients, one way.
func (w *world) around(n *node, inward bool) []path {
	var paths []path
	for _, o := range w.nodes() {
		if p := (path{n.name, o.name}); o != n && inward {
			paths = append(paths, path{p.to, p.from})
		} else if o != n {
			paths = append(paths, p)
		}
	}
	return paths
}

func (w *world) cut(kind string, d time.Duration, c condition, paths []path) {
	heal := func() {}
	w.during(kind, d, func() {
		w.trace.note("%v are %+v", paths, c)
		heal = w.net.set(c, paths...)
	}, func() { heal() })
}

// operatorPatience bounds what an operator waits for the view leader.
const operatorPatience = 2 * time.Second

func (w *world) joinOrLeave(n *node) {
	members := w.admin.View().Members
	targets := 0
	for i := range members {
		if members[i].Target() {
			targets++
		}
	}
	if len(w.servers) < membersMax && (targets <= 3 || w.chance(0.5)) {
		w.counts["join"]++
		w.trace.note("fault: join")
		w.add()
		return
	}
	if targets <= 3 || n.hasLeft() {
		return
	}
	w.counts["leave"]++
	w.trace.note("fault: leave of %s", n.name)
	w.operate(func(ctx context.Context) error {
		_, err := w.admin.Leave(ctx, n.addr)
		return err
	})
}

// drain takes a server out for a planned restart.
func (w *world) drain(n *node) {
	if n.hasLeft() || !n.isUp() {
		return
	}
	w.counts["drain"]++
	w.trace.note("fault: drain of %s", n.name)
	w.operate(func(ctx context.Context) error {
		_, err := w.admin.Drain(ctx, n.addr)
		return err
	})
	w.faults.Go(func() {
		for until := time.Now().Add(2 * time.Second); time.Now().Before(until) && w.acts(n); {
			w.rest(100 * time.Millisecond)
		}
		n.finish()
		w.rest(500 * time.Millisecond)
		n.begin()
	})
}

func (w *world) operate(do func(ctx context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), operatorPatience)
	defer cancel()
	if err := do(ctx); err != nil {
		w.trace.note("the operator is told: %v", err)
	}
}

func (w *world) acts(n *node) bool {
	v := w.admin.View()
	for i := range v.Members {
		if v.Members[i].Addr != n.addr {
			continue
		}
		for p := range v.Partitions {
			if v.Partitions[p].IsActing(ring.ServerID(v.Members[i].ID)) {
				return true
			}
		}
	}
	return false
}
