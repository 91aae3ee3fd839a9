package file

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
	"testing/iotest"

	"github.com/cespare/xxhash/v2"

	"viewring/internal/wire"
)

func iotestReader(file *File, want []byte) error { return iotest.TestReader(file, want) }

var someManifests = []struct {
	m    manifest
	size int64
	hex  string // of formats 1 and 2, for ever
}{
	{manifest{chunkSize: 1 << 20, sum: 0x1122334455667788, extents: []extent{{count: 3}}}, 3 << 20, "01808040112233445566778800010000" + "03"},
	{manifest{chunkSize: 16, sum: 1, extents: []extent{{content: wire.TreeVersion{Term: 2, Seq: 300}, first: 5, count: 2}, {hole: true, count: 1}, {first: 0, count: 1}, {content: wire.TreeVersion{Term: 2, Seq: 300}, first: 8, count: 1}}}, 65,
		"0110000000000000000101" + "02ac02" + "04" + "020502" + "010001" + "000001" + "020801"},
	{manifest{chunkSize: 16, sum: 1, starts: []int64{1, 3}, extents: []extent{{count: 5}}}, 65, "021000000000000000010201020001" + "000005"},
}

// TestManifest: the bytes of the format stay what they are, and nothing else is read.
func TestManifest(t *testing.T) {
	for _, c := range someManifests {
		b := c.m.encode()
		if hex.EncodeToString(b) != c.hex {
			t.Errorf("%x, want %s", b, c.hex)
		}
		m, err := decodeManifest(b, c.size)
		if err != nil || !bytes.Equal(m.encode(), b) {
			t.Errorf("%v", err)
		}
		for _, size := range []int64{-1, 0, c.size - 17, c.size + c.m.chunkSize} {
			if size == c.size-17 && c.m.chunkSize > 17 {
				size = c.size - c.m.chunkSize
			}
			if _, err := decodeManifest(b, size); err == nil {
				t.Errorf("%s is read for a file of %d bytes", c.hex, size)
			}
		}
		for i := range b {
			if _, err := decodeManifest(b[:i], c.size); err == nil {
				t.Errorf("%d bytes of %s are read", i, c.hex)
			}
		}
		if _, err := decodeManifest(append(b, 0), c.size); err == nil {
			t.Errorf("%s is read with a byte behind it", c.hex)
		}
	}
	for what, text := range map[string]string{
		"a number longer than it must be": "019000" + "0000000000000001" + "00" + "01" + "000001",
		"an owner that has no chunks":     "0110" + "0000000000000001" + "01" + "0203" + "01" + "000001",
		"an owner twice":                  "0110" + "0000000000000001" + "02" + "02030203" + "02" + "020001" + "030101",
		"an owner that is not named":      "0110" + "0000000000000001" + "00" + "01" + "020001",
		"a hole that begins somewhere":    "0110" + "0000000000000001" + "00" + "01" + "010101",
		"an extent of nothing":            "0110" + "0000000000000001" + "00" + "02" + "000001" + "000100",
		"chunks of nothing":               "0100" + "0000000000000001" + "00" + "01" + "000001",
		"no starts":                       "0210" + "0000000000000001" + "00" + "00" + "01" + "000001",
		"a start beyond the end":          "0210" + "0000000000000001" + "0101" + "00" + "01" + "000001",
		"a start at the beginning":        "0210" + "0000000000000001" + "0100" + "00" + "01" + "000001",
		"another format":                  "0310" + "0000000000000001" + "00" + "01" + "000001",
	} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeManifest(b, 16); !errors.Is(err, ErrUnreadable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got := chunkSum(0, []byte("viewring")); got != xxhash.Sum64String("viewring") {
		t.Errorf("the sum of one chunk is %x", got)
	}
	if chunkSum(0, nil) == chunkSum(1, nil) {
		t.Error("chunks may change places")
	}
}

// FuzzManifest: what is read is what is written, and is safe to be used.
// TestMerged: what compaction can't merge is not counted as if it could.
func TestMerged(t *testing.T) {
	self, hole, other := extent{count: 1}, extent{hole: true, count: 1}, extent{content: wire.TreeVersion{Term: 1, Seq: 1}, count: 1}
	for want, extents := range map[int][]extent{0: {}, 1: {self, other, self}, 3: {self, hole, other, self}, 2: {hole, self}, 4: {hole, other, hole, self}} {
		if m := (&manifest{extents: extents}); m.merged() != want {
			t.Errorf("%v: %d, want %d", extents, m.merged(), want)
		}
	}
}

func FuzzManifest(f *testing.F) {
	for _, c := range someManifests {
		f.Add(c.m.encode(), c.size)
	}
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		m, err := decodeManifest(b, size)
		if err != nil {
			return
		}
		if !bytes.Equal(m.encode(), b) {
			t.Errorf("%x is not what is written", b)
		}
		n := chunksOf(size, m.chunkSize)
		for _, k := range []int64{0, n / 2, n - 1} {
			if x := m.locate(k); x.count != 1 || x.first < 0 || x.first >= chunksMax {
				t.Errorf("chunk %d of %x: %+v", k, b, x)
			}
		}
	})
}
