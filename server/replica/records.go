package replica

import (
	"container/heap"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"viewring/internal/codec"
	"viewring/internal/invariant"
	"viewring/ring"
)

// recordFormat is the first byte of a record's value. Format 1, which is still
// read, had no newest birth.
const recordFormat = 2

// record is the answer to a request id (RIFL: Lee et al., SOSP 2015). Stored, it
// is an item of the system space.
type record struct {
	id      RequestID
	key     Key
	version Version
	mark    uint64
	newest  int64         // the latest birth among the client's requests up to this one; ≥ id.Born
	since   time.Duration // in memory here, by the monotonic clock
	answer  Answer
}

// records are a partition's request records, all of them, in memory at its
// primary.
type records struct {
	slot    uint16 // all records of a partition lie under its first slot
	clients map[[16]byte]*clientRecords
	ids     map[recordID]*record

	// Records by how long they have been here; those that have been for long
	// enough but are too young by the wall clock go on to ahead, so that one born
	// in the future holds up nobody. Collected ones are skipped.
	byArrival []*record
	ahead     youngest

	// horizon is the latest birth that a record collected for its age vouched
	// for. It is replicated like a record: whatever clocks do, an id born up to
	// then that has no record is refused.
	unreadTo       int64 // some could not be read: they may be of ids born up to then; 0 = all were
	horizon        int64
	horizonVersion Version
}

// horizonName is the name of the horizon's item, in the records' space.
const horizonName = "horizon"

// horizonFormat is the first byte of the horizon's value.
const horizonFormat = 1

type recordID struct {
	client [16]byte
	number uint64
}

type clientRecords struct {
	mark   uint64 // the client has the answers up to here
	newest int64  // the latest birth among its requests
	list   []*record
}

// youngest is a heap of records, the one of the least newest birth first.
type youngest []*record

func (h youngest) Len() int           { return len(h) }
func (h youngest) Less(i, j int) bool { return h[i].newest < h[j].newest }
func (h youngest) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *youngest) Push(x any)        { *h = append(*h, x.(*record)) }
func (h *youngest) Pop() any {
	old := *h
	rec := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return rec
}

func recordKey(slot uint16, id RequestID) Key {
	b := make([]byte, 0, 24)
	b = append(b, id.Client[:]...)
	b = binary.BigEndian.AppendUint64(b, id.Number)
	return MakeKey(slot, SpaceSystem, string(b))
}

// loadRecords reads the partition's records; false when it can't, or can't yet.
func (l *primary) loadRecords() bool {
	if at := l.unloadedAt; at != 0 && l.core.now.Mono-at < askAfter {
		return false // one of them is being repaired
	}
	first, _ := ring.SlotRange(l.part.id, len(l.core.view.Partitions))
	rs := &records{slot: first, clients: make(map[[16]byte]*clientRecords), ids: make(map[recordID]*record)}
	var unread []Key
	err := l.core.st.Scan(l.part.id, Cursor{Place: PlaceOf(first, SpaceSystem)}, func(key Key, item []byte) bool {
		if key.Slot() != first || key.Space() != SpaceSystem {
			return false
		}
		if rs.load(key, item, l.core.now.Mono) != nil {
			unread = append(unread, key)
		}
		return true
	})
	if (err != nil || unread != nil) && !l.doWithout(rs, unread, err) {
		return false
	}
	l.records = rs
	return true
}

// load adds one of the stored records.
func (rs *records) load(key Key, item []byte, mono time.Duration) error {
	switch {
	case isFence(key):
		return nil
	case key.Name() == horizonName:
		return rs.loadHorizon(key, item)
	}
	rec, err := decodeRecord(key, item)
	if err != nil {
		return err
	}
	rec.since = mono
	rs.insert(rec)
	return nil
}

func (rs *records) insert(rec *record) {
	cl := rs.clients[rec.id.Client]
	if cl == nil {
		cl = &clientRecords{}
		rs.clients[rec.id.Client] = cl
	}
	cl.mark = max(cl.mark, rec.mark)
	cl.newest = max(cl.newest, rec.newest)
	cl.list = append(cl.list, rec)
	rs.ids[recordID{rec.id.Client, rec.id.Number}] = rec
	rs.byArrival = append(rs.byArrival, rec)
	if gone := func(r *record) bool { return r.key == "" }; len(rs.byArrival)+len(rs.ahead) > 2*len(rs.ids)+64 {
		rs.byArrival = slices.DeleteFunc(rs.byArrival, gone)
		rs.ahead = slices.DeleteFunc(rs.ahead, gone)
		heap.Init(&rs.ahead)
	}
}

func (rs *records) find(id RequestID) *record { return rs.ids[recordID{id.Client, id.Number}] }

// refuses reports whether the record of an id that has none may have been
// collected: at or below the client's mark, or born before the horizon. An id
// from too far in the future is refused as well: it would drag the horizon along.
func (rs *records) refuses(id RequestID, wall int64) bool {
	if cl := rs.clients[id.Client]; cl != nil && id.Number <= cl.mark {
		return true
	}
	return id.Born <= rs.horizon || id.Born > wall+bornAheadMax.Milliseconds()
}

