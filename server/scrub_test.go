package server

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/replica"
	"viewring/tests/damage"
)

// noise is a value that no compression shortens.
func noise(seed byte, n int) []byte {
	b := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{seed})
	_, _ = rng.Read(b)
	return b
}

// corruptItem changes a byte of what a server stores at a key, past its core.
func corruptItem(t *testing.T, s *Server, name string) {
	t.Helper()
	slot := ring.SlotOf(name)
	p := ring.PartitionOf(slot, len(s.views.View().Partitions))
	key := replica.MakeKey(slot, replica.SpaceUser, name)
	item, err := s.store.Get(p, key)
	if err != nil || item == nil {
		t.Fatalf("%v has no %s: %v", s.ID(), name, err)
	}
	item[len(item)-1] ^= 1
	wait, err := s.store.ApplyBatch(&replica.Batch{Ops: []replica.StoreOp{{Kind: replica.PutItem, Partition: p, Key: key, Value: item}}})
	if err == nil {
		err = wait()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// intact reports whether a server has a key's value as it should be.
func (c *cluster) intact(s *Server, name string, want []byte) bool {
	slot := ring.SlotOf(name)
	key := replica.MakeKey(slot, replica.SpaceUser, name)
	item, err := s.store.Get(ring.PartitionOf(slot, len(s.views.View().Partitions)), key)
	if err != nil || item == nil {
		return false
	}
	it, err := replica.DecodeItem(key, item)
	return err == nil && bytes.Equal(it.Value, want)
}

// scrub starts one at a server and returns how it went.
func (c *cluster) scrub(s *Server) wire.ScrubReport {
	c.t.Helper()
	conn := dial(c.t, s.Addr())
	v, err := conn.Do(context.Background(), []byte(wire.CmdScrub), []byte(wire.ScrubStart))
	if err != nil {
		c.t.Fatal(err)
	}
	var r wire.ScrubReport
	c.wait("the scrub ends", func() bool {
		status, err := conn.Do(context.Background(), []byte(wire.CmdScrub), []byte(wire.ScrubStatus))
		if err != nil {
			c.t.Fatal(err)
		}
		if r, err = wire.DecodeScrubReport(status.Bytes); err != nil {
			c.t.Fatal(err)
		}
		return r.Number >= uint64(v.Int) && !r.Running
	})
	return r
}

// TestCorruptKeys: a read of one finds it, a scrub another; both get repaired, and
// nobody is told anything but the right value.
func TestCorruptKeys(t *testing.T) {
	c := startClusterKeeping(t, 3, 8, 2, 1) // in memory nothing gets corrupt
	for i := range 20 {
		c.set(fmt.Sprint("k", i), fmt.Sprint("v", i))
	}
	for _, s := range c.servers {
		corruptItem(t, s, fmt.Sprint("k", int(s.ID())))
	}
	for i := 10; i < 20; i++ { // at its primary, where a read meets it
		name := fmt.Sprint("k", i)
		v := c.servers[1].views.View()
		corruptItem(t, c.servers[v.Partitions[ring.PartitionOf(ring.SlotOf(name), len(v.Partitions))].Primary()], name)
	}
	for i := range 20 {
		c.expect(fmt.Sprint("k", i), fmt.Sprint("v", i))
	}
	for _, s := range c.servers {
		name := fmt.Sprint("k", int(s.ID()))
		if _, err := c.do([]byte("APPEND"), []byte(name), []byte("+")); err != nil {
			t.Error(err)
		}
		c.expect(name, fmt.Sprint("v", int(s.ID()), "+"))
	}
	for _, s := range c.servers {
		if r := c.scrub(s); r.Unrepairable != 0 || r.Failed != "" {
			t.Errorf("%v: %+v", s.ID(), r)
		}
	}
	c.wait("the heartbeats tell", func() bool {
		corrupt, repaired := uint64(0), uint64(0)
		for _, s := range c.servers {
			st := s.stats()
			corrupt, repaired = corrupt+st.Corrupt, repaired+st.Repaired
		}
		return corrupt >= 10 && repaired >= 10
	})
	for _, s := range c.servers {
		for i := range 20 {
			want := fmt.Sprint("v", i)
			if i >= 1 && i <= 3 {
				want += "+"
			}
			if name := fmt.Sprint("k", i); !c.intact(s, name, []byte(want)) {
				t.Errorf("%v's copy of %s is not repaired", s.ID(), name)
			}
		}
	}
}

// TestDamagedLog: a server whose log has damaged records is restarted, so that nothing
// of it is in memory. All is read as before; a scrub finds the damage, be it one that
// the server begins when it meets it, the values are repaired, and the next scrub finds
// nothing.
func TestDamagedLog(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 4, 8, 2)
	const keys = 60
	value := func(i int) []byte { return noise(byte(i), 20_000) }
	for i := range keys {
		c.set(fmt.Sprint("k", i), string(value(i)))
	}
	flipped := 0
	for i := range keys {
		if i%20 == 0 && damage.Text(t, c.fs[2], string(value(i)[5000:5100])) {
			flipped++
		}
	}
	if flipped == 0 {
		t.Fatal("nothing to flip")
	}
	c.restart(2)
	c.waitBalanced()
	for i := range keys {
		c.expect(fmt.Sprint("k", i), string(value(i)))
	}
	// Whether a read or the scrub meets the damage first depends on who is primary by then.
	if r := c.scrub(c.servers[2]); c.servers[2].store.Corruptions() == 0 && r.Corrupt == 0 || r.Unrepairable != 0 || r.Failed != "" || r.Bytes < 20_000 {
		t.Errorf("%+v, %d corruptions", r, c.servers[2].store.Corruptions())
	}
	c.waitBalanced()
	if r := c.scrub(c.servers[2]); r.Corrupt != 0 {
		t.Errorf("again: %+v", r)
	}
	for i := range keys {
		c.expect(fmt.Sprint("k", i), string(value(i)))
	}
}

// restart stops a server and starts it again on its disk.
func (c *cluster) restart(id ring.ServerID) {
	c.t.Helper()
	if err := c.servers[id].Close(); err != nil {
		c.t.Fatal(err)
	}
	delete(c.servers, id)
	c.join(c.fs[id])
}

// TestCorruptEverywhere: nobody can mend it, and everybody says so.
func TestCorruptEverywhere(t *testing.T) {
	c := startClusterKeeping(t, 1, 4, 1, 1)
	c.set("k", "v")
	corruptItem(t, c.servers[1], "k")
	conn := dial(t, c.servers[1].Addr())
	if v, err := conn.Do(context.Background(), []byte("GET"), []byte("k")); !wire.IsCode(err, wire.CodeCorrupt) {
		t.Errorf("%v, %v", v, err)
	}
}

// TestScrubPastTheCache: a key that a scrub has found to be corrupt is repaired though its
// lane has the item in memory, as it was read.
func TestScrubPastTheCache(t *testing.T) {
	c := startCluster(t, 3, 8, 2)
	c.set("k", "v")
	v, _ := c.leader.view()
	slot := ring.SlotOf("k")
	p := ring.PartitionOf(slot, len(v.Partitions))
	s := c.servers[v.Partitions[p].Primary()]
	c.expect("k", "v")
	corruptItem(t, s, "k")
	c.expect("k", "v") // from memory
	s.lanes.Corrupt(p, replica.MakeKey(slot, replica.SpaceUser, "k"))
	c.wait("the copy on the disk is repaired", func() bool { return c.intact(s, "k", []byte("v")) })
}
