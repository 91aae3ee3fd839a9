package seglog_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"viewring/internal/disk/crashdisk"
	"viewring/internal/seglog"
)

// putSync sets a key to n bytes and waits until that is durable.
func putSync(s *seglog.Store, part uint16, key string, n int) error {
	wait, err := s.Apply([]seglog.Op{{Kind: seglog.Put, Part: part, Key: []byte(key), Value: make([]byte, n)}})
	if err == nil {
		err = wait()
	}
	return err
}

// mustOpen opens a store.
func mustOpen(t *testing.T, d *crashdisk.FS, opts seglog.Options) *seglog.Store {
	t.Helper()
	s, err := seglog.Open(d, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// unreadable lets reads of files whose names begin with prefix fail which meet bytes
// from … to, and returns what ends that.
func unreadable(d *crashdisk.FS, prefix string, from, to int64, err error) (failed *atomic.Int64) {
	failed = new(atomic.Int64)
	d.Watch(func(st crashdisk.Step) error {
		if st.Kind == crashdisk.Read && strings.HasPrefix(st.Name, prefix) && st.At < to && st.At+int64(st.Len) > from {
			failed.Add(1)
			return err
		}
		return nil
	})
	return failed
}

// TestUnreadableAtOpen lets every block of a store be one that cannot be read, while the
// store is opened: what was acknowledged is there, or told of as damaged, or the store does
// not open. The same once the disk is well again: nothing was written over what could not
// be read.
func TestUnreadableAtOpen(t *testing.T) {
	for _, clean := range []bool{true, false} {
		for _, err := range []error{syscall.EIO, syscall.ENOMEM} {
			t.Run(fmt.Sprintf("clean=%v,%v", clean, err), func(t *testing.T) {
				m, merr := newSmall(6, clean)
				if merr != nil {
					t.Fatal(merr)
				}
				names, _ := m.disk.List()
				for _, name := range names {
					for at := int64(0); at < int64(len(m.disk.Bytes(name))); at += 4096 {
						if err := m.checkUnreadable(name, at, err); err != nil {
							t.Fatalf("block at %d of %s: %v", at, name, err)
						}
					}
				}
			})
		}
	}
}

// checkUnreadable opens the store while a block cannot be read, and after that.
func (m *small) checkUnreadable(name string, at int64, failure error) error {
	d := m.disk.Clone()
	failed := unreadable(d, name, at, at+4096, failure)
	s, err := seglog.Open(d, m.opts)
	switch {
	case err != nil && !errors.Is(err, failure):
		return fmt.Errorf("open: %w", err)
	case err == nil && failed.Load() > 0 && failure != syscall.EIO && name != "STORE": // which has a copy
		return errors.New("opened, although it could not be told whether that was damage")
	case err == nil:
		if _, err = m.look(s); err != nil {
			return err
		}
		// It goes on, and loses nothing of that.
		if err := putSync(s, smallPart+1, "more", 3000); err != nil {
			return err
		}
		d.Watch(nil)
		next := d.Crash()
		_ = s.Close() // the machine is dead
		if s, err = seglog.Open(next, m.opts); err != nil {
			return fmt.Errorf("open when the disk is well: %w", err)
		}
		if _, ok, err := s.Get(smallPart+1, []byte("more")); !ok {
			return fmt.Errorf("what was written meanwhile is gone: %w", err)
		}
	default:
		d.Watch(nil)
		if s, err = seglog.Open(d, m.opts); err != nil {
			return fmt.Errorf("open when the disk is well: %w", err)
		}
	}
	if _, err := m.look(s); err != nil {
		return fmt.Errorf("when the disk is well: %w", err)
	}
	return s.Close()
}

// TestReadErrorThatPasses meets a read error once: the second look finds all.
func TestReadErrorThatPasses(t *testing.T) {
	d := crashdisk.New(512, rand.New(rand.NewPCG(1, 9)))
	opts := seglog.Options{SegmentBytes: 64 << 10, Manual: true}
	s := mustOpen(t, d, opts)
	for i := range 6 {
		if err := putSync(s, 1, fmt.Sprintf("key%d", i), 10); err != nil {
			t.Fatal(err)
		}
	}
	next := d.Crash()
	_ = s.Close() // the machine is dead
	failed := false
	next.Watch(func(st crashdisk.Step) error {
		if st.Kind == crashdisk.Read && st.Len > 8192 && !failed {
			failed = true
			return syscall.EIO
		}
		return nil
	})
	s = mustOpen(t, next, opts)
	defer s.Close() // only read
	for i := range 6 {
		if _, ok, err := s.Get(1, fmt.Appendf(nil, "key%d", i)); !ok || err != nil {
			t.Errorf("key%d: %v, %v", i, ok, err)
		}
	}
	if !failed || s.Stats().Damage > 0 {
		t.Errorf("failed: %v, damage: %d", failed, s.Stats().Damage)
	}
}
