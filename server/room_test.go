package server

import (
	"strings"
	"sync/atomic"
	"testing"

	"viewring/internal/disk"
	"viewring/internal/disk/crashdisk"
	"viewring/internal/wire"
	"viewring/ring"
)

// reserve is how much a server that is told nothing keeps free on its disk.
const reserve = 64 << 20

// gaugedFS is a disk whose free room the test sets.
type gaugedFS struct {
	disk.FS
	free atomic.Uint64
}

func (g *gaugedFS) Free() (uint64, bool) { return g.free.Load(), true }

// gauged starts a cluster whose last server's disk the test fills.
func gauged(t *testing.T, minCopies int) (*cluster, *Server, *gaugedFS) {
	c := startCluster(t, 2, 16, minCopies)
	disk := &gaugedFS{FS: crashdisk.Mem()}
	disk.free.Store(1 << 30)
	s := c.start(c.options(disk))
	c.waitBalanced()
	return c, s, disk
}

func (c *cluster) actsFor(id ring.ServerID) int {
	v, _ := c.leader.view()
	n := 0
	for i := range v.Partitions {
		if v.Partitions[i].IsActing(id) {
			n++
		}
	}
	return n
}

// TestFullDiskLeaves: a full server gives everything to the others and learns
// nothing, until there is twice the reserve.
func TestFullDiskLeaves(t *testing.T) {
	t.Parallel()
	c, s, disk := gauged(t, 2)
	c.set("k", "1")
	disk.free.Store(reserve - 1)
	c.wait("the full server acts nowhere", func() bool { return c.actsFor(s.ID()) == 0 })
	if !s.stats().Full {
		t.Error("its heartbeats do not say that it is full")
	}
	c.set("k", "2")
	c.expect("k", "2")
	disk.free.Store(2*reserve - 1)
	s.room.Look()
	if !s.stats().Full {
		t.Error("it takes its place back with less than twice the reserve")
	}
	disk.free.Store(2 * reserve)
	c.waitBalanced()
	if c.actsFor(s.ID()) != 16 {
		t.Errorf("it acts for %d partitions", c.actsFor(s.ID()))
	}
}

// TestFullDiskRefuses: where the full server is needed writes are refused by its
// name, reads and deletes go on.
func TestFullDiskRefuses(t *testing.T) {
	t.Parallel()
	c, s, disk := gauged(t, 3)
	conns := make(map[string]*wire.Conn)
	once := func(args ...string) (wire.Value, error) {
		addr := s.Addr()
		for {
			if conns[addr] == nil {
				conns[addr] = dial(t, addr)
			}
			v, err := ask(t, conns[addr], args...)
			if !wire.IsCode(err, wire.CodeMoved) {
				return v, err
			}
			_, addr, _ = wire.ParseMoved(err.Error())
		}
	}
	keys := []string{"a", "b", "c", "d", "e", "f", "g", "h"} // of different primaries
	for _, k := range keys {
		c.set(k, "1")
	}
	disk.free.Store(1)
	for _, k := range keys {
		var err error
		c.wait("a write is refused", func() bool {
			_, err = once("SET", k, "2")
			return err != nil
		})
		if !wire.IsCode(err, wire.CodeReadOnly) || !strings.Contains(err.Error(), s.ID().String()+" ("+s.Addr()+")") {
			t.Errorf("set %q: %v", k, err)
		}
		if _, err := once("GET", k); err != nil {
			t.Errorf("get %q: %v", k, err)
		}
		if _, err := once("DEL", k); err != nil {
			t.Errorf("delete %q: %v", k, err)
		}
	}
	disk.free.Store(1 << 30)
	for _, k := range keys {
		c.wait("writes go on", func() bool {
			_, err := once("SET", k, "3")
			return err == nil
		})
		c.expect(k, "3")
	}
}
