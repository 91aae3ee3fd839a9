package record

import (
	"errors"
	"fmt"
	"testing"
)

// TestRestore makes a file again as it was elsewhere: its places, its producers, who go on exactly once, and its readers.
func TestRestore(t *testing.T) {
	s := connect(t)
	if err := s.Create(t.Context(), "/restored", CreateOptions{ChunkBytes: 2 << 10, First: 1000}); err != nil {
		t.Fatal(err)
	}
	f, err := s.Open(t.Context(), "/restored")
	if err != nil {
		t.Fatal(err)
	}
	if st, err := f.Stat(t.Context()); err != nil || st.First != 1000 || st.End != 1000 {
		t.Fatalf("empty: %+v, %v", st, err)
	}
	shop := producerID("shop")
	restore := func(o Origin, place int64, kept bool) {
		t.Helper()
		out, k, err := f.Restore(t.Context(), o, fmt.Append(nil, o.Sequence), make([]byte, 400))
		if err != nil || out.Place != place || k != kept {
			t.Errorf("%+v: at %d, kept %v, %v", o, out.Place, k, err)
		}
	}
	for i := range int64(10) { // over several chunks
		restore(Origin{Producer: shop, Named: true, Sequence: 7 + 2*i}, 1000+4*i, true)
		restore(Origin{Producer: [16]byte{9}, Sequence: 2 * i}, 1002+4*i, true)
	}
	restore(Origin{Producer: [16]byte{9}, Sequence: 99}, 1040, false) // what came before is lost
	restore(Origin{Producer: shop, Named: true, Sequence: 99}, 1042, false)
	entries := all(t, f, Start)
	if e := entries[4]; len(entries) != 44 || e.Place != 1004 || e.Producer != shop || e.Sequence != 9 || entries[0].Place != 1000 {
		t.Errorf("%d records, the fifth is %v", len(entries), e)
	}
	if got, err := f.Producers(t.Context()); err != nil || fmt.Sprint(got) != fmt.Sprint([]ProducerInfo{{shop, 27}}) {
		t.Errorf("producers: %v, %v", got, err)
	}
	if p, err := f.Join(t.Context(), "shop"); err != nil || !p.Known() || p.Next() != 27 {
		t.Errorf("the producer goes on: %v, %v", p, err)
	}

	for _, tt := range []struct {
		name  string
		group bool
		next  int64
		made  bool
	}{{"r", false, 1003, true}, {"g", true, 1005, true}, {"r", false, 1001, false}} {
		if made, err := f.RestoreReader(t.Context(), tt.name, tt.group, tt.next); err != nil || made != tt.made {
			t.Errorf("%+v: %v, %v", tt, made, err)
		}
	}
	infos, err := f.Readers(t.Context())
	if err != nil || len(infos) != 2 || infos[0].Next != 1005 || !infos[0].Group || infos[1].Next != 1003 || infos[1].Group {
		t.Errorf("readers: %+v, %v", infos, err)
	}
	r, err := f.ReadAs(t.Context(), "r", ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range r.Read(t.Context(), false) {
		if err != nil || e.Place != 1003 {
			t.Errorf("the reader begins at %v, %v", e, err)
		}
		break
	}
	if _, err := f.RestoreReader(t.Context(), "a/b", false, 1); err == nil {
		t.Error("a bad name is taken")
	}
	if err := s.Create(t.Context(), "/below", CreateOptions{First: -1}); err == nil || errors.Is(err, ErrRemoved) {
		t.Errorf("a place below 0: %v", err)
	}
}
