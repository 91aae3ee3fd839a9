package replica

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"viewring/ring"
)

// rig is a cluster of a few cores with one partition, for transcripts: messages
// go where and when the test lets them, views are made by hand, time stands still
// unless told.
type rig struct {
	t      *testing.T
	hosts  []*host // id-1
	view   *ring.View
	mono   time.Duration
	wall   int64
	net    []parcel            // under way
	drop   func(p parcel) bool // nil: everything arrives
	asked  []LeaderRequest     // of the view leader, not answered by itself
	got    map[uint64]Answer   // by token
	tokens uint64
	limits Limits

	badOutcomes bool // of evaluations are part of the test

	last map[uint64]Version  // by a watch's token: the last that it was told
	told map[uint64][]string // by a watch's token: what it was told, as wrote says
	fed  []string            // what the feeds were told
	stop []time.Duration     // for how long the partition took no writes, each time
}

// parcel is a message under way.
type parcel struct {
	from, to ring.ServerID
	msg      *Message
}

// host is a server of a rig: a core on a store of maps, its node and its clock.
type host struct {
	r     *rig
	id    ring.ServerID
	inc   uint64
	core  *Core
	node  *Node
	skew  int64 // of its wall clock, ms
	down  bool
	store *memory

	slowDisk  bool // batches become durable by sync alone
	slowReads bool // reads are handed back by serve alone
	reads     []Read
	unsynced  []uint64
}

// newRig starts n servers that never held anything and know no view.
func newRig(t *testing.T, n int, limits ...Limits) *rig {
	r := &rig{t: t, wall: 1_000_000_000, mono: time.Hour, got: make(map[uint64]Answer), told: make(map[uint64][]string), last: make(map[uint64]Version)}
	for _, l := range limits {
		r.limits = l
	}
	r.view = &ring.View{LeaseTTL: time.Second, MinCopies: 1, Partitions: make([]ring.Partition, 1)}
	for i := range n {
		h := &host{r: r, id: ring.ServerID(i + 1), store: newMemory()}
		r.hosts = append(r.hosts, h)
		r.view.Members = append(r.view.Members, ring.Member{ID: h.id, Incarnation: 1, Status: ring.In, Up: true})
		h.boot(true)
	}
	return r
}

// acting starts a rig whose first n servers act with equal logs, and lets all
// that is due happen.
func acting(t *testing.T, n, min int, limits ...Limits) *rig {
	r := newRig(t, n, limits...)
	ids := make([]ring.ServerID, n)
	for i, h := range r.hosts {
		ids[i] = h.id
		h.store.keep(Batch{Ops: []StoreOp{{Kind: PutMeta, Value: appendMeta(nil, meta{state: whole})}}})
		h.store.synced = 1
		h.boot(true)
	}
	r.change(func(p *ring.Partition) { p.Acting, p.Writable, p.MinCopies = ids, ids, uint8(min) })
	r.pings()
	r.run()
	if !r.host(1).core.Inspect(0).Serving {
		t.Fatal("the primary does not serve")
	}
	return r
}

func (r *rig) host(id ring.ServerID) *host { return r.hosts[id-1] }

func (h *host) at() Instant { return Instant{Mono: h.r.mono, Wall: h.r.wall + h.skew} }

// boot starts the server's next process on what its disk kept.
func (h *host) boot(fresh bool) {
	h.inc = h.r.view.Member(h.id).Incarnation
	h.down, h.unsynced, h.reads = false, nil, nil
	h.store.crash()
	core, err := NewCore(Config{Self: h.id, Incarnation: h.inc, Lanes: 1, Fresh: fresh, ValueBytesMax: 1 << 10,
		PageBytesMax: 64, PageRoom: func() []byte { return make([]byte, 64) }, Limits: h.r.limits}, h.store, h.at())
	if err != nil {
		h.r.t.Fatal(err)
	}
	h.core, h.node = core, NewNode(h.id, h.inc)
}

// change makes the next view: a new term of the partition.
func (r *rig) change(edit func(p *ring.Partition)) {
	r.nextView(func(v *ring.View) {
		edit(&v.Partitions[0])
		v.Partitions[0].Term = v.Epoch
	})
	for _, h := range r.hosts {
		h.adopt()
	}
}

// nextView makes a view that nobody has adopted.
func (r *rig) nextView(edit func(v *ring.View)) {
	v := *r.view
	v.Epoch++
	v.Members = slices.Clone(v.Members)
	v.Partitions = slices.Clone(v.Partitions)
	edit(&v)
	r.view = &v
}

