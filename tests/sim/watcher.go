package sim

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"viewring/internal/invariant"
	"viewring/ring"
	"viewring/server/replica"
)

// watchersMax are how many clients watch in a world, at most.
const watchersMax = 6

// watching is who watches, and what there was to see. All that concerns it is drawn from a
// source of its own.
type watching struct {
	w        *world
	rng      *rand.Rand
	watchers []*watcher
	tokens   uint64
	rows     map[*server]map[ring.PartitionID]map[uint64]logged // the log of each server, by seq
	items    map[written][]byte                                 // what entries wrote
	lives    map[life][]logged                                  // what was committed, in order: of seq 1, 2, …
	feeding  *feeding
	resets   map[ring.PartitionID][]uint64 // when lives began that somebody believed in
}

// life is a partition from its beginning, or from when it was made anew.
type life struct {
	p     ring.PartitionID
	reset uint64
}

// logged is an entry that was stored: its version, and what it did.
type logged struct {
	version replica.Version
	changes []replica.KeyChange
}

type written struct {
	p       ring.PartitionID
	key     replica.Key
	version replica.Version
}

// watcher is a client that watches, at one primary after the other.
type watcher struct {
	of     *watching
	number int
	wish   replica.Watch
	from   replica.Version // the last that it was told
	begun  bool            // it was told something

	server *server // where it is connected
	life   int     // of the server
	token  uint64
	open   bool
	lastAt time.Duration // when the last of what is on its way arrives
	asked  time.Duration
	told   []replica.Watched // all that it was told
}

func newWatching(w *world) *watching {
	g := &watching{w: w, rng: rand.New(rand.NewPCG(w.seed, 0x7761746368)), rows: make(map[*server]map[ring.PartitionID]map[uint64]logged),
		items: make(map[written][]byte), lives: make(map[life][]logged), resets: make(map[ring.PartitionID][]uint64)}
	g.feeding = newFeeding(g.rng.IntN(2) == 0)
	for i := range g.rng.IntN(watchersMax + 1) {
		g.watchers = append(g.watchers, g.newWatcher(i))
	}
	return g
}

func (g *watching) newWatcher(number int) *watcher {
	wish := replica.Watch{Space: replica.SpaceUser, Values: g.rng.IntN(2) == 0, Now: g.rng.IntN(2) == 0}
	key := hotKeys[g.rng.IntN(len(hotKeys))]
	slot := ring.SlotOf(key)
	wish.Partition = ring.PartitionOf(slot, g.w.partitions)
	switch g.rng.IntN(4) {
	case 0:
		wish.Key = replica.MakeKey(slot, replica.SpaceUser, key)
	case 1:
		wish.Prefix = key[:1]
	}
	return &watcher{of: g, number: number, wish: wish}
}

func (g *watching) schedule() {
	for _, o := range g.watchers {
		g.w.after(g.between(0, 5*time.Second), o.connect)
	}
}

func (g *watching) between(lo, hi time.Duration) time.Duration {
	f := g.rng.Float64()
	return lo + time.Duration(f*f*f*float64(hi-lo))
}

func (g *watching) chance(p float64) bool { return g.rng.Float64() < p && !g.w.calm }

func (o *watcher) String() string { return fmt.Sprintf("watcher %d", o.number) }

// connect asks who it takes for the primary, from where it was told all.
func (o *watcher) connect() {
	o.open = false
	g, v := o.of, o.of.w.leader.state.View()
	s := g.w.byID(v.Partitions[o.wish.Partition].Primary())
	if g.chance(0.1) {
		s = g.w.servers[g.rng.IntN(len(g.w.servers))]
	}
	g.w.after(time.Second, o.look)
	if s == nil || !s.alive || s.node == nil {
		return
	}
	g.tokens++
	o.server, o.life, o.token, o.open, o.asked = s, s.life, g.tokens, true, g.w.now
	wish := o.wish
	wish.Token = o.token
	if o.begun {
		wish.From, wish.Now = o.from, false
	}
	l := s.lanes[int(wish.Partition)%lanes]
	s.later(g.between(0, 10*time.Millisecond), func() {
		l.post(func(at replica.Instant, c *replica.Core) { c.Watch(at, wish) })
	})
}

