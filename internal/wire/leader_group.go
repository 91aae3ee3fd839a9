package wire

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"viewring/internal/codec"
	"viewring/internal/outcome"
)

// The commands between view leaders, and about them.
const (
	CmdJoin     = "VL.JOIN"     // Join → Joined: a view leader looks for its group
	CmdPeer     = "VL.PEER"     // PeerHello → OK, then a one-way stream of CmdRaft
	CmdRaft     = "VL.RAFT"     // one bulk, on such a stream only, without a reply: a piece of a Raft message
	CmdSnapshot = "VL.SNAPSHOT" // one bulk, after CmdPeer on a connection of its own → OK: a piece of a message with a snapshot
	CmdGroup    = "VL.GROUP"    // no argument → Group, of whichever view leader is asked
	CmdGroupSet = "VL.GROUPSET" // args: verb (add, remove), address or id → OK; an operator's
)

// CodeRemoved is the first word of the refusal of a view leader that was removed
// from the group.
const CodeRemoved = "REMOVED"

// The verbs of CmdGroupSet.
const (
	GroupAdd    = "add"
	GroupRemove = "remove"
)

// The first byte of a piece of a Raft message.
const (
	PieceLast byte = 0 // the message ends with this piece
	PieceMore byte = 1
)

// PieceBytesMax bounds a piece of a Raft message.
const PieceBytesMax = 256 << 10

// CommandID tells a command from all others. A view leader that gets it again, after
// whichever view leader carried it out, answers what it answered then. The zero
// value is none.
type CommandID [16]byte

// NewCommandID draws an id.
func NewCommandID() (id CommandID) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}

// Join is a view leader's word on itself, to a member of its group, or to one that
// looks for it as well.
type Join struct {
	Cluster [16]byte // zero: none yet
	ID      uint64   // in the group; 0: none yet
	Store   [16]byte // of its data folder
	Addr    string   // where others reach it
	Peers   []string // the addresses that it was told of, sorted
}

// Joined is the answer to Join. Without an id the one that answers is new, too.
type Joined struct {
	Cluster [16]byte
	ID      uint64
	Peers   []string // that the one who answers was told of, sorted
}

// PeerHello opens a stream of Raft messages: who speaks, to whom, in which cluster.
type PeerHello struct {
	Cluster  [16]byte
	From, To uint64
	Addr     string // where the sender is reached: who never heard of it can answer
}

// Group is a view leader's picture of its group. Only the head knows who is up and
// how far behind.
type Group struct {
	Cluster [16]byte
	Self    uint64 // who answers; 0: in no group yet
	Head    uint64 // 0: none is known
	Members []GroupMember
	Awaited []string // addresses that may join and have not
}

// GroupMember is a member of the view leaders' group.
type GroupMember struct {
	ID       uint64
	Addr     string
	Voter    bool
	Replaces uint64 // whose place it takes when it has caught up; 0: nobody's
	Heard    bool   // by the head, lately
	Lag      uint64 // entries that the head has and this one has not acknowledged
}

// AppendJoin encodes q.
func AppendJoin(b []byte, q *Join) []byte {
	b = append(b, leaderFormat)
	b = append(b, q.Cluster[:]...)
	b = binary.AppendUvarint(b, q.ID)
	b = append(b, q.Store[:]...)
	b = codec.AppendString(b, q.Addr)
	return appendStrings(b, q.Peers)
}

// DecodeJoin reads what AppendJoin wrote.
func DecodeJoin(b []byte) (Join, error) {
	return decodeLeader("join", b, func(r *codec.Reader) (q Join) {
		r.Fixed(q.Cluster[:])
		q.ID = r.Uvarint()
		r.Fixed(q.Store[:])
		q.Addr, q.Peers = r.String(), readStrings(r)
		return q
	})
}

// AppendJoined encodes p.
func AppendJoined(b []byte, p *Joined) []byte {
	b = append(b, leaderFormat)
	b = append(b, p.Cluster[:]...)
	b = binary.AppendUvarint(b, p.ID)
	return appendStrings(b, p.Peers)
}

// DecodeJoined reads what AppendJoined wrote.
func DecodeJoined(b []byte) (Joined, error) {
	return decodeLeader("joined", b, func(r *codec.Reader) (p Joined) {
		r.Fixed(p.Cluster[:])
		p.ID, p.Peers = r.Uvarint(), readStrings(r)
		return p
	})
}

// AppendPeerHello encodes h.
func AppendPeerHello(b []byte, h *PeerHello) []byte {
	b = append(b, leaderFormat)
	b = append(b, h.Cluster[:]...)
	b = binary.AppendUvarint(b, h.From)
	b = binary.AppendUvarint(b, h.To)
	return codec.AppendString(b, h.Addr)
}

// DecodePeerHello reads what AppendPeerHello wrote.
func DecodePeerHello(b []byte) (PeerHello, error) {
	return decodeLeader("hello", b, func(r *codec.Reader) (h PeerHello) {
		r.Fixed(h.Cluster[:])
		h.From, h.To, h.Addr = r.Uvarint(), r.Uvarint(), r.String()
		return h
	})
}

