package replica

import (
	"testing"
)

// request is a client's n-th append of "x" to k, born so many ms after the rig's
// beginning, with everything before it answered.
func request(client byte, n uint64, born int64) Request {
	return Request{Op: OpAppend, Key: name("k"), Value: []byte("x"), Mark: n - 1,
		ID: RequestID{Client: [16]byte{client}, Number: n, Born: 1_000_000_000 + born}}
}

// age lets so much time pass that what is recorded now is collected for its age.
func (r *rig) age() {
	r.t.Helper()
	for range 2 {
		r.mono += recordTTL + recordGCEvery
		r.wall += (recordTTL + recordGCEvery).Milliseconds()
		r.pings()
		r.ticks()
	}
}

// TestH17ClientClockWentBack: a client's clock goes back, so that the record that
// keeps its mark is born before a request that the mark covers; the record ages
// out, the mark is lost with it, and the request comes once more.
func TestH17ClientClockWentBack(t *testing.T) {
	for _, successor := range []bool{false, true} {
		r := acting(t, 2, 2)
		first := request(1, 1, 60_000)
		r.do(1, first)
		r.do(1, request(1, 2, 0))
		if successor { // what it knows of the client comes from the records
			r.change(actingAre(2, 1))
			r.pass(2 * r.view.LeaseTTL)
			r.age()
			r.do(2, first)
			r.age()
		} else {
			r.wall += 1000 // the client's clock is a minute ahead of ours at first
			r.mono += recordTTL + recordGCEvery
			r.wall += (recordTTL + recordGCEvery).Milliseconds()
			r.pings()
			r.ticks()
			r.do(1, first) // dated after the horizon of a record born at 0
			r.age()
			r.do(1, first)
		}
		primary := r.view.Partitions[0].Primary()
		if got := int64(len(r.get(primary, "k"))); got != 2 {
			t.Errorf("successor %v: %d appends of 2", successor, got)
		}
	}
}

// TestRecordFromTheFutureHoldsUpNobody: records that are old enough go, whatever
// stands before them.
func TestRecordFromTheFutureHoldsUpNobody(t *testing.T) {
	r := acting(t, 1, 1)
	r.do(1, request(1, 1, bornAheadMax.Milliseconds()))
	for client := byte(2); client < 12; client++ {
		r.do(1, request(client, 1, 0))
	}
	r.age()
	if n := r.host(1).records(); n != 1 {
		t.Errorf("%d records are left, of which one is from the future", n)
	}
	if a := r.do(1, request(1, 1, bornAheadMax.Milliseconds())); a.Number != 1 {
		t.Errorf("its retry: %+v", a)
	}
	r.wall += bornAheadMax.Milliseconds()
	r.age()
	if n := r.host(1).records(); n != 0 {
		t.Errorf("%d records are left when its time has come", n)
	}
	if a := r.do(1, request(2, 1, 0)); a.Status != StatusExpiredID {
		t.Errorf("an id that lost its record: %+v", a)
	}
	if got := len(r.get(1, "k")); got != 11 {
		t.Errorf("%d appends of 11", got)
	}
}

// records counts the request records in the host's store.
func (h *host) records() (n int) {
	for k := range h.store.items {
		if k.Space() == SpaceSystem && k.Name() != horizonName {
			n++
		}
	}
	return n
}

// TestRecordsOfTheFirstFormat: a store that an earlier build wrote is read.
func TestRecordsOfTheFirstFormat(t *testing.T) {
	rs := &records{clients: make(map[[16]byte]*clientRecords), ids: make(map[recordID]*record)}
	q := request(3, 9, 5)
	w := rs.add(&q, Answer{Status: StatusOK, Number: 4}, Version{1, 2}, 0)
	it, err := DecodeItem(w.Key, w.Item)
	if err != nil {
		t.Fatal(err)
	}
	value := append([]byte{1}, it.Value[1:]...)
	value = value[:len(value)-5] // the newest birth: a varint of 30 bits
	rec, err := decodeRecord(w.Key, AppendItem(nil, w.Key, Item{Version: it.Version, Kind: KindRecord, Value: value}))
	if err != nil || rec.id != q.ID || rec.newest != q.ID.Born || rec.mark != 8 || rec.answer.Number != 4 {
		t.Errorf("%+v, %v", rec, err)
	}
	value[0] = 3
	if _, err := decodeRecord(w.Key, AppendItem(nil, w.Key, Item{Version: it.Version, Kind: KindRecord, Value: value})); err == nil {
		t.Error("a record of a later format is taken")
	}
}

// TestStageCountsItsRows: a delta of long keys with empty values is as large as
// its rows.
func TestStageCountsItsRows(t *testing.T) {
	for bytes, inPlace := range map[int]bool{2000: true, 1 << 20: false} {
		r := returner(t, 2, false, func(r *rig) {
			for range 40 {
				r.set(1, "one key that is rather long: its rows are what counts here", "")
			}
		}, Limits{StageBytes: bytes})
		r.drop = lost(MsgPage)
		r.learn(2, 1)
		r.run()
		if p := r.host(2).core.parts[0]; (p.learn.phase == staging) == inPlace {
			t.Errorf("a stage of %d bytes: state %v, learner %v", bytes, p.state, p.learn.phase)
		}
		r.drop = nil
		r.pass(3 * learnRetryAfter)
		if s := r.host(2).core.Stats(); s.DeltaCopies != 1 || s.FullCopies != 0 {
			t.Errorf("a stage of %d bytes: %+v", bytes, s)
		}
		if !r.handoff() {
			t.Errorf("a stage of %d bytes: never ready", bytes)
		}
	}
}
