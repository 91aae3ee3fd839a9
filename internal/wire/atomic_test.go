package wire

import (
	"reflect"
	"strings"
	"testing"
)

// FuzzAtomic: requests are decoded or refused, and what is decoded is encoded as the same.
func FuzzAtomic(f *testing.F) {
	f.Add(AppendAtomicRequest(nil, &AtomicRequest{Number: 7, Born: 1, Mark: 3, Checks: []AtomicCheck{{Key: []byte("a"), Term: 1, Seq: 2}},
		Writes: []AtomicWrite{{Key: []byte("a"), Delete: true}, {Key: []byte("b"), Value: []byte("v"), TTL: 5}}, FenceLock: "l", FenceToken: 9}))
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := DecodeAtomicRequest(b)
		if err != nil {
			return
		}
		if again, err := DecodeAtomicRequest(AppendAtomicRequest(nil, &q)); err != nil || !reflect.DeepEqual(again, q) {
			t.Errorf("%+v came back as %+v, %v", q, again, err)
		}
	})
}

func TestAtomicRefused(t *testing.T) {
	one := []AtomicWrite{{Key: []byte("a"), Value: []byte("v")}}
	for what, q := range map[string]AtomicRequest{
		"no request id":        {Writes: one},
		"nothing":              {Number: 1},
		"a key twice":          {Number: 1, Writes: append(one, one...)},
		"a value of a deleted": {Number: 1, Writes: []AtomicWrite{{Key: []byte("a"), Value: []byte("v"), Delete: true}}},
		"a past to live in":    {Number: 1, Writes: []AtomicWrite{{Key: []byte("a"), TTL: -1}}},
		"a long lock":          {Number: 1, Writes: one, FenceLock: strings.Repeat("l", FenceLockBytesMax+1)},
	} {
		if got, err := DecodeAtomicRequest(AppendAtomicRequest(nil, &q)); err == nil {
			t.Errorf("%s: %+v", what, got)
		}
	}
}

func TestAtomicTooLarge(t *testing.T) {
	many := AtomicRequest{Checks: make([]AtomicCheck, AtomicKeysMax+1)}
	long := AtomicRequest{Writes: []AtomicWrite{{Value: make([]byte, ValueBytesMax)}, {Key: []byte("b"), Value: []byte("v")}}}
	named := AtomicRequest{Checks: []AtomicCheck{{Key: make([]byte, KeyBytesMax+1)}}}
	allNames := AtomicRequest{Checks: make([]AtomicCheck, 5)}
	for i := range allNames.Checks {
		allNames.Checks[i].Key = make([]byte, KeyBytesMax)
	}
	for what, q := range map[string]*AtomicRequest{"keys": &many, "values": &long, "a name": &named, "names": &allNames} {
		if q.TooLarge() == "" {
			t.Errorf("%s: fits", what)
		}
	}
	if text := (&AtomicRequest{Writes: long.Writes[:1]}).TooLarge(); text != "" {
		t.Error(text)
	}
}