// add makes the record of a request and returns the write that stores it. The
// record made last vouches for the births of all that the client did before, also
// where its clock went back since: when it goes for its age the horizon passes
// them all, so the mark that is lost with a client's last record is not missed.
func (rs *records) add(r *Request, a Answer, v Version, mono time.Duration) Write {
	rec := &record{id: r.ID, key: recordKey(rs.slot, r.ID), version: v, since: mono, mark: r.Mark, newest: r.ID.Born, answer: a}
	if cl := rs.clients[r.ID.Client]; cl != nil {
		rec.newest = max(rec.newest, cl.newest)
	}
	rec.answer.Token, rec.answer.Value = 0, nil
	rs.insert(rec)
	b := []byte{recordFormat, byte(a.Status)}
	b = appendVersion(b, a.Version)
	b = binary.AppendVarint(b, a.Number)
	b = binary.AppendUvarint(b, uint64(r.ID.Born))
	b = binary.AppendUvarint(b, r.Mark)
	b = binary.AppendUvarint(b, uint64(rec.newest))
	return Write{Key: rec.key, Item: AppendItem(nil, rec.key, Item{Version: v, Kind: KindRecord, Value: b})}
}

func decodeRecord(key Key, stored []byte) (*record, error) {
	it, err := DecodeItem(key, stored)
	if err != nil {
		return nil, err
	}
	r := codec.NewReader(it.Value)
	f := r.Byte()
	if f == 0 || f > recordFormat {
		return nil, fmt.Errorf("%w: request record format %d, this build reads up to %d", ErrCorrupt, f, recordFormat)
	}
	rec := &record{key: key, version: it.Version}
	rec.answer = Answer{Status: Status(r.Byte()), Version: readVersion(r), Number: r.Varint()}
	rec.id.Born = int64(r.Uvarint())
	rec.mark = r.Uvarint()
	rec.newest = rec.id.Born
	if f > 1 {
		rec.newest = int64(r.Uvarint())
	}
	name := key.Name()
	if err := r.Done(); err != nil || len(name) != 24 {
		return nil, fmt.Errorf("%w: request record: %v", ErrCorrupt, err)
	}
	copy(rec.id.Client[:], name)
	rec.id.Number = binary.BigEndian.Uint64([]byte(name[16:]))
	return rec, nil
}

// collect drops the records of a client up to its mark and returns the deletes
// that do so on every replica.
func (rs *records) collect(client [16]byte, mark uint64) []Write {
	cl := rs.clients[client]
	if cl == nil {
		return nil
	}
	var writes []Write
	kept := cl.list[:0]
	for _, rec := range cl.list {
		if rec.id.Number <= mark && len(writes) < recordGCMax {
			writes = append(writes, Write{Key: rec.key, Before: rec.version})
			delete(rs.ids, recordID{rec.id.Client, rec.id.Number})
			rec.key = ""
			continue
		}
		kept = append(kept, rec)
	}
	clear(cl.list[len(kept):])
	cl.list = kept
	return writes
}

// collectOld drops records that are older than ttl by both clocks, a
// bounded number at a time, and moves the horizon over them. version is that of
// the entry that will do so.
func (rs *records) collectOld(at Instant, ttl time.Duration, version Version) []Write {
	for n := 0; n < recordAgeMax && len(rs.byArrival) > 0 && rs.byArrival[0].since+ttl <= at.Mono; n++ {
		if rec := rs.byArrival[0]; rec.key != "" {
			heap.Push(&rs.ahead, rec)
		}
		rs.byArrival = rs.byArrival[1:]
	}
	var writes []Write
	horizon := rs.horizon
	for len(rs.ahead) > 0 && len(writes) < recordGCMax && rs.ahead[0].newest+ttl.Milliseconds() <= at.Wall {
		rec := heap.Pop(&rs.ahead).(*record)
		if rec.key != "" {
			horizon = max(horizon, rec.newest)
			writes = append(writes, Write{Key: rec.key, Before: rec.version})
			rs.forget(rec)
		}
	}
	if horizon > rs.horizon {
		writes = append(writes, rs.moveHorizon(horizon, version))
	}
	return writes
}

func (rs *records) moveHorizon(to int64, version Version) Write {
	key := MakeKey(rs.slot, SpaceSystem, horizonName)
	w := Write{Key: key, Before: rs.horizonVersion, Item: AppendItem(nil, key, Item{Version: version, Kind: KindRecord,
		Value: binary.AppendUvarint([]byte{horizonFormat}, uint64(to))})}
	rs.horizon, rs.horizonVersion = to, version
	return w
}

func (rs *records) loadHorizon(key Key, stored []byte) error {
	it, err := DecodeItem(key, stored)
	if err != nil {
		return err
	}
	r := codec.NewReader(it.Value)
	if f := r.Byte(); f != horizonFormat {
		return fmt.Errorf("%w: horizon format %d, this build reads %d", ErrCorrupt, f, horizonFormat)
	}
	rs.horizon, rs.horizonVersion = int64(r.Uvarint()), it.Version
	return r.Done()
}

func (rs *records) forget(rec *record) {
	cl := rs.clients[rec.id.Client]
	invariant.Check(cl != nil, "I7", "a record without its client")
	cl.list = slices.DeleteFunc(cl.list, func(r *record) bool { return r == rec })
	delete(rs.ids, recordID{rec.id.Client, rec.id.Number})
	rec.key = ""
	if len(cl.list) == 0 {
		// Every id of the client that could still arrive was born before the horizon.
		delete(rs.clients, rec.id.Client)
	}
}

// collectRecords logs the deletion of old records (hole 17).
func (l *primary) collectRecords() {
	if l.records.unreadTo != 0 {
		return // the horizon may be among what could not be read
	}
	next := Version{Term: l.part.term, Seq: l.part.log.last.Seq + 1}
	if writes := l.records.collectOld(l.core.now, l.core.cfg.Limits.RecordTTL, next); len(writes) > 0 {
		l.sequence(writes, nil)
	}
}
