package viewleader

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"viewring/internal/wait"
	"viewring/internal/wire"
	"viewring/viewleader/roster"
)

const (
	enterPause   = 100 * time.Millisecond // between rounds of questions
	enterAnswer  = time.Second            // for one answer
	enterLogWait = 10 * time.Second       // between words on what is waited for

	announceEvery = 500 * time.Millisecond
)

// enter finds the group of a new data folder: the one that the others are in, or a new
// one. A new one begins only when every view leader named is up, is new, and was told
// the same list. So a lost folder cannot begin a second group beside the one that the
// others remember, whoever of them is down.
func (s *Service) enter() error {
	told := time.Now()
	for {
		id, why, err := s.lookForGroup()
		switch {
		case err != nil:
			return err
		case id.id != 0:
			if err := s.disk.identify(id); err != nil {
				return err
			}
			s.opts.Logger.Info("joined the group of view leaders", "id", id.id, "addr", s.advertised())
			return s.startGroup()
		case why == "":
			if err := s.found(); err != nil {
				return err
			}
			return s.startGroup()
		}
		if time.Since(told) > enterLogWait {
			told = time.Now()
			s.opts.Logger.Warn("waiting for the group of view leaders", "why", why)
		}
		if !wait.For(s.ctx, enterPause) {
			return nil
		}
	}
}

// lookForGroup asks every view leader once. If it returns neither an id nor a reason to
// wait, this one is to found the group.
func (s *Service) lookForGroup() (id identity, why string, err error) {
	mine := s.disk.identity
	peers := s.opts.peers()
	q := wire.Join{Store: mine.store, Addr: s.advertised(), Peers: peers}
	for _, addr := range peers {
		if addr == s.advertised() {
			continue
		}
		j, jerr := s.askJoin(addr, &q)
		switch {
		case s.ctx.Err() != nil: // what it was not told while it stopped counts for nothing
			return id, "", s.ctx.Err()
		case wire.IsCode(jerr, wire.CodeRefused):
			why = jerr.Error()
		case jerr != nil && why == "":
			why = fmt.Sprintf("%s: %v", addr, jerr)
		case jerr != nil:
		case j.ID != 0:
			return identity{store: mine.store, cluster: j.Cluster, id: j.ID}, "", nil
		case !slices.Equal(j.Peers, peers):
			why = fmt.Sprintf("%s is told of other view leaders: %v, here %v", addr, j.Peers, peers)
		}
	}
	if why == "" && peers[0] != s.advertised() {
		why = peers[0] + " begins the group"
	}
	return id, why, nil
}

// askJoin asks one view leader, and the head that it names.
func (s *Service) askJoin(addr string, q *wire.Join) (wire.Joined, error) {
	for range 2 {
		j, err := s.askJoinAt(addr, q)
		head, elsewhere := wire.NamedHead(err)
		if !elsewhere {
			return j, err
		}
		if head == "" || head == s.advertised() {
			return j, errors.New("the group has no head now")
		}
		addr = head
	}
	return wire.Joined{}, errors.New("the group's head changes")
}

func (s *Service) askJoinAt(addr string, q *wire.Join) (wire.Joined, error) {
	ctx, cancel := context.WithTimeout(s.ctx, enterAnswer)
	defer cancel()
	c, err := wire.Dial(ctx, addr, s.opts.Dial, limits)
	if err != nil {
		return wire.Joined{}, err
	}
	defer c.Close() // never fails
	v, err := c.Do(ctx, []byte(wire.CmdJoin), wire.AppendJoin(nil, q))
	if err != nil {
		return wire.Joined{}, err
	}
	return wire.DecodeJoined(v.Bytes)
}

// found begins a group: this member alone, which lets the others in.
func (s *Service) found() error {
	var cluster [16]byte
	if _, err := rand.Read(cluster[:]); err != nil {
		return fmt.Errorf("draw a cluster id: %w", err)
	}
	return foundGroup(s.disk, roster.New(s.opts.rosterConfig(cluster)), founderID, s.advertised(), s.opts.peers())
}

// foundGroup makes a new folder the one of a cluster's first view leader, which begins
// with a roster.
func foundGroup(d *raftLog, state *roster.State, founder uint64, addr string, peers []string) error {
	id := identity{store: d.identity.store, cluster: state.Cluster(), id: founder}
	m := &membership{next: founder + 1, members: []member{{id: founder, addr: addr, store: id.store}}}
	for _, other := range peers {
		if other != addr {
			m.awaited = append(m.awaited, other)
		}
	}
	one := uint64(1)
	return d.found(id, &pb.Snapshot{Data: appendSnapshot(nil, m, newAnswered(), state), Metadata: &pb.SnapshotMetadata{
		Index: &one, Term: &one, ConfState: &pb.ConfState{Voters: []uint64{founder}}}})
}

