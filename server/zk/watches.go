package zk

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"viewring/internal/route"
	"viewring/internal/tree"
	"viewring/internal/wire"
	"viewring/server/zk/jute"
)

// kinds are what a client watches of a path.
type kinds uint8

// The kinds. Data is of a node that need not be there.
const (
	ofData kinds = 1 << iota
	ofChildren
	persistent
	recursive
)

// missedMax is how many events of a path are kept while the answer that its watch comes with is on
// its way. Of more the latest of each kind is kept: what a watch is about is never lost to what it is not about.
const missedMax = 16

// watches are those of a connection. All but what streams call is for the goroutine that carries
// requests out. Who holds a stream's mu may take this one.
type watches struct {
	c *conn

	mu struct {
		sync.Mutex
		paths  map[string]*watched
		listen map[listening]struct{}
		uses   map[streamKey]*use  // Invariant: of each stream in listen
		told   map[told]struct{}   // where recursive watches are, for which two streams may tell the same
		deep   map[string]struct{} // paths of recursive watches
		stale  []string            // paths whose listenings may be of no more use
		gone   bool
	}
}

// listening is to which stream a connection listens, and to what of it: a node by its name, or "".
type listening struct {
	key  streamKey
	name string
}

// use is a stream that a connection listens to, so many times.
type use struct {
	s *stream
	n int
}

// watched is a path that is watched.
type watched struct {
	armed    kinds
	pending  [2]int         // how many answers are on their way, after which it is to be armed: data, children
	exists   bool           // of data: the node was there
	lives    bool           // of a watch that stays: the client was told last that the node is there
	some     bool           // of children: there were any
	node     route.Position // of data: the version that the client knows
	id       route.Position // of children: the node that the client knows
	children route.Position // of children: the last creation or removal that the client knows of
	missed   []missed       // while something is pending
}

// missed is an event that came before the answer.
type missed struct {
	event jute.Event
	at    route.Position
}

// told is a change of a node that the client was told.
type told struct {
	path string
	at   route.Position
}

// toldMax bounds what is known of what was told.
const toldMax = 1000

func (ws *watches) init(c *conn) {
	ws.c = c
	ws.mu.paths, ws.mu.listen = make(map[string]*watched), make(map[listening]struct{})
	ws.mu.uses = make(map[streamKey]*use)
	ws.mu.told, ws.mu.deep = make(map[told]struct{}), make(map[string]struct{})
}

// needed are what a connection must listen to for what it watches of a path.
func needed(path string, k kinds) (all []listening) {
	dir, name := tree.Split(path)
	all = append(all, listening{streamKey{path: dir}, name})
	if k&(ofChildren|persistent) != 0 {
		all = append(all, listening{key: streamKey{path: path}})
	}
	if k&recursive != 0 {
		all = append(all, listening{key: streamKey{path: path, below: true}})
	}
	return all
}

// needs reports whether something that is listened to is still of use. The caller holds mu.
func (ws *watches) needs(l listening) bool {
	path, k := l.key.path, ofChildren|persistent
	switch {
	case l.name != "":
		path, k = tree.Join(l.key.path, l.name), ofData|ofChildren|persistent|recursive
	case l.key.below:
		k = recursive
	}
	w := ws.mu.paths[path]
	return w != nil && !ws.mu.gone && (w.armed&k != 0 || w.pending[0] > 0 && k&ofData != 0 || w.pending[1] > 0 && k&ofChildren != 0)
}

// errTooMany refuses one more watch.
var errTooMany = errors.New("too many paths are watched")

// prepare begins to listen to what a watch needs, which is armed, or given up, once the client has
// the answer that it comes with.
func (ws *watches) prepare(ctx context.Context, path string, k kinds) error {
	ws.mu.Lock()
	w := ws.mu.paths[path]
	if w == nil {
		if len(ws.mu.paths) >= watchesMax || !ws.c.f.stats.addWatch() {
			ws.mu.Unlock()
			return errTooMany
		}
		w = &watched{}
		ws.mu.paths[path] = w
	}
	w.count(k, 1)
	ws.mu.Unlock()
	for _, l := range needed(path, k) {
		if err := ws.listenTo(ctx, l); err != nil {
			ws.giveUp(path, k)
			return err
		}
	}
	return nil
}

