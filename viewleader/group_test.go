package viewleader

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"viewring/internal/disk/crashdisk"
	"viewring/internal/wire"
	"viewring/viewleader/roster"
)

// groupWorld is a group of view leaders without goroutines, sockets and clocks: a
// seed decides what is delivered, lost, crashed and asked for, and when.
type groupWorld struct {
	t     *testing.T
	seed  uint64
	rng   *rand.Rand
	nodes map[string]*groupNode // by address
	addrs []string
	net   []*pb.Message
	cut   map[string]string // address → the side of a partition that it is on
	ticks int64

	states  map[uint64]stateAt // by index: all members that reach it agree
	headOf  map[uint64]uint64  // by term: at most one
	tokens  map[uint64]string  // by fencing token: whose grant it is, once and for all
	asked   []*asking          // commands whose answer is not known yet
	acked   map[string]uint64  // locks that were granted for good, with their tokens
	freed   map[string]bool    // locks that were released for good
	kept    []string           // of acked, those that nobody asked to release
	made    int                // commands asked for
	ackedTo uint64             // the highest entry of which anybody was told what came of it
	apart   int                // events for which a head stays cut off that does not know yet
	hangs   bool               // that head, so that it learns of the next one before it gives up
	never   map[string]bool    // locks that were asked for in vain: nobody does so again
	counted struct{ acks, looks, unsure, crashes, torn, votes, wipes, changes, heads, snapshots, collected int }
}

type stateAt struct {
	sum  [32]byte
	addr string
}

// groupNode is one process over all its starts.
type groupNode struct {
	w     *groupWorld
	addr  string
	fs    *crashdisk.FS
	disk  *raftLog
	g     *group // nil while it is down, or looks for the group
	open  bool   // the process runs
	shown bool   // its view, since it is the head

	// tear counts the synced writes until it crashes in one: its disk then has any part
	// of it, and nothing that it does afterwards happens. 0: it does not.
	tear int
	torn *crashdisk.FS // that disk

	acks      int    // acknowledgements that went out
	confIndex uint64 // of the last change of members that checkConf has looked at
}

// asking is a command that a client repeats, with one id, until it has an answer:
// it takes a lock, or releases one that it has.
type asking struct {
	kind   roster.Kind
	lock   string
	id     wire.CommandID
	flying bool
	tries  int
}

func newGroupWorld(t *testing.T, seed uint64) *groupWorld {
	w := &groupWorld{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), nodes: make(map[string]*groupNode), cut: make(map[string]string),
		states: make(map[uint64]stateAt), headOf: make(map[uint64]uint64), tokens: make(map[uint64]string), acked: make(map[string]uint64), freed: make(map[string]bool), never: make(map[string]bool)}
	for i := range 3 {
		w.addNode(fmt.Sprintf("host:%d", i+1))
	}
	first := w.nodes[w.addrs[0]]
	cfg := roster.Config{Cluster: [16]byte{7}, Partitions: 4, MinCopies: 1}
	if err := foundGroup(first.disk, roster.New(cfg), founderID, first.addr, w.addrs); err != nil {
		t.Fatal(err)
	}
	first.run()
	return w
}

func (w *groupWorld) addNode(addr string) *groupNode {
	n := &groupNode{w: w, addr: addr, fs: crashdisk.Mem()}
	w.nodes[addr] = n
	w.addrs = append(w.addrs, addr)
	n.start()
	return n
}

func (w *groupWorld) now() time.Time {
	return time.UnixMilli(1_000_000 + w.ticks*raftTick.Milliseconds())
}

func (n *groupNode) start() {
	n.open = true
	n.fs.Watch(n.aboutToWrite)
	var err error
	if n.disk, err = openLog("data", n.fs, smallLog); err != nil {
		n.w.t.Fatalf("seed %d: open %s: %v", n.w.seed, n.addr, err)
	}
}

