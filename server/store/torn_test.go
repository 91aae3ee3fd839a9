package store

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"viewring/server/replica"
)

// TestTornLogIsNoDamage: a store opens with what a power cut leaves of a log that was
// being written: any part of what was not synced may be missing, and what comes after
// it be there.
func TestTornLogIsNoDamage(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		fs := vfs.NewCrashableMem()
		var held atomic.Bool
		syncing, goOn := make(chan bool), make(chan bool)
		s := mustOpen(t, errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
			isSync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
			if held.Load() && isSync && strings.HasSuffix(op.Path, ".log") {
				syncing <- true
				<-goOn
			}
			return nil
		})))
		n := 0
		write := func() {
			n++
			size := []int{50, 900, 3000, 7000}[rng.IntN(4)]
			if _, err := s.ApplyBatch(&replica.Batch{Ops: []replica.StoreOp{
				put(1, user(1, fmt.Sprintf("%03d", n)), noise(byte(n), size))}}); err != nil {
				t.Fatal(err)
			}
		}
		for range rng.IntN(20) {
			write()
		}
		mustApply(t, s, put(1, user(1, "synced"), "x"))
		held.Store(true)
		write()
		<-syncing
		for range 3 + rng.IntN(10) {
			write()
		}
		goOn <- true
		<-syncing // all of them are written, and none is synced
		crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 30 + rng.IntN(60), RNG: rng})
		held.Store(false)
		goOn <- true
		mustClose(t, s)
		c, err := Open("data", crashed, Options{MemTableBytes: 1 << 20}, quiet)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if value(t, c, 1, user(1, "synced")) != "x" {
			t.Errorf("seed %d: what was synced is not there", seed)
		}
		mustClose(t, c)
	}
}
