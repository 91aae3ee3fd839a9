package wire

import (
	"testing"

	"viewring/viewleader/vocab"
)

// The sessions that the head has not heard of are marked, and no others.
func TestUnheard(t *testing.T) {
	all := vocab.Locks{Locks: []vocab.Lock{{Name: "a", Shared: true, Holders: []vocab.LockHolder{{Client: "x", Session: 7}, {Client: "y", Session: 8}, {Client: "z"}}}}}
	b := AppendUnheard(AppendLocks(nil, &all), []uint64{7, 9})
	got, err := DecodeLocksHeard(b)
	if err != nil {
		t.Fatal(err)
	}
	if h := got.Locks[0].Holders; !h[0].Unheard || h[1].Unheard || h[2].Unheard {
		t.Errorf("%+v", h)
	}
	if _, err := DecodeLocksHeard(b[:len(b)-1]); err == nil {
		t.Error("a byte too few was accepted")
	}
}
