package seglog_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"viewring/internal/disk/crashdisk"
	"viewring/internal/seglog"
)

// TestScanReadsStretches: items that stand in the log in the order of a scan are read many at a time, and told
// as if each had been read for itself, also where one is damaged, was replaced or is still on its way to the disk.
func TestScanReadsStretches(t *testing.T) {
	const keys = 600
	name := func(i int) []byte { return fmt.Appendf(binary.BigEndian.AppendUint64(nil, uint64(i)), "k%d", i) }
	value := func(i int) []byte { return bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 100+i%50) }
	d := crashdisk.Mem()
	s := mustOpen(t, d, seglog.Options{Manual: true, Place: func(key []byte) uint64 {
		if n := binary.BigEndian.Uint64(key); n != 299 {
			return n
		}
		return 298 // two keys have one place
	}})
	defer s.Close()
	put := func(numbers ...int) {
		t.Helper()
		var ops []seglog.Op
		for _, i := range numbers {
			ops = append(ops, seglog.Op{Kind: seglog.Put, Part: 1, Key: name(i), Value: value(i)})
		}
		wait, err := s.Apply(ops)
		if err == nil {
			err = wait()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	scan := func(damaged int) {
		t.Helper()
		next := 0
		err := s.Scan(1, seglog.Cursor{}, func(key, got []byte) bool {
			if !bytes.Equal(key, name(next)) || next != damaged && !bytes.Equal(got, value(next)) || next == damaged && bytes.Equal(got, value(next)) {
				t.Fatalf("item %d is told as %q of %d bytes", next, key, len(got))
			}
			next++
			return true
		})
		if err != nil || next != keys {
			t.Fatalf("%d items of %d, %v", next, keys, err)
		}
	}
	var all []int
	for i := range keys {
		all = append(all, i)
	}
	put(all...)
	reads := new(atomic.Int64)
	d.Watch(func(st crashdisk.Step) error {
		if st.Kind == crashdisk.Read && strings.HasPrefix(st.Name, "segment-") {
			reads.Add(1)
		}
		return nil
	})
	scan(-1)
	if n := reads.Load(); n > keys/20 {
		t.Errorf("%d reads for %d items that stand one behind the other", n, keys)
	}
	b := d.Bytes(files(d, "segment-")[0])
	for _, i := range []int{0, 1, 299, keys - 1} {
		at := bytes.Index(b, append(name(i), value(i)...)) + len(name(i)) + 20
		b[at] ^= 1
		scan(i)
		b[at] ^= 1
	}
	put(17, 300, 301, 3) // elsewhere now
	scan(-1)
}
