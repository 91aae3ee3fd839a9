package server

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"viewring/ring"
	"viewring/server/lane"
	"viewring/server/redis"
	"viewring/server/replica"
)

// notifier tells Redis clients what changed: who has subscribed to channels by messages, and
// who keeps values (tracker) that these are old. Who has read a key is told in the turn of the
// lane that says so (fed). Whom a channel, a pattern or a prefix concerns is found out by a
// goroutine of the notifier's own, for that may take long.
type notifier struct {
	s       *Server
	tracker *tracker
	wake    chan struct{} // capacity 1: there are events
	ended   chan struct{} // capacity 1: there are ended partitions

	subscribers atomic.Int32 // subscriptions, of all clients

	events struct { // kept while there are subscriptions or prefixes
		sync.Mutex
		list  []event
		bytes int64
		lost  bool // there was no room for one
	}

	clients struct { // apart from mu: whoever comes waits for no matching
		sync.Mutex
		byID map[int64]*conn
	}

	mu struct {
		sync.RWMutex // for reading while events are matched
		channels     map[string]map[*postbox]struct{}
		patterns     map[string]map[*postbox]struct{}
		wanted       int           // subscriptions and clients that keep values: lanes tell while there are some
		tell         chan struct{} // closed when they do
	}
}

// event is a change of a key.
type event struct {
	key    string
	change replica.Change
}

// Bounds of a notifier.
const (
	eventBytes     = 48       // that an event counts besides its key
	eventsBytesMax = 16 << 20 // of events that wait; beyond, who has subscribed is cut off, and who is told of prefixes that all is old
	eventsKept     = 4 << 10  // for how many there is room when there are none
	leasesEvery    = time.Second
)

func newNotifier(s *Server) *notifier {
	n := &notifier{s: s, tracker: newTracker(), wake: make(chan struct{}, 1), ended: make(chan struct{}, 1)}
	n.clients.byID = make(map[int64]*conn)
	n.mu.channels = make(map[string]map[*postbox]struct{})
	n.mu.patterns = make(map[string]map[*postbox]struct{})
	return n
}

// signal wakes who waits on a channel of capacity 1.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // told already
	}
}

// fed is what lanes tell, in their turn.
func (n *notifier) fed(fed []replica.Fed) {
	woken := false
	for i := range fed {
		f := &fed[i]
		switch f.Kind {
		case replica.FedEnded:
			n.tracker.end(f.Partition)
			signal(n.ended)
		case replica.FedChanges:
			for j := range f.Changes {
				ch := &f.Changes[j]
				n.tracker.changed(f.Partition, ch.Key.Name())
				woken = n.keep(event{ch.Key.Name(), ch.Change}) || woken
			}
		}
	}
	if woken {
		signal(n.wake)
	}
}

// keep keeps an event for run, if anybody is told by that.
func (n *notifier) keep(e event) bool {
	if n.subscribers.Load() == 0 && n.tracker.broadcasters.Load() == 0 {
		return false
	}
	n.events.Lock()
	defer n.events.Unlock()
	switch size := int64(eventBytes + len(e.key)); {
	case n.events.lost || n.events.bytes+size > eventsBytesMax:
		n.events.lost = true
	default:
		n.events.list = append(n.events.list, e)
		n.events.bytes += size
	}
	return true
}

// run tells of the events that lanes said, until ctx ends.
func (n *notifier) run(ctx context.Context) {
	var events []event
	for {
		select {
		case <-n.wake:
		case <-ctx.Done():
			return
		}
		n.events.Lock()
		lost := n.events.lost
		n.events.list, events = events[:0], n.events.list
		n.events.bytes, n.events.lost = 0, false
		n.events.Unlock()
		for i := range events {
			n.publish(&events[i])
		}
		if clear(events); cap(events) > eventsKept {
			events = nil
		}
		if lost {
			n.cutSubscribers()
			n.tracker.lose()
			signal(n.ended)
		}
	}
}

// runEnds tells of partitions that are not served here any more, until ctx ends. It waits for no
// lane and no matching: on it depends how long a client keeps what is old.
func (n *notifier) runEnds(ctx context.Context) {
	for {
		select {
		case <-n.ended:
			n.tracker.tellEnded()
		case <-ctx.Done():
			return
		}
	}
}