// announce tells the head this member's address, and again whenever this member knows of no
// head: it may have been removed meanwhile, and nobody sends anything to one that was.
func (s *Service) announce() {
	for heard := false; ; {
		if st := s.groupStatus.Load(); !st.serving && (!heard || st.head == 0) {
			heard = s.announceAs(st)
		}
		if !wait.For(s.ctx, announceEvery) {
			return
		}
	}
}

// announceAs asks one after the other until the head has heard it.
func (s *Service) announceAs(st *groupStatus) (heard bool) {
	q := wire.Join{Cluster: st.cluster, ID: st.self, Store: s.disk.identity.store, Addr: s.advertised(), Peers: s.opts.peers()}
	var addrs []string
	for i := range st.members.members {
		addrs = append(addrs, st.members.members[i].addr)
	}
	for _, addr := range append(addrs, s.opts.peers()...) {
		if addr == s.advertised() {
			continue
		}
		_, err := s.askJoin(addr, &q)
		if err == nil {
			return true
		}
		if wire.IsCode(err, wire.CodeRefused) {
			s.fail(fmt.Errorf("the group of view leaders: %w", err))
			return false
		}
	}
	return false
}

// join answers a view leader that looks for its group.
func (c *conn) join(r *reply, args [][]byte) {
	q, err := wire.DecodeJoin(args[0])
	if err != nil {
		r.fail(wire.CodeErr, err.Error())
		return
	}
	st := c.s.groupStatus.Load()
	if st.self == 0 {
		r.bulk(wire.AppendJoined(nil, &wire.Joined{Peers: c.s.opts.peers()}))
		return
	}
	if !st.serving {
		r.fail(wire.CodeNotHead, st.headAddr())
		return
	}
	c.s.change(change{make: c.s.group.join(&q), done: func(m *membership, err error) {
		if err != nil {
			failed(r, err)
			return
		}
		for i := range m.members {
			if o := &m.members[i]; o.id == q.ID || q.ID == 0 && o.store == q.Store {
				r.bulk(wire.AppendJoined(nil, &wire.Joined{Cluster: st.cluster, ID: o.id}))
				return
			}
		}
		r.fail(wire.CodeErr, "still not a member")
	}})
}

// change has the head change the members.
func (s *Service) change(ch change) {
	select {
	case s.group.changes <- ch:
	case <-s.ctx.Done():
	}
}

// groupOf answers with this view leader's picture of the group.
func (c *conn) groupOf(r *reply, _ [][]byte) {
	st := c.s.groupStatus.Load()
	if st.self == 0 {
		r.bulk(wire.AppendGroup(nil, &wire.Group{Awaited: c.s.opts.peers()}))
		return
	}
	c.s.report(func(g *group) { r.bulk(wire.AppendGroup(nil, g.picture())) })
}

// picture is the group as this member knows it.
func (g *group) picture() *wire.Group {
	p := &wire.Group{Self: g.id, Head: g.lead, Awaited: g.members.awaited}
	if g.state != nil {
		p.Cluster = g.state.Cluster()
	}
	status := g.node.Status()
	last := uint64(0)
	if own, ok := status.Progress[g.id]; ok {
		last = own.Match
	}
	for i := range g.members.members {
		o := &g.members.members[i]
		m := wire.GroupMember{ID: o.id, Addr: o.addr, Voter: g.isVoter(o.id), Replaces: o.replaces, Heard: g.active(o.id)}
		if pr, ok := status.Progress[o.id]; ok && pr.Match < last {
			m.Lag = last - pr.Match
		}
		p.Members = append(p.Members, m)
	}
	return p
}

// groupSet carries out an operator's verb on the group.
func (c *conn) groupSet(r *reply, args [][]byte) {
	verb, who := string(args[0]), string(args[1])
	ch := change{done: func(_ *membership, err error) {
		if err != nil {
			failed(r, err)
			return
		}
		c.s.opts.Logger.Info("an operator changed the view leaders", "verb", verb, "view leader", who)
		r.finish(func(w *wire.Writer) { w.WriteSimple("OK") })
	}}
	switch verb {
	case wire.GroupAdd:
		if err := checkAddr(who); err != nil {
			r.fail(wire.CodeRefused, err.Error())
			return
		}
		ch.make = c.s.group.expect(who)
	case wire.GroupRemove:
		ch.make = c.s.group.remove(func(o *member) bool { return o.addr == who || fmt.Sprint(o.id) == who }, who)
	default:
		r.fail(wire.CodeErr, "unknown verb '"+printable(args[0])+"': want add or remove")
		return
	}
	c.s.change(ch)
}