// run starts the group's member on the folder.
func (n *groupNode) run() {
	w := n.w
	id := n.disk.identity
	var out io.Writer = io.Discard
	if testing.Verbose() && w.seed == verboseSeed {
		out = w.t.Output()
	}
	g, err := newGroup(n.disk, groupOptions{id: id.id, addr: n.addr, store: id.store, every: 40, now: w.now,
		random: rand.New(rand.NewPCG(w.seed, w.rng.Uint64())), logger: slog.New(slog.NewTextHandler(out, nil)).With("self", n.addr)},
		hooks{
			stood: func() {}, followed: func(uint64) {},
			published: func(*roster.State) { n.shown = true }, ticked: func(time.Time) {}, changed: func(*membership, uint64) {},
			granted: func(roster.Grant) {}, happened: func(*roster.State) {}, send: n.send,
			headed: func(_ *roster.State, head bool) {
				if head {
					n.headed()
				} else {
					n.shown = false
				}
			},
		})
	if err != nil {
		w.t.Fatalf("seed %d: start %s: %v", w.seed, n.addr, err)
	}
	n.g = g
	n.work()
	n.g.begin()
	n.work()
}

// verboseSeed is the seed whose members tell what they do with -v.
const verboseSeed = 0

func (n *groupNode) headed() {
	if n.torn != nil {
		return
	}
	if n.g.index < n.w.ackedTo {
		n.w.t.Fatalf("seed %d: %s is the head and knows the log up to %d, %d was answered", n.w.seed, n.addr, n.g.index, n.w.ackedTo)
	}
	n.w.counted.heads++
	if !n.shown {
		n.w.t.Fatalf("seed %d: %s is the head before its view can be asked for", n.w.seed, n.addr)
	}
	term := n.g.node.BasicStatus().GetTerm()
	if other, ok := n.w.headOf[term]; ok && other != n.g.id {
		n.w.t.Fatalf("seed %d: %d and %d are both heads of term %d", n.w.seed, other, n.g.id, term)
	}
	n.w.headOf[term] = n.g.id
}

func (n *groupNode) send(messages []*pb.Message) {
	for _, m := range messages {
		if n.torn != nil {
			return
		}
		if m.GetType() == pb.MsgVoteResp && !m.GetReject() {
			n.checkVote(m)
		}
		if m.GetType() == pb.MsgAppResp && !m.GetReject() {
			n.checkAck(m)
		}
		b, err := proto.Marshal(m)
		if err != nil {
			n.w.t.Fatal(err)
		}
		c := &pb.Message{}
		if err := proto.Unmarshal(b, c); err != nil {
			n.w.t.Fatal(err)
		}
		if m.GetType() == pb.MsgSnap {
			n.w.counted.snapshots++
		}
		n.w.net = append(n.w.net, c)
	}
}

// work does what the loop does between two events, and compares what it came to.
func (n *groupNode) work() {
	for n.g != nil {
		if err := n.g.process(); err != nil {
			n.w.t.Fatalf("seed %d: %s: %v", n.w.seed, n.addr, err)
		}
		if n.torn != nil {
			n.w.counted.torn++
			n.down()
			return
		}
		n.compare()
		if n.g.gone {
			n.down()
			return
		}
		if !n.g.propose() {
			return
		}
	}
}

// compare checks that members at the same entry are in the same state, and know the same
// voters.
func (n *groupNode) compare() {
	g := n.g
	if g.state == nil {
		return
	}
	sum := sha256.Sum256(fmt.Append(appendSnapshot(nil, g.members, g.answered, g.state), g.conf))
	if s, ok := n.w.states[g.index]; ok && s.sum != sum {
		n.w.t.Fatalf("seed %d: %s and %s differ at entry %d", n.w.seed, s.addr, n.addr, g.index)
	}
	n.w.states[g.index] = stateAt{sum, n.addr}
	n.checkConf()
}

// down ends the process; what was not synced is lost.
func (n *groupNode) down() {
	if n.g == nil {
		return
	}
	crashed := n.torn
	if crashed == nil {
		crashed = n.crashed()
	}
	n.tear = 0
	n.g.giveUp(errStopped)
	n.g.refuseAll(errStopped)
	n.g, n.shown, n.torn, n.confIndex = nil, false, nil, 0
	n.close()
	n.fs = crashed
}

