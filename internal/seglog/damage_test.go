package seglog_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"viewring/internal/disk"
	"viewring/internal/disk/crashdisk"
	"viewring/internal/seglog"
)

// small is a small store on a disk, and what is in it.
type small struct {
	disk  *crashdisk.FS
	opts  seglog.Options
	items map[string]string // of partition 1
	older map[string][]string
}

const (
	smallPart = 1
	smallKeys = 24
)

// newSmall makes a store that has been written to in several batches, with overwritten
// and deleted keys. clean: it was closed; else its machine was switched off.
func newSmall(rounds int, clean bool) (*small, error) {
	m := &small{disk: crashdisk.New(512, rand.New(rand.NewPCG(1, 2))), opts: seglog.Options{SegmentBytes: 32 << 10, Manual: true},
		items: make(map[string]string), older: make(map[string][]string)}
	m.opts.PartBytes(1)
	s, err := seglog.Open(m.disk, m.opts)
	if err != nil {
		return nil, err
	}
	if err := m.write(s, rounds); err != nil {
		return nil, err
	}
	disk := m.disk
	if !clean {
		disk = m.disk.Crash()
	}
	if err := s.Close(); clean && err != nil {
		return nil, err
	}
	m.disk = disk
	return m, nil
}

// write applies batches; some keys of each round are deleted in the next.
func (m *small) write(s *seglog.Store, rounds int) error {
	for round := range rounds {
		var ops []seglog.Op
		for n := range smallKeys / 4 {
			key := string(keyOf((round*5 + n) % smallKeys))
			if old, ok := m.items[key]; ok {
				m.older[key] = append(m.older[key], old)
			}
			if (round+n)%5 == 4 {
				delete(m.items, key)
				ops = append(ops, seglog.Op{Kind: seglog.Delete, Part: smallPart, Key: []byte(key)})
				continue
			}
			m.items[key] = fmt.Sprintf("%d of %q %s", round, key, strings.Repeat("v", 40*n))
			ops = append(ops, seglog.Op{Kind: seglog.Put, Part: smallPart, Key: []byte(key), Value: []byte(m.items[key])})
		}
		ops = append(ops, seglog.Op{Kind: seglog.PutRow, Part: smallPart, Seq: uint64(round + 1), Value: []byte("row")},
			seglog.Op{Kind: seglog.PutMeta, Part: smallPart, Value: fmt.Append(nil, "meta ", round)})
		wait, err := s.Apply(ops)
		if err == nil {
			err = wait()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// check opens the store on a damaged disk and looks at every key: it has its value, or
// the store says that it can't tell. It returns how many can't be told.
func (m *small) check(disk *crashdisk.FS) (corrupt int, err error) {
	s, err := seglog.Open(disk, m.opts)
	if err != nil {
		if errors.Is(err, seglog.ErrCorrupt) || errors.Is(err, seglog.ErrFormat) {
			return smallKeys, nil
		}
		return 0, fmt.Errorf("open: %w", err)
	}
	if corrupt, err = m.look(s); err != nil {
		return 0, err
	}
	// Again after all was moved, and after a start that has nothing but the log.
	if err := s.CollectAll(); err != nil {
		return 0, fmt.Errorf("collect: %w", err)
	}
	if _, err = m.look(s); err != nil {
		return 0, fmt.Errorf("collected: %w", err)
	}
	audit := s.Audit() // after what is told: that is what users see
	if err := s.Close(); err != nil {
		return 0, err
	}
	if s, err = seglog.Open(withoutCheckpoint(disk), m.opts); err != nil {
		return 0, fmt.Errorf("open again: %w", err)
	}
	if _, err = m.look(s); err != nil {
		return 0, fmt.Errorf("opened again: %w", err)
	}
	return corrupt, errors.Join(audit, s.Close())
}

func (m *small) look(s *seglog.Store) (corrupt int, err error) {
	for n := range smallKeys {
		key := keyOf(n)
		value, ok, err := s.Get(smallPart, key)
		want, there := m.items[string(key)]
		switch {
		case errors.Is(err, seglog.ErrCorrupt):
			corrupt++
		case err != nil:
			return 0, err
		case ok != there:
			return 0, wrong("key %q is there: %v, not %v", key, ok, there)
		case string(value) != want:
			return 0, wrong("key %q has %.20q, not %.20q", key, value, want)
		}
		unread := err != nil
		err = lookPart(s, rand.New(rand.NewPCG(uint64(n), 11)), smallPart, key, want, there)
		if err != nil && (!unread || !errors.Is(err, seglog.ErrCorrupt) || errors.Is(err, errWrong)) {
			return 0, wrong("all of key %q is unreadable: %v; a part: %w", key, unread, err)
		}
	}
	return corrupt, nil
}

// files returns the names of files that begin with prefix.
func files(disk *crashdisk.FS, prefix string) (names []string) {
	all, _ := disk.List()
	for _, n := range all {
		if strings.HasPrefix(n, prefix) {
			names = append(names, n)
		}
	}
	return names
}

func withoutCheckpoint(disk *crashdisk.FS) *crashdisk.FS {
	d := disk.Clone()
	for _, n := range files(d, "checkpoint-") {
		_ = d.Remove(n) // it is there
	}
	return d
}

// flips flips a bit of every step-th byte of a small store, one at a time. It was
// closed, or its machine was switched off; its checkpoint is there, or not.
func flips(step int, clean, checkpoint bool) (count int, err error) {
	m, err := newSmall(4, clean)
	if err != nil {
		return 0, err
	}
	if !checkpoint {
		m.disk = withoutCheckpoint(m.disk)
	}
	if n, err := m.check(m.disk.Clone()); err != nil || n > 0 {
		return 0, fmt.Errorf("before any damage: %d keys can't be read, %v", n, err)
	}
	names, _ := m.disk.List()
	for _, name := range names {
		end := len(bytes.TrimRight(m.disk.Bytes(name), "\x00")) + 600
		for at := count % step; at < min(end, len(m.disk.Bytes(name))); at += step {
			d := m.disk.Clone()
			d.Bytes(name)[at] ^= 1 << (at % 8)
			n, err := m.check(d)
			if err == nil && n > 1 {
				err = wrong("%d keys can't be read", n)
			}
			if err != nil {
				return count, fmt.Errorf("byte %d of %s flipped: %w", at, name, err)
			}
			count++
		}
	}
	return count, nil
}

// TestFlips flips each byte of a small store: never a wrong value, never a key that is
// silently gone or back, and never more than one that can't be read.
func TestFlips(t *testing.T) {
	step := 97
	if slow() {
		step = 1
	}
	for _, clean := range []bool{true, false} {
		for _, checkpoint := range []bool{true, false} {
			t.Run(fmt.Sprintf("clean=%v,checkpoint=%v", clean, checkpoint), func(t *testing.T) {
				t.Parallel()
				count, err := flips(step, clean, checkpoint)
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%d bytes", count)
			})
		}
	}
}

// damageCase is something that happens to a store's files.
type damageCase struct {
	name string
	hurt func(m *small, disk *crashdisk.FS, old *crashdisk.FS, rng *rand.Rand)
}

var damages = []damageCase{
	{"segment truncated", func(_ *small, d, _ *crashdisk.FS, rng *rand.Rand) {
		n := pick(d, rng)
		d.Put(n, d.Bytes(n)[:rng.IntN(len(d.Bytes(n)))])
	}},
	{"segment zeroed", func(_ *small, d, _ *crashdisk.FS, rng *rand.Rand) {
		clear(d.Bytes(pick(d, rng)))
	}},
	{"part of a segment zeroed", func(_ *small, d, _ *crashdisk.FS, rng *rand.Rand) {
		name := pick(d, rng)
		b := d.Bytes(name)
		at := rng.IntN(len(b)) &^ 4095
		part := b[at:min(len(b), at+4096*(1+rng.IntN(3)))]
		segments := files(d, "segment-")
		last := len(bytes.TrimRight(b, "\x00")) - 1
		if name == segments[len(segments)-1] && len(files(d, "checkpoint-")) == 0 && at <= last && last < at+len(part) {
			return // the end of the log: nothing in the folder says that it was there
		}
		clear(part)
	}},
	{"segment filled with noise", func(_ *small, d, _ *crashdisk.FS, rng *rand.Rand) {
		b := d.Bytes(pick(d, rng))
		at := rng.IntN(len(b)) &^ 511
		for i := range b[at:min(len(b), at+512*(1+rng.IntN(20)))] {
			b[at+i] = byte(rng.Uint32())
		}
	}},
	{"segments swapped", func(_ *small, d, _ *crashdisk.FS, rng *rand.Rand) {
		a, b := pick(d, rng), pick(d, rng)
		x, y := slices.Clone(d.Bytes(a)), slices.Clone(d.Bytes(b))
		d.Put(a, y)
		d.Put(b, x)
	}},
	{"segment missing", func(_ *small, d, _ *crashdisk.FS, rng *rand.Rand) {
		_ = d.Remove(pick(d, rng)) // it is there
	}},
	{"segment put back from an earlier day", func(_ *small, d, old *crashdisk.FS, rng *rand.Rand) {
		n := pick(old, rng)
		d.Put(n, old.Bytes(n))
	}},
	{"block put elsewhere", func(_ *small, d, _ *crashdisk.FS, rng *rand.Rand) {
		b := d.Bytes(pick(d, rng))
		from, to := rng.IntN(len(b))&^4095, rng.IntN(len(b))&^4095
		copy(b[to:to+4096], slices.Clone(b[from:from+4096]))
	}},
}

func pick(d *crashdisk.FS, rng *rand.Rand) string {
	names := files(d, "segment-")
	return names[rng.IntN(len(names))]
}

// play does the damage to a store in several places, with a checkpoint and without.
func (c *damageCase) play() error {
	m, err := newSmall(30, true)
	if err != nil {
		return err
	}
	old := m.disk.Clone()
	s, err := seglog.Open(m.disk, m.opts)
	if err != nil {
		return err
	}
	if err := m.write(s, 25); err != nil {
		return err
	}
	if err := s.CollectAll(); err != nil {
		return err
	}
	if err := m.write(s, 25); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	seeds := uint64(60)
	if raceDetector { // one goroutine does nearly all of it
		seeds = 15
	}
	if slow() {
		seeds = 1000
	}
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 3))
		d := m.disk.Clone()
		if seed%2 == 0 {
			d = withoutCheckpoint(d)
		}
		c.hurt(m, d, old, rng)
		if _, err := m.check(d); err != nil {
			return fmt.Errorf("seed %d: %w", seed, err)
		}
	}
	return nil
}