// look notices that its server is gone, or by the newest view that it is not the primary:
// one that is cut off, or was removed, may not know. Now and then it leaves for another
// reason.
func (o *watcher) look() {
	switch gone := o.open && (!o.server.alive || o.server.life != o.life); {
	case !o.open, gone:
		o.connect()
	case o.of.w.leader.state.View().Partitions[o.wish.Partition].Primary() != o.server.id(), o.of.chance(0.03):
		o.leave()
		o.connect()
	default:
		o.of.w.after(time.Second, o.look)
	}
}

// leave ends the watch at its server: the connection breaks, or the client is too slow.
func (o *watcher) leave() {
	s, token := o.server, o.token
	o.open = false
	if s.life == o.life {
		s.later(o.of.between(0, 2*time.Second), func() {
			s.lanes[int(o.wish.Partition)%lanes].post(func(at replica.Instant, c *replica.Core) { c.Unwatch(at, o.wish.Partition, token) })
		})
	}
}

// tell checks what a server tells, and carries it to its client: in order, or not at all.
func (g *watching) tell(l *lane, list []replica.Watched) {
	for _, t := range list {
		o := g.byToken(t.Token)
		if o == nil || !o.open || o.server != l.s || o.life != l.s.life {
			continue // its connection is gone
		}
		g.w.count("watch " + t.Kind.String())
		g.checkTold(l, o, &t)
		at := max(o.lastAt, g.w.now+g.between(0, 20*time.Millisecond))
		if g.chance(0.02) {
			at += g.between(0, 3*time.Second)
		}
		o.lastAt = at
		g.w.after(at-g.w.now, func() { o.hear(t) })
	}
}

func (g *watching) byToken(token uint64) *watcher {
	for _, o := range g.watchers {
		if o.token == token {
			return o
		}
	}
	return nil
}

// hear takes what a server told, if the connection that it came by still stands.
func (o *watcher) hear(t replica.Watched) {
	if t.Token != o.token || !o.open {
		return
	}
	if o.of.chance(0.01) {
		o.leave() // before it has taken it
		return
	}
	if t.Kind == replica.WatchEnded {
		o.open = false
		return
	}
	o.begun, o.from = true, t.Version
	o.told = append(o.told, t)
	if t.Kind == replica.WatchPaused {
		s, token := o.server, o.token
		s.later(o.of.between(0, time.Second), func() {
			s.lanes[int(o.wish.Partition)%lanes].post(func(at replica.Instant, c *replica.Core) { c.ResumeWatch(at, o.wish.Partition, token) })
		})
	}
}

// stored notes what a batch adds to a server's log.
func (g *watching) stored(s *server, b *replica.Batch) {
	logs := g.rows[s]
	if logs == nil {
		logs = make(map[ring.PartitionID]map[uint64]logged)
		g.rows[s] = logs
	}
	for i := range b.Ops {
		switch op := &b.Ops[i]; op.Kind {
		case replica.WipePartition:
			delete(logs, op.Partition)
		case replica.PutIndex:
			version, changes, err := replica.RowChanges(op.Seq, op.Value)
			invariant.Check(err == nil, "disk", "%v stores row %d: %v", s, op.Seq, err)
			if logs[op.Partition] == nil {
				logs[op.Partition] = make(map[uint64]logged)
			}
			logs[op.Partition][op.Seq] = logged{version, changes}
		case replica.PutItem:
			if op.Key.Space() != replica.SpaceUser {
				continue
			}
			if it, err := replica.DecodeItem(op.Key, op.Value); err == nil {
				g.items[written{op.Partition, op.Key, it.Version}] = op.Value
			}
		}
	}
}

