package replica

import (
	"cmp"
	"slices"
	"time"

	"github.com/armon/go-radix"

	"viewring/internal/invariant"
	"viewring/ring"
)

// Watches: clients are told of what is committed, in the order of the log, from a version
// on. WATCHES.md has the rules and why nothing is missed or invented.
const (
	watchRowsMax    = 512             // rows of the index that one replay looks at
	watchReadsMax   = 1024            // values that it reads, and those of one entry more
	watchBytesMax   = 256 << 10       // bytes of them, likewise
	watchPassEvery  = 16              // entries after which a watch that nothing concerned is told so
	watchPassAfter  = 5 * time.Second // that is the longest that it is not told of some
	watchPassAtOnce = 256             // watches that are told so at a time: more wait for the next tick
)

// Watch is a client's wish to be told of changes in a partition.
type Watch struct {
	Token     uint64 // comes back in each Watched; not used twice in a lane
	Partition ring.PartitionID

	// Told is what comes after From, or with Now after what is committed when the
	// primary takes the watch up.
	From Version
	Now  bool

	Key    Key    // told are changes of this key, or
	Space  Space  // without Key, of the keys of a space
	Prefix string // whose names begin so
	Values bool   // what is set comes along, as far as it is still there
}

// WatchedKind says what a Watched tells.
type WatchedKind uint8

// The kinds of Watched, and which fields they use.
const (
	WatchBegun   WatchedKind = iota + 1 // Version: told is what comes after it
	WatchChanged                        // Version, Changes: all that one entry did to keys that are watched
	WatchPassed                         // Version: nothing more was done up to it
	WatchPaused                         // Version: the same; more is there, and is told after ResumeWatch
	WatchAnew                           // Version: what came before it is not known any more; told is what comes after it
	WatchEnded                          // Status: why this server does not tell any more
)

func (k WatchedKind) String() string {
	return [...]string{"", "begun", "changed", "passed", "paused", "anew", "ended"}[k]
}

// KeyChange is what an entry did to a key.
type KeyChange struct {
	Key    Key
	Change Change
	Item   []byte // encoded; nil: deleted, not wanted, or overwritten since; nobody changes it
}

// Watched is what a client is told of its watch.
type Watched struct {
	Token   uint64
	Kind    WatchedKind
	Version Version
	Changes []KeyChange
	Status  Status
}

// watchPhase is how far a watch has come.
type watchPhase uint8

const (
	watchWaiting watchPhase = iota // for its partition to serve, or for the commit to reach From
	watchReplays                   // behind the commit: it is told from the index, a part at a time
	watchLive                      // told of each entry as it is committed
	watchOver
)

var watchNext = []phases{
	watchWaiting: to(watchReplays, watchLive, watchOver),
	watchReplays: to(watchWaiting, watchLive, watchOver),
	watchLive:    to(watchWaiting, watchOver),
	watchOver:    0,
}

func (p watchPhase) String() string {
	return [...]string{"waiting", "replaying", "live", "over"}[p]
}

func (w *watcher) become(next watchPhase) { move(watchNext, &w.phase, next) }

// watcher is a watch at its primary.
type watcher struct {
	Watch
	phase watchPhase
	begun bool   // it was told from where on
	told  uint64 // replaying: all up to this seq. Invariant: ≤ the commit
	said  uint64 // up to here the client knows that it was told all. Invariant: ≤ the commit

	group []KeyChange // of the entry that is being told
	place int         // live: in its list
}

// watchers are a primary's watches. They stay with a primary that goes on in a higher term.
type watchers struct {
	core *Core
	part *part

	all      map[uint64]*watcher // by token
	order    []*watcher          // as they came, and some that are over. Invariant: all of all are in it
	byKey    map[Key][]*watcher  // Invariant: those that are live
	byPrefix *radix.Tree         // likewise, by ofSpace: []*watcher
	waiting  int                 // Invariant: that many are waiting
	passedAt time.Duration       // when it was last looked who is behind
	passNext int                 // in order: who is looked at next

	touched []*watcher // by the entry that is being told
}