// runLeases ends in the tracker, each second, the partitions that this server reads under no lease
// now: it may be cut off from the others, and not know that one of them has taken over. Those of a
// lane that does not say within that time are ended, too: it may stand still for longer than a
// lease, and others take over from it.
func (n *notifier) runLeases(ctx context.Context) {
	looks := make([]chan struct{}, len(n.s.lanes)) // of each lane the one under way; nil: none
	tick := time.NewTicker(leasesEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		byLane := n.read()
		for i, ids := range byLane {
			if looks[i] != nil {
				select {
				case <-looks[i]:
					looks[i] = nil
				default: // it has had a second, or more
					for _, id := range ids {
						n.tracker.end(id)
					}
					signal(n.ended)
					continue
				}
			}
			if len(ids) > 0 {
				looks[i] = n.lookAtLeases(i, ids)
			}
		}
	}
}

// read returns the partitions, by lane, of which clients may keep something.
func (n *notifier) read() [][]ring.PartitionID {
	ids, broadcast := n.tracker.read()
	v := n.s.views.View()
	if broadcast {
		ids = ids[:0]
		for p := range v.Partitions {
			if id := ring.PartitionID(p); n.s.primaryOf(v, id) {
				ids = append(ids, id)
			}
		}
	}
	byLane := make([][]ring.PartitionID, len(n.s.lanes))
	for _, id := range ids {
		i := n.s.lanes.Index(id)
		byLane[i] = append(byLane[i], id)
	}
	return byLane
}

// lookAtLeases looks at the leases of a lane's partitions in its turn. Done is closed then.
func (n *notifier) lookAtLeases(i int, ids []ring.PartitionID) (done chan struct{}) {
	done = make(chan struct{})
	told := make(chan struct{}, 1)
	go func() { // the lane's queue may be full
		n.s.lanes.Put(i, lane.Looked(&look{told: told, do: func(core *replica.Core) {
			now := n.s.opts.Now()
			for _, id := range ids {
				if !core.Leased(now, id) {
					n.tracker.end(id)
					signal(n.ended)
				}
			}
		}}))
		select {
		case <-told:
			close(done)
		case <-n.s.ctx.Done():
		}
	}()
	return done
}

// eventNames are what changes are called. Of one that an earlier build has committed and not
// told nobody knows whether it deleted the key.
var eventNames = [...]string{replica.ChangeUnknown: redis.EventSet, replica.ChangeSet: redis.EventSet,
	replica.ChangeDeleted: redis.EventDel, replica.ChangeExpired: redis.EventExpired}

// publish tells of an event who has subscribed, or is told of prefixes.
func (n *notifier) publish(e *event) {
	n.tracker.broadcast(e.key)
	if n.subscribers.Load() == 0 {
		return
	}
	name := eventNames[e.change]
	n.mu.RLock()
	defer n.mu.RUnlock()
	n.send(redis.KeyspacePrefix+e.key, name)
	n.send(redis.KeyeventPrefix+name, e.key)
}

// send tells who has subscribed to a channel, and then who to a pattern of it. The caller holds
// mu.
func (n *notifier) send(channel, payload string) {
	for b := range n.mu.channels[channel] {
		b.orCut(letter{kind: channelMessage, channel: channel, payload: payload})
	}
	for pattern, boxes := range n.mu.patterns {
		if redis.Match(pattern, channel) {
			for b := range boxes {
				b.orCut(letter{kind: patternMessage, pattern: pattern, channel: channel, payload: payload})
			}
		}
	}
}

// orCut tells, and cuts off whom there is no room for.
func (b *postbox) orCut(l letter) {
	if !b.tell(l) {
		b.cut()
	}
}

func (b *postbox) cut() {
	b.close()
	b.c.CutOff("bytes of messages")
}

// cutSubscribers hangs up on all who have subscribed: they missed something.
func (n *notifier) cutSubscribers() {
	n.mu.Lock()
	defer n.mu.Unlock()
	missed := make(map[*postbox]struct{})
	for _, all := range []map[string]map[*postbox]struct{}{n.mu.channels, n.mu.patterns} {
		for _, boxes := range all {
			maps.Copy(missed, boxes)
		}
	}
	for b := range missed {
		b.cut()
	}
}

