package ring

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"viewring/internal/codec"
)

func testView(rnd *rand.Rand, members, partitions int, epoch uint64) *View {
	v := &View{Cluster: [16]byte{1, 2}, Epoch: epoch, LeaseTTL: 600 * time.Millisecond, MinCopies: 2}
	for i := range members {
		v.Members = append(v.Members, Member{
			ID: ServerID(i + 1), Store: [16]byte{byte(i)}, Incarnation: rnd.Uint64(), Start: rnd.Uint64(), Addr: "127.0.0.1:28600",
			Zone: []string{"", "a"}[i%2], Weight: 1, Status: Status(1 + i%4), Up: i%3 == 0,
		})
	}
	v.Partitions = make([]Partition, partitions)
	for i := range v.Partitions {
		changeTestPartition(rnd, v, i, 1+rnd.Uint64N(epoch))
	}
	return v
}

func changeTestPartition(rnd *rand.Rand, v *View, i int, term uint64) {
	p := Partition{Term: term, MinCopies: uint8(rnd.IntN(3))}
	for _, m := range rnd.Perm(len(v.Members))[:rnd.IntN(4)] {
		p.Acting = append(p.Acting, ServerID(m+1))
	}
	p.Writable = p.Acting
	if rnd.IntN(3) == 0 {
		p.Writable = []ServerID{1, 2}
	}
	if rnd.IntN(3) == 0 {
		p.ResetTerm = 1 + rnd.Uint64N(term)
	}
	v.Partitions[i] = p
}

func TestViewWhole(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for _, v := range []*View{testView(rnd, 9, 64, 100), {Members: []Member{}, Partitions: []Partition{{}}}} {
		got, err := DecodeView(AppendView(nil, v, 0), nil)
		if err != nil || !reflect.DeepEqual(got, v) {
			t.Errorf("got %+v, %v; want %+v", got, err, v)
		}
		if c := v.Clone(); !reflect.DeepEqual(c, v) {
			t.Errorf("clone %+v of %+v", c, v)
		}
	}
}

func TestViewDelta(t *testing.T) {
	rnd := rand.New(rand.NewPCG(2, 2))
	old := testView(rnd, 6, 256, 50)
	v := old.Clone()
	v.Epoch = 60
	for i := range 10 {
		changeTestPartition(rnd, v, 7*i, 51+uint64(i))
	}
	v.Members[2].Up = !v.Members[2].Up
	delta := AppendView(nil, v, 50)
	if whole := AppendView(nil, v, 0); len(delta) > len(whole)/3 {
		t.Errorf("delta of %d bytes, whole of %d", len(delta), len(whole))
	}
	before := old.Clone()
	got, err := DecodeView(delta, old)
	if err != nil || !reflect.DeepEqual(got, v) {
		t.Fatalf("delta: %v", err)
	}
	if !reflect.DeepEqual(old, before) {
		t.Error("the base was changed")
	}
	middle, err := DecodeView(AppendView(nil, v, 0), nil)
	if err != nil {
		t.Fatal(err)
	}
	middle.Epoch = 55 // somewhere between since and the delta's epoch
	if got, err := DecodeView(delta, middle); err != nil || !reflect.DeepEqual(got, v) {
		t.Errorf("delta on a later base: %v", err)
	}
	if got, err := DecodeView(delta, v); err != nil || got != v {
		t.Errorf("delta on its own view: %v", err)
	}
	early, other := old.Clone(), old.Clone()
	early.Epoch = 49
	other.Cluster[0]++
	for name, base := range map[string]*View{"no base": nil, "early": early, "other cluster": other} {
		if _, err := DecodeView(delta, base); !errors.Is(err, ErrNeedWhole) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDecodeViewRefuses(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 3))
	good := AppendView(nil, testView(rnd, 3, 8, 10), 0)
	for n := range good {
		if _, err := DecodeView(good[:n], nil); !errors.Is(err, codec.ErrMalformed) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := DecodeView(append(bytes.Clone(good), 0), nil); !errors.Is(err, codec.ErrMalformed) {
		t.Errorf("a byte too many: %v", err)
	}
	for name, spoil := range map[string]func(v *View){
		"members out of order": func(v *View) { v.Members[0], v.Members[1] = v.Members[1], v.Members[0] },
		"member 0":             func(v *View) { v.Members[0].ID = 0 },
		"a bad status":         func(v *View) { v.Members[0].Status = 9 },
		"three partitions":     func(v *View) { v.Partitions = v.Partitions[:3] },
		"reset later":          func(v *View) { v.Partitions[0].ResetTerm = v.Partitions[0].Term + 1 },
		"acting 0":             func(v *View) { v.Partitions[0].Acting = []ServerID{0} },
		"seventeen acting":     func(v *View) { v.Partitions[0].Acting = make([]ServerID, 17) },
		"an endless address":   func(v *View) { v.Members[0].Addr = string(make([]byte, 2000)) },
	} {
		v := testView(rnd, 3, 8, 10)
		spoil(v)
		if _, err := DecodeView(AppendView(nil, v, 0), nil); !errors.Is(err, codec.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good[0]++
	if _, err := DecodeView(good, nil); err == nil {
		t.Error("another format was read")
	}
}

// FuzzDecodeView checks that what decodes encodes to what decodes the same.
func FuzzDecodeView(f *testing.F) {
	rnd := rand.New(rand.NewPCG(4, 4))
	base := testView(rnd, 3, 8, 10)
	f.Add(AppendView(nil, base, 0))
	next := base.Clone()
	next.Epoch = 12
	changeTestPartition(rnd, next, 3, 11)
	f.Add(AppendView(nil, next, 10))
	next.Members[1].Up = !next.Members[1].Up
	next.Members = next.Members[:2]
	var sender Deltas
	sender.Publish(base)
	sender.Publish(next)
	f.Add(sender.Append(nil, 10))
	f.Fuzz(func(t *testing.T, in []byte) {
		v, err := DecodeView(in, base)
		if err != nil {
			return
		}
		again, err := DecodeView(AppendView(nil, v, 0), nil)
		if err != nil || !reflect.DeepEqual(again, v) {
			t.Fatalf("again: %+v, %v; first %+v", again, err, v)
		}
	})
}