// adopt gives the server the newest view.
func (h *host) adopt() {
	v := h.r.view
	if h.down {
		return
	}
	table, err := ring.NewTable(v.Members, len(v.Partitions))
	if err != nil {
		h.r.t.Fatal(err)
	}
	if promised, ok := h.node.Raise(v.Epoch, v.LeaseTTL); ok {
		h.core.Adopt(h.at(), v, table, promised)
	}
}

// pings lets every server get the promise of every other.
func (r *rig) pings() {
	for _, a := range r.hosts {
		for _, b := range r.hosts {
			if a != b {
				r.ping(a.id, b.id)
			}
		}
	}
}

// ping gets from's promise for to.
func (r *rig) ping(to, from ring.ServerID) {
	a, b := r.host(to), r.host(from)
	if a.down || b.down {
		return
	}
	answer := b.node.OnPing(b.at(), a.id, a.node.Ping(a.at()))
	if pr, ok := a.node.OnPromise(a.at(), b.id, answer); ok {
		a.core.Promised(a.at(), pr)
	}
}

// run does what the cores want, and delivers what they send, until nothing is
// left to do. It panics where that is never.
func (r *rig) run() {
	rounds := 0
	for busy := true; busy; rounds++ {
		if rounds > 2000 {
			panic("the cores go round in circles")
		}
		busy = false
		for _, h := range r.hosts {
			for h.step() {
				busy = true
			}
		}
		for len(r.net) > 0 {
			p := r.net[0]
			r.net = r.net[1:]
			busy = true
			if r.drop == nil || !r.drop(p) {
				r.deliver(p)
			}
		}
	}
}

// deliver hands over one message now, as the wire would carry it.
func (r *rig) deliver(p parcel) {
	if to := r.host(p.to); !to.down {
		m := *p.msg
		to.core.Step(to.at(), p.from, &m)
	}
}

// step does one Ready of the server.
func (h *host) step() bool {
	if h.down {
		return false
	}
	ready, ok := h.core.Ready()
	for _, broken := range brokenFields(h.core) {
		h.r.t.Errorf("server %d: %s", h.id, broken)
	}
	if err := h.core.Err(); err != nil {
		h.r.t.Fatalf("%v: %v", h.id, err)
	}
	if !ok {
		return false
	}
	if ready.Batch != nil {
		h.store.keep(*ready.Batch)
		h.unsynced = append(h.unsynced, ready.Batch.Number)
	}
	for _, e := range ready.Send {
		h.r.net = append(h.r.net, parcel{h.id, e.To, e.Msg})
	}
	h.tell(&ready)
	h.r.stop = append(h.r.stop, ready.Stops...)
	for _, a := range ready.Answers {
		if _, twice := h.r.got[a.Token]; twice {
			h.r.t.Errorf("request %d is answered twice", a.Token)
		}
		if a.Status == StatusBadOutcome && !h.r.badOutcomes {
			h.r.t.Errorf("request %d came to what it may not", a.Token)
		}
		h.r.got[a.Token] = a
	}
	h.r.asked = append(h.r.asked, ready.ToLeader...)
	h.reads = append(h.reads, ready.Reads...)
	for i := range ready.Reads {
		rd := &h.reads[len(h.reads)-len(ready.Reads)+i]
		if rd.Cut != nil {
			rd.Piece, _, rd.Err = h.store.GetPart(0, rd.Key, rd.Cut)
			continue
		}
		rd.Item, rd.Err = h.store.Get(0, rd.Key)
	}
	if !h.slowReads {
		h.serve()
	}
	if !h.slowDisk {
		h.sync()
	}
	return true
}

// serve hands back the reads that were fetched.
func (h *host) serve() {
	reads := h.reads
	h.reads = nil
	h.core.Served(h.at(), reads)
}

// sync makes everything written durable.
func (h *host) sync() {
	h.store.synced = len(h.store.batches)
	for _, n := range h.unsynced {
		h.core.Synced(h.at(), n)
	}
	h.unsynced = nil
}

// pass lets time go by in ticks, with fresh promises, and everything that is due
// happen.
func (r *rig) pass(d time.Duration) {
	for end := r.mono + d; r.mono < end; {
		step := min(50*time.Millisecond, end-r.mono)
		r.mono += step
		r.wall += step.Milliseconds()
		r.pings()
		r.ticks()
	}
}

// ticks lets everything that is due now happen.
func (r *rig) ticks() {
	for _, h := range r.hosts {
		if !h.down {
			h.core.Tick(h.at())
		}
	}
	r.run()
}

// crash ends the server's process; what was not synced is lost.
func (h *host) crash() { h.down = true }

