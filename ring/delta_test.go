package ring

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"

	"viewring/internal/codec"
)

// changeTestMembers lets members join, leave, change, and change back.
func changeTestMembers(rnd *rand.Rand, v *View, next *ServerID) {
	for range rnd.IntN(4) {
		switch n := len(v.Members); {
		case n < 3 || rnd.IntN(4) == 0:
			v.Members = append(v.Members, Member{ID: *next, Addr: "127.0.0.1:1", Status: In, Up: true})
			*next += 1 + ServerID(rnd.IntN(2)) // some ids are never a member's
		case rnd.IntN(4) == 0:
			i := rnd.IntN(n)
			v.Members = append(v.Members[:i:i], v.Members[i+1:]...)
		default:
			m := &v.Members[rnd.IntN(n)]
			m.Up = !m.Up
			if rnd.IntN(3) == 0 {
				m.Incarnation++
			}
		}
	}
}

// TestDeltasRebuild has receivers of any age, and of epochs that the sender never
// published, rebuild the newest view byte for byte.
func TestDeltasRebuild(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 5))
	small, all := 0, 0
	for round := range 50 {
		v := testView(rnd, 20, 16, 3)
		next := ServerID(21)
		views := []*View{v}
		var sender Deltas
		sender.Publish(v)
		started := 0 // index of the first view that the sender knows
		for range 40 {
			v = v.Clone()
			v.Epoch++
			changeTestMembers(rnd, v, &next)
			for i := range rnd.IntN(3) {
				changeTestPartition(rnd, v, i, v.Epoch)
			}
			views = append(views, v)
			if rnd.IntN(20) == 0 {
				sender, started = Deltas{}, len(views)-1 // a new process
			}
			if rnd.IntN(8) == 0 {
				started = len(views) // at the earliest
				continue             // another head published this one
			}
			sender.Publish(v)
			whole := AppendView(nil, v, 0)
			for range 5 {
				asked := rnd.IntN(len(views))
				had := views[asked+rnd.IntN(len(views)-asked)] // it may have got a newer one meanwhile
				delta := sender.Append(nil, views[asked].Epoch)
				got, err := DecodeView(delta, had)
				if err != nil {
					t.Fatalf("round %d: since %d, on %d: %v", round, views[asked].Epoch, had.Epoch, err)
				}
				if b := AppendView(nil, got, 0); !bytes.Equal(b, whole) {
					t.Fatalf("round %d: since %d, on %d: %+v, want %+v", round, views[asked].Epoch, had.Epoch, got.Members, v.Members)
				}
				if all++; asked >= started && len(delta) < len(whole)/2 {
					small++
				}
			}
			if got, err := DecodeView(sender.Append(nil, 0), nil); err != nil || !bytes.Equal(AppendView(nil, got, 0), whole) {
				t.Fatalf("round %d: whole: %v", round, err)
			}
		}
	}
	if small < all/4 {
		t.Errorf("%d of %d deltas are less than half a view", small, all)
	}
}

// TestDeltaSize: what one server's change costs each waiter does not grow with the
// cluster.
func TestDeltaSize(t *testing.T) {
	rnd := rand.New(rand.NewPCG(6, 6))
	v := testView(rnd, 1000, 1024, 50)
	var sender Deltas
	sender.Publish(v)
	next := v.Clone()
	next.Epoch++
	next.Members[500].Up = !next.Members[500].Up
	sender.Publish(next)
	delta := sender.Append(nil, v.Epoch)
	if len(delta) > 100 {
		t.Errorf("%d bytes for one member of 1000", len(delta))
	}
	got, err := DecodeView(delta, v)
	if err != nil || !reflect.DeepEqual(got, next) {
		t.Errorf("rebuilt: %v", err)
	}
}

func TestDecodeDeltaRefuses(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	base := testView(rnd, 6, 8, 10)
	v := base.Clone()
	v.Epoch++
	v.Members[1].Incarnation++
	v.Members[4].Up = !v.Members[4].Up
	var sender Deltas
	sender.Publish(base)
	sender.Publish(v)
	good := sender.Append(nil, base.Epoch)
	if got, err := DecodeView(good, base); err != nil || !reflect.DeepEqual(got, v) {
		t.Fatal(err)
	}
	for n := range good {
		if _, err := DecodeView(good[:n], base); !errors.Is(err, codec.ErrMalformed) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := DecodeView(append(bytes.Clone(good), 0), base); !errors.Is(err, codec.ErrMalformed) {
		t.Errorf("a byte too many: %v", err)
	}
	head := appendHead([]byte{deltaFormat}, v, base.Epoch)
	for name, runs := range map[string][]uint64{
		"an empty run":           {1, 0, 0},
		"runs that touch":        {2, 0, 2, 0, 4},
		"too many members":       {1, 0, membersMax + 1},
		"too many in two runs":   {2, 0, membersMax, 1, 1},
		"an id beyond":           {1, 1<<32 - 2, 2},
		"a run around the world": {2, 0, 1, 1<<64 - 2, 3},
	} {
		b := bytes.Clone(head)
		for _, n := range runs {
			b = binary.AppendUvarint(b, n)
		}
		if _, err := DecodeView(append(b, make([]byte, 8)...), base); !errors.Is(err, codec.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	stranger := append(bytes.Clone(head), 1, 0, 1)
	stranger = appendMembers(stranger, v.Members[:2]) // the second is not in the list
	if _, err := DecodeView(appendPartitions(stranger, v, base.Epoch), base); !errors.Is(err, codec.ErrMalformed) {
		t.Errorf("a member that is not in the list: %v", err)
	}
	without := base.Clone()
	without.Members = without.Members[:2]
	if _, err := DecodeView(good, without); !errors.Is(err, ErrNeedWhole) {
		t.Errorf("a base without the members: %v", err)
	}
	for name, format := range map[string]byte{"a whole view as a delta": deltaFormat, "a delta as a whole view": viewFormat} {
		b := AppendView(nil, v, 0)
		if format == viewFormat {
			b = bytes.Clone(good)
		}
		b[0] = format
		if _, err := DecodeView(b, base); !errors.Is(err, codec.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
