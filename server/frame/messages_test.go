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
