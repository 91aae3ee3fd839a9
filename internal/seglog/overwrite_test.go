package seglog_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"viewring/internal/disk"
	"viewring/internal/disk/crashdisk"
	"viewring/internal/seglog"
)

// traffic is what is written to a disk, by what it is for.
type traffic struct {
	frames, items, rows, states int64 // how many
	records                     int64 // bytes of all records
	directory                   int64 // heads, directories, and sums
	padding                     int64
	heads                       int64 // of segments
	checkpoints                 int64
	lengths                     lengths
}

func (t traffic) bytes() int64 {
	return t.records + t.directory + t.padding + t.heads + t.checkpoints
}

func (t traffic) since(o traffic) traffic {
	for i := range t.lengths {
		t.lengths[i] -= o.lengths[i]
	}
	return traffic{t.frames - o.frames, t.items - o.items, t.rows - o.rows, t.states - o.states, t.records - o.records,
		t.directory - o.directory, t.padding - o.padding, t.heads - o.heads, t.checkpoints - o.checkpoints, t.lengths}
}

// countedFS counts what is written to it.
type countedFS struct {
	disk.FS
	mu sync.Mutex
	traffic
}

func (c *countedFS) Create(name string, size int64, zeroed bool) (disk.File, error) {
	f, err := c.FS.Create(name, size, zeroed)
	return &countedFile{f, c}, err
}

func (c *countedFS) Open(name string) (disk.File, error) {
	f, err := c.FS.Open(name)
	return &countedFile{f, c}, err
}

func (c *countedFS) now() traffic {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.traffic
}

// used is how much space all files take.
func (c *countedFS) used(t *testing.T) (bytes int64) {
	names, err := c.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		f, err := c.FS.Open(n)
		if err != nil {
			continue // gone meanwhile
		}
		size, err := f.Size()
		if err != nil {
			t.Fatal(err)
		}
		bytes += size
		_ = f.Close() // read only
	}
	return bytes
}

type countedFile struct {
	disk.File
	fs *countedFS
}

// WriteAt is for checkpoints.
func (f *countedFile) WriteAt(b []byte, at int64) (int, error) {
	f.fs.mu.Lock()
	f.fs.checkpoints += int64(len(b))
	f.fs.mu.Unlock()
	return f.File.WriteAt(b, at)
}

// WriteSync is for frames and heads of segments, in which the places are as DESIGN.md says.
func (f *countedFile) WriteSync(b []byte, at int64) error {
	f.fs.mu.Lock()
	f.fs.count(b, at)
	f.fs.mu.Unlock()
	return f.File.WriteSync(b, at)
}

func (c *countedFS) count(b []byte, at int64) {
	if at == 0 {
		c.heads += int64(len(b))
		return
	}
	u := func(at int) int { return int(binary.LittleEndian.Uint32(b[at:])) }
	records, body, parts := u(24), u(28), u(36)
	table := (64 + body + 24*records + 2*parts + 7) &^ 7
	all := table + 4*((table+511)/512) + 64
	c.frames++
	c.lengths[min(len(b)/disk.BlockBytes, len(c.lengths)-1)]++
	c.records += int64(body)
	c.directory += int64(all - body)
	c.padding += int64(len(b) - all)
	for i := range records {
		switch b[64+body+24*i+22] {
		case 1:
			c.items++
		case 3:
			c.rows++
		case 5:
			c.states++
		}
	}
}

// overwriter writes as a server does: each set has a row of the change index, and the state of
// its partition; rows of more than a share of the partition are trimmed.
type overwriter struct {
	t     *testing.T
	s     *seglog.Store
	rng   *rand.Rand
	parts int
	seqs  []uint64
	since []uint64 // sets since the last trim
	value []byte
	ops   []seglog.Op
	sets  int
}

const (
	overwrittenBytes = 1024
	itemMore         = 18 // of a version and a checksum, as server/replica writes them
	rowBytes         = 30
	metaBytes        = 48
	rowsKept         = 90 // those of 8 KiB, as server/replica counts them
	setEvery         = time.Second / 8000
)

func (o *overwriter) batch(known seglog.Presence, keys ...int) {
	o.ops = o.ops[:0]
	o.sets += len(keys)
	for _, k := range keys {
		p := k % o.parts
		o.seqs[p]++
		o.since[p]++
		o.ops = append(o.ops, seglog.Op{Kind: seglog.Put, Known: known, Part: uint16(p), Key: fmt.Appendf(nil, "001key:%012d", k), Value: o.value[:overwrittenBytes+itemMore]},
			seglog.Op{Kind: seglog.PutRow, Part: uint16(p), Seq: o.seqs[p], Value: o.value[:rowBytes]},
			seglog.Op{Kind: seglog.PutMeta, Part: uint16(p), Value: o.value[:metaBytes]})
		if o.since[p] >= rowsKept/4 {
			if o.seqs[p] > rowsKept {
				o.ops = append(o.ops, seglog.Op{Kind: seglog.Trim, Part: uint16(p), Seq: o.seqs[p] - rowsKept})
			}
			o.since[p] = 0
		}
	}
	wait, err := o.s.Apply(o.ops)
	if err == nil {
		err = wait()
	}
	if err != nil {
		o.t.Fatal(err)
	}
	<-time.After(time.Duration(len(keys)) * setEvery)
}

