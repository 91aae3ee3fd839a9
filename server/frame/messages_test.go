package frame

import (
	"bytes"
	"net"
	"testing"

	"viewring/server/replica"
)

// TestMessages: in pieces messages have the same bytes as in one, and long items are not copied.
func TestMessages(t *testing.T) {
	var want []byte
	ms := &Messages{}
	lent := 0
	for i, sizes := range [][]int{{10}, {1 << 20}, {}, {100, 40 << 10}, {1 << 20, 1 << 20}, {5}} {
		m := &replica.Message{Type: replica.MsgAppend, Partition: 3, Term: 7, Seq: uint64(i)}
		for seq, n := range sizes {
			version := replica.Version{Term: 7, Seq: uint64(seq + 1)}
			key := replica.MakeKey(1, replica.SpaceUser, "k")
			item := replica.AppendItem(nil, key, replica.Item{Version: version, Kind: replica.KindValue, Value: bytes.Repeat([]byte{byte(i)}, n)})
			m.Entries = append(m.Entries, &replica.Entry{Version: version, Writes: []replica.Write{{Key: key, Item: item}}})
			if n >= 16<<10 {
				lent++
			}
		}
		ms.Append(m)
		for _, e := range m.Entries { // encoded anew
			*e = replica.Entry{Version: e.Version, Writes: e.Writes}
		}
		want = replica.AppendMessage(want, m)
	}
	got := bytes.Join(ms.AppendTo(net.Buffers{}), nil)
	if !bytes.Equal(got, want) || ms.Bytes() != len(want) || ms.Count != 6 {
		t.Errorf("%d messages of %d bytes, %d were said, want %d", ms.Count, len(got), ms.Bytes(), len(want))
	}
	n := 0
	for _, ours := range ms.ours {
		if !ours {
			n++
		}
	}
	if n != lent {
		t.Errorf("%d items are lent, want %d", n, lent)
	}
	ms.Give()
}

// TestPagesStayWhereTheyAre: a page is encoded once, into a buffer of its own that has room for it, however many others are
// on their way to the same server.
func TestPagesStayWhereTheyAre(t *testing.T) {
	ms := &Messages{}
	var want []byte
	var at []*byte
	for i := range 5 {
		m := &replica.Message{Type: replica.MsgPage, Partition: 3, Term: 7, Seq: uint64(i)}
		for n := range 300 {
			m.Items = append(m.Items, replica.PageItem{Key: replica.MakeKey(1, replica.SpaceUser, "k"), Item: bytes.Repeat([]byte{byte(n)}, 1<<10)})
		}
		ms.Append(m)
		want = replica.AppendMessage(want, m)
		for n, first := range at {
			if &ms.pieces[n][0] != first {
				t.Errorf("page %d was moved when page %d came", n, i)
			}
		}
		last := ms.pieces[len(ms.pieces)-1]
		if at = append(at, &last[0]); len(at) != len(ms.pieces) || len(last) > m.PageBytes() {
			t.Errorf("%d pages are in %d pieces, the last of %d bytes where %d were said", i+1, len(ms.pieces), len(last), m.PageBytes())
		}
	}
	if got := bytes.Join(ms.AppendTo(net.Buffers{}), nil); !bytes.Equal(got, want) || ms.Bytes() != len(want) {
		t.Errorf("%d bytes, %d were said, want %d", len(got), ms.Bytes(), len(want))
	}
	ms.Give()
}

// TestLongBuffers: whatever was given back, a buffer has the room that is asked for.
func TestLongBuffers(t *testing.T) {
	for _, given := range []int{0, 1, 4 << 10, 1<<longBits - 1, 1 << longBits, 1<<longBits + 1, 600 << 10, 1 << 20, 2<<20 - 1, 2 << 20, 9 << 20} {
		GiveBuffer(make([]byte, 0, given))
		for _, n := range []int{1, 1 << longBits, 1<<longBits + 1, 512 << 10, 600 << 10, 1 << 20, 1<<20 + 1, 3 << 20} {
			if b := takeLong(n); len(b) != 0 || cap(b) < n {
				t.Errorf("after one of %d bytes: a buffer of %d, %d bytes long, where %d are needed", given, cap(b), len(b), n)
			}
		}
	}
}
