package jute

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// requests are of each type that has a body.
var requests = []Request{
	{Xid: 1, Op: OpCreate, Path: "/a", Data: []byte("value"), ACL: Open, Flags: EphemeralSequential},
	{Xid: 2, Op: OpCreate2, Path: "/a", Data: []byte{}, ACL: []ACL{{1, "digest", "me:secret"}, {31, "world", "anyone"}}},
	{Xid: 3, Op: OpCreateTTL, Path: "/a", Data: []byte{0}, ACL: Open, Flags: 5},
	{Xid: 4, Op: OpCreateContainer, Path: "/a", Data: []byte("x"), ACL: Open, Flags: Container},
	{Xid: 5, Op: OpDelete, Path: "/a", Version: -1},
	{Xid: 6, Op: OpExists, Path: "/a", Watch: true},
	{Xid: 7, Op: OpGetData, Path: "/ä"},
	{Xid: 8, Op: OpSetData, Path: "/a", Data: []byte("v"), Version: 1 << 30},
	{Xid: 9, Op: OpGetACL, Path: "/a"},
	{Xid: 10, Op: OpSetACL, Path: "/a", ACL: Open, Version: 2},
	{Xid: 11, Op: OpGetChildren, Path: "/", Watch: true},
	{Xid: 12, Op: OpGetChildren2, Path: "/"},
	{Xid: 13, Op: OpSync, Path: "/"},
	{Xid: PingXid, Op: OpPing},
	{Xid: 14, Op: OpMulti, Ops: []Request{{Op: OpCheck, Path: "/a", Version: 3}, {Op: OpCreate, Path: "/b", Data: []byte("v"), ACL: Open}, {Op: OpDelete, Path: "/c"}, {Op: OpSetData, Path: "/d", Data: []byte("w")}}},
	{Xid: 15, Op: OpMultiRead, Ops: []Request{{Op: OpGetData, Path: "/a"}, {Op: OpGetChildren, Path: "/b"}}},
	{Xid: 16, Op: OpCheckWatches, Path: "/a", Mode: WatchersData},
	{Xid: 17, Op: OpRemoveWatches, Path: "/a", Mode: WatchersAny},
	{Xid: 18, Op: OpAddWatch, Path: "/a", Mode: WatchPersistentRecursive},
	{Xid: AuthXid, Op: OpAuth, Scheme: "digest", Data: []byte("me:secret")},
	{Xid: SetWatchesXid, Op: OpSetWatches, Zxid: 1 << 50, Watches: Watches{Data: []string{"/a", "/b"}, Children: []string{"/c"}}},
	{Xid: SetWatchesXid, Op: OpSetWatches2, Zxid: 7, Watches: Watches{Exist: []string{"/a"}, Persistent: []string{"/b"}, Recursive: []string{"/c", "/d"}}},
	{Xid: 19, Op: OpClose},
	{Xid: 20, Op: 77},
}

// TestRequests: what is written is read, and nothing that is cut off.
func TestRequests(t *testing.T) {
	for _, q := range requests {
		b := AppendRequest(nil, &q)
		got, err := DecodeRequest(b)
		if err != nil || !reflect.DeepEqual(got, q) {
			t.Errorf("type %d: %+v, %v, want %+v", q.Op, got, err, q)
		}
		for n := range b {
			if got, err := DecodeRequest(b[:n]); !errors.Is(err, ErrMalformed) || n >= 8 && (got.Xid != q.Xid || got.Op != q.Op) {
				t.Errorf("type %d: %d of %d bytes: %+v, %v", q.Op, n, len(b), got, err)
			}
		}
	}
}

