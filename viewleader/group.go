package viewleader

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"viewring/internal/wait"
	"viewring/internal/wire"
	"viewring/viewleader/roster"
)

const (
	tickEvery   = 50 * time.Millisecond
	lingerMax   = 2 * time.Millisecond
	submitQueue = 1024
	stepQueue   = 1024 // messages of other members that wait for the loop
	batchMax    = 2048 // commands in one entry
)

// Why a command was not answered by the roster.
var (
	// errStopped: the service ended before the command was decided.
	errStopped = errors.New("the view leader stops")
	// errNotHead: another view leader must decide the command. It was not carried out.
	errNotHead = errors.New("this view leader is not the head")
	// errUnsure: this view leader ceased to be the head before the command was decided.
	// The next head may find the command in its log, or not.
	errUnsure = errors.New("this view leader is not the head any more: the command may have been carried out")
	// ErrRemoved ends a view leader that is no member of the group any more.
	ErrRemoved = errors.New("this view leader was removed from the group")
)

// proposal is a command on its way into the log. done is called by the loop,
// once, and must not wait.
type proposal struct {
	cmd    roster.Command
	id     wire.CommandID // zero: doing it twice does no harm
	linger bool           // others of its kind will come within lingerMax: one epoch for all
	done   func(roster.Result, error)
}

// question is a linearizable read of the state: the head first makes sure that it still
// is the head. done is called by the loop and must not wait.
type question struct {
	done func(*roster.State, error)
}

// change is a change of the members on its way into the log. make gets the members as
// they are when the change is next. done is called by the loop.
type change struct {
	make func(m *membership) (conf []*pb.ConfChangeSingle, err error) // m is a copy, to be changed
	done func(m *membership, err error)
}

// groupOptions are what a group is made with.
type groupOptions struct {
	id     uint64
	addr   string   // where the others reach this member
	store  [16]byte // of the data folder
	every  int      // entries between snapshots
	now    func() time.Time
	random *rand.Rand // election jitter
	logger *slog.Logger
}

// hooks are told what concerns the rest of the service. None may wait.
type hooks struct {
	published func(*roster.State)          // each new view, at the head
	happened  func(*roster.State)          // new events, at the head
	granted   func(roster.Grant)           // a waiter got its lock, at the head
	ticked    func(time.Time)              // every tickEvery, at the head
	headed    func(*roster.State, bool)    // this member is the head now, and knows all before it; or is not any more
	changed   func(*membership, uint64)    // the members, or the head's id (0: none)
	stood     func()                       // this member stands as the head
	followed  func(term uint64)            // there is another head, or none
	send      func(messages []*pb.Message) // to other members
}

// group is the Raft group's member in this process, with the state that it
// replicates. Everything in it belongs to the goroutine in run, but for the
// channels.
type group struct {
	groupOptions
	hooks
	node  *raft.RawNode
	disk  *raftLog
	state *roster.State // nil: a new member that has not been told yet

	members  *membership // replaced, never written to
	answered *answered

	submits chan proposal
	asks    chan question
	changes chan change
	steps   chan *pb.Message
	reports chan func()   // what the transport has to say; run by the loop
	ready   chan struct{} // closed when this member is a head that has applied all, or follows one

	nonce    uint64 // tells this process's entries apart
	seq      uint64 // of the last entry proposed here
	pending  map[uint64][]proposal
	urgent   []proposal
	lingers  []proposal
	due      time.Time             // when lingers must go
	waiting  []question            // for the next ReadIndex
	asked    map[uint64][]question // by ReadIndex's context
	askSeq   uint64
	desired  []change // for their turn; one at a time is in the log
	changing *change
	changeAt uint64 // its number in seq

	slow      atomic.Bool // ticks come every tickEvery
	hard      *pb.HardState
	conf      *pb.ConfState
	index     uint64 // of the last applied entry
	snapshot  uint64 // index of the last snapshot
	confIndex uint64 // of the last change of members that was applied
	serving   bool   // the head, and all before its term is applied
	isReady   bool
	// startedAlone is set before run: this member need not ask anybody.
	startedAlone bool
	gone         bool          // removed from the group
	held         []*pb.Message // at most one to each member; see hold
	lead         uint64
	election     election
}

