package tree

import (
	"slices"

	"viewring/internal/tree"
	"viewring/internal/wire"
	"viewring/server/replica"
)

// step is a request while it is evaluated.
type step struct {
	q    *wire.TreeRequest
	made *Made
}

// Made is what a change of one node made of it. The last evaluation fills it in, so it counts
// where that one's outcome is the answer: it stays empty where the step had been carried out before.
type Made struct{ Node *wire.TreeNode }

// keys are those that the step looks at, as far as the request tells: the directory's
// record first, then each node once, with its ownership where it would get one.
func (s step) keys() []replica.Key {
	keys := []replica.Key{keyOf(s.q.Dir, "")}
	if s.q.Op == wire.TreePrepare || s.q.Op == wire.TreeClose {
		return keys
	}
	for i := range s.q.Items {
		it := &s.q.Items[i]
		if it.Kind == wire.TreeSequential {
			continue
		}
		keys = appendNew(keys, keyOf(s.q.Dir, it.Name))
		if it.Kind == wire.TreeCreate && it.Owner != 0 {
			keys = appendNew(keys, ownershipKey(s.q.Dir, it.Name, it.Owner))
		}
	}
	return s.appendNamed(keys)
}

func appendNew(keys []replica.Key, k replica.Key) []replica.Key {
	if slices.Contains(keys, k) {
		return keys
	}
	return append(keys, k)
}

// appendEnding appends what ends, or is let go of, with the nodes that a step removes or sets: of
// those that found has at keys, the ownerships and the contents.
func (s step) appendEnding(keys []replica.Key, found []replica.Item) ([]replica.Key, error) {
	known := len(keys)
	for i := range s.q.Items {
		it := &s.q.Items[i]
		removes := s.q.Op == wire.TreeChange && it.Kind == wire.TreeRemove || s.q.Op == wire.TreeFinish
		if !removes && (s.q.Op != wire.TreeChange || it.Kind != wire.TreeSet) {
			continue
		}
		at := &found[slices.Index(keys[:known], keyOf(s.q.Dir, it.Name))]
		if at.Version.IsZero() {
			continue
		}
		e, err := decodeEntry(at.Value)
		if err != nil {
			return nil, err
		}
		if e.owner != 0 && removes {
			keys = appendNew(keys, ownershipKey(s.q.Dir, it.Name, e.owner))
		}
		keys = appendContent(keys, slotOf(s.q.Dir), e.content)
	}
	return keys, nil
}

// slotState is what a step sees of its slot, and makes of it.
type slotState struct {
	q       *wire.TreeRequest
	record  replica.Key // the directory's
	version wire.TreeVersion
	now     int64

	directory *wire.TreeRecord       // nil: there is none
	entries   map[replica.Key]*entry // nil: there is none
	owned     map[replica.Key]bool   // the ownerships and to-dos that there are
	contents  map[replica.Key]*content
	dirty     []replica.Key // what it changed, in that order
	taken     bool          // a sequential node's name is that of another node
}

func newSlotState(q *wire.TreeRequest, record replica.Key, version replica.Version, now int64) *slotState {
	return &slotState{q: q, record: record, version: wire.TreeVersion(version), now: now,
		entries: make(map[replica.Key]*entry), owned: make(map[replica.Key]bool), contents: make(map[replica.Key]*content)}
}

// numberTriesMax bounds where free numbers are looked for: at the next number, then 1, 2, 4
// and so on behind it, so a run of 8 million names that others took is skipped. A change that
// would have to see more than replica.BatchKeysMax keys ends the search sooner.
const numberTriesMax = 25