func (n *groupNode) close() {
	if err := n.disk.close(); err != nil {
		n.w.t.Fatal(err)
	}
	n.open = false
}

func (n *groupNode) up() {
	if n.open {
		return
	}
	n.start()
	if n.disk.identity.id != 0 {
		n.run()
	}
}

// head returns a member that takes itself for the head.
func (w *groupWorld) head() *groupNode {
	for _, addr := range w.addrs {
		if n := w.nodes[addr]; n.g != nil && n.g.serving {
			return n
		}
	}
	return nil
}

// seek has a process without an id ask for one, as enter does. One that a late
// request of a folder before took the place of is told so, and gets a new folder.
func (n *groupNode) seek() {
	h := n.w.head()
	if h == nil || !n.open || n.w.cut[n.addr] != n.w.cut[h.addr] {
		return
	}
	if id := n.disk.identity.id; id != 0 {
		if h.g.members.removed(id) {
			n.replaceFolder()
		}
		return
	}
	q := &wire.Join{Store: n.disk.identity.store, Addr: n.addr}
	h.g.desired = append(h.g.desired, change{make: h.g.join(q), done: func(m *membership, err error) {
		if err != nil || n.disk.identity.id != 0 || h.torn != nil {
			return
		}
		for _, o := range m.members {
			if o.store == q.Store {
				if err := n.disk.identify(identity{store: q.Store, cluster: [16]byte{7}, id: o.id}); err != nil {
					n.w.t.Fatal(err)
				}
				n.w.counted.changes++
				n.run()
			}
		}
	}})
	h.work()
}

// deliver takes one message out of the network: the oldest mostly, any other one,
// or it is lost, or delivered twice.
func (w *groupWorld) deliver(calm bool) {
	if len(w.net) == 0 {
		return
	}
	i := 0
	if !calm && w.rng.IntN(4) == 0 {
		i = w.rng.IntN(min(len(w.net), 20))
	}
	m := w.net[i]
	if calm || w.rng.IntN(40) > 0 {
		w.net = slices.Delete(w.net, i, i+1)
	}
	lost := !calm && w.rng.IntN(30) == 0
	from, to := w.byID(m.GetFrom()), w.byID(m.GetTo())
	arrives := !lost && to != nil && to.g != nil && (from == nil || w.cut[from.addr] == w.cut[to.addr])
	if arrives {
		to.g.step(m)
		to.work()
	}
	if m.GetType() == pb.MsgSnap && from != nil && from.g != nil && from.g.id == m.GetFrom() {
		status := raft.SnapshotFailure
		if arrives {
			status = raft.SnapshotFinish
		}
		from.g.node.ReportSnapshot(m.GetTo(), status)
		from.work()
	}
}

// byID finds the process of a member. The sender of a message may be down by now.
func (w *groupWorld) byID(id uint64) *groupNode {
	for _, addr := range w.addrs {
		if n := w.nodes[addr]; n.disk.identity.id == id {
			return n
		}
	}
	return nil
}

