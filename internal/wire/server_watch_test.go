package wire

import (
	"reflect"
	"testing"
)

var (
	sampleWatches = []WatchRequest{
		{ID: 7, Partition: 1000, Now: true, Space: 1, Prefix: true, Name: []byte("p"), Values: true},
		{ID: 8, Partition: 3, Term: 5, Seq: 6, Space: 5, Slot: 16383, Name: []byte("key")},
	}
	sampleTold = []Told{
		{ID: 7, Kind: TellBegun, Term: 3, Seq: 4},
		{ID: 7, Kind: TellChanged, Term: 3, Seq: 5, Changes: []ToldChange{
			{Change: TellSet, Slot: 4, Name: []byte("a"), HasValue: true, Value: []byte("value"), Expiry: 99},
			{Change: TellSet, Slot: 4, Name: []byte("b")}, {Change: TellExpired, Slot: 4, Name: []byte("c")}}},
		{ID: 7, Kind: TellEnded, Why: WhyMoved, Epoch: 9},
	}
)

func TestWatchCodec(t *testing.T) {
	for _, q := range sampleWatches {
		b := AppendWatchRequest(nil, &q)
		if got, err := DecodeWatchRequest(b); err != nil || !reflect.DeepEqual(got, q) {
			t.Errorf("%+v: %+v, %v", q, got, err)
		}
		for i := range b {
			if _, err := DecodeWatchRequest(b[:i]); err == nil {
				t.Errorf("%d of %d bytes of %+v pass for the whole", i, len(b), q)
			}
		}
	}
	for _, told := range sampleTold {
		b := AppendTold(nil, &told)
		if got, err := DecodeTold(b); err != nil || !reflect.DeepEqual(got, told) {
			t.Errorf("%+v: %+v, %v", told, got, err)
		}
		for i := range b {
			if _, err := DecodeTold(b[:i]); err == nil {
				t.Errorf("%d of %d bytes of %+v pass for the whole", i, len(b), told)
			}
		}
	}
	for what, b := range map[string][]byte{
		"another format":        {watchFormat + 1},
		"an end without reason": AppendTold(nil, &Told{Kind: TellEnded}),
		"a reason without end":  AppendTold(nil, &Told{Kind: TellPassed, Why: WhySlow}),
		"no change":             AppendTold(nil, &Told{Kind: TellChanged}),
		"an unknown change":     AppendTold(nil, &Told{Kind: TellChanged, Changes: []ToldChange{{Change: 9}}}),
		"a deleted value":       AppendTold(nil, &Told{Kind: TellChanged, Changes: []ToldChange{{Change: TellDeleted, HasValue: true}}}),
	} {
		if got, err := DecodeTold(b); err == nil {
			t.Errorf("%s: %+v", what, got)
		}
	}
	bad := sampleWatches[0]
	bad.Slot = 16384
	if got, err := DecodeWatchRequest(AppendWatchRequest(nil, &bad)); err == nil {
		t.Errorf("a slot too high: %+v", got)
	}
}

// FuzzDecodeTold: whatever a server pushes is decoded or refused.
func FuzzDecodeTold(f *testing.F) {
	for i := range sampleTold {
		f.Add(AppendTold(nil, &sampleTold[i]))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		told, err := DecodeTold(b)
		if err != nil {
			return
		}
		again, err := DecodeTold(AppendTold(nil, &told))
		if err != nil || !reflect.DeepEqual(again, told) {
			t.Fatalf("%+v, encoded and decoded again %+v: %v", told, again, err)
		}
	})
}
