package replica

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"viewring/internal/codec"
)

func sampleMessages() []*Message {
	key := MakeKey(7, SpaceUser, "k")
	v := Version{Term: 3, Seq: 9}
	item := AppendItem(nil, key, Item{Version: v, Kind: KindValue, Value: []byte("value")})
	entry := &Entry{Version: v, Digest: 12, Writes: []Write{
		{Key: key, Before: Version{Term: 2, Seq: 1}, Shrinks: 4, Item: item},
		{Key: MakeKey(0, SpaceSystem, "gone"), Before: Version{Term: 1, Seq: 1}},
		{Key: MakeKey(7, SpaceUser, "late"), Before: Version{Term: 1, Seq: 2}, Shrinks: 5, Expired: true},
	}}
	history := []TermStart{{1, 1}, {3, 8}}
	return []*Message{
		{Type: MsgPing, SentAt: time.Second, Incarnation: 4, Epoch: 5},
		{Type: MsgPromise, SentAt: time.Second, Incarnation: 4, Epoch: 5, Granted: 600 * time.Millisecond, Wall: 1_700_000_000_000},
		{Type: MsgNewTerm, Partition: 5, Term: 3},
		{Type: MsgState, Partition: 5, Term: 3, Last: v, Commit: 8, Floor: 2, Digest: 77, History: history},
		{Type: MsgSuffix, Partition: 5, Term: 3, Prev: Version{Term: 1, Seq: 7}, Last: v, History: history,
			Rows: []Row{{Seq: 8, Term: 3, Keys: []Key{key}}, {Seq: 9, Term: 3, Keys: []Key{key}, Changes: []Change{ChangeExpired}}}, Items: []PageItem{{Key: key, Item: item}}},
		{Type: MsgAppend, Partition: 5, Term: 3, Prev: Version{Term: 1, Seq: 8}, Last: v, Commit: 8, Digest: 12, Entries: []*Entry{entry}},
		{Type: MsgAck, Partition: 5, Term: 3, Flags: flagReady, Sub: 6, Seq: 9, Digest: 12},
		{Type: MsgFetch, Partition: 5, Term: 3, Flags: flagKeys, Seq: 9, Bytes: 100, Cursor: key, Keys: []Key{key}},
		{Type: MsgPage, Partition: 5, Term: 3, Seq: 9, Items: []PageItem{{Key: key}}},
		{Type: MsgPurge, Partition: 5, Term: 3, Seq: 44},
	}
}

func TestMessagesSurviveTheWire(t *testing.T) {
	for _, m := range sampleMessages() {
		r := codec.NewReader(AppendMessage(nil, m))
		got, err := DecodeMessage(r)
		if err != nil || r.Done() != nil {
			t.Fatalf("%v: %v, %v", m.Type, err, r.Err())
		}
		for _, e := range got.Entries {
			e.enc = nil
		}
		for _, e := range m.Entries {
			e.enc = nil
		}
		if !reflect.DeepEqual(got, m) {
			t.Errorf("%v:\n got %+v\nwant %+v", m.Type, got, m)
		}
	}
}

// TestRows: an entry's row says what became of its keys, that of an earlier build does not.
func TestRows(t *testing.T) {
	v := Version{Term: 3, Seq: 9}
	key := func(space Space, name string) Key { return MakeKey(7, space, name) }
	set := Write{Key: key(SpaceUser, "set"), Item: []byte("item")}
	for _, tc := range []struct {
		writes []Write
		want   []Change
	}{
		{[]Write{set, {Key: key(SpaceSystem, "record")}}, nil},
		{[]Write{set, {Key: key(SpaceUser, "deleted")}, {Key: key(SpaceUser, "expired"), Expired: true}}, []Change{ChangeSet, ChangeDeleted, ChangeExpired}},
		{nil, nil},
	} {
		e := &Entry{Version: v, Writes: tc.writes}
		stored := e.appendRow(nil)
		row, err := decodeRow(v.Seq, stored)
		if err != nil || !reflect.DeepEqual(row.Changes, tc.want) || len(row.Keys) != len(tc.writes) || row.Term != v.Term {
			t.Errorf("%+v: row %+v, %v", tc.writes, row, err)
		}
		if again := appendRow(nil, e.row()); !reflect.DeepEqual(again, stored) {
			t.Errorf("%+v: row() is %x, appendRow makes %x", tc.writes, again, stored)
		}
	}
	old := appendKeys([]byte{3}, []Key{"abcd"})
	if row, err := decodeRow(9, old); err != nil || row.change(0) != ChangeUnknown {
		t.Errorf("a row without changes: %+v, %v", row, err)
	}
	for _, bad := range [][]byte{append(old, 2, 1, 1), append(old, 1, byte(changeEnd)), append(old, 1)} {
		if row, err := decodeRow(9, bad); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%x: %+v, %v", bad, row, err)
		}
	}
}