// addWatch counts one path more that is watched; false where all have as many as they may.
func (s *stats) addWatch() bool {
	if s.watches.Add(1) > watchesAll {
		s.watches.Add(-1)
		return false
	}
	return true
}

// count notes that so many answers more are on their way.
func (w *watched) count(k kinds, n int) {
	if k&(ofData|persistent|recursive) != 0 {
		w.pending[0] += n
	}
	if k&(ofChildren|persistent) != 0 {
		w.pending[1] += n
	}
}

func (ws *watches) listenTo(ctx context.Context, l listening) error {
	for range streamTries {
		s, err := ws.c.f.hub.get(ctx, l.key)
		if err != nil {
			return err
		}
		ok := s.add(ws.c, l.name)
		s.release()
		if ok {
			return nil
		}
	}
	return errors.New("the watch ends again and again")
}

// listens notes a listening. The caller holds the stream's mu.
func (ws *watches) listens(l listening, s *stream) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if _, ok := ws.mu.listen[l]; ok {
		return
	}
	ws.mu.listen[l] = struct{}{}
	u := ws.mu.uses[l.key]
	if u == nil {
		u = &use{}
		ws.mu.uses[l.key] = u
	}
	u.s = s // one that was there before has ended
	u.n++
}

// unlisten forgets a listening. The caller holds mu.
func (ws *watches) unlisten(l listening) {
	if _, ok := ws.mu.listen[l]; !ok {
		return
	}
	delete(ws.mu.listen, l)
	if u := ws.mu.uses[l.key]; u.n > 1 {
		u.n--
	} else {
		delete(ws.mu.uses, l.key)
	}
}

// leaves forgets a listening that is of no more use; false where it is. The caller holds the stream's
// mu.
func (ws *watches) leaves(l listening) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.needs(l) {
		return false
	}
	ws.unlisten(l)
	return true
}

// giveUp takes prepare back.
func (ws *watches) giveUp(path string, k kinds) {
	ws.mu.Lock()
	w := ws.mu.paths[path]
	w.count(k, -1)
	ws.clean(path, w)
	ws.mu.stale = append(ws.mu.stale, path)
	ws.mu.Unlock()
	ws.tidy()
}

// clean forgets what is missed and not waited for, and a path of which nothing is watched. The
// caller holds mu.
func (ws *watches) clean(path string, w *watched) {
	if w.pending == [2]int{} {
		w.missed = nil
		if w.armed == 0 && ws.mu.paths[path] == w {
			delete(ws.mu.paths, path)
			ws.c.f.stats.watches.Add(-1)
		}
	}
}

// tidy leaves the streams that watches which have fired need no more.
func (ws *watches) tidy() {
	ws.mu.Lock()
	stale := ws.mu.stale
	ws.mu.stale = nil
	streams := make(map[listening]*stream)
	for _, path := range stale {
		for _, l := range needed(path, ofData|ofChildren|persistent|recursive) {
			if _, ok := ws.mu.listen[l]; ok && !ws.needs(l) {
				streams[l] = ws.mu.uses[l.key].s
			}
		}
	}
	ws.mu.Unlock()
	for l, s := range streams {
		s.removeIf(ws.c, l.name)
	}
}

// leave ends all watches, with the connection.
func (ws *watches) leave() {
	ws.mu.Lock()
	ws.mu.gone = true
	listen := make(map[listening]*stream, len(ws.mu.listen))
	for l := range ws.mu.listen {
		listen[l] = ws.mu.uses[l.key].s
	}
	ws.c.f.stats.watches.Add(-int64(len(ws.mu.paths)))
	ws.mu.paths = make(map[string]*watched)
	ws.mu.Unlock()
	for l, s := range listen {
		s.removeIf(ws.c, l.name)
	}
}

// seen is what a client was told of a node with the answer that a watch comes with. Positions are
// zero where there is none.
type seen struct {
	exists, some       bool // the node; children of it
	node, id, children wire.TreeVersion
}

