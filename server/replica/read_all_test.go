package replica

import "testing"

// all reads keys at one moment, as texts; nil when they can't be.
func (r *rig) all(from int, keys ...string) (values []string) {
	h := r.hosts[from-1]
	names := make([]Key, len(keys))
	for i, k := range keys {
		names[i] = name(k)
	}
	items, ok := h.core.ReadAll(h.at(), 0, names)
	if !ok {
		return nil
	}
	for _, it := range items {
		values = append(values, string(it.Value))
	}
	return values
}

// TestReadAll: several keys at one moment are answered where each of them could be at
// once, and else not at all.
func TestReadAll(t *testing.T) {
	r := acting(t, 2, 2)
	r.set(1, "a", "1")
	r.setUntil("b", "2", 2000)
	if got := r.all(1, "a", "b", "none"); len(got) != 3 || got[0] != "1" || got[1] != "2" || got[2] != "" {
		t.Errorf("%q", got)
	}
	if got := r.all(2, "a"); got != nil {
		t.Errorf("at a backup: %q", got)
	}
	r.drop = lost(MsgAck)
	r.write(1, setTo("a", "uncommitted"))
	r.run()
	if got := r.all(1, "b", "a"); got != nil {
		t.Errorf("uncommitted: %q", got)
	}
	if got := r.all(1, "b"); len(got) != 1 {
		t.Errorf("another key: %q", got)
	}
	r.drop = nil
	r.later(1000)
	if got := r.all(1, "a", "b"); len(got) != 2 || got[0] != "uncommitted" {
		t.Errorf("committed: %q", got)
	}
	r.later(1100)
	if got := r.all(1, "a", "b"); got != nil {
		t.Errorf("expired: %q", got)
	}
	if got := r.all(1, "a"); len(got) != 1 {
		t.Errorf("another key: %q", got)
	}
	r.mono += 2 * r.view.LeaseTTL
	if got := r.all(1, "a"); got != nil {
		t.Errorf("without a lease: %q", got)
	}
}

// TestBatchTTL: a time to live in a batch counts from when the primary takes it up.
func TestBatchTTL(t *testing.T) {
	r := acting(t, 2, 2)
	batch := batchOf("a", "1", "b", "2")
	batch.Writes[1].TTL = 100
	if a := r.do(1, batch); a.Status != StatusOK {
		t.Fatalf("%+v", a)
	}
	if got := r.all(1, "a", "b"); len(got) != 2 {
		t.Errorf("%q", got)
	}
	r.later(150)
	if a, b := r.get(1, "a"), r.get(1, "b"); a != "1" || b != "" {
		t.Errorf("later %q and %q", a, b)
	}
}

// TestIncrIsStrict: only what an increment would write counts as an integer, and the
// end of 64 bits is told apart from other things.
func TestIncrIsStrict(t *testing.T) {
	r := acting(t, 1, 1)
	for _, c := range []struct {
		value  string
		status Status
		number int64
	}{
		{"7", StatusOK, 8}, {"-7", StatusOK, -6}, {"0", StatusOK, 1},
		{"+7", StatusNotInteger, 0}, {"07", StatusNotInteger, 0}, {"-0", StatusNotInteger, 0}, {"", StatusNotInteger, 0}, {" 7", StatusNotInteger, 0},
		{"9223372036854775807", StatusNotInteger, 1}, {"9223372036854775808", StatusNotInteger, 0},
	} {
		r.set(1, "k", c.value)
		if a := r.do(1, Request{Op: OpIncr, Key: name("k"), Delta: 1}); a.Status != c.status || a.Number != c.number {
			t.Errorf("%q: %+v", c.value, a)
		}
	}
}

// TestReadAfterWrites: a read sees every write of its key that came before it, though
// one client sent them all without waiting and an earlier one is committed first.
func TestReadAfterWrites(t *testing.T) {
	r := acting(t, 2, 2)
	var acks []parcel
	r.drop = func(p parcel) bool {
		if p.msg.Type == MsgAck {
			acks = append(acks, p)
		}
		return p.msg.Type == MsgAck
	}
	r.write(1, setTo("k", "1"))
	r.run()
	first := r.read(1, name("k"))
	r.write(1, setTo("k", "2"))
	r.run()
	second := r.read(1, name("k"))
	r.run()
	r.drop = nil
	for _, p := range acks[len(acks)-1:] {
		r.deliver(p)
	}
	r.run()
	r.pass(1e9)
	if !r.reads(first, "1") || !r.reads(second, "2") {
		t.Errorf("first %+v, second %+v", r.got[first], r.got[second])
	}
}

// TestReadBehindQueue: a read does not overtake a write of its key that waits for room.
func TestReadBehindQueue(t *testing.T) {
	r := acting(t, 2, 2, Limits{FlightBytes: 10})
	r.drop = lost(MsgAck)
	r.write(1, setTo("other", "long enough to fill the window"))
	r.write(1, setTo("k", "queued"))
	r.run()
	token, apart := r.read(1, name("k")), r.read(1, name("none"))
	r.run()
	if a, ok := r.got[token]; ok {
		t.Errorf("answered before the write: %+v", a)
	}
	if _, ok := r.got[apart]; !ok {
		t.Error("a read of another key waits")
	}
	r.drop = nil
	r.pass(2e9)
	if !r.reads(token, "queued") {
		t.Errorf("%+v", r.got[token])
	}
}
