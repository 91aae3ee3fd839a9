package viewleader

import (
	"errors"
	"fmt"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"viewring/internal/wire"
	"viewring/viewleader/roster"
)

// promoteLag is how many entries a newcomer may be behind to become a voter.
const promoteLag = 100

// errUnchanged is the error of a change that has been made already.
var errUnchanged = errors.New("nothing to change")

// tickHead is what only the head does every tickEvery.
func (g *group) tickHead() {
	now := g.now()
	if next := g.state.NextLockExpiry(); next != 0 && next <= now.UnixMilli() {
		g.enqueue(proposal{cmd: roster.Command{Kind: roster.KindLockTick}, done: func(roster.Result, error) {}})
	}
	g.ticked(now)
	if g.changing == nil && len(g.desired) == 0 && !g.joint() {
		g.listSelf()
		g.promote()
	}
}

// joint reports that a change of the voters is half done; Raft ends it.
func (g *group) joint() bool { return len(g.conf.GetVotersOutgoing()) > 0 }

func (g *group) isVoter(id uint64) bool { return slices.Contains(g.conf.GetVoters(), id) }

// proposeChange puts the next change of the members into the log, one at a time.
func (g *group) proposeChange() {
	for g.changing == nil && len(g.desired) > 0 && !g.joint() {
		c := g.desired[0]
		g.desired = g.desired[1:]
		m := g.members.clone()
		conf, err := c.make(m)
		if errors.Is(err, errUnchanged) {
			c.done(g.members, nil)
			continue
		}
		if err != nil {
			c.done(nil, err)
			continue
		}
		g.seq++
		entry := appendMembership(nil, origin{g.nonce, g.seq}, m)
		if len(conf) == 0 {
			err = g.node.Propose(entry)
		} else {
			err = g.node.ProposeConfChange(&pb.ConfChangeV2{Changes: conf, Context: entry})
		}
		if err != nil {
			c.done(nil, errNotHead)
			continue
		}
		g.changing, g.changeAt = &c, g.seq
	}
}

func confChange(what pb.ConfChangeType, id uint64) *pb.ConfChangeSingle {
	return &pb.ConfChangeSingle{Type: &what, NodeId: &id}
}

// logged is the done of a change that nobody waits for.
func (g *group) logged(what string, id uint64) func(*membership, error) {
	return func(_ *membership, err error) {
		if err != nil {
			g.logger.Warn("a change of the view leaders was not made", "change", what, "id", id, "err", err)
		} else {
			g.logger.Info("the view leaders changed", "change", what, "id", id)
		}
	}
}

// listSelf lists this member with its address and data folder, which the first
// member of a group, and one from before there were groups, has not done yet.
func (g *group) listSelf() {
	if o := g.members.of(g.id); o == nil || o.addr == g.addr && o.store == g.store {
		return
	}
	g.desired = append(g.desired, change{done: g.logged("address", g.id), make: func(m *membership) ([]*pb.ConfChangeSingle, error) {
		o := m.of(g.id)
		if o == nil {
			return nil, errUnchanged
		}
		o.addr, o.store = g.addr, g.store
		m.awaited = slices.DeleteFunc(m.awaited, func(a string) bool { return a == g.addr })
		return nil, nil
	}})
}

// promote makes a voter of a newcomer that has caught up. If it replaces a member whose
// folder was lost, that is one change, by joint consensus. A folder that was found again
// before that has lost nothing: the newcomer then waits, because its place is taken.
func (g *group) promote() {
	if len(g.conf.GetLearners()) == 0 {
		return
	}
	status := g.node.Status()
	for _, id := range g.conf.GetLearners() {
		pr, ok := status.Progress[id]
		if !ok || !g.active(id) || pr.State != tracker.StateReplicate || pr.Match+promoteLag < status.GetCommit() {
			continue
		}
		if o := g.members.of(id); o != nil && g.members.of(o.replaces) != nil && g.active(o.replaces) {
			continue
		}
		g.desired = append(g.desired, change{done: g.logged("voter", id), make: func(m *membership) ([]*pb.ConfChangeSingle, error) {
			o := m.of(id)
			if o == nil || !slices.Contains(g.conf.GetLearners(), id) {
				return nil, errUnchanged
			}
			conf := []*pb.ConfChangeSingle{confChange(pb.ConfChangeAddNode, id)}
			if old := o.replaces; old != 0 && m.of(old) != nil {
				conf = append(conf, confChange(pb.ConfChangeRemoveNode, old))
				m.drop(old)
			}
			if o = m.of(id); o != nil {
				o.replaces = 0
			}
			return conf, nil
		}})
		return
	}
}

// refusal is a change that can't be made.
func refusal(format string, args ...any) error {
	return &wire.ServerError{Code: wire.CodeRefused, Message: fmt.Sprintf(format, args...)}
}