// Watch begins to tell a client of changes. It is told of the beginning (WatchBegun, or
// WatchAnew) once the partition serves, and of the end when this server is not its primary
// any more: whoever goes on with the last version at the next primary misses nothing.
func (c *Core) Watch(at Instant, w Watch) {
	c.enter(at)
	p := c.part(w.Partition)
	if p == nil || p.lead == nil {
		c.tellEnd(w.Token, c.notServing(p))
		return
	}
	p.lead.watchers.add(&watcher{Watch: w})
}

// ResumeWatch tells more to a watch that was told WatchPaused.
func (c *Core) ResumeWatch(at Instant, id ring.PartitionID, token uint64) {
	c.enter(at)
	if w := c.watcher(id, token); w != nil && w.phase == watchReplays {
		c.part(id).lead.watchers.replay(w)
	}
}

// Unwatch ends a watch, of which nothing is told any more.
func (c *Core) Unwatch(at Instant, id ring.PartitionID, token uint64) {
	c.enter(at)
	if w := c.watcher(id, token); w != nil {
		c.part(id).lead.watchers.end(w)
	}
}

func (c *Core) watcher(id ring.PartitionID, token uint64) *watcher {
	p := c.part(id)
	if p == nil || p.lead == nil {
		return nil
	}
	return p.lead.watchers.all[token]
}

func (c *Core) tellEnd(token uint64, why Status) {
	c.out.Watched = append(c.out.Watched, Watched{Token: token, Kind: WatchEnded, Status: why})
}

func (ws *watchers) tellAt(w *watcher, kind WatchedKind, v Version) {
	w.said = v.Seq
	ws.core.out.Watched = append(ws.core.out.Watched, Watched{Token: w.Token, Kind: kind, Version: v})
}

func (ws *watchers) add(w *watcher) {
	if ws.all == nil {
		ws.all = make(map[uint64]*watcher)
		ws.byKey, ws.byPrefix = make(map[Key][]*watcher), radix.New()
	}
	if len(ws.all) == 0 {
		ws.passedAt = ws.core.now.Mono
	}
	ws.all[w.Token] = w
	ws.order = append(ws.order, w)
	ws.waiting++
	ws.begin(w)
}

// at is the version of an entry, or of the beginning of this life of the partition.
func (ws *watchers) at(seq uint64) Version {
	if seq == 0 {
		return Version{Term: ws.part.resetTerm}
	}
	return ws.part.versionAt(seq)
}

// begin takes up a watch that waits, if it can be.
func (ws *watchers) begin(w *watcher) {
	p := ws.part
	if p.lead.phase != active {
		return
	}
	if w.Now {
		w.From, w.Now = ws.at(p.commit), false
	}
	switch known := w.From.Seq <= p.log.last.Seq && ws.at(w.From.Seq) == w.From; {
	case !known || w.From.Seq < p.floor:
		ws.waiting--
		ws.anew(w)
	case w.From.Seq > p.commit:
		// Too few copies act to call committed what a former primary did.
	default:
		ws.waiting--
		if !w.begun {
			w.begun = true
			ws.tellAt(w, WatchBegun, w.From)
		}
		w.told = w.From.Seq
		ws.replay(w)
	}
}

// anew goes on from here where what was before is not known.
func (ws *watchers) anew(w *watcher) {
	w.begun = true
	ws.tellAt(w, WatchAnew, ws.at(ws.part.commit))
	ws.live(w)
}

// replay tells a watch a part of what it is behind by, from the index. How fast it goes on
// is up to whoever is told: nothing is kept for a slow one.
func (ws *watchers) replay(w *watcher) {
	p := ws.part
	if w.told == p.commit {
		ws.live(w)
		return
	}
	if w.phase != watchReplays {
		w.become(watchReplays)
	}
	if w.told < p.floor {
		ws.anew(w)
		return
	}
	var rows []Row
	err := p.rows(w.told, p.commit, func(row Row) bool {
		rows = append(rows, row)
		return len(rows) < ws.core.cfg.Limits.WatchRows
	})
	if err != nil {
		p.spoiled(damaged, "read index", err)
		ws.anew(w)
		return
	}
	if len(rows) == 0 {
		ws.anew(w) // they are not there, whatever the floor says
		return
	}
	reads, bytes := 0, 0
	for i := range rows {
		row := &rows[i]
		changes, read, known := ws.changes(w, row)
		if !known || row.Seq != w.told+1 {
			ws.anew(w)
			return
		}
		w.told = row.Seq
		if len(changes) > 0 {
			ws.tellChanges(w, Version{Term: row.Term, Seq: row.Seq}, changes)
		}
		reads, bytes = reads+len(changes), bytes+read
		if w.Values && (reads >= watchReadsMax || bytes >= watchBytesMax) {
			break
		}
	}
	if w.told < p.commit {
		ws.tellAt(w, WatchPaused, ws.at(w.told))
		return
	}
	if w.said < w.told {
		ws.tellAt(w, WatchPassed, ws.at(w.told))
	}
	ws.live(w)
}