// arm arms a watch, after its answer was put in line: what has happened since that is told. A request that adds a
// watch without reading shows no state, and its watch is armed before its answer.
func (ws *watches) arm(path string, k kinds, s seen) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.mu.paths[path]
	fire := k &^ w.armed // one that is armed already has told all that was before the answer
	if fire&ofData != 0 {
		w.exists, w.node = s.exists, route.Position(s.node)
	}
	if fire&ofChildren != 0 {
		w.id, w.children, w.some = route.Position(s.id), route.Position(s.children), s.some
	}
	if fire&(persistent|recursive) != 0 && w.armed&(persistent|recursive) == 0 {
		w.lives = s.exists
	}
	w.armed |= k
	if k&recursive != 0 {
		ws.mu.deep[path] = struct{}{}
	}
	for _, m := range w.missed {
		if m.event == jute.NodeChildrenChanged {
			ws.fireChildren(path, w, m.at, fire)
			continue
		}
		ws.fireNode(path, w, m.event, m.at, fire)
	}
	w.count(k, -1)
	ws.clean(path, w)
	ws.mu.stale = append(ws.mu.stale, path)
}

// tellNode takes what became of a node; false when nothing of it is watched any more.
func (ws *watches) tellNode(path string, event jute.Event, at route.Position) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.mu.paths[path]
	if w == nil {
		ws.unlisten(listeningToNode(path))
		return false
	}
	w.miss(event, at)
	ws.fireNode(path, w, event, at, ofData|ofChildren|persistent|recursive)
	ws.clean(path, w)
	if ws.needs(listeningToNode(path)) {
		return true
	}
	ws.unlisten(listeningToNode(path))
	return false
}

func listeningToNode(path string) listening {
	dir, name := tree.Split(path)
	return listening{streamKey{path: dir}, name}
}

// miss notes an event while an answer is on its way.
func (w *watched) miss(event jute.Event, at route.Position) {
	if w.pending == [2]int{} {
		return
	}
	for i := missedMax; i < len(w.missed); i++ {
		if latest := &w.missed[i]; kindOf(latest.event) == kindOf(event) {
			*latest = missed{event, at}
			return
		}
	}
	w.missed = append(w.missed, missed{event, at})
}

// kindOf says which events stand for each other: a node that was created may have been set since.
func kindOf(event jute.Event) jute.Event {
	if event == jute.NodeCreated {
		return jute.NodeDataChanged
	}
	return event
}

// fireNode tells the client of a node, if any watch of some kinds is to. The caller holds mu.
func (ws *watches) fireNode(path string, w *watched, event jute.Event, at route.Position, of kinds) {
	fires := w.armed & of & (persistent | recursive)
	if fires != 0 {
		w.lives = event != jute.NodeDeleted
	}
	if w.armed&of&ofData != 0 && before(w.node, at) && (w.exists || event != jute.NodeDeleted) { // else it is a node of before
		fires |= ofData
	}
	if w.armed&of&ofChildren != 0 && event == jute.NodeDeleted && before(w.id, at) {
		fires |= ofChildren
	}
	if fires == 0 {
		return
	}
	w.armed &^= fires & (ofData | ofChildren)
	if fires&ofChildren != 0 {
		ws.mu.stale = append(ws.mu.stale, path)
	}
	ws.say(path, event, at)
}

// say puts an event in line, unless the client has it already. The caller holds mu.
func (ws *watches) say(path string, event jute.Event, at route.Position) {
	if len(ws.mu.deep) > 0 {
		if _, ok := ws.mu.told[told{path, at}]; ok {
			return
		}
		if len(ws.mu.told) >= toldMax {
			clear(ws.mu.told)
		}
		ws.mu.told[told{path, at}] = struct{}{}
	}
	ws.c.out.event(event, path)
}

// tellChildren takes that a child of a node was created or removed; false when nobody wants to know any
// more.
func (ws *watches) tellChildren(path string, at route.Position) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	l := listening{key: streamKey{path: path}}
	w := ws.mu.paths[path]
	if w != nil {
		w.miss(jute.NodeChildrenChanged, at)
		ws.fireChildren(path, w, at, ofChildren|persistent)
		ws.clean(path, w)
	}
	if ws.needs(l) {
		return true
	}
	ws.unlisten(l)
	return false
}

// fireChildren tells the client that children have come or gone, if a watch is to. The caller holds mu.
func (ws *watches) fireChildren(path string, w *watched, at route.Position, of kinds) {
	fires := w.armed & of & persistent
	if w.armed&of&ofChildren != 0 && before(w.children, at) {
		fires |= ofChildren
	}
	if fires == 0 {
		return
	}
	if fires&ofChildren != 0 {
		w.armed &^= ofChildren
		ws.mu.stale = append(ws.mu.stale, path)
	}
	ws.c.out.event(jute.NodeChildrenChanged, path)
}