// note notes what a server's whole copies have for committed.
func (g *watching) note(l *lane) {
	if len(g.watchers) == 0 && !g.feeding.on {
		return
	}
	for p := l.id; p < g.w.partitions; p += lanes {
		id := ring.PartitionID(p)
		c := l.core.Inspect(id)
		if !c.Whole {
			continue
		}
		of := life{id, g.reset(l, id)}
		if !slices.Contains(g.resets[id], of.reset) {
			g.resets[id] = append(g.resets[id], of.reset)
		}
		for done := g.lives[of]; uint64(len(done)) < c.Commit; done = g.lives[of] {
			e, ok := g.rows[l.s][id][uint64(len(done))+1]
			if !ok {
				break // it was copied: who had it before has noted it, or will
			}
			g.lives[of] = append(done, e)
		}
	}
}

// reset is the term in which the life began that a lane believes its partition to be in.
func (g *watching) reset(l *lane, p ring.PartitionID) uint64 {
	if v := g.w.leader.views[l.epoch]; v != nil {
		return v.Partitions[p].ResetTerm
	}
	return 0
}

// checkTold: what is told is committed when it is told, with the values that were written.
func (g *watching) checkTold(l *lane, o *watcher, t *replica.Watched) {
	if t.Kind == replica.WatchEnded {
		return
	}
	p := o.wish.Partition
	done := g.lives[life{p, g.reset(l, p)}]
	if seq := t.Version.Seq; seq > 0 && (seq > uint64(len(done)) || done[seq-1].version != t.Version) && l.adoptedAt != g.w.now {
		g.w.violated("watch", "partition %d: %v of %v is told at %v, %d entries are committed", p, t.Kind, t.Version, l.s, len(done))
	}
	g.checkAnew(l, o, t)
	for i := range t.Changes {
		c := &t.Changes[i]
		g.checkKept(l, o, t, c)
		if has := g.items[written{p, c.Key, t.Version}]; c.Item != nil && !bytes.Equal(c.Item, has) {
			g.w.violated("watch", "partition %d: key %s at %v is told as %x, written was %x", p, c.Key.Name(), t.Version, c.Item, has)
		}
	}
}

// checkAnew: a watcher is told to start anew only where its server does not know what came after
// what it was told last: that is of another log, or the index does not reach back to it.
func (g *watching) checkAnew(l *lane, o *watcher, t *replica.Watched) {
	p := o.wish.Partition
	if t.Kind != replica.WatchAnew || g.w.flips || l.adoptedAt == g.w.now {
		return
	}
	from := o.from // or what is on its way to it, which is later
	if !o.begun {
		from = o.wish.From
	}
	known := from.Seq == 0 && from.Term == g.reset(l, p) || from.Seq > 0 && g.rows[l.s][p][from.Seq].version == from
	if c := l.core.Inspect(p); known && from.Seq >= c.Floor && from.Seq <= c.Last.Seq {
		g.w.violated("watch", "partition %d: %v is told to start anew by %v after %v, of which the index has all from %d to %d", p, o, l.s, from, c.Floor, c.Last.Seq)
	}
}

// checkKept: a set comes with its value if that is wanted, unless the key was written again.
func (g *watching) checkKept(l *lane, o *watcher, t *replica.Watched, c *replica.KeyChange) {
	if wanted := o.wish.Values && c.Change == replica.ChangeSet; wanted == (c.Item != nil) || wanted && g.w.flips {
		return
	}
	p := o.wish.Partition
	for seq := t.Version.Seq + 1; o.wish.Values && seq <= l.core.Inspect(p).Last.Seq; seq++ {
		for _, later := range g.rows[l.s][p][seq].changes {
			if later.Key == c.Key {
				return
			}
		}
	}
	g.w.violated("watch", "partition %d: %v is told by %v that %s was changed (%d) at %v, with a value: %v", p, o, l.s, c.Key.Name(), c.Change, t.Version, c.Item != nil)
}