// AppendGroup encodes g.
func AppendGroup(b []byte, g *Group) []byte {
	b = append(b, leaderFormat)
	b = append(b, g.Cluster[:]...)
	b = binary.AppendUvarint(b, g.Self)
	b = binary.AppendUvarint(b, g.Head)
	b = binary.AppendUvarint(b, uint64(len(g.Members)))
	for i := range g.Members {
		m := &g.Members[i]
		b = binary.AppendUvarint(b, m.ID)
		b = codec.AppendString(b, m.Addr)
		b = codec.AppendBool(b, m.Voter)
		b = binary.AppendUvarint(b, m.Replaces)
		b = codec.AppendBool(b, m.Heard)
		b = binary.AppendUvarint(b, m.Lag)
	}
	return appendStrings(b, g.Awaited)
}

// DecodeGroup reads what AppendGroup wrote.
func DecodeGroup(b []byte) (Group, error) {
	return decodeLeader("group", b, func(r *codec.Reader) (g Group) {
		r.Fixed(g.Cluster[:])
		g.Self, g.Head = r.Uvarint(), r.Uvarint()
		g.Members = readList(r, 6, func() GroupMember {
			return GroupMember{ID: r.Uvarint(), Addr: r.String(), Voter: r.Bool(), Replaces: r.Uvarint(), Heard: r.Bool(), Lag: r.Uvarint()}
		})
		g.Awaited = readStrings(r)
		return g
	})
}

func appendStrings(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = codec.AppendString(b, s)
	}
	return b
}

func readStrings(r *codec.Reader) []string { return readList(r, 1, r.String) }

// groupAnswerMax bounds one view leader's answer about the group: the others can
// be asked instead.
const groupAnswerMax = time.Second

// Group asks for the group of view leaders: the head, or while there is none
// whoever answers. Then Head is 0, and those are heard who answered.
func (l *Leader) Group(ctx context.Context) (Group, error) {
	var best Group
	var failed error
	asked := make(map[string]bool)
	answered := make(map[uint64]bool) // by id: two members have one address while one replaces the other
	addrs := l.addresses()
	for len(addrs) > 0 {
		addr := addrs[0]
		addrs = addrs[1:]
		if asked[addr] {
			continue
		}
		asked[addr] = true
		g, err := l.groupOf(ctx, addr)
		if err == nil {
			answered[g.Self] = true
		}
		switch {
		case err != nil:
			failed = err
			continue
		case g.Head != 0 && g.Head == g.Self:
			return g, nil
		case best.Self == 0, len(best.Members) == 0 && len(g.Members) > 0: // a newcomer has not been told yet
			best = g
		}
		for i := range g.Members {
			addrs = append(addrs, g.Members[i].Addr)
		}
	}
	if best.Self == 0 && failed != nil {
		return best, fmt.Errorf("%w: %w", ErrLeaderUnreachable, failed)
	}
	best.Head = 0 // whoever was named does not say so
	for i := range best.Members {
		best.Members[i].Heard = answered[best.Members[i].ID]
	}
	return best, nil
}

func (l *Leader) groupOf(ctx context.Context, addr string) (Group, error) {
	ctx, cancel := context.WithTimeout(ctx, groupAnswerMax)
	defer cancel()
	c, err := Dial(ctx, addr, l.dial, leaderLimits)
	if err != nil {
		return Group{}, err
	}
	defer c.Close() // never fails
	v, err := c.Do(ctx, []byte(CmdGroup))
	if err != nil {
		return Group{}, err
	}
	return DecodeGroup(v.Bytes)
}

// GroupSet adds or removes a view leader, named by address, or by id to remove it.
func (l *Leader) GroupSet(ctx context.Context, verb, who string) error {
	// A newcomer's place is noted at once; a removal waits for a majority of both
	// the old and the new group.
	_, again, err := l.ask(ctx, question{kind: outcome.Repeatable, long: true, wait: 10 * time.Second,
		args: [][]byte{[]byte(CmdGroupSet), []byte(verb), []byte(who)}})
	if again && IsCode(err, CodeRefused) {
		if verb == GroupRemove && l.gone(ctx, who) {
			return nil // the try whose answer was lost has done it
		}
		err = UnknownOutcome(err)
	}
	if err != nil {
		return fmt.Errorf("%s view leader %s: %w", verb, who, err)
	}
	return nil
}

// gone reports that the group has no such view leader.
func (l *Leader) gone(ctx context.Context, who string) bool {
	g, err := l.Group(ctx)
	return err == nil && g.Head != 0 && !slices.Contains(g.Awaited, who) && !slices.ContainsFunc(g.Members, func(m GroupMember) bool {
		return m.Addr == who || strconv.FormatUint(m.ID, 10) == who
	})
}

// NamedHead returns the address of the head that a view leader's refusal names;
// ok when it is one, addr "" when it knows of no head.
func NamedHead(err error) (addr string, ok bool) {
	var reply *ServerError
	if errors.As(err, &reply) && reply.Code == CodeNotHead {
		return reply.Message, true
	}
	return "", false
}