// tellBelow takes what became of a node below a path.
func (ws *watches) tellBelow(of, path string, event jute.Event, at route.Position) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if w := ws.mu.paths[of]; w != nil && w.armed&recursive != 0 {
		ws.say(path, event, at)
	}
}

// blind reports whether what is missed of some nodes can't be found out by reading them. name "" is
// of the directory's children.
func (ws *watches) blind(dir string, names []string) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, name := range names {
		path := dir
		if name != "" {
			path = tree.Join(dir, name)
		}
		if w := ws.mu.paths[path]; w != nil && (w.armed&(persistent|recursive) != 0 || w.pending != [2]int{}) {
			return true
		}
	}
	return false
}

// compareNode takes a node as it is now, nil where there is none, after something was missed; it
// returns what tellNode does. The caller holds the stream's mu.
func (ws *watches) compareNode(path string, n *wire.TreeNode) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.mu.paths[path]
	if w != nil {
		event, at := jute.NodeDeleted, route.Position{Term: ^uint64(0)}
		if n != nil {
			at = route.Position(n.Modified)
			if event = jute.NodeDataChanged; !w.exists {
				event = jute.NodeCreated
			}
		}
		if n != nil && w.armed&ofChildren != 0 && before(w.id, route.Position(n.ID)) { // it is another node
			ws.fireNode(path, w, jute.NodeDeleted, at, ofChildren)
		}
		switch {
		case n != nil || w.exists:
			ws.fireNode(path, w, event, at, ofData|ofChildren)
		case w.armed&ofChildren != 0:
			ws.fireNode(path, w, event, at, ofChildren)
		}
		ws.clean(path, w)
	}
	if ws.needs(listeningToNode(path)) {
		return true
	}
	ws.unlisten(listeningToNode(path))
	return false
}

// compareChildren is compareNode of a directory's children: when they were changed last. Where the
// directory is gone the stream that has its node tells that.
func (ws *watches) compareChildren(path string, changed wire.TreeVersion) bool {
	return ws.tellChildren(path, route.Position(changed))
}

// remove takes watches of some kinds back; false where there are none.
func (ws *watches) remove(path string, k kinds) bool {
	ws.mu.Lock()
	w := ws.mu.paths[path]
	found := w != nil && w.armed&k != 0
	if found {
		w.armed &^= k
		if k&recursive != 0 {
			delete(ws.mu.deep, path)
		}
		ws.clean(path, w)
		ws.mu.stale = append(ws.mu.stale, path)
	}
	ws.mu.Unlock()
	ws.tidy()
	return found
}

// has reports whether there are watches of some kinds.
func (ws *watches) has(path string, k kinds) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.mu.paths[path]
	return w != nil && w.armed&k != 0
}

// covering are the streams that tell this client of a directory's nodes.
func (ws *watches) covering(dir string) (found []*stream) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if u := ws.mu.uses[streamKey{path: dir}]; u != nil {
		found = append(found, u.s)
	}
	for path := range ws.mu.deep {
		if u := ws.mu.uses[streamKey{path: path, below: true}]; u != nil && (dir == path || isBelow(dir, path)) {
			found = append(found, u.s)
		}
	}
	return found
}

// present reports whether the client knows by its watches that a node is there.
func (w *watched) present() bool {
	return w.armed&ofData != 0 && w.exists || w.armed&ofChildren != 0 || w.armed&(persistent|recursive) != 0 && w.lives
}

// awaitGone waits until the client was told that all nodes of a directory are gone which it watches, and knows
// to be there: the directory is gone, so they are.
func (ws *watches) awaitGone(ctx context.Context, s *stream, dir string) error {
	err := s.until(ctx, func() bool {
		ws.mu.Lock()
		defer ws.mu.Unlock()
		for path, w := range ws.mu.paths {
			if above, _ := tree.Split(path); above == dir && path != tree.Root && w.present() || path == dir && w.armed&ofChildren != 0 && w.some {
				return false
			}
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("nodes below %s are gone, and their watches not told: %w", dir, err)
	}
	return nil
}
