package viewleader

import (
	"context"
	"net"
	"testing"
	"time"

	"viewring/internal/wait"
	"viewring/internal/wire"
)

// trio is a group of view leaders in one process, over real sockets.
type trio struct {
	t       *testing.T
	options []Options
	members []*Service // nil while stopped
	addrs   []string
	leader  *wire.Leader // a client of all
}

func startTrio(t *testing.T, n int) *trio {
	t.Helper()
	g := &trio{t: t, members: make([]*Service, n)}
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		o := testOptions(t)
		o.Listener, o.Listen = ln, ln.Addr().String()
		g.addrs = append(g.addrs, o.Listen)
		g.options = append(g.options, o)
	}
	for i := range g.options {
		g.options[i].Peers = g.addrs
		g.start(i)
	}
	g.leader = wire.NewLeader(g.addrs, nil)
	t.Cleanup(func() { _ = g.leader.Close() })
	g.waitGroup("all vote", func(p *wire.Group) bool {
		voters := 0
		for _, m := range p.Members {
			if m.Voter && m.Heard && m.Lag == 0 {
				voters++
			}
		}
		return p.Head != 0 && voters == n && len(p.Members) == n
	})
	return g
}

func (g *trio) start(i int) {
	g.t.Helper()
	g.members[i] = start(g.t, g.options[i])
	g.options[i].Listener = nil
}

func (g *trio) stop(i int) {
	g.t.Helper()
	if err := g.members[i].Close(); err != nil {
		g.t.Fatal(err)
	}
	g.members[i] = nil
}

// waitGroup waits until the group is as wanted, and returns it.
func (g *trio) waitGroup(what string, ok func(*wire.Group) bool) *wire.Group {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), 2*time.Minute)
	defer cancel()
	for {
		p, err := g.leader.Group(ctx)
		if err == nil && ok(&p) {
			return &p
		}
		if !wait.For(ctx, 20*time.Millisecond) {
			g.t.Fatalf("%s: not seen in time; last %+v, %v", what, p, err)
		}
	}
}

// head waits for a head and returns which member it is.
func (g *trio) head() int {
	g.t.Helper()
	p := g.waitGroup("a head", func(p *wire.Group) bool { return p.Head != 0 })
	for i, addr := range g.addrs {
		for _, m := range p.Members {
			if m.ID == p.Head && m.Addr == addr {
				return i
			}
		}
	}
	g.t.Fatalf("the head %d is none of %v", p.Head, g.addrs)
	return -1
}

func TestGroupOutlivesItsHead(t *testing.T) {
	g := startTrio(t, 3)
	last := uint64(0)
	for round := range 4 {
		token, err := g.leader.LockGet(t.Context(), wire.LockAsk{Lock: "deploy", Client: "alice"})
		if err != nil || token <= last {
			t.Fatalf("round %d: token %d after %d, %v", round, token, last, err)
		}
		last = token
		i := g.head()
		g.stop(i)
		began := time.Now()
		again, err := g.leader.LockGet(t.Context(), wire.LockAsk{Lock: "deploy", Client: "alice"})
		if err != nil || again != token {
			t.Fatalf("round %d: token %d, then %d, %v", round, token, again, err)
		}
		t.Logf("round %d: answered again after %v", round, time.Since(began).Round(time.Millisecond))
		if err := g.leader.LockFree(t.Context(), "deploy", "alice", 0); err != nil {
			t.Fatal(err)
		}
		g.start(i)
		g.waitGroup("it caught up", func(p *wire.Group) bool {
			ok := p.Head != 0 && len(p.Members) == 3
			for _, m := range p.Members {
				ok = ok && m.Heard && m.Voter && m.Lag == 0
			}
			return ok
		})
	}
}