// restart begins the server's next process, at a new incarnation, in a view of
// which edit makes a new term.
func (r *rig) restart(id ring.ServerID, edit func(*ring.Partition)) {
	r.nextView(func(v *ring.View) {
		v.Members[id-1].Incarnation++
		edit(&v.Partitions[0])
		v.Partitions[0].Term = v.Epoch
	})
	r.host(id).boot(false)
	for _, h := range r.hosts {
		h.adopt()
	}
}

// returner starts a rig whose s1 acts, with s2 where n is 3, and whose last server
// has missed what missed wrote, and is back. With its disk lost it copies
// everything, else what changed; it has not begun to learn.
func returner(t *testing.T, n int, diskLost bool, missed func(r *rig), limits ...Limits) *rig {
	r := acting(t, n, 1, limits...)
	r.set(1, "old", "1")
	r.set(1, "gone", "1")
	last := ring.ServerID(n)
	r.host(last).crash()
	staying := []ring.ServerID{1, 2}[:n-1]
	r.change(actingAre(staying...))
	r.pass(r.view.LeaseTTL)
	missed(r)
	if diskLost {
		r.host(last).store = newMemory()
	}
	r.restart(last, actingAre(staying...))
	r.pass(2 * r.view.LeaseTTL)
	return r
}

// learn lets a server begin to copy from a source, up to the first message that
// it waits for.
func (r *rig) learn(id, source ring.ServerID) {
	h := r.host(id)
	h.core.Learn(h.at(), 0, source)
}

// handoff carries out the last handoff that was asked for; false when none was.
func (r *rig) handoff() bool {
	for _, q := range slices.Backward(r.asked) {
		if q.Kind != AskHandoff || q.Term != r.view.Partitions[0].Term {
			continue
		}
		var ids []ring.ServerID
		for _, a := range q.Acting {
			ids = append(ids, a.ID)
		}
		r.change(actingAre(ids...))
		return true
	}
	return false
}

// write gives a request to a server and returns its token.
func (r *rig) write(to ring.ServerID, q Request) uint64 {
	r.tokens++
	q.Token = r.tokens
	h := r.host(to)
	h.core.Propose(h.at(), q)
	return q.Token
}

// read gives a read to a server and returns its token.
func (r *rig) read(from ring.ServerID, key Key) uint64 {
	r.tokens++
	h := r.host(from)
	h.core.Read(h.at(), Read{Token: r.tokens, Key: key})
	return r.tokens
}

// do performs a request to the end.
func (r *rig) do(to ring.ServerID, q Request) Answer {
	r.t.Helper()
	token := r.write(to, q)
	r.run()
	return r.answered(token)
}

func (r *rig) set(to ring.ServerID, key, value string) {
	r.t.Helper()
	if a := r.do(to, Request{Op: OpSet, Key: name(key), Value: []byte(value)}); a.Status != StatusOK {
		r.t.Fatalf("set %s: %+v", key, a)
	}
}

// get reads a key to the end and returns what a client sees, "" for absent.
func (r *rig) get(from ring.ServerID, key string) string {
	r.t.Helper()
	token := r.read(from, name(key))
	r.run()
	switch a := r.answered(token); a.Status {
	case StatusOK:
		return string(a.Value)
	case StatusNotFound:
		return ""
	default:
		return fmt.Sprintf("status %d", a.Status)
	}
}

func (r *rig) answered(token uint64) Answer {
	r.t.Helper()
	a, ok := r.got[token]
	if !ok {
		r.t.Fatalf("request %d has no answer", token)
	}
	return a
}

func name(key string) Key { return MakeKey(1, SpaceUser, key) }

// lost drops every message of a type.
func lost(types ...MsgType) func(parcel) bool {
	return func(p parcel) bool { return slices.Contains(types, p.msg.Type) }
}

// memory is a store that forgets in a crash what was not synced.
type memory struct {
	batches  []Batch
	synced   int
	items    map[Key][]byte
	rows     map[uint64][]byte
	meta     []byte
	corrupt  map[Key]bool // these items cannot be read
	badBlock bool         // nor a range with one of them
	badRows  bool         // the index cannot be read
	badMeta  bool
}

func newMemory() *memory { return &memory{items: map[Key][]byte{}, rows: map[uint64][]byte{}} }

func (m *memory) keep(b Batch) {
	m.batches = append(m.batches, b)
	m.apply(b)
}

func (m *memory) crash() {
	kept := m.batches[:m.synced]
	corrupt := maps.Clone(m.corrupt) // what heals them below happened before
	badMeta := m.badMeta
	*m = memory{batches: kept, synced: len(kept), items: map[Key][]byte{}, rows: map[uint64][]byte{}, badBlock: m.badBlock, badRows: m.badRows}
	for _, b := range kept {
		m.apply(b)
	}
	m.corrupt, m.badMeta = corrupt, badMeta
}

