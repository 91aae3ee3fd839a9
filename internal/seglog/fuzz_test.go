package seglog

import (
	"os"
	"testing"

	"viewring/internal/disk"
)

// FuzzFrames lets anything be read as a part of a segment: no panic, and no frame or
// record beyond what there is.
func FuzzFrames(f *testing.F) {
	id := &identity{place: hashPlace}
	slots := []slot{}
	b := disk.Aligned(2 * disk.BlockBytes)
	at := headBytes
	for _, r := range []record{{kind: kindItem, part: 3, key: []byte("key"), value: []byte("value")}, {kind: kindState, part: 3}} {
		r.put(b[at:], id, spot{1, disk.BlockBytes + uint32(at)})
		slots = append(slots, id.slotOf(&r))
		at += r.bytes()
	}
	h := head{lsn: 9, seg: 1, off: disk.BlockBytes, records: 2, body: uint32(at - headBytes), blocks: 1, parts: 1}
	h.finish(b, id, slots, []uint16{3})
	f.Add(b, uint16(0), uint64(0))
	f.Add(b[:disk.BlockBytes], uint16(24), uint64(1<<40))
	f.Fuzz(func(t *testing.T, data []byte, at uint16, change uint64) {
		data = append([]byte{}, data[:len(data)&^(disk.BlockBytes-1)]...)
		if len(data) < disk.BlockBytes {
			return
		}
		// A change in a head or a directory whose checksums hold all the same.
		w := data[int(at)%(disk.BlockBytes-8):]
		le.PutUint64(w, le.Uint64(w)^change)
		c := &content{id: id, seg: 1, base: disk.BlockBytes, b: data}
		resum(c)
		for off := c.base; ; {
			h, ok := c.locate(off)
			if !ok {
				break
			}
			c.judge(&h)
			c.before(&h)
			placed, _ := c.slots(&h)
			for i := range placed {
				id.readRecord(c.record(&placed[i]), spot{1, placed[i].off})
			}
			if h.off < off || h.bytes() <= 0 || h.off+uint32(h.bytes()) > c.end() {
				t.Fatalf("a frame at %d of %d bytes in %d bytes from %d", h.off, h.bytes(), len(data), off)
			}
			off = h.off + uint32(h.bytes())
		}
	})
}

// resum lets the checksums of the first frame's head and directory hold.
func resum(c *content) {
	var h head
	h.lsn = le.Uint64(c.b[8:])
	for i, p := range []*uint32{&h.seg, &h.off, &h.records, &h.body, &h.blocks, &h.parts, &h.prevRecords, &h.flags, &h.dirSum, &h.tableSum} {
		*p = le.Uint32(c.b[16+4*i:])
	}
	if h.seg == 1 && h.off == disk.BlockBytes && h.fits() && c.holds(&h) {
		h.put(c.b, c.id, magicHead)
	}
}

// FuzzOpen opens folders whose newest segment and checkpoint are anything.
func FuzzOpen(f *testing.F) {
	f.Add([]byte("segment"), []byte("checkpoint"), []byte(storeText))
	f.Fuzz(func(t *testing.T, segment, checkpoint, identity []byte) {
		dir := t.TempDir()
		s, err := Open(disk.Dir(dir), Options{SegmentBytes: 32 << 10, Manual: true})
		if err != nil {
			t.Fatal(err)
		}
		wait, err := s.Apply([]Op{{Kind: Put, Part: 1, Key: []byte("abcd"), Value: []byte("value")}, {Kind: PutMeta, Part: 1}})
		if err == nil {
			err = wait()
		}
		if err == nil {
			err = s.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		for name, b := range map[string][]byte{segmentName(2): segment, checkpointName(99): checkpoint, storeName: identity} {
			if len(b) > 0 {
				if err := os.WriteFile(dir+"/"+name, b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		if s, err = Open(disk.Dir(dir), Options{SegmentBytes: 32 << 10, Manual: true}); err != nil {
			return
		}
		if v, ok, err := s.Get(1, []byte("abcd")); err == nil && (!ok || string(v) != "value") {
			t.Errorf("got %q, %v", v, ok)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