// TestDamage does to a store what disks and people do: never a wrong value, never a
// panic, never a key silently gone or back.
func TestDamage(t *testing.T) {
	for _, c := range damages {
		t.Run(c.name, func(t *testing.T) {
			if err := c.play(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestOldRecord puts the block of an old value where the new one of the same key is: the
// key is damaged then, and never has its old value.
func TestOldRecord(t *testing.T) {
	d := crashdisk.New(512, rand.New(rand.NewPCG(1, 9)))
	opts := seglog.Options{SegmentBytes: 64 << 10, Manual: true}
	s, err := seglog.Open(d, opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"old", "new"} {
		wait, err := s.Apply([]seglog.Op{{Kind: seglog.Put, Part: 1, Key: []byte("key"), Value: []byte(value)}})
		if err == nil {
			err = wait()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	b := d.Bytes(files(d, "segment-")[0])
	copy(b[2*disk.BlockBytes:], b[disk.BlockBytes:2*disk.BlockBytes])
	if s, err = seglog.Open(d, opts); err != nil {
		t.Fatal(err)
	}
	defer s.Close() // only read
	if v, ok, err := s.Get(1, []byte("key")); !errors.Is(err, seglog.ErrCorrupt) {
		t.Errorf("the key's old value is given, or none: %q, %v, %v", v, ok, err)
	}
}