// behind is a watcher that was not told all, if there is one.
func (g *watching) behind() *watcher {
	for _, o := range g.watchers {
		now := life{o.wish.Partition, g.w.leader.state.View().Partitions[o.wish.Partition].ResetTerm}
		done := g.lives[now]
		if !o.begun || g.lifeOf(now.p, o.from) != now || o.from.Seq > uint64(len(done)) || len(o.untold(done[o.from.Seq:])) > 0 {
			return o
		}
	}
	return nil
}

// untold are the entries that concern a watcher.
func (o *watcher) untold(entries []logged) (concern []logged) {
	for _, e := range entries {
		if len(o.concerns(&e)) > 0 {
			concern = append(concern, e)
		}
	}
	return concern
}

func (o *watcher) concerns(e *logged) (changes []replica.KeyChange) {
	for _, c := range e.changes {
		whole := o.wish.Key == "" && len(c.Key.Name()) >= len(o.wish.Prefix) && c.Key.Name()[:len(o.wish.Prefix)] == o.wish.Prefix
		if c.Key == o.wish.Key || whole {
			changes = append(changes, c)
		}
	}
	return changes
}

// check compares what each watcher was told with what was committed.
func (g *watching) check() string {
	if why := g.checkFed(); why != "" {
		return why
	}
	for _, o := range g.watchers {
		if why := g.checkStream(o); why != "" {
			return fmt.Sprintf("watch: partition %d: %v (%+v): %s", o.wish.Partition, o, o.wish, why)
		}
	}
	return ""
}

// checkStream follows a watcher from version to version.
func (g *watching) checkStream(o *watcher) string {
	var at replica.Version
	var of life
	for i, t := range o.told {
		fresh := i == 0 || t.Kind == replica.WatchAnew
		if fresh {
			of = g.lifeOf(o.wish.Partition, t.Version)
		}
		done, seq := g.lives[of], t.Version.Seq
		switch {
		case g.lifeOf(o.wish.Partition, t.Version) != of:
			return fmt.Sprintf("%v of %v was told after %v, and the partition began anew between", t.Kind, t.Version, at)
		case seq > uint64(len(done)) || seq > 0 && done[seq-1].version != t.Version:
			return fmt.Sprintf("%v of %v was told, which was never committed", t.Kind, t.Version)
		case fresh && (t.Kind == replica.WatchBegun || t.Kind == replica.WatchAnew):
		case fresh:
			return fmt.Sprintf("%v of %v was told first", t.Kind, t.Version)
		case t.Kind == replica.WatchBegun && t.Version != at:
			return fmt.Sprintf("it went on at %v, and was told of %v before", t.Version, at)
		case seq < at.Seq || t.Kind == replica.WatchChanged && seq == at.Seq:
			return fmt.Sprintf("%v of %v was told after %v", t.Kind, t.Version, at)
		default:
			if why := o.gap(&t, done[at.Seq:seq]); why != "" {
				return fmt.Sprintf("between %v and %v of %v %s", at, t.Kind, t.Version, why)
			}
		}
		at = t.Version
	}
	return ""
}

// gap says what is wrong with the step from one version to the next: between are the
// entries, the last of them that which is told.
func (o *watcher) gap(t *replica.Watched, between []logged) string {
	if t.Kind == replica.WatchChanged {
		last := &between[len(between)-1]
		between = between[:len(between)-1]
		same := func(a, b replica.KeyChange) bool { return a.Key == b.Key && a.Change == b.Change }
		if want := o.concerns(last); !slices.EqualFunc(t.Changes, want, same) {
			return fmt.Sprintf("%v were told, and %v done", t.Changes, want)
		}
	}
	if missed := o.untold(between); len(missed) > 0 {
		return fmt.Sprintf("%d entries were not told, first %v", len(missed), missed[0].version)
	}
	return ""
}

// lifeOf is the life to which a version belongs: the last that had begun by then.
func (g *watching) lifeOf(p ring.PartitionID, v replica.Version) life {
	of := life{p, 0}
	for _, reset := range g.resets[p] {
		if reset <= v.Term {
			of.reset = max(of.reset, reset)
		}
	}
	return of
}