func (ws *watchers) tellChanges(w *watcher, v Version, changes []KeyChange) {
	w.said = v.Seq
	ws.core.out.Watched = append(ws.core.out.Watched, Watched{Token: w.Token, Kind: WatchChanged, Version: v, Changes: changes})
}

// changes are what a row tells a watch, and how many bytes of values were read for it; false
// where the row does not say what became of a key.
func (ws *watchers) changes(w *watcher, row *Row) (changes []KeyChange, read int, known bool) {
	for i, key := range row.Keys {
		if !w.concerns(key) {
			continue
		}
		c := KeyChange{Key: key, Change: row.change(i)}
		if c.Change == ChangeUnknown {
			return nil, 0, false
		}
		if c.Change == ChangeSet && w.Values {
			c.Item = ws.kept(key, Version{Term: row.Term, Seq: row.Seq})
			read += len(c.Item)
		}
		changes = append(changes, c)
	}
	return changes, read, true
}

// kept is what an entry wrote to a key, or nil where it was overwritten since, or can't be
// read.
func (ws *watchers) kept(key Key, v Version) []byte {
	stored, err := ws.part.get(key)
	if err != nil || stored == nil {
		return nil
	}
	if it, err := DecodeItem(key, stored); err != nil || it.Version != v {
		return nil
	}
	return stored
}

func (w *Watch) concerns(key Key) bool {
	if w.Key != "" {
		return key == w.Key
	}
	return key.Space() == w.Space && len(key) >= keyHeadBytes+len(w.Prefix) && string(key[keyHeadBytes:keyHeadBytes+len(w.Prefix)]) == w.Prefix
}

// live has a watch that was told all be told of each entry from now on.
func (ws *watchers) live(w *watcher) {
	w.become(watchLive)
	ws.list(w, func(list []*watcher) []*watcher {
		w.place = len(list)
		return append(list, w)
	})
}

// unlive takes a live watch off its list, however long that is: the last takes its place.
func (ws *watchers) unlive(w *watcher) {
	ws.list(w, func(list []*watcher) []*watcher {
		last := len(list) - 1
		list[w.place] = list[last]
		list[w.place].place = w.place
		list[last] = nil
		return list[:last]
	})
}

// list changes the list that a watch is in.
func (ws *watchers) list(w *watcher, change func(list []*watcher) []*watcher) {
	if w.Key != "" {
		if list := change(ws.byKey[w.Key]); len(list) > 0 {
			ws.byKey[w.Key] = list
		} else {
			delete(ws.byKey, w.Key)
		}
		return
	}
	at := ofSpace(w.Space, w.Prefix)
	list, _ := ws.byPrefix.Get(at)
	was, _ := list.([]*watcher)
	if now := change(was); len(now) > 0 {
		ws.byPrefix.Insert(at, now)
	} else {
		ws.byPrefix.Delete(at)
	}
}

// ofSpace is a name, or how names begin, with its space.
func ofSpace(s Space, name string) string { return string([]byte{byte(s)}) + name }

func (ws *watchers) end(w *watcher) {
	switch w.phase {
	case watchLive:
		ws.unlive(w)
	case watchWaiting:
		ws.waiting--
	}
	w.become(watchOver)
	delete(ws.all, w.Token)
	if len(ws.order) > 2*len(ws.all)+watchPassAtOnce {
		ws.order = slices.DeleteFunc(ws.order, func(w *watcher) bool { return w.phase == watchOver })
		ws.passNext = 0
	}
}

