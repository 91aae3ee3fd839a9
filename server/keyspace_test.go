package server

import (
	"fmt"
	"slices"
	"testing"

	"viewring/internal/disk/crashdisk"
	"viewring/internal/wire"
	"viewring/ring"
)

// TestScanThroughJoin lets a server join in the middle of a scan: what has not moved
// comes, and together the servers tell all.
func TestScanThroughJoin(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 16, 2)
	for i := range 200 {
		c.set(fmt.Sprint("k", i), "v")
	}
	before, _ := c.leader.view()
	at := make(map[ring.ServerID]string)
	found := make(map[ring.ServerID]scanned)
	for id, s := range c.servers {
		found[id] = scanned{}
		at[id] = found[id].page(t, s, "0", 10)
	}
	c.join(crashdisk.Mem())
	c.waitBalanced()
	after, _ := c.leader.view()
	for id, cursor := range at {
		found[id].rest(t, c.servers[id], cursor, 10, nil)
	}
	moved := 0
	for i := range 200 {
		name := fmt.Sprint("k", i)
		p := ring.PartitionOf(ring.SlotOf(name), 16)
		was := before.Partitions[p].Primary()
		if was != after.Partitions[p].Primary() {
			moved++
		} else if found[was][name] == 0 {
			t.Errorf("%s did not move from %v and was left out", name, was)
		}
	}
	if moved == 0 || moved == 200 {
		t.Errorf("%d keys moved", moved)
	}
	var all []string
	sum := int64(0)
	for _, s := range c.servers {
		conn := dial(t, s.Addr())
		v, err := ask(t, conn, "KEYS", "k*")
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range v.Array {
			all = append(all, n.Text())
		}
		n, err := ask(t, conn, "DBSIZE")
		if err != nil || n.Int != int64(len(v.Array)) {
			t.Errorf("DBSIZE %v, %v, KEYS tells %d", n, err, len(v.Array))
		}
		sum += n.Int
		if one, err := ask(t, conn, "RANDOMKEY"); err != nil || n.Int > 0 && !slices.Contains(all, one.Text()) {
			t.Errorf("RANDOMKEY %v, %v", one, err)
		}
	}
	slices.Sort(all)
	if sum != 200 || len(slices.Compact(all)) != 200 {
		t.Errorf("the servers have %d keys, %d names", sum, len(slices.Compact(all)))
	}
	for _, s := range c.servers {
		if v, err := ask(t, dial(t, s.Addr()), "FLUSHALL"); err != nil || v.Text() != "OK" {
			t.Errorf("FLUSHALL: %v, %v", v, err)
		}
	}
	for i := range 200 {
		c.expect(fmt.Sprint("k", i), "")
	}
}

// A server answers for its part of the whole only in the view that it is asked for.
func TestWhole(t *testing.T) {
	s := startCluster(t, 1, 4, 1).servers[1]
	conn := dial(t, s.Addr())
	for i := range 20 {
		if v, err := ask(t, conn, "SET", fmt.Sprint("k", i), "v"); err != nil || v.Text() != "OK" {
			t.Fatal(v, err)
		}
	}
	epoch := s.views.View().Epoch
	for _, tt := range []struct {
		epoch uint64
		what  string
		want  string
	}{
		{epoch, "DBSIZE", "20"},
		{epoch - 1, "DBSIZE", wire.WholeAgain},
		{epoch + 1, "FLUSHALL", wire.WholeAgain},
		{epoch, "DBSIZE", "20"},
		{epoch, "FLUSHALL", "OK"},
		{epoch, "DBSIZE", "0"},
	} {
		v, err := ask(t, conn, wire.CmdWhole, fmt.Sprint(tt.epoch), tt.what)
		got := v.Text()
		if v.Kind == wire.KindInt {
			got = fmt.Sprint(v.Int)
		}
		if err != nil || got != tt.want {
			t.Errorf("%s in view %d, ours is %d: %q, %v, want %q", tt.what, tt.epoch, epoch, got, err, tt.want)
		}
	}
	if _, err := ask(t, conn, wire.CmdWhole, fmt.Sprint(epoch), "SET"); err == nil {
		t.Error("SET is no part of a whole")
	}
}
