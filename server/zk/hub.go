package zk

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"viewring/internal/route"
	"viewring/internal/tree"
	"viewring/internal/wait"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/zk/jute"
)

const (
	streamIdle  = 30 * time.Second // that a stream without listeners stays: watches are set again and again
	tidyEvery   = 10 * time.Second
	streamTries = 3 // to find one that does not end meanwhile
)

// streamKey says what a stream tells of: the nodes of a directory, or all nodes below a path.
type streamKey struct {
	path  string
	below bool
}

// hub has the streams of a front, which all its connections share: the servers tell each change
// once, however many clients watch.
type hub struct {
	f *Front

	mu struct {
		sync.Mutex
		streams map[streamKey]*stream
	}
}

func newHub(f *Front) *hub {
	h := &hub{f: f}
	h.mu.streams = make(map[streamKey]*stream)
	return h
}

// stream is told by the servers what becomes of nodes, and tells the connections that watch them.
// What it has told is in their lines before at says so.
type stream struct {
	f     *Front
	key   streamKey
	ready chan struct{} // closed when watch or err is set
	watch *route.Watch
	err   error
	over  context.Context // ends with the stream
	end   context.CancelFunc

	mu struct {
		sync.Mutex
		at     map[ring.PartitionID]route.Position // it has told all up to here
		moved  chan struct{}                       // closed when at has changed; nil: nobody waits for that
		names  map[string]map[*conn]struct{}       // who listens to a node of the directory
		all    map[*conn]struct{}                  // who listens to the creations and removals in the directory, or to all below
		listen int                                 // how often somebody listens
		users  int                                 // who is about to
		idle   time.Time                           // since when nobody does
		dead   bool
	}
}

// get returns a stream that has begun: what is read from then on, or told, leaves nothing out. The
// caller calls release after it has listened.
func (h *hub) get(ctx context.Context, key streamKey) (*stream, error) {
	for range streamTries {
		s := h.find(key)
		select {
		case <-s.ready:
		case <-ctx.Done():
			s.release()
			return nil, ctx.Err()
		}
		if s.err != nil {
			s.release()
			return nil, s.err
		}
		if s.over.Err() == nil {
			return s, nil
		}
		s.release()
	}
	return nil, errors.New("the watch ends again and again")
}

func (h *hub) find(key streamKey) *stream {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.mu.streams[key]
	if s == nil {
		s = &stream{f: h.f, key: key, ready: make(chan struct{})}
		s.over, s.end = context.WithCancel(h.f.ctx)
		s.mu.at = make(map[ring.PartitionID]route.Position)
		s.mu.names, s.mu.all = make(map[string]map[*conn]struct{}), make(map[*conn]struct{})
		h.mu.streams[key] = s
		h.f.running.Go(func() { h.run(s) })
	}
	s.mu.Lock()
	s.mu.users++
	s.mu.Unlock()
	return s
}

func (s *stream) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.users--
	s.mu.idle = time.Now()
}

// run has a stream told, until nobody needs it.
func (h *hub) run(s *stream) {
	spec := route.WatchSpec{Space: wire.MetaSpace, Prefix: true, Alone: true, Name: s.key.path + tree.Separator,
		Slot: ring.SlotOf(cmp.Or(s.key.path, tree.Root)), Values: true}
	if s.key.below {
		spec.Alone, spec.Name = false, s.key.path
	}
	ctx, cancel := context.WithTimeout(s.over, h.f.opts.Patience)
	s.watch, s.err = h.f.opts.Client.Watch(ctx, "watch "+s.key.path, spec)
	cancel()
	close(s.ready)
	if s.err == nil {
		s.tell()
		s.watch.Close()
	}
	h.mu.Lock()
	if h.mu.streams[s.key] == s {
		delete(h.mu.streams, s.key)
	}
	h.mu.Unlock()
	s.dropAll("what it watches can't be told any more")
}

// tidy ends the streams that nobody needs.
func (h *hub) tidy() {
	for wait.For(h.f.ctx, tidyEvery) {
		h.endIdle(time.Now())
		h.f.forget(time.Now())
	}
}

func (h *hub) endIdle(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for key, s := range h.mu.streams {
		s.mu.Lock()
		if s.mu.listen == 0 && s.mu.users == 0 && now.Sub(s.mu.idle) > streamIdle {
			delete(h.mu.streams, key)
			s.mu.dead = true
			s.end()
		}
		s.mu.Unlock()
	}
}

// count says how many streams there are.
func (h *hub) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.mu.streams)
}

// add has a connection listen: to a node of the directory, or with name "" to what comes and goes in
// it, or to all below. It is false when the stream has ended.
func (s *stream) add(c *conn, name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.dead {
		return false
	}
	set := s.mu.all
	if name != "" {
		if set = s.mu.names[name]; set == nil {
			set = make(map[*conn]struct{})
			s.mu.names[name] = set
		}
	}
	if _, ok := set[c]; !ok {
		set[c] = struct{}{}
		s.mu.listen++
	}
	c.watches.listens(listening{s.key, name}, s)
	return true
}

// removeIf has a connection listen no more, if it need not.
func (s *stream) removeIf(c *conn, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.watches.leaves(listening{s.key, name}) {
		return
	}
	s.remove(c, name)
}

// remove forgets that a connection listens. The caller holds mu.
func (s *stream) remove(c *conn, name string) {
	set := s.mu.all
	if name != "" {
		set = s.mu.names[name]
	}
	if _, ok := set[c]; ok {
		delete(set, c)
		s.mu.listen--
		s.mu.idle = time.Now()
	}
	if name != "" && len(set) == 0 {
		delete(s.mu.names, name)
	}
}

