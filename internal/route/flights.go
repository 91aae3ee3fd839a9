package route

import (
	"context"
	"errors"
	"sync"
	"time"

	"viewring/ring"
)

// rerouteGrace is what a server that lost a partition, but lives, gets to answer
// what it already has. One that is down gets nothing.
const rerouteGrace = 500 * time.Millisecond

var errRerouted = errors.New("the partition moved to another server")

// route says who serves a partition in a view.
type route struct {
	partition   ring.PartitionID
	server      ring.ServerID
	incarnation uint64
	addr        string
}

// routeIn returns the route for p; ok is false when nobody serves it.
func routeIn(v *ring.View, p ring.PartitionID) (r route, ok bool) {
	m := v.Member(v.Partitions[p].Primary())
	if m == nil {
		return route{partition: p}, false
	}
	return route{partition: p, server: m.ID, incarnation: m.Incarnation, addr: m.Addr}, true
}

// flights are the tries that wait for an answer. When a view moves a partition,
// its tries are cut short: the server that they went to may never answer.
type flights struct {
	mu   sync.Mutex
	open map[*flight]struct{}
}

type flight struct {
	route  route
	cancel context.CancelCauseFunc
	timer  *time.Timer // set when the partition has moved and the grace runs
}

func (f *flights) begin(ctx context.Context, r route) (context.Context, *flight) {
	ctx, cancel := context.WithCancelCause(ctx)
	fl := &flight{route: r, cancel: cancel}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open == nil {
		f.open = make(map[*flight]struct{})
	}
	f.open[fl] = struct{}{}
	return ctx, fl
}

func (f *flights) end(fl *flight) {
	f.mu.Lock()
	delete(f.open, fl)
	if fl.timer != nil {
		fl.timer.Stop()
	}
	f.mu.Unlock()
	fl.cancel(nil)
}

// reroute cuts short the tries that v sends elsewhere, and those to a server
// that is the last one and down.
func (f *flights) reroute(v *ring.View) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for fl := range f.open {
		if int(fl.route.partition) >= len(v.Partitions) {
			continue // another cluster's; its servers will say so
		}
		r, ok := routeIn(v, fl.route.partition)
		if fl.timer != nil || ok && r == fl.route && !v.Unserved(fl.route.partition) {
			continue
		}
		m := v.Member(fl.route.server)
		if m == nil || !m.Up || m.Incarnation != fl.route.incarnation {
			fl.cancel(errRerouted)
			continue
		}
		fl.timer = time.AfterFunc(rerouteGrace, func() { fl.cancel(errRerouted) })
	}
}
