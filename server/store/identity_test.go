package store

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"viewring/internal/disk/crashdisk"
)

// A folder names each of its starts before anybody hears of it, and keeps the name
// of the last one that was confirmed.
func TestStartsAreNamed(t *testing.T) {
	fs := crashdisk.Mem()
	var all []uint64
	next := func() *Store {
		fs = powerCut(fs) // whatever was not synced is lost
		s := mustOpen(t, fs)
		all = append(all, s.Identity().Starts[len(s.Identity().Starts)-1])
		return s
	}
	mustClose(t, next())
	mustClose(t, next())
	s := next()
	if got := s.Identity().Starts; !slices.Equal(got, all) {
		t.Errorf("nothing was confirmed: %x, want %x", got, all)
	}
	image := powerCut(fs)
	if err := s.Update((*Identity).Confirmed); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	s = next()
	if got := s.Identity().Starts; !slices.Equal(got, all[2:]) {
		t.Errorf("after one was confirmed: %x, want %x", got, all[2:])
	}
	mustClose(t, s)
	fs = image // put back, or copied
	s = next()
	if got := s.Identity().Starts; len(got) != 4 || !slices.Equal(got[:3], all[:3]) || slices.Contains(got, all[3]) {
		t.Errorf("an image: %x, the folder's were %x", got, all)
	}
	mustClose(t, s)
	slices.Sort(all)
	if len(slices.Compact(all)) != 5 || all[0] == 0 {
		t.Errorf("the names are %x", all)
	}
}

// The view of an epoch is there after any crash that left the epoch.
func TestViewIsKeptWithItsEpoch(t *testing.T) {
	fs := crashdisk.Mem()
	s := mustOpen(t, fs)
	if s.View() != nil {
		t.Errorf("a new folder has the view %q", s.View())
	}
	for epoch, view := range []string{"", "first", "second"} {
		if epoch == 0 {
			continue
		}
		if err := s.Adopt([]byte(view), func(id *Identity) { id.Epoch = uint64(epoch) }); err != nil {
			t.Fatal(err)
		}
		image := powerCut(fs)
		again := mustOpen(t, image)
		if string(again.View()) != view || again.Identity().Epoch != uint64(epoch) {
			t.Errorf("epoch %d: %q of epoch %d", epoch, again.View(), again.Identity().Epoch)
		}
		if err := again.repairIdentity(); err != nil || string(again.View()) != view {
			t.Errorf("rewritten: %q, %v", again.View(), err)
		}
		mustClose(t, again)
	}
	mustClose(t, s)
}

// However often a folder is started in vain, it names the confirmed start and the
// newest ones.
func TestStartsAreBounded(t *testing.T) {
	fs := crashdisk.Mem()
	var names []uint64
	for range startsMax + 3 {
		s := mustOpen(t, fs)
		got := s.Identity().Starts
		names = append(names, got[len(got)-1])
		mustClose(t, s)
		if len(got) > startsMax || got[0] != names[0] {
			t.Fatalf("%d starts, the first is %x, want %x", len(got), got[0], names[0])
		}
		if newest := names[max(1, len(names)-startsMax+1):]; !slices.Equal(got[1:], newest) {
			t.Fatalf("the newest are %x, want %x", got[1:], newest)
		}
	}
}

func TestIdentityFormat(t *testing.T) {
	want := Identity{Store: [16]byte{1}, Server: 3, Incarnation: 2, Previous: 1, Epoch: 12, LeaseMax: 600, Starts: []uint64{7, 9}}
	b := appendIdentity(nil, want)
	if got, err := decodeIdentity(b); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	b[0] = 9
	if _, err := decodeIdentity(b); !errors.Is(err, ErrFormat) {
		t.Errorf("a format of tomorrow: %v", err)
	}
}
