package replica

import (
	"testing"

	"viewring/ring"
)

func (m *memory) GetPart(p ring.PartitionID, key Key, cut Cut) (pc Piece, item []byte, err error) {
	if item, err = m.Get(p, key); err == nil {
		pc, err = CutItem(key, item, cut)
	}
	return pc, item, err
}

// middle is a cut of the bytes 1 … 3, as far as there are any.
func middle(length int) (from, to int) { return min(1, length), min(3, length) }

// part reads a part of a key at server 1, to the end.
func (r *rig) part(key string) Answer {
	r.t.Helper()
	token := r.readPart(1, name(key), middle)
	r.run()
	return r.answered(token)
}

// readPart is read of a part of a value.
func (r *rig) readPart(from ring.ServerID, key Key, cut Cut) uint64 {
	r.tokens++
	h := r.host(from)
	h.core.Read(h.at(), Read{Token: r.tokens, Key: key, Cut: cut})
	return r.tokens
}

// partNow is part between two rounds.
func (r *rig) partNow(at int, key string) (Answer, bool) {
	h := r.hosts[at-1]
	return h.core.ReadNow(h.at(), 0, name(key), middle)
}

func (r *rig) wantPart(a Answer, part string, length int) {
	r.t.Helper()
	if a.Status != StatusOK || string(a.Value) != part || a.Length != length {
		r.t.Errorf("a part is %q of %d, %+v; want %q of %d", a.Value, a.Length, a, part, length)
	}
}

// TestReadPart: a part is told by the rules by which all of a value is.
func TestReadPart(t *testing.T) {
	r := acting(t, 2, 2)
	r.set(1, "a", "0123")
	r.setUntil("b", "4567", 1500)
	r.wantPart(r.part("a"), "12", 4)
	if a := r.part("none"); a.Status != StatusNotFound {
		t.Errorf("an absent key: %+v", a)
	}
	a, ok := r.partNow(1, "a")
	if r.wantPart(a, "12", 4); !ok {
		t.Error("not at once")
	}
	if a, ok := r.partNow(1, "none"); !ok || a.Status != StatusNotFound {
		t.Errorf("an absent key: %+v, %v", a, ok)
	}
	if a, ok := r.partNow(2, "a"); ok {
		t.Errorf("at a backup: %+v", a)
	}

	r.drop = lost(MsgAck)
	r.write(1, setTo("a", "uncommitted"))
	r.run()
	if a, ok := r.partNow(1, "a"); ok {
		t.Errorf("uncommitted: %+v", a)
	}
	token := r.readPart(1, name("a"), middle)
	r.run()
	if a, ok := r.got[token]; ok {
		t.Errorf("uncommitted: %+v", a)
	}
	r.drop = nil
	r.later(1000) // the entry answers the reader
	r.wantPart(r.answered(token), "nc", 11)

	r.drop = lost(MsgAck)
	r.write(1, Request{Op: OpDelete, Key: name("a")})
	r.run()
	if a, ok := r.partNow(1, "a"); ok {
		t.Errorf("an uncommitted delete: %+v", a)
	}
	r.drop = nil
	r.later(1000)
	if a, ok := r.partNow(1, "a"); !ok || a.Status != StatusNotFound {
		t.Errorf("deleted: %+v, %v", a, ok)
	}

	if a, ok := r.partNow(1, "b"); ok {
		t.Errorf("expired: %+v", a)
	}
	if a := r.part("b"); a.Status != StatusNotFound {
		t.Errorf("expired: %+v", a)
	}
	r.mono += 2 * r.view.LeaseTTL
	if a, ok := r.partNow(1, "a"); ok {
		t.Errorf("without a lease: %+v", a)
	}
}

// TestReadPartAfterFetch writes a key between the fetch of a part of it and the answer: the
// reader sees nothing that is not committed.
func TestReadPartAfterFetch(t *testing.T) {
	r := acting(t, 2, 2)
	r.set(1, "a", "0123")
	h := r.host(1)
	h.slowReads = true
	token := r.readPart(1, name("a"), middle)
	r.run()
	r.drop = lost(MsgAck)
	r.write(1, setTo("a", "4567"))
	r.run()
	h.slowReads = false
	h.serve()
	r.run()
	if a, ok := r.got[token]; ok {
		t.Errorf("before the write is committed: %+v", a)
	}
	r.drop = nil
	r.later(1000)
	r.wantPart(r.answered(token), "56", 4)
}

// TestReadPartWaitsForTheRepair: a part that cannot be read is repaired, and is still a part then.
func TestReadPartWaitsForTheRepair(t *testing.T) {
	r := acting(t, 3, 2)
	r.set(1, "k", "0123")
	r.host(1).spoilKey("k")
	if a, ok := r.partNow(1, "k"); ok {
		t.Errorf("corrupt: %+v", a)
	}
	r.wantPart(r.part("k"), "12", 4)
	r.wantStored("k", "0123")
}
