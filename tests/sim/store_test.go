package sim

import (
	"log/slog"
	"math/rand/v2"
	"testing"

	"viewring/internal/disk/crashdisk"
	"viewring/ring"
	"viewring/server/replica"
	"viewring/server/store"
	"viewring/tests/harness"
)

// storeDrive is a server's real store on a file system in memory that loses
// what was not synced when it crashes.
type storeDrive struct {
	*store.Store
	t     *testing.T
	mem   *crashdisk.FS
	rng   *rand.Rand
	waits [lanes][]storeWait
	metas [lanes]map[uint64]map[ring.PartitionID][]byte // not synced yet, by batch
	meta  map[ring.PartitionID][]byte                   // synced
}

type storeWait struct {
	number uint64
	wait   func() error
}

func (d *storeDrive) boot() {
	if d.Store != nil {
		return
	}
	s, err := store.Open("data", d.mem, store.Options{SegmentBytes: 64 << 10}, slog.New(slog.DiscardHandler))
	if err != nil {
		d.t.Fatal(err)
	}
	d.Store = s
	d.meta = make(map[ring.PartitionID][]byte)
	err = s.Metas(func(p ring.PartitionID, meta []byte) bool {
		d.meta[p] = append([]byte(nil), meta...)
		return true
	})
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *storeDrive) apply(lane int, b *replica.Batch) {
	metas := make(map[ring.PartitionID][]byte)
	for _, o := range b.Ops {
		switch o.Kind {
		case replica.PutMeta:
			metas[o.Partition] = o.Value
		case replica.WipePartition:
			metas[o.Partition] = nil
		}
	}
	wait, err := d.ApplyBatch(b)
	if err != nil {
		d.t.Fatal(err)
	}
	d.waits[lane] = append(d.waits[lane], storeWait{b.Number, wait})
	if d.metas[lane] == nil {
		d.metas[lane] = make(map[uint64]map[ring.PartitionID][]byte)
	}
	d.metas[lane][b.Number] = metas
}

func (d *storeDrive) synced(lane int, number uint64) {
	for len(d.waits[lane]) > 0 && d.waits[lane][0].number <= number {
		w := d.waits[lane][0]
		d.waits[lane] = d.waits[lane][1:]
		if err := w.wait(); err != nil {
			d.t.Fatal(err)
		}
		for p, m := range d.metas[lane][w.number] {
			if m == nil {
				delete(d.meta, p)
				continue
			}
			d.meta[p] = m
		}
		delete(d.metas[lane], w.number)
	}
}

func (d *storeDrive) crash(draw func(n int) int) {
	lost := d.mem.CrashClone(draw(101), d.rng)
	for lane := range d.waits {
		for _, w := range d.waits[lane] {
			_ = w.wait() // the process is dead: nobody learns of it
		}
		d.waits[lane], d.metas[lane] = nil, nil
	}
	if err := d.Close(); err != nil {
		d.t.Fatal(err)
	}
	d.Store, d.mem = nil, lost
}

func (d *storeDrive) syncedMeta(p ring.PartitionID) []byte { return d.meta[p] }

func (d *storeDrive) syncedLast(p ring.PartitionID) uint64 {
	if m := d.meta[p]; m != nil {
		return replica.MetaLast(m)
	}
	return 0
}

// hasSynced looks at what is visible: this drive does not know what it would lose, and
// after a crash not what it has.
func (d *storeDrive) hasSynced(p ring.PartitionID, key replica.Key) (has, known bool) {
	if d.Store == nil {
		return false, false
	}
	item, err := d.Get(p, key)
	return err == nil && item != nil, true
}

// TestOnStore plays seeds over the real store: an acknowledged write survives
// the crash of a file system that keeps its promises and no more.
func TestOnStore(t *testing.T) {
	for seed := uint64(1); seed <= harness.EnvUint(t, "VIEWRING_SIM_STORE_SEEDS", 15); seed++ {
		rng := rand.New(rand.NewPCG(seed, 7))
		var drives []*storeDrive
		r := Run(seed, Options{Drive: func() drive {
			d := &storeDrive{t: t, mem: crashdisk.Mem(), rng: rng}
			drives = append(drives, d)
			return d
		}})
		for _, d := range drives {
			if d.Store != nil {
				_ = d.Close() // in memory, and done with
			}
		}
		if r.Violation != "" {
			t.Errorf("seed %d: %s", seed, r.Violation)
		}
	}
}
