package viewleader

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"viewring/internal/codec"
	"viewring/viewleader/roster"
)

const (
	selfID      = 1 // of the only member of the Raft group
	tickEvery   = 50 * time.Millisecond
	lingerMax   = 2 * time.Millisecond
	submitQueue = 1024
	batchMax    = 2048 // commands in one entry
	entryFormat = 1
)

// errStopped is what a command gets that the service had no time for.
var errStopped = errors.New("the view leader stops")

// errNotHead is what a command gets that another view leader must decide.
var errNotHead = errors.New("this view leader is not the head")

// proposal is a command on its way into the log. done is called by the loop,
// once, and must not wait.
type proposal struct {
	cmd    roster.Command
	linger bool // others of its kind will come within lingerMax: one epoch for all
	done   func(roster.Result, error)
}

// question is a look at the state as of now: the Raft head makes sure first
// that it still is the head. done is called by the loop and must not wait.
type question struct {
	done func(*roster.State, error)
}

// group is the Raft group's member in this process, with the state that it
// replicates. Everything in it belongs to the goroutine in run, but for the
// channels.
type group struct {
	node      *raft.RawNode
	disk      *disk
	state     *roster.State
	logger    *slog.Logger
	now       func() time.Time
	every     int                 // entries between snapshots
	published func(*roster.State) // told of each new view; must not wait
	granted   func(roster.Grant)  // told when a waiter got its lock; must not wait
	ticked    func(time.Time)     // told every tickEvery; must not wait
	submits   chan proposal
	asks      chan question
	ready     chan struct{} // closed when everything in the log is applied
	nonce     uint64        // tells this process's entries apart
	seq       uint64        // of the last entry proposed here
	pending   map[uint64][]proposal
	urgent    []proposal
	lingers   []proposal
	due       time.Time             // when lingers must go
	waiting   []question            // for the next ReadIndex
	asked     map[uint64][]question // by ReadIndex's context
	askSeq    uint64
	hard      *pb.HardState
	conf      *pb.ConfState
	index     uint64 // of the last applied entry
	snapshot  uint64 // index of the last snapshot
	isReady   bool
}

func newGroup(d *disk, every int, now func() time.Time, logger *slog.Logger) (*group, error) {
	snapshot, err := d.memory.Snapshot()
	if err != nil {
		return nil, err
	}
	state, err := roster.Restore(snapshot.GetData())
	if err != nil {
		return nil, err
	}
	index := snapshot.GetMetadata().GetIndex()
	node, err := raft.NewRawNode(&raft.Config{
		ID:                        selfID,
		ElectionTick:              10,
		HeartbeatTick:             1,
		Storage:                   d.memory,
		Applied:                   index,
		MaxSizePerMsg:             1 << 20,
		MaxCommittedSizePerReady:  16 << 20,
		MaxUncommittedEntriesSize: 64 << 20,
		MaxInflightMsgs:           256,
		CheckQuorum:               true,
		PreVote:                   true,
		Logger:                    raftLogger{logger},
	})
	if err != nil {
		return nil, fmt.Errorf("start raft: %w", err)
	}
	hard, conf, err := d.memory.InitialState()
	if err != nil {
		return nil, err
	}
	return &group{
		node: node, disk: d, state: state, logger: logger, now: now, every: every,
		submits: make(chan proposal, submitQueue), asks: make(chan question, submitQueue), ready: make(chan struct{}),
		nonce: rand.Uint64(), pending: make(map[uint64][]proposal), asked: make(map[uint64][]question),
		hard: hard, conf: conf, index: index, snapshot: index,
	}, nil
}