// FuzzDecodeMessage: whatever a peer sends is decoded or refused.
func FuzzDecodeMessage(f *testing.F) {
	for _, m := range sampleMessages() {
		f.Add(AppendMessage(nil, m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeMessage(codec.NewReader(b))
		if err != nil {
			return
		}
		again, err := DecodeMessage(codec.NewReader(AppendMessage(nil, m)))
		if err != nil || again.Type != m.Type || again.Term != m.Term || len(again.Entries) != len(m.Entries) {
			t.Fatalf("decoded %+v, encoded and decoded again %+v: %v", m, again, err)
		}
	})
}

func TestItemNoticesEveryFlippedBit(t *testing.T) {
	key := MakeKey(1, SpaceUser, "name")
	stored := AppendItem(nil, key, Item{Version: Version{Term: 300, Seq: 70000}, Kind: KindValue, Value: []byte("some value")})
	if it, err := DecodeItem(key, stored); err != nil || string(it.Value) != "some value" {
		t.Fatalf("%+v, %v", it, err)
	}
	for bit := range len(stored) * 8 {
		bad := append([]byte(nil), stored...)
		bad[bit/8] ^= 1 << (bit % 8)
		if it, err := DecodeItem(key, bad); !errors.Is(err, ErrCorrupt) {
			t.Errorf("bit %d flipped: %+v, %v", bit, it, err)
		}
	}
	if _, err := DecodeItem(MakeKey(1, SpaceUser, "other"), stored); !errors.Is(err, ErrCorrupt) {
		t.Errorf("under another key: %v", err)
	}
}

func TestMetaSurvivesTheDisk(t *testing.T) {
	m := meta{state: whole, commit: 7, floor: 3, resetTerm: 4, log: logState{last: Version{Term: 4, Seq: 9}, digest: 1 << 60,
		history: []TermStart{{1, 1}, {4, 8}}, keys: 2, bytes: 300}}
	got, err := decodeMeta(appendMeta(nil, m))
	if err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("got %+v, %v", got, err)
	}
	bad := appendMeta(nil, m)
	bad[0] = 9
	if _, err := decodeMeta(bad); err == nil {
		t.Error("a meta of another format is taken")
	}
	for _, b := range []byte{3, byte(unfit+1)<<metaDamageShift | byte(whole)} {
		bad = appendMeta(nil, m)
		bad[1] = b
		if got, err := decodeMeta(bad); !errors.Is(err, ErrCorrupt) {
			t.Errorf("state and damage %x: %+v, %v", b, got, err)
		}
	}
}

func TestCommonPoint(t *testing.T) {
	h := func(pairs ...uint64) (hs []TermStart) {
		for i := 0; i < len(pairs); i += 2 {
			hs = append(hs, TermStart{pairs[i], pairs[i+1]})
		}
		return hs
	}
	for _, c := range []struct {
		name  string
		a, b  []TermStart
		aLast uint64
		bLast uint64
		want  uint64
	}{
		{"equal", h(1, 1, 3, 6), h(1, 1, 3, 6), 9, 9, 9},
		{"behind in the same term", h(1, 1), h(1, 1), 4, 9, 4},
		{"dropped tail", h(1, 1, 3, 6), h(1, 1, 3, 6, 5, 8), 9, 12, 7},
		{"ended a term before", h(1, 1), h(1, 1, 3, 6), 5, 7, 5},
		{"dropped tail, then another term", h(1, 1), h(1, 1, 3, 6), 8, 7, 5},
		{"terms that the other never had", h(1, 1, 2, 4), h(1, 1, 3, 3), 6, 8, 2},
		{"empty", nil, h(1, 1), 0, 5, 0},
		{"nothing in common", h(1, 1), h(2, 1), 5, 5, 0},
	} {
		for _, swap := range []bool{false, true} {
			a, aLast, b, bLast := c.a, c.aLast, c.b, c.bLast
			if swap {
				a, aLast, b, bLast = b, bLast, a, aLast
			}
			if got, ok := commonPoint(a, aLast, b, bLast); !ok || got != c.want {
				t.Errorf("%s: %d, %v, want %d", c.name, got, ok, c.want)
			}
		}
	}
}