func newGroup(d *raftLog, o groupOptions, h hooks) (*group, error) {
	g := &group{
		groupOptions: o, hooks: h, disk: d, members: &membership{next: founderID}, answered: newAnswered(),
		submits: make(chan proposal, submitQueue), asks: make(chan question, submitQueue), changes: make(chan change),
		steps: make(chan *pb.Message, stepQueue), reports: make(chan func(), stepQueue), ready: make(chan struct{}),
		nonce: o.random.Uint64(), pending: make(map[uint64][]proposal), asked: make(map[uint64][]question),
	}
	snapshot, err := d.memory.Snapshot()
	if err != nil {
		return nil, err
	}
	if !raft.IsEmptySnap(snapshot) {
		if err := g.restore(snapshot); err != nil {
			return nil, err
		}
	}
	g.node, err = raft.NewRawNode(&raft.Config{
		ID:                        o.id,
		ElectionTick:              electionTicks,
		HeartbeatTick:             1,
		Storage:                   d.memory,
		Applied:                   g.index,
		MaxSizePerMsg:             1 << 20,
		MaxCommittedSizePerReady:  16 << 20,
		MaxUncommittedEntriesSize: 64 << 20,
		MaxInflightMsgs:           256,
		CheckQuorum:               true,
		PreVote:                   true,
		StepDownOnRemoval:         true,
		DisableProposalForwarding: true, // the stamp in a command is the head's
		Logger:                    raftLogger{o.logger},
	})
	if err != nil {
		return nil, fmt.Errorf("start raft: %w", err)
	}
	if g.hard, g.conf, err = d.memory.InitialState(); err != nil {
		return nil, err
	}
	if g.startedAlone, err = g.knownAlone(); err != nil {
		return nil, err
	}
	g.election.wait = startTicks + g.random.IntN(jitterTicks)
	g.election.heard = make(map[uint64]int)
	g.election.patience = 1
	return g, nil
}

// knownAlone reports whether this member is the only one, and nothing in its log could
// change that.
func (g *group) knownAlone() (bool, error) {
	last, err := g.disk.memory.LastIndex()
	if err != nil || !g.alone() {
		return false, err
	}
	if last == g.index {
		return true, nil
	}
	entries, err := g.disk.memory.Entries(g.index+1, last+1, math.MaxUint64)
	return !slices.ContainsFunc(entries, isConfChange), err
}

func isConfChange(e *pb.Entry) bool { return e.GetType() == pb.EntryConfChangeV2 }

// run drives the group until ctx ends, the disk fails, or this member is removed.
// It may be started once.
func (g *group) run(ctx context.Context) error {
	defer g.abandon()
	// The loop waits on no timer's own channel: with each wait the runtime would arm
	// the timer anew, which wakes the thread that polls the network.
	ticks, lingered := make(chan struct{}, 1), make(chan struct{}, 1)
	defer g.beginTicks(ticks)()
	linger := time.AfterFunc(time.Hour, func() { notify(lingered) })
	defer linger.Stop()
	if err := g.process(); err != nil { // what is known to be committed, members above all
		return err
	}
	g.begin()
	for {
		if err := g.process(); err != nil {
			return err
		}
		if g.gone {
			return ErrRemoved
		}
		g.slow.Store(g.alone())
		if g.propose() {
			continue
		}
		if len(g.lingers) > 0 {
			linger.Reset(time.Until(g.due))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-g.disk.broken:
			return g.disk.failure()
		case <-ticks:
			g.tick()
		case <-lingered:
		case p := <-g.submits:
			g.enqueue(p)
		case q := <-g.asks:
			g.waiting = append(g.waiting, q)
		case c := <-g.changes:
			g.desired = append(g.desired, c)
		case m := <-g.steps:
			g.step(m)
		case report := <-g.reports:
			report()
		}
		g.gather()
	}
}

// beginTicks notifies c every raftTick until the function that it returns is called; a
// member that decides by itself waits for nobody, and is told every tickEvery.
func (g *group) beginTicks(c chan<- struct{}) (stop func()) {
	var ticking sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	ticking.Go(func() {
		for every := raftTick; wait.For(ctx, wait.Until(sinceStart(), every)); {
			notify(c)
			if every = raftTick; g.slow.Load() {
				every = tickEvery
			}
		}
	})
	return func() {
		cancel()
		ticking.Wait()
	}
}

// notify puts a word into c, unless there is one already.
func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// gather takes in what else has arrived meanwhile.
func (g *group) gather() {
	for range batchMax {
		select {
		case p := <-g.submits:
			g.enqueue(p)
		case q := <-g.asks:
			g.waiting = append(g.waiting, q)
		case m := <-g.steps:
			g.step(m)
		default:
			return
		}
	}
}