// run drives the group until ctx ends or the disk fails. It may be started once.
func (g *group) run(ctx context.Context) error {
	defer g.abandon()
	// A group of one need not wait for an election's timeout.
	if err := g.node.Campaign(); err != nil {
		return fmt.Errorf("campaign: %w", err)
	}
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	linger := time.NewTimer(time.Hour)
	defer linger.Stop()
	for {
		if err := g.process(); err != nil {
			return err
		}
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
		case <-ticker.C:
			g.node.Tick()
			g.tick()
		case <-linger.C:
		case p := <-g.submits:
			g.enqueue(p)
		case q := <-g.asks:
			g.waiting = append(g.waiting, q)
		}
		g.gather()
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

// tick ends locks whose time is over.
func (g *group) tick() {
	now := g.now()
	if next := g.state.NextLockExpiry(); next != 0 && next <= now.UnixMilli() {
		g.enqueue(proposal{cmd: roster.Command{Kind: roster.KindLockTick}, done: func(roster.Result, error) {}})
	}
	g.ticked(now)
}

// propose puts what waits into the log: what is urgent at once, the rest when it
// has lingered. It reports whether Raft has something to do now.
func (g *group) propose() bool {
	if !g.isHead() {
		g.refuse()
		return false
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
	return g.node.HasReady()
}

func (g *group) proposeOne(batch []proposal) {
	at := g.now().UnixMilli()
	cmds := make([]roster.Command, len(batch))
	for i := range batch {
		cmds[i] = batch[i].cmd
		cmds[i].At = at
	}
	g.seq++
	entry := []byte{entryFormat}
	entry = binary.BigEndian.AppendUint64(entry, g.nonce)
	entry = binary.BigEndian.AppendUint64(entry, g.seq)
	entry = roster.AppendCommands(entry, cmds)
	if err := g.node.Propose(entry); err != nil {
		for _, p := range batch {
			p.done(roster.Result{}, fmt.Errorf("propose: %w", err))
		}
		return
	}
	g.pending[g.seq] = batch
}

func (g *group) isHead() bool { return g.node.BasicStatus().RaftState == raft.StateLeader }

// refuse answers what only the head can do.
func (g *group) refuse() {
	if !g.isReady {
		return // the election is under way
	}
	for _, p := range append(g.urgent, g.lingers...) {
		p.done(roster.Result{}, errNotHead)
	}
	for _, q := range g.waiting {
		q.done(nil, errNotHead)
	}
	g.urgent, g.lingers, g.waiting = nil, nil, nil
}

// abandon answers everything that will not be done any more.
func (g *group) abandon() {
	g.gather()
	for _, batch := range g.pending {
		g.urgent = append(g.urgent, batch...)
	}
	for _, qs := range g.asked {
		g.waiting = append(g.waiting, qs...)
	}
	for _, p := range append(g.urgent, g.lingers...) {
		p.done(roster.Result{}, errStopped)
	}
	for _, q := range g.waiting {
		q.done(nil, errStopped)
	}
}

// process does what Raft wants done: entries on disk first, then what they
// commit. A group of one has no messages to send; with peers they go out
// between the two.
func (g *group) process() error {
	for g.node.HasReady() {
		rd := g.node.Ready()
		if !raft.IsEmptyHardState(rd.HardState) {
			g.hard = rd.HardState
		}
		if rd.MustSync {
			if err := g.disk.append(g.hard, rd.Entries); err != nil {
				return err
			}
		}
		for _, e := range rd.CommittedEntries {
			if err := g.apply(e); err != nil {
				return err
			}
		}
		for _, rs := range rd.ReadStates {
			g.answer(binary.BigEndian.Uint64(rs.RequestCtx))
		}
		g.node.Advance(rd)
	}
	if g.index-g.snapshot >= uint64(g.every) {
		return g.compact()
	}
	return nil
}

func (g *group) compact() error {
	if err := g.disk.compact(g.index, g.hard, g.conf, g.state.AppendSnapshot(nil)); err != nil {
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

// apply runs one entry of the log.
func (g *group) apply(e *pb.Entry) error {
	g.index = e.GetIndex()
	if e.GetType() != pb.EntryNormal {
		return fmt.Errorf("entry %d has type %v, which this build does not write", e.GetIndex(), e.GetType())
	}
	if len(e.GetData()) == 0 { // a new head's first: all before it is applied
		if !g.isReady && g.isHead() && e.GetTerm() == g.hard.GetTerm() {
			g.isReady = true
			g.published(g.state)
			close(g.ready)
		}
		return nil
	}
	nonce, seq, cmds, err := decodeEntry(e.GetData())
	if err != nil {
		return fmt.Errorf("entry %d: %w", e.GetIndex(), err)
	}
	before := g.state.Epoch()
	results := g.state.Apply(cmds)
	if g.isReady && g.state.Epoch() != before {
		g.published(g.state)
	}
	var batch []proposal
	if nonce == g.nonce {
		batch = g.pending[seq]
		delete(g.pending, seq)
	}
	for i := range results {
		// First that a client waits in line, then that it is its turn.
		if batch != nil {
			batch[i].done(results[i], nil)
		}
		for _, grant := range results[i].Grants {
			if g.isReady { // what an earlier process granted concerns nobody here
				g.granted(grant)
			}
		}
	}
	return nil
}

func decodeEntry(b []byte) (nonce, seq uint64, cmds []roster.Command, err error) {
	r := codec.NewReader(b)
	if f := r.Byte(); r.Err() == nil && f != entryFormat {
		return 0, 0, nil, fmt.Errorf("format version %d, want %d", f, entryFormat)
	}
	nonce, seq = r.Uint64(), r.Uint64()
	if r.Err() != nil {
		return 0, 0, nil, r.Err()
	}
	cmds, err = roster.DecodeCommands(r.Rest())
	return nonce, seq, cmds, err
}

// raftLogger passes on what the library says; its panics stay panics.
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
