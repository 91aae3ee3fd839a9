package roster

import (
	"crypto/sha256"
	"encoding/hex"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"
	"time"

	"viewring/ring"
	"viewring/viewleader/vocab"
)

// storedCommands are a command of each kind.
var storedCommands = []Command{
	{Kind: KindRegister, At: 1, Register: vocab.Register{Cluster: [16]byte{9}, ID: 3, Store: [16]byte{1, 2}, Instance: 1 << 63, Previous: 4, Incarnation: 5,
		Addr: "127.0.0.1:28600", Zone: "z", Weight: 1, Whole: true, Starts: []uint64{7, 1 << 63}}},
	{Kind: KindExpire, At: -2, Who: []ring.Incarnated{{ID: 1, Incarnation: 200}, {ID: 300, Incarnation: 4}}},
	{Kind: KindOut, ID: 5},
	{Kind: KindHandoff, From: ring.Incarnated{ID: 1, Incarnation: 2}, Partition: 7, Term: 8, Who: []ring.Incarnated{{ID: 1, Incarnation: 2}, {ID: 3, Incarnation: 4}}},
	{Kind: KindEject, From: ring.Incarnated{ID: 1, Incarnation: 2}, Partition: 1023, Term: 9, Who: []ring.Incarnated{{ID: 5, Incarnation: 6}}},
	{Kind: KindLeave, ID: 6},
	{Kind: KindDrain, ID: 7},
	{Kind: KindRemove, ID: 8},
	{Kind: KindConfigure, LeaseTTL: time.Second, MinCopies: 2},
	{Kind: KindLockGet, Lock: "l", Client: "c", Session: 3, Shared: true, Wait: true, WaitInDeadlock: true, TTL: 400, Token: 5},
	{Kind: KindLockFree, Lock: "l", Client: "c", Session: 3},
	{Kind: KindLockDequeue, Lock: "l", Client: "c"},
	{Kind: KindLockTick},
	{Kind: KindAcceptLoss, Partitions: []ring.PartitionID{1, 500}},
	{Kind: KindRestore, From: ring.Incarnated{ID: 1, Incarnation: 2}, Partition: 3, Term: 10},
	{Kind: KindSessionOpen, TTL: 3000, Delay: 500},
	{Kind: KindSessionEnd, Session: 4},
	{Kind: KindSessionExpire, Sessions: []uint64{5, 600}},
}

// newerCommands are those that builds of before do not know.
var newerCommands = []Command{
	{Kind: KindSetWeight, At: 1, ID: 9, Weight: 40},
	{Kind: KindSetZone, ID: 10, Zone: "rack"},
	{Kind: KindRegister, Register: vocab.Register{Store: [16]byte{1}, Instance: 1, Incarnation: 1, Addr: "h:1", Weight: 3}},
	{Kind: KindUndrain, ID: 9},
}

// TestStoredBytes: what Raft's log and snapshots hold is what every build of these formats
// writes, for members of a group compare and exchange it.
func TestStoredBytes(t *testing.T) {
	const commands = "031201020900000000000000000000000000000001020000000000000000000000000000038080808080808080800104050f3132372e302e302e313a3238363030017a0101020000000000000007800000000000000002030201c801ac0204030005040001020708020102030405000102ff070901050606000607000708000809008094ebdc03020a00016c016301a006050301010b00016c01630000000300000c00016c01630000000000000d000e000201f4030f000102030a001000f02ee80711000412000205d804"
	if got := hex.EncodeToString(AppendCommands(nil, storedCommands)); got != commands {
		t.Errorf("the commands are stored as\n%s, want\n%s", got, commands)
	}
	const newer = "04041302092814000a047261636b0100000000000000000000000000000000000100000000000000000000000000000000010001" +
		"03683a3100030000150009"
	if got := hex.EncodeToString(AppendCommands(nil, newerCommands)); got != newer {
		t.Errorf("those that are newer are stored as\n%s, want\n%s", got, newer)
	}
	w := newWorld(t, 2)
	w.join(3)
	w.fill(1, 2, 3)
	w.expire(2)
	w.restart(2, true)
	w.must(Command{Kind: KindSessionOpen, TTL: 3000, Delay: 500})
	for _, c := range []Command{
		{Lock: "a", Client: "c"},
		{Lock: "b", Client: "d", TTL: 700},
		{Lock: "r", Client: "e", Shared: true, Session: 1},
		{Lock: "r", Client: "f", Shared: true},
		{Lock: "b", Client: "c", Wait: true, TTL: 5},
		{Lock: "a", Client: "d", Wait: true, WaitInDeadlock: true},
	} {
		c.Kind = KindLockGet
		w.apply(c)
	}
	const snapshot = "a03546b6c1d68d1f4ec2a6b7ba29d33b5caa6611550d914dea4702e08011e0a5"
	b := w.s.AppendSnapshot(nil)
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != snapshot {
		t.Errorf("the snapshot is stored as\n%x, of which the hash is %x, want %s", b, sum, snapshot)
	}
}

// TestEventKindsAreStored: each kind that there is has a number, and only one, but those that are not stored.
func TestEventKindsAreStored(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../vocab/event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	ofTheGroup := []string{vocab.EventHead, vocab.EventNoHead, vocab.EventLeaderJoined, vocab.EventLeaderLeft}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok {
			kind, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			if slices.Contains(ofTheGroup, kind) {
				return true
			}
			kinds[kind] = true
			if n := storedKind(kind); eventKinds[n] != kind {
				t.Errorf("%s is stored as %s", kind, eventKinds[n])
			}
		}
		return true
	})
	if len(kinds) != len(eventKinds)-1 {
		t.Errorf("%d kinds, %d numbers", len(kinds), len(eventKinds)-1)
	}
}