// TestBytes: messages are what ZooKeeper's own clients and servers send. The first two were written by
// kazoo 2.8.
func TestBytes(t *testing.T) {
	for _, tt := range []struct {
		what string
		got  []byte
		want string
	}{
		{"connect", AppendConnect(nil, &Connect{Timeout: 10_000, Password: make([]byte, 16), HasReadOnly: true}),
			"00000000 0000000000000000 00002710 0000000000000000 00000010 00000000000000000000000000000000 00"},
		{"create", AppendRequest(nil, &Request{Xid: 1, Op: OpCreate, Path: "/a", Data: []byte("v"), ACL: Open, Flags: 1}),
			"00000001 00000001 00000002 2f61 00000001 76 00000001 0000001f 00000005 776f726c64 00000006 616e796f6e65 00000001"},
		{"connected", AppendConnected(nil, &Connect{Timeout: 6000, Session: 7, Password: bytes.Repeat([]byte{9}, 16), HasReadOnly: true}),
			"00000000 00001770 0000000000000007 00000010 09090909090909090909090909090909 00"},
		{"a reply", AppendReply(nil, Reply{3, 1 << 40, NoNode}), "00000003 0000010000000000 ffffff9b"},
		{"an event", AppendEvent(nil, NodeDeleted, "/a"), "ffffffff ffffffffffffffff 00000000 00000002 00000003 00000002 2f61"},
		{"a Stat", AppendStat(nil, &Stat{1, 2, 3, 4, 5, 6, 8, 9, 10, 11}),
			"0000000000000001 0000000000000002 0000000000000003 0000000000000004 00000005 00000006 00000000 0000000000000008 00000009 0000000a 000000000000000b"},
		{"the end of a multi", AppendMultiHeader(nil, OpError, true, -1), "ffffffff 01 ffffffff"},
	} {
		if got := hex.EncodeToString(tt.got); got != strings.ReplaceAll(tt.want, " ", "") {
			t.Errorf("%s: %s, want %s", tt.what, got, tt.want)
		}
	}
	s := Stat{1, 2, 3, 4, 5, 6, 8, 9, 10, 11}
	if got := NewReader(AppendStat(nil, &s)).Stat(); got != s {
		t.Errorf("%+v", got)
	}
	for _, c := range []Connect{{Timeout: 1, Session: -2, Password: []byte{1}, LastZxid: 3}, {HasReadOnly: true, Password: []byte{}}} {
		if got, err := DecodeConnect(AppendConnect(nil, &c)); err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("%+v, %v", got, err)
		}
		c.LastZxid = 0
		if got, err := DecodeConnected(AppendConnected(nil, &c)); err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if e, path := NewReader(AppendEvent(nil, NodeCreated, "/x")[16:]).Event(); e != NodeCreated || path != "/x" {
		t.Error(e, path)
	}
	if NoNode.String() != "no node" || Code(-99).String() != "code -99" {
		t.Error(NoNode, Code(-99))
	}
}

// TestLyingLengths: what says to be long and is not takes no room.
func TestLyingLengths(t *testing.T) {
	head := AppendInt(nil, 1)
	for what, b := range map[string][]byte{
		"a path":       AppendInt(AppendInt(head, int32(OpGetData)), 1<<31-1),
		"less than 0":  AppendInt(AppendInt(head, int32(OpGetData)), -5),
		"a list":       AppendInt(AppendString(AppendString(AppendInt(head, int32(OpCreate)), "/a"), ""), 1<<31-1),
		"watches":      AppendInt(AppendLong(AppendInt(head, int32(OpSetWatches)), 0), 1<<30),
		"many changes": AppendRequest(nil, &Request{Op: OpMulti, Ops: make([]Request, 0)})[:8],
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := DecodeRequest(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", what, err)
		}
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
			t.Errorf("%s took %d bytes", what, took)
		}
	}
	for op, most := range map[Op]int{OpMulti: ChangesMax, OpMultiRead: ReadsMax} {
		many := Request{Op: op, Ops: slices.Repeat([]Request{{Op: OpGetData, Path: "/a"}}, most)}
		if _, err := DecodeRequest(AppendRequest(nil, &many)); err != nil {
			t.Errorf("%d in a request of type %d: %v", most, op, err)
		}
		many.Ops = append(many.Ops, many.Ops[0])
		if _, err := DecodeRequest(AppendRequest(nil, &many)); !errors.Is(err, ErrMalformed) || !errors.Is(err, ErrTooMany) {
			t.Errorf("too many in a request of type %d: %v", op, err)
		}
	}
}

// FuzzRequest: no bytes make decoding panic, and what is read is written alike, and read again.
func FuzzRequest(f *testing.F) {
	for _, q := range requests {
		f.Add(AppendRequest(nil, &q))
	}
	f.Add(AppendConnect(nil, &Connect{Password: make([]byte, 16), HasReadOnly: true}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := DecodeConnect(b); err == nil {
			if again, err := DecodeConnect(AppendConnect(nil, &c)); err != nil || again.Session != c.Session || !bytes.Equal(again.Password, c.Password) {
				t.Errorf("%+v, %v, was %+v", again, err, c)
			}
		}
		q, err := DecodeRequest(b)
		if err != nil {
			return
		}
		written := AppendRequest(nil, &q)
		again, err := DecodeRequest(written)
		if err != nil || !bytes.Equal(AppendRequest(nil, &again), written) {
			t.Errorf("%+v, %v, was %+v", again, err, q)
		}
	})
}