// tellCommitted tells of the entries after before, up to the commit.
func (l *primary) tellCommitted(before uint64) {
	if ws := &l.watchers; l.core.feeding || len(ws.all) > 0 {
		p := l.part
		invariant.Check(before+1 >= l.windowFirst, "watch", "partition %d: entry %d is committed, the window begins at %d", p.id, before+1, l.windowFirst)
		for seq := before + 1; seq <= p.commit; seq++ {
			e := l.window[seq-l.windowFirst]
			if l.core.feeding {
				l.feed(e.Version, e.changes())
			}
			ws.tell(e)
		}
		ws.committed(before)
	}
}

// committed goes on with who waited for the commit to rise, and tells of it where nothing
// else was to tell.
func (ws *watchers) committed(before uint64) {
	p := ws.part
	if ws.waiting > 0 {
		ws.beginAll()
	}
	if p.commit/watchPassEvery != before/watchPassEvery && len(ws.order) <= watchPassAtOnce {
		ws.pass(watchPassEvery) // of many, tick tells some at a time: that costs each of them a message
	}
}

// tell tells of one entry.
func (ws *watchers) tell(e *Entry) {
	for i := range e.Writes {
		w := &e.Writes[i]
		for _, at := range ws.byKey[w.Key] {
			ws.touch(at, w)
		}
		if ws.byPrefix == nil || ws.byPrefix.Len() == 0 {
			continue
		}
		ws.byPrefix.WalkPath(ofSpace(w.Key.Space(), string(w.Key[keyHeadBytes:])), func(_ string, list any) bool {
			for _, at := range list.([]*watcher) {
				ws.touch(at, w)
			}
			return false
		})
	}
	slices.SortFunc(ws.touched, func(a, b *watcher) int { return cmp.Compare(a.Token, b.Token) })
	for i, at := range ws.touched {
		ws.tellChanges(at, e.Version, at.group)
		at.group, ws.touched[i] = nil, nil
	}
	ws.touched = ws.touched[:0]
}

func (ws *watchers) touch(at *watcher, w *Write) {
	if len(at.group) == 0 {
		ws.touched = append(ws.touched, at)
	}
	c := KeyChange{Key: w.Key, Change: w.Change()}
	if at.Values {
		c.Item = w.Item
	}
	at.group = append(at.group, c)
}

// pass tells live watches that were told nothing of so many entries that there was nothing to
// tell, some at a time: they go on from there at the next primary, whose index may not reach
// further back.
func (ws *watchers) pass(behind uint64) {
	for range min(len(ws.order), watchPassAtOnce) {
		if ws.passNext >= len(ws.order) {
			ws.passNext = 0
		}
		w := ws.order[ws.passNext]
		ws.passNext++
		if w.phase == watchLive && w.said+behind <= ws.part.commit {
			ws.tellAt(w, WatchPassed, ws.at(ws.part.commit))
		}
	}
}

func (ws *watchers) tick() {
	if len(ws.all) == 0 {
		return
	}
	if len(ws.order) > watchPassAtOnce {
		ws.pass(watchPassEvery)
	}
	if ws.core.now.Mono-ws.passedAt >= watchPassAfter {
		ws.passedAt = ws.core.now.Mono
		for range len(ws.order)/watchPassAtOnce + 1 {
			ws.pass(1)
		}
	}
}

// beginAll takes up all that wait and can be.
func (ws *watchers) beginAll() {
	for _, w := range ws.order {
		if w.phase == watchWaiting {
			ws.begin(w)
		}
	}
}

// leave ends a primary's watches with its term, or hands them to the primary that it is in
// the next one: they go on from where they were told all.
func (ws *watchers) leave(next *primary) {
	for _, w := range ws.order {
		switch w.phase {
		case watchOver:
			continue
		case watchLive:
			ws.unlive(w)
			w.From = ws.at(ws.part.commit)
			w.become(watchWaiting)
		case watchReplays:
			w.From = ws.at(w.told)
			w.become(watchWaiting)
		}
		if next == nil {
			w.become(watchOver)
			ws.core.tellEnd(w.Token, StatusMoved)
		}
	}
	if next != nil {
		next.watchers = *ws
		next.watchers.waiting = len(ws.all)
	}
	ws.all, ws.order = nil, nil
}