// evaluate is the replica.Evaluation of the step. Where others took the name of a sequential
// node all is tried again with higher numbers. The keys that it has to see follow from the
// request and from what those before them hold, so each has the same place in every call.
func (s step) evaluate(found []replica.Item, version replica.Version, now int64) replica.Outcome {
	keys, err := s.appendEnding(s.keys(), found)
	if err != nil {
		return failed(wire.TreeUnreadable, 0, wire.TreeVersion{})
	}
	var out replica.Outcome
	s.made.Node = nil
	for try := range numberTriesMax {
		st := newSlotState(s.q, keys[0], version, now)
		if !st.readRecord(&found[0]) {
			return st.fail(wire.TreeUnreadable)
		}
		if try > 0 {
			st.directory.Next += 1 << (try - 1)
		}
		keys = st.appendNumbered(keys)
		if len(keys) > replica.BatchKeysMax && try > 0 {
			break
		}
		if len(keys) > len(found) {
			return replica.Outcome{More: keys[len(found):]}
		}
		if !st.readEntries(keys, found) {
			return st.fail(wire.TreeUnreadable)
		}
		if out = st.run(); out.Answer.Status == replica.StatusOK {
			st.concludeContents()
			out.Writes = st.writes()
			s.made.Node = st.made(out.Answer.Number)
		}
		if !st.taken {
			break
		}
	}
	return out
}

// readRecord decodes the directory's record; false where another build wrote it.
func (st *slotState) readRecord(it *replica.Item) bool {
	if !it.Version.IsZero() {
		d, err := decodeRecord(it.Value)
		st.directory = d
		return err == nil
	}
	if st.q.Dir == tree.Root {
		st.directory = &wire.TreeRecord{State: wire.TreeOpen, Birth: st.version}
	}
	return true
}

// readEntries decodes the nodes and contents, and notes the ownerships; false where another build wrote one.
func (st *slotState) readEntries(keys []replica.Key, found []replica.Item) bool {
	for i, k := range keys[1:] {
		it := &found[1+i]
		switch {
		case it.Version.IsZero():
			continue
		case k.Space() == replica.SpaceOwned:
			st.owned[k] = true
			continue
		case k.Space() == replica.SpaceFile:
			c, err := decodeContent(it.Value)
			if err != nil {
				return false
			}
			st.contents[k] = &content{TreeContentRecord: c}
			continue
		}
		e, err := decodeEntry(it.Value)
		if err != nil {
			return false
		}
		st.entries[k] = e
	}
	return true
}

// appendNumbered appends the keys of the sequential nodes that the step would create from the
// next number on, and of their ownerships, those that are not among the keys already.
func (st *slotState) appendNumbered(keys []replica.Key) []replica.Key {
	if notOpen(st.directory) != wire.TreeOK {
		return keys
	}
	next := st.directory.Next
	for i := range st.q.Items {
		if it := &st.q.Items[i]; it.Kind == wire.TreeSequential {
			name := tree.SequentialName(it.Name, next)
			next++
			if !st.nameFits(name) {
				continue
			}
			if keys = appendNew(keys, keyOf(st.q.Dir, name)); it.Owner != 0 {
				keys = appendNew(keys, ownershipKey(st.q.Dir, name, it.Owner))
			}
		}
	}
	return keys
}

// nameFits reports whether a name with its number is one that a node may have.
func (st *slotState) nameFits(name string) bool {
	return tree.CheckName(name) == nil && tree.Check(tree.Join(st.q.Dir, name)) == nil
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
		case k.Space() == replica.SpaceOwned:
			w.Delete = !st.owned[k]
		case k.Space() == replica.SpaceFile:
			if c := st.contents[k]; c.gone {
				w.Delete = true
			} else {
				w.Value = c.encode()
			}
		case k == st.record && st.directory != nil:
			w.Value = encodeRecord(st.directory)
		case k != st.record && e != nil:
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
	case wire.TreeRaise:
		return st.raise()
	}
	return st.change()
}

// change makes all changes of a TreeChange, or none.
func (st *slotState) change() replica.Outcome {
	number, first := int64(0), true
	for i := range st.q.Items {
		it := &st.q.Items[i]
		n, code, v := st.one(it)
		if code != wire.TreeOK {
			return failed(code, i, v)
		}
		if it.Kind == wire.TreeSequential && first || len(st.q.Items) == 1 {
			number, first = n, false
		}
	}
	return st.done(number)
}