// tell passes on what the servers tell, until the stream is over.
func (s *stream) tell() {
	for {
		told, err := s.watch.Next(s.over)
		if err != nil {
			return
		}
		s.f.letPass(beforeTelling)
		at := route.Position{Term: told.Term, Seq: told.Seq}
		if told.Kind == wire.TellAnew && !s.anew() {
			return
		}
		s.mu.Lock()
		for i := range told.Changes {
			s.change(&told.Changes[i], at)
		}
		s.mu.at[told.Partition] = at
		if s.mu.moved != nil {
			close(s.mu.moved)
			s.mu.moved = nil
		}
		s.mu.Unlock()
	}
}

// change tells who listens what became of a node. The caller holds mu.
func (s *stream) change(ch *wire.ToldChange, at route.Position) {
	dir, name, _ := strings.Cut(string(ch.Name), tree.Separator)
	path := tree.Join(dir, name)
	event := jute.NodeDataChanged
	known := true
	switch {
	case ch.Change != wire.TellSet:
		event = jute.NodeDeleted
	case ch.HasValue:
		n, err := wire.DecodeTreeNode(ch.Value)
		if err == nil && n.ID == wire.TreeVersion(at) {
			event = jute.NodeCreated
		}
		known = err == nil
	default:
		known = false // it was changed again since: perhaps it was created
	}
	if s.key.below {
		if isBelow(path, s.key.path) {
			for c := range s.mu.all {
				c.watches.tellBelow(s.key.path, path, event, at)
			}
		}
		return
	}
	for c := range s.mu.names[name] {
		if !c.watches.tellNode(path, event, at) {
			s.remove(c, name)
		}
	}
	if event != jute.NodeDataChanged || !known {
		for c := range s.mu.all {
			if !c.watches.tellChildren(s.key.path, at) {
				s.remove(c, "")
			}
		}
	}
}

// isBelow reports whether a node is below another.
func isBelow(path, of string) bool {
	return path != of && (of == tree.Root || strings.HasPrefix(path, of+"/"))
}

// before orders positions.
func before(a, b route.Position) bool {
	return a.Term < b.Term || a.Term == b.Term && a.Seq < b.Seq
}

// await waits until the stream has told all of a directory up to a version.
func (s *stream) await(ctx context.Context, dir string, version wire.TreeVersion) error {
	p := ring.PartitionOf(ring.SlotOf(cmp.Or(dir, tree.Root)), len(s.f.opts.Client.View().Partitions))
	return s.until(ctx, func() bool { return !before(s.mu.at[p], route.Position(version)) })
}

// until waits until something holds after what the stream has told; ok is called with mu held.
func (s *stream) until(ctx context.Context, ok func() bool) error {
	for {
		s.mu.Lock()
		if ok() {
			s.mu.Unlock()
			return nil
		}
		if s.mu.moved == nil {
			s.mu.moved = make(chan struct{})
		}
		moved := s.mu.moved
		s.mu.Unlock()
		select {
		case <-moved:
		case <-s.over.Done():
			return errors.New("the watch has ended")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// listeners are the connections that listen, and to which names of the directory.
func (s *stream) listeners() map[*conn][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := make(map[*conn][]string)
	for c := range s.mu.all {
		found[c] = append(found[c], "")
	}
	for name, set := range s.mu.names {
		for c := range set {
			found[c] = append(found[c], name)
		}
	}
	return found
}

// dropAll has all that listen connect anew: they are told then what they have missed.
func (s *stream) dropAll(why string) {
	s.mu.Lock()
	s.mu.dead = true
	s.end()
	s.mu.Unlock()
	for c := range s.listeners() {
		c.drop(why)
	}
}

// anew reads all that is listened to, because what was changed is not known any more, and tells
// what has become of it. Whoever can't be told so is dropped. It is false when the stream is over.
func (s *stream) anew() bool {
	nodes := make(map[string]*wire.TreeNode)
	var changed *wire.TreeVersion
	for c, names := range s.listeners() {
		if s.key.below || c.watches.blind(s.key.path, names) {
			c.drop("what it watches was changed, and nobody knows how")
			continue
		}
		for _, name := range names {
			if name == "" && changed == nil {
				v, err := s.f.childrenChanged(s.over, s.key.path)
				if err != nil {
					return false
				}
				changed = &v
			}
			if _, ok := nodes[name]; !ok && name != "" {
				n, err := s.f.getPatiently(s.over, tree.Join(s.key.path, name))
				if err != nil {
					return false
				}
				nodes[name] = n
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, n := range nodes {
		for c := range s.mu.names[name] {
			if !c.watches.compareNode(tree.Join(s.key.path, name), n) {
				s.remove(c, name)
			}
		}
	}
	if changed != nil {
		for c := range s.mu.all {
			if !c.watches.compareChildren(s.key.path, *changed) {
				s.remove(c, "")
			}
		}
	}
	return true
}

// getPatiently reads a node, nil where there is none.
func (f *Front) getPatiently(ctx context.Context, path string) (*wire.TreeNode, error) {
	ctx, cancel := context.WithTimeout(ctx, f.opts.Patience)
	defer cancel()
	n, err := tree.Head(f.ask(ctx, "watch "+path), path)
	if errors.Is(err, tree.ErrNoNode) {
		return nil, nil
	}
	return n, err
}

// childrenChanged is when a child was created or removed last; zero where there never was any.
func (f *Front) childrenChanged(ctx context.Context, dir string) (wire.TreeVersion, error) {
	ctx, cancel := context.WithTimeout(ctx, f.opts.Patience)
	defer cancel()
	p, err := f.ask(ctx, "watch "+dir)(&wire.TreeRequest{Op: wire.TreeDirectory, Dir: dir})
	if err != nil || p.Directory == nil {
		return wire.TreeVersion{}, err
	}
	return p.Directory.Changed, nil
}