func (g *group) enqueue(p proposal) {
	if !p.linger {
		g.urgent = append(g.urgent, p)
		return
	}
	if len(g.lingers) == 0 {
		g.due = time.Now().Add(lingerMax)
	}
	g.lingers = append(g.lingers, p)
}

// propose puts waiting commands into the log: urgent ones at once, the others when they
// have lingered. It reports whether Raft has something to do now.
func (g *group) propose() bool {
	if !g.serving {
		g.refuse()
		return g.node.HasReady()
	}
	if len(g.waiting) > 0 {
		g.askSeq++
		g.asked[g.askSeq] = g.waiting
		g.waiting = nil
		g.node.ReadIndex(binary.BigEndian.AppendUint64(nil, g.askSeq))
	}
	batch := g.urgent
	g.urgent = nil
	if len(g.lingers) > 0 && (len(g.lingers) >= batchMax || !time.Now().Before(g.due)) {
		batch = append(batch, g.lingers...)
		g.lingers = nil
	}
	for len(batch) > 0 {
		n := min(len(batch), batchMax)
		g.proposeOne(batch[:n:n])
		batch = batch[n:]
	}
	g.proposeChange()
	return g.node.HasReady()
}

func (g *group) proposeOne(batch []proposal) {
	at := g.now().UnixMilli()
	cmds := make([]roster.Command, len(batch))
	ids := make(map[int]wire.CommandID)
	for i := range batch {
		cmds[i] = batch[i].cmd
		cmds[i].At = at
		if batch[i].id != (wire.CommandID{}) {
			ids[i] = batch[i].id
		}
	}
	g.seq++
	if err := g.node.Propose(appendCommands(nil, origin{g.nonce, g.seq}, ids, cmds)); err != nil {
		// It hands over to another member, or has too much under way.
		for _, p := range batch {
			p.done(roster.Result{}, errNotHead)
		}
		return
	}
	g.pending[g.seq] = batch
}

func (g *group) isHead() bool { return g.node.BasicStatus().RaftState == raft.StateLeader }

// alone reports whether this member decides by itself.
func (g *group) alone() bool {
	return len(g.conf.GetVoters()) == 1 && g.conf.GetVoters()[0] == g.id && len(g.conf.GetVotersOutgoing()) == 0
}

// refuse answers what only the head can do.
func (g *group) refuse() {
	if g.alone() {
		return // it will be the head in a moment
	}
	g.refuseAll(errNotHead)
}

func (g *group) refuseAll(why error) {
	for _, p := range append(g.urgent, g.lingers...) {
		p.done(roster.Result{}, why)
	}
	for _, q := range g.waiting {
		q.done(nil, why)
	}
	for _, c := range g.desired {
		c.done(nil, why)
	}
	g.urgent, g.lingers, g.waiting, g.desired = nil, nil, nil, nil
}

// abandon answers everything that will no longer be done.
func (g *group) abandon() {
	if g.serving {
		g.serving = false
		g.headed(g.state, false)
	}
	g.gather()
	g.giveUp(errStopped)
	g.refuseAll(errStopped)
}

// giveUp answers what is under way: this member will not learn what came of it.
func (g *group) giveUp(why error) {
	for seq, batch := range g.pending {
		delete(g.pending, seq)
		for _, p := range batch {
			p.done(roster.Result{}, why)
		}
	}
	for ask, qs := range g.asked {
		delete(g.asked, ask)
		for _, q := range qs {
			q.done(nil, errNotHead) // a look does nothing
		}
	}
	if c := g.changing; c != nil {
		g.changing = nil
		c.done(nil, why)
	}
}

// process does what Raft asks for. Entries go out to the others while they are written
// here, then go out the messages that rely on the write, then committed entries are
// applied.
func (g *group) process() error {
	for g.node.HasReady() {
		rd := g.node.Ready()
		if !raft.IsEmptyHardState(rd.HardState) {
			g.hard = rd.HardState
		}
		now, afterSync := sorted(rd.Messages)
		g.dispatch(g.hold(now))
		if err := g.persist(&rd); err != nil {
			return err
		}
		g.dispatch(afterSync)
		for _, e := range rd.CommittedEntries {
			if err := g.apply(e); err != nil {
				return err
			}
		}
		if g.confIndex > g.snapshot {
			// A restart begins with the members of the snapshot, because a commit alone is
			// not written. It must not take a former majority for one. A newcomer also
			// accepts no snapshot from before it was let in.
			if err := g.compact(); err != nil {
				return err
			}
		}
		for _, rs := range rd.ReadStates {
			g.answer(binary.BigEndian.Uint64(rs.RequestCtx))
		}
		g.node.Advance(rd)
		g.follow()
	}
	if g.index-g.snapshot >= uint64(g.every) {
		return g.compact()
	}
	return nil
}

