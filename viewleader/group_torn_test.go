package viewleader

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"viewring/internal/disk/crashdisk"
	"viewring/internal/seglog"
	"viewring/viewleader/roster"
)

// smallLog has segments of sixteen frames: many begin, and many are collected. That is
// done by the test, in turn with all else, for a seed to be played again.
var smallLog = seglog.Options{SegmentBytes: 64 << 10, Manual: true}

// aboutToWrite is called before each step of the disk. The world waits for synced writes
// alone: nothing of n may be touched in others.
func (n *groupNode) aboutToWrite(s crashdisk.Step) error {
	if s.Kind != crashdisk.WriteSyncEnd || n.tear == 0 {
		return nil
	}
	if n.tear--; n.tear == 0 {
		n.torn = n.crashed()
	}
	return nil
}

// crashed is the disk as a crash leaves it: what was not synced is lost, or not.
func (n *groupNode) crashed() *crashdisk.FS {
	// How often it draws depends on whether the next segment's file is there already.
	rng := rand.New(rand.NewPCG(n.w.rng.Uint64(), 0))
	return n.fs.CrashClone(rng.IntN(101), rng)
}

// tidy collects what is garbage on the disk.
func (n *groupNode) tidy() {
	if n.g == nil {
		return
	}
	freed, err := n.disk.store.Collect()
	if err != nil {
		n.w.t.Fatalf("seed %d: %s collects: %v", n.w.seed, n.addr, err)
	}
	n.w.counted.collected += freed
	n.work()
}

// powerCut opens what a power cut would leave now, to be read.
func (n *groupNode) powerCut() *raftLog {
	d, err := openLog("data", n.fs.CrashClone(0, rand.New(rand.NewPCG(0, 0))), smallLog)
	if err == nil {
		err = d.close() // all is in memory
	}
	if err != nil {
		n.w.t.Fatalf("seed %d: %s after a power cut: %v", n.w.seed, n.addr, err)
	}
	return d
}

// acksLooked is of how many acknowledgements checkAck looks at one.
const acksLooked = 32

// checkAck has a look at what a power cut would leave of entries that are acknowledged:
// the head counts on them.
func (n *groupNode) checkAck(m *pb.Message) {
	if n.acks++; n.acks%acksLooked != 0 {
		return
	}
	d := n.powerCut()
	had, _, err := d.memory.InitialState()
	last, lerr := d.memory.LastIndex()
	if err != nil || lerr != nil || had.GetTerm() == m.GetTerm() && last < m.GetIndex() {
		n.w.t.Fatalf("seed %d: %s acknowledges entry %d, and a power cut would leave %d (%v, %v)", n.w.seed, n.addr, m.GetIndex(), last, err, lerr)
	}
}

// checkConf has a look at what a power cut would leave of a change of the members: who
// begins with those from before may take a former majority for one.
func (n *groupNode) checkConf() {
	if n.g.confIndex == n.confIndex {
		return
	}
	n.confIndex = n.g.confIndex
	d := n.powerCut()
	if _, had, err := d.memory.InitialState(); err != nil || !proto.Equal(had, n.g.conf) {
		n.w.t.Fatalf("seed %d: %s has the members %v, and a power cut would leave %v (%v)", n.w.seed, n.addr, n.g.conf, had, err)
	}
}

// checkVote has a look at what a power cut would leave of a vote that goes out: who
// forgets it may give another one in the same term, and there are two heads.
func (n *groupNode) checkVote(m *pb.Message) {
	d := n.powerCut()
	had, _, err := d.memory.InitialState()
	if err != nil || had.GetTerm() < m.GetTerm() || had.GetTerm() == m.GetTerm() && had.GetVote() != m.GetTo() {
		n.w.t.Fatalf("seed %d: %s votes for %d in term %d, and a power cut would leave %v (%v)", n.w.seed, n.addr, m.GetTo(), m.GetTerm(), had, err)
	}
	n.w.counted.votes++
}

// heads are those that take themselves for the head; one at most is.
func (w *groupWorld) heads() (heads []*groupNode) {
	for _, addr := range w.addrs {
		if n := w.nodes[addr]; n.g != nil && n.g.serving {
			heads = append(heads, n)
		}
	}
	return heads
}

// A head that is apart is so for many events: the others elect another one meanwhile.
const (
	apart    = "apart"
	apartFor = 600
)

// setApart cuts a head off from the others, at times when one of them has just got a
// command from it that nobody else will hear of through this head.
func (w *groupWorld) setApart() {
	h := w.head()
	if h == nil {
		return
	}
	clear(w.cut)
	id := h.g.id
	w.ask(true)
	for _, m := range slices.Backward(w.net) {
		if to := w.byID(m.GetTo()); m.GetFrom() == id && len(m.GetEntries()) > 0 && to != nil && to.g != nil {
			to.g.step(m)
			to.work()
			break
		}
	}
	w.cut[h.addr], w.apart, w.hangs = apart, apartFor, w.rng.IntN(2) == 0
}

// look asks all heads for the state as of now: what is then seen has all of which
// anybody was told before.
func (w *groupWorld) look() {
	for _, n := range w.heads() {
		g, before := n.g, w.ackedTo
		g.waiting = append(g.waiting, question{done: func(_ *roster.State, err error) {
			if err != nil || n.torn != nil {
				return
			}
			if w.counted.looks++; g.index < before {
				w.t.Fatalf("seed %d: %s shows the state at entry %d, %d had been answered when it was asked", w.seed, n.addr, g.index, before)
			}
		}})
		n.work()
	}
}

// TestStepDown: a head that ceases to be it answers no look with what it has, and says
// of commands under way that they may have been carried out.
func TestStepDown(t *testing.T) {
	w := newGroupWorld(t, 0)
	defer w.end()
	h := w.head()
	if h == nil {
		t.Fatal("the first member is no head")
	}
	var looked, submitted error
	h.g.asked[1] = []question{{done: func(_ *roster.State, err error) { looked = err }}}
	h.g.pending[1] = []proposal{{done: func(_ roster.Result, err error) { submitted = err }}}
	h.g.step(&pb.Message{Type: pb.MsgHeartbeat.Enum(), From: new(uint64(2)), To: new(h.g.id), Term: new(uint64(99))})
	h.work()
	if h.g.serving || !errors.Is(looked, errNotHead) || !errors.Is(submitted, errUnsure) {
		t.Errorf("serving %v, looked: %v, submitted: %v", h.g.serving, looked, submitted)
	}
}

// holderOf returns who holds a lock, and with which token; "" when nobody does.
func holderOf(s *roster.State, name string) (string, uint64) {
	for _, l := range s.Locks() {
		if l.Name == name && len(l.Holders) > 0 {
			return l.Holders[0].Client, l.Holders[0].Token
		}
	}
	return "", 0
}
