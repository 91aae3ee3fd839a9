package viewleader

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"viewring/internal/codec"
	"viewring/internal/wire"
	"viewring/viewleader/roster"
)

// apply runs one entry of the log.
func (g *group) apply(e *pb.Entry) error {
	g.index = e.GetIndex()
	var err error
	switch {
	case e.GetType() == pb.EntryConfChangeV2:
		err = g.applyConf(e)
	case e.GetType() != pb.EntryNormal:
		err = fmt.Errorf("type %v, which this build does not write", e.GetType())
	case len(e.GetData()) == 0:
		g.applyEmpty(e)
	case e.GetData()[0] == entryMembership:
		err = g.applyMembership(e)
	default:
		err = g.applyCommands(e)
	}
	if err != nil {
		return fmt.Errorf("entry %d: %w", e.GetIndex(), err)
	}
	return nil
}

// applyEmpty is a new head's first entry: all before it is applied. Raft puts one
// also in the place of a change of members that it refuses.
func (g *group) applyEmpty(e *pb.Entry) {
	switch {
	case !g.isHead() || e.GetTerm() != g.hard.GetTerm():
	case !g.serving:
		g.serving = true
		g.published(g.state) // before anybody may ask for it
		g.happened(g.state)
		g.headed(g.state, true)
		g.makeReady()
	case g.changing != nil:
		c := g.changing
		g.changing = nil
		c.done(nil, errors.New("another change of the members is under way: try again"))
	}
}

func (g *group) makeReady() {
	if !g.isReady {
		g.isReady = true
		close(g.ready)
	}
}

func (g *group) applyCommands(e *pb.Entry) error {
	from, ids, cmds, err := decodeCommands(e.GetData())
	if err != nil {
		return err
	}
	before, events := g.state.Epoch(), g.state.LastEvent()
	results := g.answered.apply(g.state, cmds, ids)
	if !g.serving { // what an earlier head's clients wait for concerns nobody here
		return nil
	}
	if g.state.Epoch() != before {
		g.published(g.state)
	}
	if g.state.LastEvent() != events {
		g.happened(g.state)
	}
	var batch []proposal
	if from.nonce == g.nonce {
		batch = g.pending[from.seq]
		delete(g.pending, from.seq)
	}
	for i := range results {
		// A client hears that it waits before it hears that the lock is granted.
		if batch != nil {
			batch[i].done(results[i], nil)
		}
		for _, grant := range results[i].Grants {
			g.granted(grant)
		}
	}
	return nil
}

// applyConf is a change of members that Raft takes part in; without a context it
// is Raft's own, which ends a joint configuration.
func (g *group) applyConf(e *pb.Entry) error {
	g.release() // who does not know of it could elect nobody with the head gone
	cc := &pb.ConfChangeV2{}
	if err := proto.Unmarshal(e.GetData(), cc); err != nil {
		return err
	}
	g.conf, g.confIndex = g.node.ApplyConfChange(cc), e.GetIndex()
	if len(cc.GetContext()) == 0 {
		g.noteGone()
		return nil
	}
	return g.setMembers(cc.GetContext())
}

func (g *group) applyMembership(e *pb.Entry) error { return g.setMembers(e.GetData()) }

func (g *group) setMembers(b []byte) error {
	from, m, err := decodeMembership(b)
	if err != nil {
		return err
	}
	g.members = m
	g.changed(m, g.lead)
	if from.nonce == g.nonce && g.changing != nil && from.seq == g.changeAt {
		c := g.changing
		g.changing = nil
		c.done(m, nil)
	}
	g.noteGone()
	return nil
}

// noteGone ends this member once it is out of the configuration for good.
func (g *group) noteGone() {
	if g.members.removed(g.id) && len(g.conf.GetVotersOutgoing()) == 0 &&
		!slices.Contains(g.conf.GetVoters(), g.id) && !slices.Contains(g.conf.GetLearners(), g.id) {
		g.gone = true
	}
}

// appendCommands encodes an entry of commands; ids are those of the commands that
// have one, by index.
func appendCommands(b []byte, o origin, ids map[int]wire.CommandID, cmds []roster.Command) []byte {
	if len(ids) == 0 {
		return roster.AppendCommands(o.append(append(b, entryCommands)), cmds)
	}
	b = o.append(append(b, entryIdentified))
	b = binary.AppendUvarint(b, uint64(len(ids)))
	for i := range cmds {
		if id, ok := ids[i]; ok {
			b = binary.AppendUvarint(b, uint64(i))
			b = append(b, id[:]...)
		}
	}
	return roster.AppendCommands(b, cmds)
}

func decodeCommands(b []byte) (o origin, ids map[int]wire.CommandID, cmds []roster.Command, err error) {
	r := codec.NewReader(b)
	kind := r.Byte()
	if r.Err() == nil && kind != entryCommands && kind != entryIdentified {
		return o, nil, nil, fmt.Errorf("format version %d, want %d or %d", kind, entryCommands, entryIdentified)
	}
	o = readOrigin(r)
	if kind == entryIdentified {
		ids = make(map[int]wire.CommandID)
		for range r.Count(17) {
			i := int(r.Uvarint())
			var id wire.CommandID
			r.Fixed(id[:])
			ids[i] = id
		}
	}
	if r.Err() != nil {
		return o, nil, nil, r.Err()
	}
	cmds, err = roster.DecodeCommands(r.Rest())
	return o, ids, cmds, err
}

// appendSnapshot encodes everything that members have in common.
func appendSnapshot(b []byte, m *membership, a *answered, s *roster.State) []byte {
	b = append(b, snapshotOfGroup, membershipVersion)
	b = m.append(b)
	b = a.append(b)
	return s.AppendSnapshot(b)
}

// restore takes the state from a snapshot.
func (g *group) restore(s *pb.Snapshot) error {
	members, known, state, err := decodeSnapshot(s.GetData())
	if err != nil {
		return fmt.Errorf("snapshot at %d: %w", s.GetMetadata().GetIndex(), err)
	}
	g.members, g.answered, g.state = members, known, state
	g.index = s.GetMetadata().GetIndex()
	g.snapshot = g.index
	return nil
}

func decodeSnapshot(b []byte) (*membership, *answered, *roster.State, error) {
	r := codec.NewReader(b)
	if kind, v := r.Byte(), r.Byte(); r.Err() == nil && (kind != snapshotOfGroup || v != membershipVersion) {
		return nil, nil, nil, fmt.Errorf("a snapshot of kind %d and version %d: this build reads %d and %d", kind, v, snapshotOfGroup, membershipVersion)
	}
	members, known := readMembership(r), readAnswered(r)
	if r.Err() != nil {
		return nil, nil, nil, r.Err()
	}
	state, err := roster.Restore(r.Rest())
	return members, known, state, err
}
