package wire

import (
	"reflect"
	"testing"
)

// FuzzKeyPage: requests and pages are decoded or refused, and what is decoded is encoded as the same.
func FuzzKeyPage(f *testing.F) {
	f.Add(AppendKeyPageRequest(nil, &KeyPageRequest{Partition: 3, After: []byte("\x00\x01\x01k"), Bytes: 1000, Term: 9}))
	f.Add(AppendKeyPageRequest(nil, &KeyPageRequest{Partition: 3, Bytes: 1000, Term: 9, Nodes: true}))
	f.Add(AppendKeyPageRequest(nil, &KeyPageRequest{Partition: 3, Bytes: 1000, Term: 9, Prefix: []byte("k"), NamesOnly: true}))
	f.Add(AppendKeyPage(nil, &KeyPage{Term: 1, Seq: 2, More: true, Next: []byte("next"), Keys: []PageKey{
		{Name: []byte("a"), Term: 1, Seq: 1, Expiry: 1 << 40, Value: []byte("v")}, {Name: []byte("b"), Damaged: true}}}))
	f.Add(AppendKeyPage(nil, &KeyPage{Term: 1, Seq: 2, Stale: true}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if q, err := DecodeKeyPageRequest(b); err == nil {
			if again, err := DecodeKeyPageRequest(AppendKeyPageRequest(nil, &q)); err != nil || !reflect.DeepEqual(again, q) {
				t.Errorf("%+v became %+v, %v", q, again, err)
			}
		}
		if p, err := DecodeKeyPage(b); err == nil {
			if again, err := DecodeKeyPage(AppendKeyPage(nil, &p)); err != nil || !reflect.DeepEqual(again, p) {
				t.Errorf("%+v became %+v, %v", p, again, err)
			}
		}
	})
}
