package tree

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"

	"viewring/internal/wire"
	"viewring/server/replica"
)

// Ownership is a node that goes with a session. A key of its own lies beside the node's entry,
// in the same slot, and comes and goes with it: so a session's nodes are found without a look
// at all the others.
type Ownership struct {
	Session   uint64
	Dir, Name string
}

func (o *Ownership) bytes() int { return len(o.Dir) + len(o.Name) }

// ownerBytes is what the name of an ownership's key begins with: the session, big endian.
const ownerBytes = 8

func ownershipKey(dir, name string, owner uint64) replica.Key {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, ownerBytes+len(dir)+len(separator)+len(name)), owner)
	b = append(append(append(b, dir...), separator...), name...)
	return replica.MakeKey(slotOf(dir), replica.SpaceOwned, string(b))
}

// ParseOwnership reads a key of replica.SpaceOwned; false where it is none that this package
// has made.
func ParseOwnership(k replica.Key) (o Ownership, ok bool) {
	s := k.Name()
	if len(s) < ownerBytes {
		return o, false
	}
	o.Session = binary.BigEndian.Uint64([]byte(s))
	o.Dir, o.Name, ok = strings.Cut(s[ownerBytes:], separator)
	return o, ok && o.Session != 0 && o.Name != "" && k == ownershipKey(o.Dir, o.Name, o.Session)
}

// What one request of FillReap removes at most: so many nodes, and of paths that are so long
// together. Each is in two keys, and at most one of a content more.
const (
	ReapMax      = 100
	reapBytesMax = replica.BatchNamesMax / 4
)

// FillReap makes r the request that removes nodes of one directory, as far as they still are
// those of the sessions that they are said to go with. Only whoever knows that a session has
// ended, for good, may ask for it. It needs no request id: done again, it does nothing.
func FillReap(r *replica.Request, dir string, owned []Ownership) {
	keys := []replica.Key{keyOf(dir, "")}
	for _, o := range owned {
		keys = appendNew(appendNew(keys, keyOf(dir, o.Name)), ownershipKey(dir, o.Name, o.Session))
	}
	r.Op, r.Frees = replica.OpEvaluate, true
	r.Keys, r.Key = keys, keys[0]
	r.Evaluate = func(found []replica.Item, version replica.Version, now int64) replica.Outcome {
		keys := slices.Clone(keys)
		for i := range found[:len(r.Keys)] {
			if e, err := decodeEntry(found[i].Value); keys[i].Space() == replica.SpaceMeta && i > 0 && err == nil {
				keys = appendContent(keys, slotOf(dir), e.content)
			}
		}
		if len(keys) > len(found) {
			return replica.Outcome{More: keys[len(found):]}
		}
		st := newSlotState(&wire.TreeRequest{Dir: dir}, keys[0], version, now)
		if !st.readRecord(&found[0]) || !st.readEntries(keys, found) {
			return st.fail(wire.TreeUnreadable)
		}
		for _, o := range owned {
			st.reap(o)
		}
		st.concludeContents()
		out := st.done(0)
		out.Writes = st.writes()
		return out
	}
}

// reap removes a node, if it is that session's.
func (st *slotState) reap(o Ownership) {
	if e := st.entries[keyOf(st.q.Dir, o.Name)]; e != nil && e.owner == o.Session {
		st.removeEntry(o.Name)
	}
}

// Reapable groups ownerships into what one FillReap may have each: of one directory, at most
// ReapMax. It sorts owned.
func Reapable(owned []Ownership) (groups [][]Ownership) {
	slices.SortFunc(owned, func(a, b Ownership) int {
		return cmp.Or(strings.Compare(a.Dir, b.Dir), strings.Compare(a.Name, b.Name))
	})
	for len(owned) > 0 {
		n, bytes := 1, owned[0].bytes()
		for n < min(len(owned), ReapMax) && owned[n].Dir == owned[0].Dir && bytes+owned[n].bytes() <= reapBytesMax {
			bytes += owned[n].bytes()
			n++
		}
		groups, owned = append(groups, owned[:n]), owned[n:]
	}
	return groups
}
