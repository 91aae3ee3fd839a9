package seglog_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"viewring/internal/disk"
	"viewring/internal/disk/crashdisk"
	"viewring/internal/seglog"
)

// Where the bugs that are planted are caught.
var caught = map[string]func(plant seglog.Bugs) error{
	"collision taken for equality":                inModel,
	"wipe without a new generation":               inCrashes,
	"trim not written":                            inCrashes,
	"collection copies over a newer record":       inModel,
	"segment freed before its copies are durable": inCrashes,
	"checkpoint before its segments":              inCrashes,
	"tombstones dropped too early":                inCrashes,
	"torn batch applied":                          inCrashes,
	"segment removed without a word in the log":   inCrashes,
	"acknowledged before it is durable":           inCrashes,
	"segment sealed before the next is made":      inCrashes,
	"read not verified":                           inFlips,
	"missing frames not missed":                   inDamage,
	"old segment's record verified":               inOldRecord,
	"damaged record dropped by collection":        inDamage,
}

func inModel(plant seglog.Bugs) error {
	for seed := range uint64(12) {
		if err := plays(seed, 1500, plant); err != nil {
			return err
		}
	}
	return nil
}

func inCrashes(plant seglog.Bugs) error {
	for seed := range uint64(60) {
		if err := crashes(seed, 30, plant, nil); err != nil {
			return err
		}
	}
	return nil
}

func inFlips(plant seglog.Bugs) error {
	_, err := flips(plant, 31, true, true)
	return err
}

func inDamage(plant seglog.Bugs) error {
	for _, d := range damages {
		if err := d.play(plant); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
	}
	return nil
}

// inOldRecord puts the block of an old value where the new one of the same key is: that is
// damaged then, and never the old value.
func inOldRecord(plant seglog.Bugs) error {
	d := crashdisk.New(512, rand.New(rand.NewPCG(1, 9)))
	opts := seglog.Options{SegmentBytes: 64 << 10, Manual: true}
	opts.Plant(plant)
	s, err := seglog.Open(d, opts)
	if err != nil {
		return err
	}
	for _, value := range []string{"old", "new"} {
		wait, err := s.Apply([]seglog.Op{{Kind: seglog.Put, Part: 1, Key: []byte("key"), Value: []byte(value)}})
		if err == nil {
			err = wait()
		}
		if err != nil {
			return err
		}
	}
	if err := s.Close(); err != nil {
		return err
	}
	b := d.Bytes(files(d, "segment-")[0])
	copy(b[2*disk.BlockBytes:], b[disk.BlockBytes:2*disk.BlockBytes])
	if s, err = seglog.Open(d, opts); err != nil {
		return err
	}
	defer s.Close() // only read
	if v, ok, err := s.Get(1, []byte("key")); !errors.Is(err, seglog.ErrCorrupt) {
		return wrong("the key's old value is given, or none: %q, %v, %w", v, ok, err)
	}
	return nil
}

// raceDetector says that the tests are built with it.
var raceDetector bool

// TestPlantedBugs plants each bug and sees it caught: by a test that passes without.
func TestPlantedBugs(t *testing.T) {
	if raceDetector {
		t.Skip("a batch that counts as durable too early is a data race, too")
	}
	if err := inOldRecord(0); err != nil { // the others are tests of their own
		t.Error(err)
	}
	for name, bug := range seglog.AllBugs {
		look := caught[name]
		if look == nil {
			t.Errorf("nothing catches %q", name)
			continue
		}
		err := look(bug)
		if !errors.Is(err, errWrong) {
			t.Errorf("%s: not caught: %v", name, err)
			continue
		}
		t.Logf("%s: %v", name, err)
	}
}
