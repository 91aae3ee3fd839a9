package admin

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"

	"viewring/client"
	"viewring/internal/route"
	"viewring/internal/wire"
)

// ViewLeaderGroup is the group of view leaders, as its head sees it.
type ViewLeaderGroup struct {
	Cluster [16]byte
	HasHead bool // false: no majority is up and connected, nothing can be decided
	Members []ViewLeader
	Awaited []string // addresses that may join and have not
}

// ViewLeader is a member of the group.
type ViewLeader struct {
	ID    uint64 // never used again
	Addr  string
	Head  bool
	Voter bool   // false: it catches up yet
	Up    bool   // heard lately by the head; while there is none, it answered
	Lag   uint64 // entries of the log that it has not acknowledged yet

	// What a connection of this client to it has shown.
	CertExpires time.Time // when its certificate expires; zero: not encrypted, or not known
	Unreachable error     // why there is none; nil: there was one
}

// Majority returns how many members that vote must be up, and how many are.
func (g *ViewLeaderGroup) Majority() (want, up int) {
	voters := 0
	for i := range g.Members {
		if m := &g.Members[i]; m.Voter {
			voters++
			if m.Up {
				up++
			}
		}
	}
	return voters/2 + 1, up
}

// ViewLeaders asks for the group of view leaders. It needs none of the servers, and
// no majority.
func ViewLeaders(ctx context.Context, opts client.Options) (*ViewLeaderGroup, error) {
	var raw wire.Group
	err := withLeader(opts, func(l *wire.Leader) (err error) {
		raw, err = l.Group(ctx)
		return err
	})
	if err != nil {
		return nil, route.Failed(ctx, "view leaders", err)
	}
	g := &ViewLeaderGroup{Cluster: raw.Cluster, HasHead: raw.Head != 0, Awaited: raw.Awaited}
	for _, m := range raw.Members {
		g.Members = append(g.Members, ViewLeader{ID: m.ID, Addr: m.Addr, Head: m.ID == raw.Head, Voter: m.Voter, Up: m.Heard, Lag: m.Lag})
	}
	g.visit(ctx, opts.Dialer)
	return g, nil
}

// visitMax bounds a connection that shows what a view leader shows to clients.
const visitMax = time.Second

// visit connects to all members side by side.
func (g *ViewLeaderGroup) visit(ctx context.Context, dial client.DialFunc) {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	ctx, cancel := context.WithTimeout(ctx, visitMax)
	defer cancel()
	var visiting sync.WaitGroup
	for i := range g.Members {
		m := &g.Members[i]
		visiting.Go(func() {
			nc, err := dial(ctx, "tcp", m.Addr)
			if err != nil {
				m.Unreachable = err
				return
			}
			defer nc.Close() // nothing was said
			if encrypted, ok := nc.(*tls.Conn); ok {
				m.CertExpires = encrypted.ConnectionState().PeerCertificates[0].NotAfter
			}
		})
	}
	visiting.Wait()
}

// AddViewLeader lets the view leader at an address, started with an empty data
// folder, join the group.
func AddViewLeader(ctx context.Context, opts client.Options, addr string) error {
	return groupSet(ctx, opts, wire.GroupAdd, addr)
}

// RemoveViewLeader takes a view leader, by id or address, out of the group for good.
// It is client.ErrRefused where the others would be no majority.
func RemoveViewLeader(ctx context.Context, opts client.Options, who string) error {
	return groupSet(ctx, opts, wire.GroupRemove, who)
}

func groupSet(ctx context.Context, opts client.Options, verb, who string) error {
	return route.Failed(ctx, verb+" view leader "+who, withLeader(opts, func(l *wire.Leader) error { return l.GroupSet(ctx, verb, who) }))
}

// withLeader has a view leader asked without looking for the cluster.
func withLeader(opts client.Options, ask func(*wire.Leader) error) error {
	router := route.New(route.Options(opts))
	defer router.Close() // never fails
	return ask(router.Leader())
}
