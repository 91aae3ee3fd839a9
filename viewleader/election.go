package viewleader

import (
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
)

// The group's clock, in ticks of raftTick. Members decide by themselves when to
// give up a head, not by the library's timer, which draws from a global source:
// so a test can replay an election from a seed, and a broken connection counts.
const (
	raftTick      = 25 * time.Millisecond
	electionTicks = 80   // a head without a majority for this long steps down
	forgetTicks   = 28   // of silence after which a head is given up
	cutTicks      = 2    // the same, when its connection broke: a process that died
	staggerTicks  = 3    // between the members' turns to stand
	startTicks    = 8    // after a start, for the present head to be heard
	retryTicks    = 4    // after an election that nobody won; doubled with each one more
	retryDoubles  = 5    // at most
	patienceMax   = 4    // times forgetTicks, for a head that is only slow
	forgiveTicks  = 2400 // after which that is worn off by one
	jitterTicks   = 8    // drawn on top, so that members do not stand against each other
)

// election decides when this member stands for head.
type election struct {
	ticks   int
	silence int  // ticks since the head was heard
	cut     bool // the head's connection broke, and nothing was heard since
	// lost is the head that was given up last, and in which term. patience grows when
	// that one is heard again: it was not dead, its disk or this one was slow.
	lost     uint64
	lostTerm uint64
	patience int
	failures int            // elections in a row that made nobody the head
	wait     int            // ticks before it stands, while nobody is the head
	heard    map[uint64]int // at which tick each member was heard last
}

// begin makes the only member the head at once.
func (g *group) begin() {
	if g.alone() {
		g.stand()
	}
}

func (g *group) stand() {
	g.stood()
	if err := g.node.Campaign(); err != nil {
		g.logger.Warn("could not stand as the head", "err", err)
	}
	// A vote takes the sync of two disks: a member that stands again before the votes
	// can arrive ends its own election.
	e := &g.election
	e.wait = (retryTicks + g.random.IntN(jitterTicks)) << min(e.failures, retryDoubles)
	e.failures++
}

// tick lets time pass: a head sends heartbeats, a follower checks whether its head is
// still there.
func (g *group) tick() {
	e := &g.election
	e.ticks++
	if g.alone() {
		e.ticks += e.ticks % 2 // ticks come half as often
	}
	g.release()
	if g.isHead() {
		g.node.Tick()
		if g.serving && e.ticks%int(tickEvery/raftTick) == 0 {
			g.tickHead()
		}
		return
	}
	e.silence++
	if g.lead != 0 {
		if e.ticks%forgiveTicks == 0 {
			e.patience = max(1, e.patience-1)
		}
		if e.silence < forgetTicks*e.patience && (!e.cut || e.silence < cutTicks) {
			return
		}
		e.lost, e.lostTerm = g.lead, g.node.BasicStatus().GetTerm()
		g.logger.Warn("the head is silent", "head", g.lead, "for", time.Duration(e.silence)*raftTick, "connection broke", e.cut)
		e.wait = staggerTicks*g.rank() + g.random.IntN(2)
		if err := g.node.ForgetLeader(); err != nil {
			g.logger.Warn("could not give up the head", "err", err)
		}
		return
	}
	// A member that is no voter yet, as far as it knows, also gives up a silent head: the
	// others may know that it is one, and need its vote.
	if e.wait--; e.wait < 0 && (g.isVoter(g.id) || slices.Contains(g.conf.GetVotersOutgoing(), g.id)) {
		g.stand()
	}
}

// rank returns how many voters stand before this member when the head is given up, so
// that they do not stand against each other.
func (g *group) rank() (before int) {
	for _, id := range g.conf.GetVoters() {
		if id < g.id && id != g.lead {
			before++
		}
	}
	return before
}

// step takes a message of another member.
func (g *group) step(m *pb.Message) {
	if m.GetTo() != g.id || g.members.removed(m.GetFrom()) {
		return
	}
	if err := g.node.Step(m); err != nil {
		g.logger.Debug("a message was of no use", "from", m.GetFrom(), "type", m.GetType(), "err", err)
		return
	}
	if e := &g.election; g.lead == 0 && e.failures > 0 && !g.active(m.GetFrom()) {
		// The member that came back may complete a majority.
		e.failures, e.wait = 0, min(e.wait, retryTicks+g.random.IntN(jitterTicks))
	}
	g.election.heard[m.GetFrom()] = g.election.ticks
	switch m.GetType() {
	case pb.MsgApp, pb.MsgHeartbeat, pb.MsgSnap:
		if g.node.BasicStatus().Lead == m.GetFrom() {
			g.election.silence, g.election.cut = 0, false
		}
	}
}

// linkBroke notes that the connection that a member's messages came by has ended.
func (g *group) linkBroke(from uint64) {
	if from != 0 && from == g.lead {
		g.election.cut = true
	}
}

// follow notes who is the head now.
func (g *group) follow() {
	status := g.node.BasicStatus()
	if g.serving && status.RaftState != raft.StateLeader {
		g.serving = false
		g.giveUp(errUnsure)
		g.refuseAll(errNotHead)
		g.headed(g.state, false)
	}
	if status.Lead == g.lead {
		return
	}
	g.lead = status.Lead
	g.followed(status.GetTerm())
	g.election.silence, g.election.cut = 0, false
	if g.lead != 0 {
		if g.election.failures = 0; g.lead == g.election.lost && status.GetTerm() == g.election.lostTerm {
			g.election.patience = min(g.election.patience+1, patienceMax)
		}
		g.logger.Info("a view leader is the head", "id", g.lead, "self", g.lead == g.id, "term", status.GetTerm())
		if g.lead != g.id {
			g.makeReady()
		}
	}
	g.changed(g.members, g.lead)
}

// handOver lets the member with the longest log take over, before this one ends.
func (g *group) handOver() {
	if !g.isHead() {
		return
	}
	var best uint64
	var furthest tracker.Progress
	for id, pr := range g.node.Status().Progress {
		ahead := pr.Match > furthest.Match || pr.Match == furthest.Match && id < best
		if id != g.id && !pr.IsLearner && g.active(id) && (best == 0 || ahead) {
			best, furthest = id, pr
		}
	}
	if best != 0 {
		g.logger.Info("handing over to another view leader", "id", best)
		g.node.TransferLeader(best)
	}
}

// active reports whether a member was heard lately.
func (g *group) active(id uint64) bool {
	at, ok := g.election.heard[id]
	return id == g.id || ok && g.election.ticks-at < forgetTicks
}
