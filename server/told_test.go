package server

import (
	"sync"
	"testing"

	"viewring/internal/disk/crashdisk"
	"viewring/ring"
	"viewring/server/replica"
)

// syncGate holds up the syncs of a log while it is shut.
type syncGate struct {
	mu      sync.Mutex
	shut    bool
	waiting int           // syncs
	pass    chan struct{} // one for each that may go on
	opened  sync.Once
}

func newSyncGate() *syncGate { return &syncGate{pass: make(chan struct{})} }

// step holds up a synced write.
func (g *syncGate) step(st crashdisk.Step) error {
	if st.Kind != crashdisk.WriteSync {
		return nil
	}
	g.mu.Lock()
	if !g.shut {
		g.mu.Unlock()
		return nil
	}
	g.waiting++
	g.mu.Unlock()
	<-g.pass
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting--
	return nil
}

func (g *syncGate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
}

func (g *syncGate) has() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting > 0
}

// open lets all syncs through, now and from now on.
func (g *syncGate) open() {
	g.set(false)
	g.opened.Do(func() { close(g.pass) })
}

// copyOf is what a server's core knows of its copy of partition 0.
func copyOf(s *Server) (c replica.Copy) {
	s.lanes.Of(0).InTurn(func(core *replica.Core, _ int64) { c = core.Inspect(0) })
	return c
}

// TestToldWhenSynced holds up syncs: batches that wait for theirs are not committed,
// and not answered, however many were synced before them; neither where the disk is
// the primary's own nor where it is a backup's.
func TestToldWhenSynced(t *testing.T) {
	for _, slow := range []string{"primary", "backup"} {
		t.Run(slow, func(t *testing.T) {
			c := startCluster(t, 0, 2, 2)
			gates := make(map[ring.ServerID]*syncGate)
			for range 2 {
				g := newSyncGate()
				mem := crashdisk.Mem()
				mem.Watch(g.step)
				gates[c.start(c.options(mem)).ID()] = g
			}
			c.waitBalanced()
			v, _ := c.leader.view()
			primary := v.Partitions[0].Primary()
			held := primary
			if slow == "backup" {
				held = v.Partitions[0].Acting[1]
			}
			c.toldWhenSynced(c.servers[primary], c.servers[held], gates[held])
		})
	}
}

func (c *cluster) toldWhenSynced(primary, held *Server, gate *syncGate) {
	c.t.Helper()
	before := copyOf(primary)
	gate.set(true)
	defer gate.open()
	key := "k"
	for ring.PartitionOf(ring.SlotOf(key), 2) != 0 {
		key += "k"
	}
	const writes = 3
	answered := make(chan error, writes)
	for i := range writes {
		conn := dial(c.t, primary.Addr())
		go func() {
			_, err := conn.Do(c.t.Context(), []byte("SET"), []byte(key), []byte{byte('0' + i)})
			answered <- err
		}()
		c.wait("the write is applied, and a sync is held up", func() bool {
			return copyOf(held).Last.Seq == before.Last.Seq+uint64(i)+1 && gate.has()
		})
	}
	if at := copyOf(primary); at.Commit != before.Commit || len(answered) > 0 {
		c.t.Errorf("nothing is synced, and %d are answered, committed up to %d after %d", len(answered), at.Commit, before.Commit)
	}
	gate.pass <- struct{}{}
	if err := <-answered; err != nil {
		c.t.Error(err)
	}
	c.wait("the next sync is held up", gate.has)
	if at := copyOf(held); at.Durable != before.Last.Seq+1 {
		c.t.Errorf("one entry after %d is synced, and %d is taken for durable", before.Last.Seq, at.Durable)
	}
	if at := copyOf(primary); at.Commit != before.Commit+1 || len(answered) > 0 {
		c.t.Errorf("one entry after %d is synced, and %d more are answered, committed up to %d", before.Last.Seq, len(answered), at.Commit)
	}
	gate.open()
	for range writes - 1 {
		if err := <-answered; err != nil {
			c.t.Error(err)
		}
	}
}