// sorted tells the messages that promise something of this member's disk from
// the others: a head's entries may go out before its own disk has them (Ongaro,
// Consensus: Bridging Theory and Practice, 10.2.1).
func sorted(messages []*pb.Message) (now, afterSync []*pb.Message) {
	for _, m := range messages {
		switch m.GetType() {
		case pb.MsgAppResp, pb.MsgVoteResp, pb.MsgPreVoteResp:
			afterSync = append(afterSync, m)
		default:
			now = append(now, m)
		}
	}
	return now, afterSync
}

// hold keeps back messages that only tell a follower how much is committed. The next
// entries for it say so too. Without any, the message goes out with the next tick, or
// before a change of members takes effect. So a command costs one message to each
// follower and one back, not two.
func (g *group) hold(messages []*pb.Message) []*pb.Message {
	return slices.DeleteFunc(messages, func(m *pb.Message) bool {
		if m.GetType() != pb.MsgApp {
			return false
		}
		g.held = slices.DeleteFunc(g.held, func(h *pb.Message) bool { return h.GetTo() == m.GetTo() })
		if len(m.GetEntries()) > 0 {
			return false
		}
		g.held = append(g.held, m)
		return true
	})
}

// release sends what was held back.
func (g *group) release() {
	g.dispatch(g.held)
	g.held = nil
}

func (g *group) dispatch(messages []*pb.Message) {
	if len(messages) > 0 {
		g.send(messages)
	}
}

// persist makes durable what Raft wants durable.
func (g *group) persist(rd *raft.Ready) error {
	if !raft.IsEmptySnap(rd.Snapshot) {
		if err := g.disk.install(rd.Snapshot, g.hard); err != nil {
			return fmt.Errorf("take a snapshot at %d: %w", rd.Snapshot.GetMetadata().GetIndex(), err)
		}
		if err := g.restore(rd.Snapshot); err != nil {
			return err
		}
		g.conf = rd.Snapshot.GetMetadata().GetConfState()
		g.changed(g.members, g.lead)
	}
	if rd.MustSync {
		return g.disk.append(g.hard, rd.Entries)
	}
	return nil
}

func (g *group) compact() error {
	if err := g.disk.compact(g.index, g.hard, g.conf, appendSnapshot(nil, g.members, g.answered, g.state)); err != nil {
		return fmt.Errorf("snapshot at %d: %w", g.index, err)
	}
	g.snapshot = g.index
	return nil
}

func (g *group) answer(ask uint64) {
	for _, q := range g.asked[ask] {
		q.done(g.state, nil)
	}
	delete(g.asked, ask)
}

// raftLogger logs what the library logs; its panics stay panics.
type raftLogger struct{ l *slog.Logger }

func (r raftLogger) Debug(v ...any)              { r.l.Debug("raft", "says", fmt.Sprint(v...)) }
func (r raftLogger) Debugf(f string, v ...any)   { r.l.Debug("raft", "says", fmt.Sprintf(f, v...)) }
func (r raftLogger) Info(v ...any)               { r.l.Debug("raft", "says", fmt.Sprint(v...)) }
func (r raftLogger) Infof(f string, v ...any)    { r.l.Debug("raft", "says", fmt.Sprintf(f, v...)) }
func (r raftLogger) Warning(v ...any)            { r.l.Warn("raft", "says", fmt.Sprint(v...)) }
func (r raftLogger) Warningf(f string, v ...any) { r.l.Warn("raft", "says", fmt.Sprintf(f, v...)) }
func (r raftLogger) Error(v ...any)              { r.l.Error("raft", "says", fmt.Sprint(v...)) }
func (r raftLogger) Errorf(f string, v ...any)   { r.l.Error("raft", "says", fmt.Sprintf(f, v...)) }
func (r raftLogger) Fatal(v ...any)              { panic(fmt.Sprint(v...)) }
func (r raftLogger) Fatalf(f string, v ...any)   { panic(fmt.Sprintf(f, v...)) }
func (r raftLogger) Panic(v ...any)              { panic(fmt.Sprint(v...)) }
func (r raftLogger) Panicf(f string, v ...any)   { panic(fmt.Sprintf(f, v...)) }