// made is the node that the change of one has created or set, without its value.
func (st *slotState) made(number int64) *wire.TreeNode {
	if st.q.Op != wire.TreeChange || len(st.q.Items) != 1 {
		return nil
	}
	name := st.q.Items[0].Name
	if st.q.Items[0].Kind == wire.TreeSequential {
		name = tree.SequentialName(name, number)
	}
	key := keyOf(st.q.Dir, name)
	if e := st.entries[key]; e != nil && slices.Contains(st.dirty, key) {
		n := e.node(name)
		n.Value = nil
		return &n
	}
	return nil
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
	if it.DataVersion >= 0 && it.DataVersion != e.dataVersion || it.Modified != (wire.TreeVersion{}) && it.Modified != e.modified ||
		it.Owner != 0 && it.Owner != e.owner {
		return 0, wire.TreeBadVersion, e.modified
	}
	switch it.Kind {
	case wire.TreeSet:
		if e.content != (wire.TreeVersion{}) && !it.File {
			return 0, wire.TreeIsFile, e.modified
		}
		if c := st.contents[contentKey(slotOf(st.q.Dir), e.content)]; c != nil && c.Records != nil {
			return 0, wire.TreeIsRecords, e.modified
		}
		changed := *e
		changed.value, changed.modified, changed.modifiedAt = it.Value, st.version, st.now
		changed.dataVersion++
		st.letGo(e.content)
		if code := st.fileOf(&changed, it); code != wire.TreeOK {
			return 0, code, v
		}
		st.entries[key] = &changed
		st.touch(key)
		return changed.dataVersion, wire.TreeOK, v
	case wire.TreeRemove:
		if e.flags&hasRecord != 0 {
			return 0, wire.TreeHasRecord, e.id
		}
		st.removeEntry(it.Name)
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
		if !st.nameFits(name) {
			return 0, wire.TreeBadName, v
		}
	}
	key := keyOf(st.q.Dir, name)
	if st.entries[key] != nil {
		st.taken = it.Kind == wire.TreeSequential
		return 0, wire.TreeNodeExists, v
	}
	if it.Kind == wire.TreeSequential {
		st.directory.Next++
	}
	e := &entry{id: st.version, modified: st.version, created: st.now, modifiedAt: st.now, owner: it.Owner, value: it.Value}
	if code := st.fileOf(e, it); code != wire.TreeOK {
		return 0, code, v
	}
	st.entries[key] = e
	st.touch(key)
	if it.Owner != 0 {
		st.own(name, it.Owner, true)
	}
	st.count(1)
	return number, wire.TreeOK, v
}

// own notes that a node goes with a session, or does so no more.
func (st *slotState) own(name string, owner uint64, goes bool) {
	k := ownershipKey(st.q.Dir, name, owner)
	st.owned[k] = goes
	st.touch(k)
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

// removeEntry deletes a node, which is there.
func (st *slotState) removeEntry(name string) {
	key := keyOf(st.q.Dir, name)
	e := st.entries[key]
	if e.owner != 0 {
		st.own(name, e.owner, false)
	}
	st.letGo(e.content)
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
		st.touch(st.record)
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
	case e.owner != 0: // it never had a record to be closed
		return st.fail(wire.TreeEphemeral)
	}
	st.removeEntry(it.Name)
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
	st.touch(st.record)
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
		st.touch(st.record)
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
	st.touch(st.record)
	return st.done(0)
}

func (st *slotState) reopen() replica.Outcome {
	d := st.directory
	if d == nil || d.State != wire.TreeShut || d.Closed != st.q.Nonce {
		return st.fail(wire.TreeStale)
	}
	d.State, d.Closed, d.ClosedAt = wire.TreeOpen, wire.TreeVersion{}, wire.TreeVersion{}
	st.touch(st.record)
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
	st.touch(st.record)
	return st.done(0)
}

func (st *slotState) raise() replica.Outcome {
	if code := notOpen(st.directory); code != wire.TreeOK {
		return st.fail(code)
	}
	if d := st.directory; d.Next < int64(st.q.Limit) {
		d.Next = int64(st.q.Limit)
		st.touch(st.record)
	}
	return st.done(st.directory.Next)
}