// ask has a client ask for a new lock, or again for one whose answer it lacks.
func (w *groupWorld) ask(fresh bool) {
	h := w.head()
	if heads := w.heads(); len(heads) > 1 {
		h = heads[w.rng.IntN(len(heads))]
	}
	if h == nil || !fresh && len(w.asked) == 0 {
		return
	}
	var a *asking
	if len(w.asked) > 0 && (!fresh || w.rng.IntN(2) == 0) {
		a = w.asked[w.rng.IntN(len(w.asked))]
	} else {
		w.made++
		a = &asking{kind: roster.KindLockGet, lock: fmt.Sprintf("lock %d", w.made)}
		if n := len(w.kept); n > 0 && w.rng.IntN(3) == 0 {
			a.kind, a.lock = roster.KindLockFree, w.kept[n-1]
			w.kept = w.kept[:n-1]
		}
		for i := range a.id {
			a.id[i] = byte(w.rng.IntN(256))
		}
		w.asked = append(w.asked, a)
	}
	if a.flying {
		return
	}
	a.flying = true
	a.tries++
	h.g.enqueue(proposal{cmd: roster.Command{Kind: a.kind, Lock: a.lock, Client: "c"}, id: a.id,
		done: func(r roster.Result, err error) {
			if h.torn != nil {
				err = errStopped
			}
			if err == nil {
				w.ackedTo = max(w.ackedTo, h.g.index)
			}
			if errors.Is(err, errNotHead) && a.tries == 1 && a.kind == roster.KindLockGet {
				w.never[a.lock] = true
				w.asked = slices.DeleteFunc(w.asked, func(o *asking) bool { return o == a })
			}
			w.answered(a, r, err)
		}})
	h.work()
}

// answered checks an answer: a token belongs to one lock, and a lock has one token,
// whichever heads were asked for it.
func (w *groupWorld) answered(a *asking, r roster.Result, err error) {
	a.flying = false
	if errors.Is(err, errUnsure) || errors.Is(err, errStopped) {
		w.counted.unsure++
	}
	if err != nil {
		return
	}
	w.counted.acks++
	if r.Code != roster.Done {
		w.t.Fatalf("seed %d: %s: %+v", w.seed, a.lock, r)
	}
	if a.kind == roster.KindLockFree {
		delete(w.acked, a.lock)
		w.freed[a.lock] = true
	} else {
		w.keep(a.lock, r.Token)
	}
	w.asked = slices.DeleteFunc(w.asked, func(o *asking) bool { return o == a })
}

// keep notes a grant.
func (w *groupWorld) keep(lock string, token uint64) {
	if who, ok := w.tokens[token]; ok && who != lock {
		w.t.Fatalf("seed %d: token %d is of %s and of %s", w.seed, token, who, lock)
	}
	w.tokens[token], w.acked[lock] = lock, token
	w.kept = append(w.kept, lock)
}

// event plays one event of the seed.
func (w *groupWorld) event() {
	n := w.nodes[w.addrs[w.rng.IntN(len(w.addrs))]]
	w.apart = max(0, w.apart-1)
	switch p := w.rng.IntN(1000); {
	case p < 600:
		for range 3 { // more than is sent: else all is late
			w.deliver(false)
		}
	case p < 790:
		w.tick()
	case p < 900:
		w.ask(true)
	case p < 940:
		w.look()
	case p < 950:
		n.tidy()
	case p < 954:
		w.counted.crashes++
		n.down()
	case p < 960:
		if n.g != nil {
			n.tear = 1 + w.rng.IntN(3)
		}
	case p < 986:
		n.up()
	case p < 990 && w.apart == 0:
		w.setApart()
	case p < 992 && w.apart == 0:
		clear(w.cut)
		for _, addr := range w.addrs {
			if w.rng.IntN(2) == 0 {
				w.cut[addr] = "other"
			}
		}
	case p < 995 && w.apart == 0:
		clear(w.cut)
	case p < 996:
		w.wipe(n)
	default:
		n.seek()
	}
}

// wipe takes a process's folder away, if all others are up and know that no folder lost
// before counts any more: the group must be able to stand it.
func (w *groupWorld) wipe(n *groupNode) {
	for _, addr := range w.addrs {
		if o := w.nodes[addr]; o != n && (o.g == nil || o.g.joint() || !slices.Contains(o.g.conf.GetVoters(), o.g.id)) {
			return
		}
	}
	if h := w.head(); h == nil || len(w.heads()) > 1 || h.g.joint() || len(h.g.members.members) != len(w.addrs) || len(h.g.conf.GetVoters()) != len(w.addrs) {
		return
	}
	n.replaceFolder()
	w.counted.wipes++
}

func (n *groupNode) replaceFolder() {
	n.down()
	if n.open { // it looked for the group
		n.close()
	}
	n.fs = crashdisk.Mem()
	n.start()
}

