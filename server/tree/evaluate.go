package tree

import (
	"slices"

	"viewring/internal/tree"
	"viewring/internal/wire"
	"viewring/server/replica"
)

// step is a request while it is evaluated.
type step struct{ q *wire.TreeRequest }

// keys are those that the step looks at, as far as the request tells: the directory's
// record first, then each node once.
func (s step) keys() []replica.Key {
	keys := []replica.Key{keyOf(s.q.Dir, "")}
	if s.q.Op == wire.TreePrepare || s.q.Op == wire.TreeClose {
		return keys
	}
	for i := range s.q.Items {
		it := &s.q.Items[i]
		if k := keyOf(s.q.Dir, it.Name); it.Kind != wire.TreeSequential && !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	return keys
}

// slotState is what a step sees of its slot, and makes of it.
type slotState struct {
	q       *wire.TreeRequest
	keys    []replica.Key
	version wire.TreeVersion
	now     int64

	directory *wire.TreeRecord       // nil: there is none
	entries   map[replica.Key]*entry // nil: there is none
	dirty     []replica.Key          // what it changed, in that order
	more      []replica.Key          // that it has to see
	seen      int                    // of keys
}

// evaluate is the replica.Evaluation of the step.
func (s step) evaluate(found []replica.Item, version replica.Version, now int64) replica.Outcome {
	st := &slotState{q: s.q, keys: s.keys(), version: wire.TreeVersion(version), now: now, entries: make(map[replica.Key]*entry), seen: len(found)}
	if !st.load(found) {
		return failed(wire.TreeUnreadable, 0, wire.TreeVersion{})
	}
	out := st.run()
	if len(st.more) > 0 {
		return replica.Outcome{More: st.more}
	}
	if out.Answer.Status == replica.StatusOK {
		out.Writes = st.writes()
	}
	return out
}

// load decodes what was found; false where another build wrote it.
func (st *slotState) load(found []replica.Item) bool {
	if !found[0].Version.IsZero() {
		d, err := decodeRecord(found[0].Value)
		if err != nil {
			return false
		}
		st.directory = d
	} else if st.q.Dir == tree.Root {
		st.directory = &wire.TreeRecord{State: wire.TreeOpen, Birth: st.version}
	}
	if len(found) > len(st.keys) {
		st.keys = append(st.keys, st.numbered()...)
	}
	for i := range found[1:] {
		if it := &found[1+i]; !it.Version.IsZero() {
			e, err := decodeEntry(it.Value)
			if err != nil {
				return false
			}
			st.entries[st.keys[1+i]] = e
		}
	}
	return true
}

// numbered are the keys of the sequential nodes that the step creates, those that are not
// among its keys already.
func (st *slotState) numbered() (keys []replica.Key) {
	next := st.directory.Next
	for i := range st.q.Items {
		if it := &st.q.Items[i]; it.Kind == wire.TreeSequential {
			k := keyOf(st.q.Dir, tree.SequentialName(it.Name, next))
			next++
			if !slices.Contains(st.keys, k) && !slices.Contains(keys, k) {
				keys = append(keys, k)
			}
		}
	}
	return keys
}

// touch notes that a key changes.
func (st *slotState) touch(k replica.Key) {
	if !slices.Contains(st.dirty, k) {
		st.dirty = append(st.dirty, k)
	}
}

// writes are the changes.
func (st *slotState) writes() (out []replica.KeyWrite) {
	for _, k := range st.dirty {
		w := replica.KeyWrite{Key: k}
		switch e := st.entries[k]; {
		case k == st.keys[0] && st.directory != nil:
			w.Value = encodeRecord(st.directory)
		case k != st.keys[0] && e != nil:
			w.Value = e.encode()
		default:
			w.Delete = true
		}
		out = append(out, w)
	}
	return out
}

// done is the outcome of a step that went well.
func (st *slotState) done(number int64) replica.Outcome {
	return replica.Outcome{Answer: replica.Answer{Status: replica.StatusOK, Version: replica.Version(st.version), Number: number}}
}

// fail is the outcome of a step that changes nothing.
func (st *slotState) fail(code wire.TreeCode) replica.Outcome {
	return failed(code, 0, wire.TreeVersion{})
}

func (st *slotState) run() replica.Outcome {
	switch st.q.Op {
	case wire.TreeMark:
		return st.mark()
	case wire.TreeFinish:
		return st.finish()
	case wire.TreePrepare:
		return st.prepare()
	case wire.TreeActivate:
		return st.activate()
	case wire.TreeClose:
		return st.close()
	case wire.TreeReopen:
		return st.reopen()
	case wire.TreeDrop:
		return st.drop()
	}
	return st.change()
}

// change makes all changes of a TreeChange, or none.
func (st *slotState) change() replica.Outcome {
	number, first := int64(0), true
	for i := range st.q.Items {
		it := &st.q.Items[i]
		n, code, v := st.one(it)
		if len(st.more) > 0 {
			return replica.Outcome{}
		}
		if code != wire.TreeOK {
			return failed(code, i, v)
		}
		if it.Kind == wire.TreeSequential && first || len(st.q.Items) == 1 {
			number, first = n, false
		}
	}
	return st.done(number)
}

// one makes one change, and answers its number.
func (st *slotState) one(it *wire.TreeItem) (number int64, code wire.TreeCode, v wire.TreeVersion) {
	key := keyOf(st.q.Dir, it.Name)
	e := st.entries[key]
	switch {
	case it.Kind == wire.TreeCreate || it.Kind == wire.TreeSequential:
		return st.create(it)
	case e == nil && st.q.Dir == "":
		e = &entry{} // the root, which nobody has set
	case e == nil:
		return 0, wire.TreeNoNode, v
	}
	if it.DataVersion >= 0 && it.DataVersion != e.dataVersion || it.Modified != (wire.TreeVersion{}) && it.Modified != e.modified {
		return 0, wire.TreeBadVersion, e.modified
	}
	switch it.Kind {
	case wire.TreeSet:
		changed := *e
		changed.value, changed.modified, changed.modifiedAt = it.Value, st.version, st.now
		changed.dataVersion++
		st.entries[key] = &changed
		st.touch(key)
		return changed.dataVersion, wire.TreeOK, v
	case wire.TreeRemove:
		if e.flags&hasRecord != 0 {
			return 0, wire.TreeHasRecord, e.id
		}
		st.removeEntry(key)
	}
	return 0, wire.TreeOK, v
}

// create makes a node.
func (st *slotState) create(it *wire.TreeItem) (number int64, code wire.TreeCode, v wire.TreeVersion) {
	if code := notOpen(st.directory); code != wire.TreeOK {
		return 0, code, v
	}
	name := it.Name
	if it.Kind == wire.TreeSequential {
		number = st.directory.Next
		name = tree.SequentialName(name, number)
		if tree.CheckName(name) != nil || tree.Check(tree.Join(st.q.Dir, name)) != nil {
			return 0, wire.TreeBadName, v
		}
	}
	key := keyOf(st.q.Dir, name)
	if !slices.Contains(st.keys, key) {
		st.more = st.numbered()
		return 0, wire.TreeOK, v
	}
	if st.entries[key] != nil {
		return 0, wire.TreeNodeExists, v
	}
	if it.Kind == wire.TreeSequential {
		st.directory.Next++
	}
	st.entries[key] = &entry{id: st.version, modified: st.version, created: st.now, modifiedAt: st.now, value: it.Value}
	st.touch(key)
	st.count(1)
	return number, wire.TreeOK, v
}

// notOpen says why no child can be created, TreeOK where it can.
func notOpen(d *wire.TreeRecord) wire.TreeCode {
	switch {
	case d == nil:
		return wire.TreeNoDirectory
	case d.State == wire.TreePreparing:
		return wire.TreeNotOpen
	case d.State == wire.TreeShut:
		return wire.TreeClosed
	}
	return wire.TreeOK
}

// removeEntry deletes a node.
func (st *slotState) removeEntry(key replica.Key) {
	delete(st.entries, key)
	st.touch(key)
	st.count(-1)
}

// count notes that the directory has one child more or fewer.
func (st *slotState) count(n int64) {
	if d := st.directory; d != nil {
		d.Children += n
		d.ChildrenVersion++
		d.Changed = st.version
		st.touch(st.keys[0])
	}
}

// node is the node that the step is about, if it is the one with that ID.
func (st *slotState) node() *entry {
	it := &st.q.Items[0]
	if e := st.entries[keyOf(st.q.Dir, it.Name)]; e != nil && e.id == it.ID {
		return e
	}
	return nil
}

func (st *slotState) mark() replica.Outcome {
	e := st.node()
	switch {
	case e == nil:
		return st.fail(wire.TreeNoNode)
	case e.owner != 0:
		return st.fail(wire.TreeEphemeral)
	case e.flags&hasRecord == 0:
		e.flags |= hasRecord
		st.touch(keyOf(st.q.Dir, st.q.Items[0].Name))
	}
	return st.done(0)
}

func (st *slotState) finish() replica.Outcome {
	e, it := st.node(), &st.q.Items[0]
	switch {
	case e == nil:
		return st.fail(wire.TreeNoNode)
	case it.Modified != (wire.TreeVersion{}) && it.Modified != e.modified:
		return st.fail(wire.TreeBadVersion)
	}
	st.removeEntry(keyOf(st.q.Dir, it.Name))
	return st.done(0)
}

// later reports whether a is of a later creation than b: both are of one slot.
func later(a, b wire.TreeVersion) bool {
	return replica.Version(a).Compare(replica.Version(b)) > 0
}

func (st *slotState) prepare() replica.Outcome {
	d, id := st.directory, st.q.Items[0].ID
	switch {
	case d == nil:
		d = &wire.TreeRecord{}
	case d.ID == id:
		out := st.done(int64(d.State))
		out.Answer.Version = replica.Version(d.Birth)
		return out
	case later(d.ID, id):
		return st.fail(wire.TreeStale)
	case d.Children == 0:
		d = &wire.TreeRecord{} // of a node that is gone
	}
	d.State, d.ID, d.Birth = wire.TreePreparing, id, st.version
	st.directory = d
	st.touch(st.keys[0])
	return st.done(int64(wire.TreePreparing))
}

func (st *slotState) activate() replica.Outcome {
	d := st.directory
	switch {
	case d == nil:
		return st.fail(wire.TreeNoDirectory)
	case d.Birth != st.q.Nonce:
		return st.fail(wire.TreeStale)
	case d.State == wire.TreeShut:
		return st.fail(wire.TreeClosed)
	case d.State == wire.TreePreparing:
		d.State = wire.TreeOpen
		st.touch(st.keys[0])
	}
	return st.done(0)
}

func (st *slotState) close() replica.Outcome {
	d, it := st.directory, &st.q.Items[0]
	switch {
	case d == nil || later(it.ID, d.ID):
		return st.fail(wire.TreeNoDirectory)
	case later(d.ID, it.ID):
		return st.fail(wire.TreeStale)
	case d.State == wire.TreeShut:
		return st.fail(wire.TreeClosed)
	case d.Children > 0:
		return st.fail(wire.TreeNotEmpty)
	}
	d.State, d.Closed, d.ClosedAt = wire.TreeShut, st.version, it.Modified
	st.touch(st.keys[0])
	return st.done(0)
}

func (st *slotState) reopen() replica.Outcome {
	d := st.directory
	if d == nil || d.State != wire.TreeShut || d.Closed != st.q.Nonce {
		return st.fail(wire.TreeStale)
	}
	d.State, d.Closed, d.ClosedAt = wire.TreeOpen, wire.TreeVersion{}, wire.TreeVersion{}
	st.touch(st.keys[0])
	return st.done(0)
}

func (st *slotState) drop() replica.Outcome {
	d := st.directory
	switch {
	case d == nil || d.Children > 0:
		return st.fail(wire.TreeStale)
	case d.State == wire.TreePreparing && d.Birth == st.q.Nonce, d.State == wire.TreeShut && d.Closed == st.q.Nonce:
	default:
		return st.fail(wire.TreeStale)
	}
	st.directory = nil
	st.touch(st.keys[0])
	return st.done(0)
}