// want counts one more who is to be told, and returns when lanes tell what they commit from
// then on. It is false when the server stops.
func (n *notifier) want() bool {
	n.mu.Lock()
	n.mu.wanted++
	first := n.mu.wanted == 1
	if first {
		n.s.lanes.Feed(true)
		n.mu.tell = make(chan struct{})
	}
	tell := n.mu.tell
	n.mu.Unlock()
	if first && n.lookAll(func(int, *replica.Core) {}) { // what lanes were told before is done then
		close(tell)
	}
	select {
	case <-tell:
		return true
	case <-n.s.ctx.Done():
		return false
	}
}

// unwant is the end of a want.
func (n *notifier) unwant() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.wanted--; n.mu.wanted == 0 {
		n.s.lanes.Feed(false)
	}
}

// lookAll looks at the cores of all lanes, in their turns. It is false when the server stops.
func (n *notifier) lookAll(do func(lane int, core *replica.Core)) bool {
	told := make(chan struct{}, len(n.s.lanes))
	for i := range n.s.lanes {
		n.s.lanes.Put(i, lane.Looked(&look{told: told, do: func(core *replica.Core) { do(i, core) }}))
	}
	for range n.s.lanes {
		select {
		case <-told:
		case <-n.s.ctx.Done():
			return false
		}
	}
	return true
}

// came and left say which clients there are.
func (n *notifier) came(c *conn) {
	n.clients.Lock()
	defer n.clients.Unlock()
	n.clients.byID[c.session.client.ID()] = c
}

func (n *notifier) left(c *conn) {
	n.clients.Lock()
	delete(n.clients.byID, c.session.client.ID())
	n.clients.Unlock()
	c.post.close()
	c.unsubscribeAll()
	c.untrack()
	for _, from := range n.tracker.redirected(&c.post) {
		from.broke()
	}
}

// broke tells a client that the one that it redirects to is gone.
func (c *cacher) broke() {
	c.own.c.session.client.RedirectionBroke()
	c.own.orCut(letter{kind: brokenRedirect, id: c.id})
}

// client finds one by its id; nil where there is none.
func (n *notifier) client(id int64) *conn {
	n.clients.Lock()
	defer n.clients.Unlock()
	return n.clients.byID[id]
}

// subscriptionsOf returns those of a scope. The caller holds mu.
func (n *notifier) subscriptionsOf(scope redis.Scope) map[string]map[*postbox]struct{} {
	if scope == redis.Pattern {
		return n.mu.patterns
	}
	return n.mu.channels
}

// subscribe is false when the server stops.
func (n *notifier) subscribe(scope redis.Scope, name string, b *postbox) bool {
	n.subscribers.Add(1)
	if !n.want() {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	addTo(n.subscriptionsOf(scope), name, b)
	return true
}

func (n *notifier) unsubscribe(scope redis.Scope, name string, b *postbox) {
	n.mu.Lock()
	dropFrom(n.subscriptionsOf(scope), name, b)
	n.mu.Unlock()
	n.subscribers.Add(-1)
	n.unwant()
}

// look is a call of nobody's.
type look struct {
	told chan<- struct{}
	do   func(*replica.Core)
}

func (*look) ToRead() (r lane.Read, isRead bool) { return r, false }
func (*look) ToWrite() *replica.Request          { return nil }
func (l *look) Look() func(*replica.Core) (replica.Answer, bool) {
	return lane.Only(l.do)
}
func (l *look) Complete(replica.Answer) { l.told <- struct{}{} }
func (*look) Client() lane.Client       { return lane.Nobody{} }

// info is what INFO tells, in Redis's words.
func (n *notifier) info() string {
	t := n.tracker.stats()
	n.mu.Lock()
	defer n.mu.Unlock()
	return fmt.Sprintf("pubsub_channels:%d\r\npubsub_patterns:%d\r\ntracking_total_keys:%d\r\ntracking_total_items:%d\r\ntracking_total_prefixes:%d\r\ntracking_memory:%d\r\n",
		len(n.mu.channels), len(n.mu.patterns), t.keys, t.items, t.prefixes, t.bytes)
}
