package wire

import (
	"bytes"
	"reflect"
	"testing"

	"viewring/ring"
)

func TestServerCodecs(t *testing.T) {
	q := DoRequest{Client: [16]byte{1, 2}, Number: 7, Born: 1700000000000, Mark: 6, Op: DoIncr, Cond: DoIfVersion,
		Key: []byte("k"), Value: []byte("v"), Delta: -5, Term: 3, Seq: 9, KeepExpiry: true, FenceLock: "l", FenceToken: 1 << 60}
	if got, err := DecodeDoRequest(AppendDoRequest(nil, &q)); err != nil || !reflect.DeepEqual(got, q) {
		t.Errorf("request: got %+v, %v, want %+v", got, err, q)
	}
	p := DoReply{Status: DoOK, Term: 1, Seq: 2, Number: -3, Value: []byte("x")}
	if got, err := DecodeDoReply(AppendDoReply(nil, &p)); err != nil || !reflect.DeepEqual(got, p) {
		t.Errorf("reply: got %+v, %v, want %+v", got, err, p)
	}
	h := Hello{Cluster: [16]byte{9}, From: 2, Incarnation: 4, Addr: "a:1", To: 3}
	if got, err := DecodeHello(AppendHello(nil, &h)); err != nil || got != h {
		t.Errorf("hello: got %+v, %v, want %+v", got, err, h)
	}
	k := KeysPage{Next: []byte("c"), Names: []StoredName{{Local: true, Name: "a"}, {Name: "b\n\xff"}}}
	if got, err := DecodeKeysPage(AppendKeysPage(nil, &k)); err != nil || !reflect.DeepEqual(got, k) {
		t.Errorf("keys: got %+v, %v, want %+v", got, err, k)
	}
	c := CopiesPage{Next: []byte("c"), Copies: []StoredCopy{{Key: "a", Term: 1, Seq: 2, Length: 3, Sum: 1 << 63}, {Key: "b", Corrupt: true}}}
	if got, err := DecodeCopiesPage(AppendCopiesPage(nil, &c)); err != nil || !reflect.DeepEqual(got, c) {
		t.Errorf("copies: got %+v, %v, want %+v", got, err, c)
	}
	parts := []ring.PartitionID{0, 5, 1023}
	if got, err := DecodeParts(AppendParts(nil, parts)); err != nil || !reflect.DeepEqual(got, parts) {
		t.Errorf("parts: got %v, %v, want %v", got, err, parts)
	}
}

// TestServerCodecsBadInput cuts and changes every encoding at every byte: an error
// or another value, never a panic, and never a format that is not ours.
func TestServerCodecsBadInput(t *testing.T) {
	q := DoRequest{Client: [16]byte{1}, Number: 7, Op: DoSet, Key: []byte("key"), Value: []byte("value"), FenceLock: "l", FenceToken: 3}
	encodings := map[string][]byte{
		"request": AppendDoRequest(nil, &q),
		"reply":   AppendDoReply(nil, &DoReply{Status: DoOK, Value: []byte("x")}),
		"hello":   AppendHello(nil, &Hello{From: 1, To: 2}),
		"keys":    AppendKeysPage(nil, &KeysPage{Names: []StoredName{{Name: "a"}}}),
		"copies":  AppendCopiesPage(nil, &CopiesPage{Copies: []StoredCopy{{Key: "a"}}}),
		"parts":   AppendParts(nil, []ring.PartitionID{1, 2}),
	}
	decode := map[string]func([]byte) error{
		"request": func(b []byte) error { _, err := DecodeDoRequest(b); return err },
		"reply":   func(b []byte) error { _, err := DecodeDoReply(b); return err },
		"hello":   func(b []byte) error { _, err := DecodeHello(b); return err },
		"keys":    func(b []byte) error { _, err := DecodeKeysPage(b); return err },
		"copies":  func(b []byte) error { _, err := DecodeCopiesPage(b); return err },
		"parts":   func(b []byte) error { _, err := DecodeParts(b); return err },
	}
	for name, whole := range encodings {
		if err := decode[name](whole); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for i := range whole {
			if decode[name](whole[:i]) == nil {
				t.Errorf("%s: the first %d of %d bytes pass for the whole", name, i, len(whole))
			}
			for _, x := range []byte{1, 0x80, 0xff} {
				changed := bytes.Clone(whole)
				changed[i] ^= x
				if err := decode[name](changed); i == 0 && err == nil {
					t.Errorf("%s: format %d accepted", name, changed[0])
				}
			}
		}
	}
}