// play fills a store with keys, overwrites them so many times over, and returns what it wrote
// for both.
func (o *overwriter) play(c *countedFS, keys, times int, look func()) (filling, overwriting traffic) {
	some := make([]int, 0, 32)
	for k := 0; k < keys; {
		for n := 20 + o.rng.IntN(12); n > 0 && k < keys; n-- {
			some = append(some, k)
			k++
		}
		o.batch(seglog.KnownAbsent, some...)
		some = some[:0]
	}
	<-time.After(10 * time.Second)
	filling = c.now()
	for n := 0; n < keys*times; n += len(some) {
		some = some[:0]
		for range 5 + o.rng.IntN(11) {
			some = append(some, o.rng.IntN(keys))
		}
		o.batch(seglog.KnownPresent, some...)
		look()
	}
	return filling, c.now().since(filling)
}

// TestOverwriting overwrites random keys of 1 KiB, eight times over, on a virtual clock, and counts
// what that writes, and takes. With VIEWRING_SEGLOG_LONG it is a server's log of 100,000 keys.
func TestOverwriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys, parts, segment, times := 24_000, 256, int64(2<<20), 3
		if slow() {
			keys, parts, segment, times = 100_000, 1024, 8<<20, 8
		}
		c := &countedFS{FS: crashdisk.Mem()}
		s, err := seglog.Open(c, seglog.Options{SegmentBytes: segment})
		if err != nil {
			t.Fatal(err)
		}
		o := &overwriter{t: t, s: s, rng: rand.New(rand.NewPCG(1, 9)), parts: parts, seqs: make([]uint64, parts), since: make([]uint64, parts), value: make([]byte, 2048)}
		user := float64(keys * overwrittenBytes)
		var peak, sum, looks float64
		worst := int64(math.MinInt64)
		filling, over := o.play(c, keys, times, func() {
			st := s.Stats()
			worst = max(worst, st.DiskBytes-int64(1.6*float64(st.LiveBytes))-2*segment)
			if looks++; int(looks)%100 == 0 {
				peak = max(peak, float64(c.used(t))/user)
			}
			sum += float64(st.DiskBytes) / user
		})
		t.Log("filling:", filling.report(keys))
		t.Log("overwriting:", over.report(o.sets-keys))
		st := s.Stats()
		end := float64(c.used(t)) / user
		t.Logf("files / user data: %.2f at most, %.2f at the end; segments %.2f on average, of which %.2f live", peak, end, sum/looks, float64(st.LiveBytes)/user)
		if worst > 0 {
			t.Errorf("%d bytes more on the disk than 1.6 times what lives and two segments", worst)
		}
		if of := float64(over.bytes()) / float64(o.sets-keys) / overwrittenBytes; of > 2.6 || st.Freed == 0 {
			t.Errorf("%.2f bytes were written for one of the user: %+v", of, st)
		}
		if end > 2.35 {
			t.Errorf("%.2f bytes are on the disk for one of the user", end)
		}
		if p99 := over.lengths.at(0.99); p99 > 16*disk.BlockBytes {
			t.Errorf("the longest of 100 frames has %d bytes: sets wait for copies that nothing demands", p99)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// report says what was written for so many sets.
func (t traffic) report(sets int) string {
	of := func(n int64) float64 { return float64(n) / float64(sets) / overwrittenBytes }
	a := func(n int64) float64 { return float64(n) / float64(sets) }
	return fmt.Sprintf("%.2f bytes for one of the user, of which records %.3f, directories and sums %.3f, padding %.3f, heads of segments %.3f, checkpoints %.3f; "+
		"for each set %.2f items, %.2f rows, %.2f states; %.1f sets a frame, of which 1 of 100 has more than %d bytes", of(t.bytes()), of(t.records), of(t.directory), of(t.padding),
		of(t.heads), of(t.checkpoints), a(t.items), a(t.rows), a(t.states), float64(sets)/float64(t.frames), t.lengths.at(0.99))
}

// lengths counts frames by their blocks.
type lengths [512]int

func (l *lengths) at(share float64) (bytes int) {
	all := 0
	for _, n := range l {
		all += n
	}
	seen := 0
	for i, n := range l {
		if seen += n; float64(seen) >= share*float64(all) {
			return i * disk.BlockBytes
		}
	}
	return 0
}
