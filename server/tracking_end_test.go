package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"viewring/internal/disk/crashdisk"
	"viewring/ring"
)

// TestTrackingPartitionLeaves: when another server takes a partition over, who keeps values of it
// is told, and of no others where that is known.
func TestTrackingPartitionLeaves(t *testing.T) {
	c := startCluster(t, 1, 16, 1)
	first := c.servers[1]
	const keys = 100
	for i := range keys {
		c.set(fmt.Sprint("k", i), "v")
	}
	k := &cache{l: listenTo(t, first, "3"), kept: make(map[string]string)}
	all := &cache{l: listenTo(t, first, "3"), kept: make(map[string]string)}
	k.l.ask("CLIENT TRACKING ON")
	all.l.ask("CLIENT TRACKING ON BCAST PREFIX k")
	for i := range keys {
		name := fmt.Sprint("k", i)
		k.l.send("GET " + name)
		all.l.send("GET " + name)
		k.kept[name], all.kept[name] = render(k.reply()), render(all.reply())
	}
	c.join(crashdisk.Mem())
	c.waitBalanced()
	c.wait("the keys that moved are told", func() bool {
		k.l.send("PING")
		all.l.send("PING")
		k.reply()
		all.reply()
		v, _ := c.leader.view()
		stay := 0
		for i := range keys {
			name := fmt.Sprint("k", i)
			if v.Partitions[ring.PartitionOf(ring.SlotOf(name), len(v.Partitions))].Primary() == first.ID() {
				stay++
			} else if k.kept[name] != "" {
				return false
			}
		}
		if stay == 0 || stay == keys {
			t.Fatalf("%d keys of %d stay", stay, keys)
		}
		return len(k.kept) == stay && len(all.kept) == 0
	})
}

// cutOff makes connections of a server that can be broken, and stay so.
type cutOff struct {
	mu    sync.Mutex
	off   bool
	conns []net.Conn
}

func (c *cutOff) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.off {
		return nil, errors.New("cut off")
	}
	nc, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	c.conns = append(c.conns, nc)
	return nc, err
}

func (c *cutOff) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off = true
	for _, nc := range c.conns {
		if nc != nil {
			_ = nc.Close()
		}
	}
}

// TestTrackingCutOff: a server that hears nothing of the others any more, and so does not know
// whether they have replaced it, tells its clients that what they keep is old.
func TestTrackingCutOff(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 0, 4, 1)
	var network cutOff
	for range 2 {
		fs := crashdisk.Mem()
		o := c.options(fs)
		o.Dial = network.dial
		s := c.start(o)
		c.fs[s.ID()] = fs
	}
	c.waitBalanced()
	v, _ := c.leader.view()
	s := c.servers[v.Partitions[ring.PartitionOf(ring.SlotOf("a"), len(v.Partitions))].Primary()]
	c.set("a", "v")
	reader, all := listenTo(t, s, "3"), listenTo(t, s, "3")
	reader.ask("CLIENT TRACKING ON")
	all.ask("CLIENT TRACKING ON BCAST")
	c.wait("there is a lease", func() bool { return reader.ask("GET a") == "v" })
	reader.quiet("PONG")
	network.cut()
	reader.want(">[invalidate [a]]")
	all.want(">[invalidate nil]")
}

// TestTrackingSlowReader: who does not read what it is told is told once that all is old, and
// nothing is kept for it but that.
func TestTrackingSlowReader(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 4, 1)
	s := c.servers[1]
	l := listenTo(t, s, "3")
	l.ask("CLIENT TRACKING ON BCAST")
	post := &connOf(s, l.ask("CLIENT ID")).post
	writer := listenTo(t, s, "2")
	all := func() bool {
		post.mu.Lock()
		defer post.mu.Unlock()
		return post.mu.next.all
	}
	for i := 0; !all(); i++ {
		writer.ask(fmt.Sprint("SET ", strings.Repeat("x", 60_000), i%8, " v"))
	}
	writer.ask("SET after v")
	for got := ""; got != ">[invalidate nil]"; {
		got = l.next()
	}
	writer.ask("SET later v")
	l.want(">[invalidate [later]]")
	if n := s.frontend.Reached().Cut.Load(); n != 0 {
		t.Errorf("%d were cut off", n)
	}
}

// TestTrackingNoRoom: what there is no room to remember may not be kept.
func TestTrackingNoRoom(t *testing.T) {
	c := startCluster(t, 1, 4, 1)
	s := c.servers[1]
	s.notifier.tracker.bytesMax = readerBytes + 1
	l := listenTo(t, s, "3")
	l.ask("CLIENT TRACKING ON")
	l.send("GET a")
	l.want("nil")
	l.send("GET longer")
	l.want("nil", ">[invalidate [longer]]")
	l.send("GET b")
	l.want("nil", ">[invalidate [a]]")
	l.quiet("PONG")
}
