package viewleader

import (
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"viewring/internal/codec"
	"viewring/internal/wire"
	"viewring/viewleader/roster"
)

// TestFolderFromBeforeGroups starts on a folder as builds without groups wrote it:
// no identity, a snapshot of the roster alone, entries of commands.
func TestFolderFromBeforeGroups(t *testing.T) {
	o := testOptions(t)
	d, err := openDisk(o.Data, vfs.Default, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	state := roster.New(roster.Config{Cluster: [16]byte{7}, Partitions: 16, MinCopies: 2})
	if err := d.found(identity{}, &pb.Snapshot{Data: state.AppendSnapshot(nil), Metadata: &pb.SnapshotMetadata{
		Index: new(uint64(1)), Term: new(uint64(1)), ConfState: &pb.ConfState{Voters: []uint64{1}}}}); err != nil {
		t.Fatal(err)
	}
	entry := appendCommands(nil, origin{1, 1}, nil, []roster.Command{{Kind: roster.KindLockGet, Lock: "deploy", Client: "alice", At: 1}})
	if err := d.append(&pb.HardState{Term: new(uint64(2)), Vote: new(uint64(1)), Commit: new(uint64(2))},
		[]*pb.Entry{{Index: new(uint64(2)), Term: new(uint64(2)), Data: entry}}); err != nil {
		t.Fatal(err)
	}
	if err := d.db.Delete(identityKey, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s := start(t, o)
		l := leaderOf(t, s)
		if token, err := l.LockGet(t.Context(), wire.LockAsk{Lock: "deploy", Client: "alice"}); err != nil || token != 1 {
			t.Fatal(token, err)
		}
		if v := s.View(); v.Cluster != [16]byte{7} {
			t.Fatalf("%+v", v)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestGroupCodecs reads back what members store and send, and refuses what is cut
// short.
func TestGroupCodecs(t *testing.T) {
	m := &membership{next: 6, awaited: []string{"h:9"}, members: []member{{id: 1, addr: "h:1", store: [16]byte{1}}, {id: 5, addr: "h:2", replaces: 2}}}
	b := appendMembership(nil, origin{7, 8}, m)
	from, got, err := decodeMembership(b)
	if err != nil || from != (origin{7, 8}) || string(got.append(nil)) != string(m.append(nil)) {
		t.Fatalf("%+v %+v, %v", from, got, err)
	}
	for i := range b {
		if _, _, err := decodeMembership(b[:i]); err == nil {
			t.Fatalf("a membership of %d bytes was taken with %d", len(b), i)
		}
	}
	a := newAnswered()
	a.remember(wire.CommandID{1}, roster.Result{Code: roster.Done, ID: 3, Epoch: 9, Token: 4, Since: -5})
	a.remember(wire.CommandID{2}, roster.Result{Code: roster.Refused, Reason: "no"})
	r := codec.NewReader(a.append(nil))
	again := readAnswered(r)
	if err := r.Done(); err != nil || string(again.append(nil)) != string(a.append(nil)) || len(again.results) != 2 {
		t.Fatalf("%+v, %v", again, err)
	}
	ids := map[int]wire.CommandID{1: {9}}
	entry := appendCommands(nil, origin{1, 2}, ids, []roster.Command{{Kind: roster.KindLockTick}, {Kind: roster.KindLockTick}})
	if _, gotIDs, cmds, err := decodeCommands(entry); err != nil || len(cmds) != 2 || gotIDs[1] != ids[1] || len(gotIDs) != 1 {
		t.Fatal(gotIDs, cmds, err)
	}
	if _, _, _, err := decodeCommands([]byte{99}); err == nil {
		t.Fatal("an unknown entry was taken")
	}
}