// join lets a member in, or notes where it is now.
func (g *group) join(q *wire.Join) func(*membership) ([]*pb.ConfChangeSingle, error) {
	return func(m *membership) ([]*pb.ConfChangeSingle, error) {
		if q.Cluster != ([16]byte{}) && q.Cluster != g.state.Cluster() {
			return nil, refusal("the data folder belongs to cluster %x, this is %x", q.Cluster[:4], clusterOf(g)[:4])
		}
		for i := range m.members {
			o := &m.members[i]
			if o.id == q.ID || q.ID == 0 && o.store == q.Store {
				return nil, g.rejoin(m, o, q)
			}
		}
		if q.ID != 0 {
			return nil, refusal("view leader %d was removed from the group: it can come back with an empty data folder only", q.ID)
		}
		return g.admit(m, q)
	}
}

func clusterOf(g *group) []byte {
	c := g.state.Cluster()
	return c[:]
}

// rejoin notes a member's present address.
func (g *group) rejoin(m *membership, o *member, q *wire.Join) error {
	if o.store != q.Store && o.store != ([16]byte{}) {
		return refusal("view leader %d has another data folder", o.id)
	}
	if o.addr == q.Addr && o.store == q.Store {
		return errUnchanged
	}
	if other := m.at(q.Addr); other != nil && other.id != o.id && other.id != o.replaces && other.replaces != o.id {
		return refusal("address %s is view leader %d's", q.Addr, other.id)
	}
	o.addr, o.store = q.Addr, q.Store
	return nil
}

// admit lets in a data folder that never belonged to the group. At a member's address it
// replaces that member, whose folder must have been lost. It gets an id of its own,
// because what the lost folder promised to Raft is forgotten.
func (g *group) admit(m *membership, q *wire.Join) ([]*pb.ConfChangeSingle, error) {
	old := m.at(q.Addr)
	up := slices.IndexFunc(m.members, func(o member) bool { return o.addr == q.Addr && g.active(o.id) })
	switch {
	case q.Addr == "" || len(q.Addr) > roster.AddrBytesMax:
		return nil, refusal("an address of %d bytes: want 1 to %d", len(q.Addr), roster.AddrBytesMax)
	case old == nil && !slices.Contains(m.awaited, q.Addr):
		return nil, refusal("%s is not expected in this group: 'viewring viewleaders add %s' lets it in", q.Addr, q.Addr)
	case up >= 0:
		return nil, refusal("address %s belongs to view leader %d, which is up", q.Addr, m.members[up].id)
	case old == nil && len(m.members) >= membersMax:
		return nil, refusal("the group has %d view leaders, its limit", len(m.members))
	}
	var conf []*pb.ConfChangeSingle
	replaces := uint64(0)
	if old != nil && !g.isVoter(old.id) {
		replaces = old.replaces
		conf = append(conf, confChange(pb.ConfChangeRemoveNode, old.id))
		m.drop(old.id)
	} else if old != nil {
		replaces = old.id
	}
	id := m.admit(q.Addr, q.Store, replaces)
	return append(conf, confChange(pb.ConfChangeAddLearnerNode, id)), nil
}

// expect notes an address that may join.
func (g *group) expect(addr string) func(*membership) ([]*pb.ConfChangeSingle, error) {
	return func(m *membership) ([]*pb.ConfChangeSingle, error) {
		switch {
		case m.at(addr) != nil || slices.Contains(m.awaited, addr):
			return nil, errUnchanged
		case len(m.members)+len(m.awaited) >= membersMax:
			return nil, refusal("the group has %d view leaders, its limit", len(m.members)+len(m.awaited))
		}
		m.awaited = append(m.awaited, addr)
		return nil, nil
	}
}

// remove takes out a member for good, by id or address. The head hands over first:
// its client asks again, and the next head removes it.
func (g *group) remove(named func(*member) bool, addr string) func(*membership) ([]*pb.ConfChangeSingle, error) {
	return func(m *membership) ([]*pb.ConfChangeSingle, error) {
		var ids []uint64
		for i := range m.members {
			if named(&m.members[i]) {
				ids = append(ids, m.members[i].id)
			}
		}
		if len(ids) == 0 && slices.Contains(m.awaited, addr) {
			m.awaited = slices.DeleteFunc(m.awaited, func(a string) bool { return a == addr })
			return nil, nil
		}
		if len(ids) == 0 {
			return nil, refusal("no view leader %q: want an id or an address of 'viewring viewleaders'", addr)
		}
		if err := g.mayRemove(ids); err != nil {
			return nil, err
		}
		var conf []*pb.ConfChangeSingle
		for _, id := range ids {
			conf = append(conf, confChange(pb.ConfChangeRemoveNode, id))
			m.drop(id)
		}
		return conf, nil
	}
}

// mayRemove refuses what would leave the group without a majority.
func (g *group) mayRemove(ids []uint64) error {
	left, up := 0, 0
	for _, id := range g.conf.GetVoters() {
		if !slices.Contains(ids, id) {
			left++
			if g.active(id) {
				up++
			}
		}
	}
	switch {
	case left == 0:
		return refusal("view leader %d is the last one that may vote", ids[0])
	case up < left/2+1:
		return refusal("of the other %d view leaders only %d would be up: too few for a majority", left, up)
	case slices.Contains(ids, g.id):
		g.handOver()
		return errNotHead
	}
	return nil
}
