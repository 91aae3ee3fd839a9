package viewleader

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"viewring/tests/damage"
)

// TestDamagedRaftLog flips a byte in the log of a new view leader that was killed:
// what it had acknowledged must not be missing without a word.
func TestDamagedRaftLog(t *testing.T) {
	const entries = 60
	first := &pb.Snapshot{Data: []byte("roster"), Metadata: &pb.SnapshotMetadata{Index: new(uint64(1)), Term: new(uint64(1)),
		ConfState: &pb.ConfState{Voters: []uint64{1}}}}
	for at := int64(2000); at < 178_000; at += 9973 {
		fs := vfs.NewCrashableMem()
		d, err := openDisk("data", fs, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if err := d.found(identity{id: 1}, first); err != nil {
			t.Fatal(err)
		}
		for i := range uint64(entries) {
			e := &pb.Entry{Index: new(2 + i), Term: new(uint64(1)), Data: bytes.Repeat([]byte{byte(i)}, 3000)}
			if err := d.append(&pb.HardState{Term: new(uint64(1)), Commit: new(1 + i), Vote: new(uint64(0))}, []*pb.Entry{e}); err != nil {
				t.Fatal(err)
			}
		}
		crashed := fs.CrashClone(vfs.CrashCloneCfg{})
		if err := d.close(); err != nil {
			t.Fatal(err)
		}
		if !damage.Logs(t, crashed, "data/"+raftName, at) {
			t.Fatalf("no log reaches to %d", at)
		}
		d, err = openDisk("data", crashed, slog.New(slog.DiscardHandler))
		if err != nil {
			continue // refused: as it should be
		}
		last, err := d.memory.LastIndex()
		if err != nil || last < entries+1 {
			t.Errorf("flipped at %d: the log ends at %d, not at %d, and says nothing (%v)", at, last, entries+1, err)
		}
		_ = d.close() // only read
	}
}