func (m *memory) apply(b Batch) {
	for _, o := range b.Ops {
		switch o.Kind {
		case PutItem:
			m.items[o.Key] = o.Value
			delete(m.corrupt, o.Key)
		case DeleteItem:
			delete(m.items, o.Key)
			delete(m.corrupt, o.Key)
		case PutIndex:
			m.rows[o.Seq] = o.Value
		case TrimIndex:
			for seq := range m.rows {
				if seq <= o.Seq {
					delete(m.rows, seq)
				}
			}
		case CutIndex:
			for seq := range m.rows {
				if seq > o.Seq {
					delete(m.rows, seq)
				}
			}
		case PutMeta:
			m.meta, m.badMeta = o.Value, false
		case WipePartition:
			clear(m.items)
			clear(m.rows)
			clear(m.corrupt)
			m.badRows = false
			m.meta = nil
		}
	}
}

func (m *memory) Get(_ ring.PartitionID, key Key) ([]byte, error) {
	if m.corrupt[key] {
		return nil, ErrCorrupt
	}
	return m.items[key], nil
}

// sortedByPlace are the keys in the order of scans.
func sortedByPlace(items map[Key][]byte) []Key {
	return slices.SortedFunc(maps.Keys(items), ComparePlaces)
}

func (m *memory) Scan(_ ring.PartitionID, from Cursor, fn func(Key, []byte) bool) error {
	for _, k := range sortedByPlace(m.items) {
		switch {
		case !from.Before(k):
		case m.corrupt[k] && m.badBlock:
			return ErrCorrupt
		case m.corrupt[k] && !fn(k, []byte("nonsense")), !m.corrupt[k] && !fn(k, m.items[k]):
			return nil
		}
	}
	return nil
}

func (m *memory) Index(_ ring.PartitionID, after uint64, fn func(uint64, []byte) bool) error {
	if m.badRows {
		return ErrCorrupt
	}
	seqs := make([]uint64, 0, len(m.rows))
	for seq := range m.rows {
		seqs = append(seqs, seq)
	}
	slices.Sort(seqs)
	for _, seq := range seqs {
		if seq > after && !fn(seq, m.rows[seq]) {
			break
		}
	}
	return nil
}

func (m *memory) Metas(fn func(ring.PartitionID, []byte) bool) error {
	switch {
	case m.badMeta:
		fn(0, nil)
	case m.meta != nil:
		fn(0, m.meta)
	}
	return nil
}

// actingAre makes these servers act; W follows as the view leader has it.
func actingAre(ids ...ring.ServerID) func(*ring.Partition) {
	return func(p *ring.Partition) {
		p.Acting = ids
		p.MinCopies = max(p.MinCopies, 1)
		if len(ids) >= int(p.MinCopies) {
			p.Writable = ids
		}
	}
}

// confirmAll answers a server's questions with yes.
func (r *rig) confirmAll(id ring.ServerID) {
	asked := r.asked
	r.asked = nil
	for _, q := range asked {
		if q.Kind == AskConfirm {
			r.host(id).core.Confirmed(r.host(id).at(), q.Token, true)
		}
	}
	r.run()
}

// nextTerm makes a new term that only some servers learn of.
func (r *rig) nextTerm(edit func(*ring.Partition), adopters ...ring.ServerID) {
	r.nextView(func(v *ring.View) {
		edit(&v.Partitions[0])
		v.Partitions[0].Term = v.Epoch
	})
	for _, id := range adopters {
		r.host(id).adopt()
	}
}

// syncFirst makes the oldest batch that is not durable durable.
func (h *host) syncFirst() {
	h.store.synced += len(h.store.batches) - len(h.unsynced) - h.store.synced + 1
	h.core.Synced(h.at(), h.unsynced[0])
	h.unsynced = h.unsynced[1:]
}

// holds plays a transcript that returns whether what it is about held.
func holds(t *testing.T, transcript func() bool) {
	t.Helper()
	if !transcript() {
		t.Error("it does not hold")
	}
}

// reads reports whether a read that was begun has returned that value.
func (r *rig) reads(token uint64, value string) bool {
	a, ok := r.got[token]
	return ok && a.Status == StatusOK && string(a.Value) == value
}

// stored returns the value in a server's store, "" for none.
func (r *rig) stored(id ring.ServerID, key string) string {
	it, _, err := header(r.host(id).store.items[name(key)])
	if err != nil {
		return ""
	}
	return string(it.Value)
}