// tick lets time pass for everyone, though not for all alike: a head that is apart may hang.
func (w *groupWorld) tick() {
	w.ticks++
	for _, addr := range w.addrs {
		slow := w.apart > 0 && w.hangs && w.cut[addr] == apart && w.rng.IntN(10) > 0
		if n := w.nodes[addr]; n.g != nil && !slow && w.rng.IntN(10) > 0 {
			n.g.tick()
			n.work()
		}
	}
}

// heal repairs every link, starts every member and waits until all vote, agree and have what was acked.
func (w *groupWorld) heal() {
	clear(w.cut)
	for range 4000 {
		for _, addr := range w.addrs {
			w.nodes[addr].up()
			w.nodes[addr].seek()
		}
		w.tick()
		for range 100 {
			w.deliver(true)
		}
		w.ask(false)
		if h := w.head(); h != nil && len(w.asked) == 0 && w.agreed(h) {
			return
		}
	}
	for _, addr := range w.addrs {
		if n := w.nodes[addr]; n.g != nil {
			w.t.Logf("%s: id %d, index %d, %v, %+v, members %+v", addr, n.g.id, n.g.index, n.g.conf, n.g.node.BasicStatus(), n.g.members)
		} else {
			w.t.Logf("%s: open %v, %+v", addr, n.open, n.disk.identity.id)
		}
	}
	h := w.head()
	w.t.Fatalf("seed %d: not healed: head %v, %d commands without an answer, %d messages", w.seed, h != nil, len(w.asked), len(w.net))
}

func (w *groupWorld) agreed(h *groupNode) bool {
	for _, addr := range w.addrs {
		n := w.nodes[addr]
		if n.g == nil || n.g.index != h.g.index || !slices.Contains(h.g.conf.GetVoters(), n.g.id) {
			return false
		}
	}
	for lock, token := range w.acked {
		if holder, got := holderOf(h.g.state, lock); holder != "c" || got != token {
			w.t.Fatalf("seed %d: %s was granted with token %d, and is held by %q with %d", w.seed, lock, token, holder, got)
		}
	}
	for lock := range w.never {
		if holder, _ := holderOf(h.g.state, lock); holder != "" {
			w.t.Fatalf("seed %d: %s was refused as by no head, and is held by %q", w.seed, lock, holder)
		}
	}
	for lock := range w.freed {
		if holder, _ := holderOf(h.g.state, lock); holder != "" {
			w.t.Fatalf("seed %d: %s was released, and is held by %q", w.seed, lock, holder)
		}
	}
	return len(h.g.members.members) == len(w.addrs) && !h.g.joint()
}

// TestGroupSeeds plays seeds: whatever is lost, reordered, crashed, cut off, wiped
// and restarted, members agree on every entry, there is one head in a term, and
// what was acknowledged stays.
func TestGroupSeeds(t *testing.T) {
	t.Parallel()
	seeds := uint64(30)
	if os.Getenv("VIEWRING_SLOW") != "" {
		seeds = 100
	}
	total := groupWorld{}
	for seed := range seeds {
		w := newGroupWorld(t, seed)
		for _, addr := range w.addrs[1:] {
			w.nodes[addr].seek()
		}
		for range 3000 {
			w.event()
		}
		w.heal()
		w.end()
		c, s := &total.counted, &w.counted
		c.acks, c.unsure, c.crashes, c.wipes = c.acks+s.acks, c.unsure+s.unsure, c.crashes+s.crashes, c.wipes+s.wipes
		c.collected += s.collected
		c.torn, c.votes, c.looks = c.torn+s.torn, c.votes+s.votes, c.looks+s.looks
		c.changes, c.heads, c.snapshots = c.changes+s.changes, c.heads+s.heads, c.snapshots+s.snapshots
	}
	t.Logf("%d seeds: %+v", seeds, total.counted)
}

func (w *groupWorld) end() {
	for _, addr := range w.addrs {
		n := w.nodes[addr]
		if n.open {
			n.close()
		}
	}
}
