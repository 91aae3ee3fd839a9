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
// who keeps values (tracker) that these are old. What lanes say (fed) is looked up in the
// tracker in their turn; which channels and patterns want it is found out by a goroutine of
// its own, for that may take long.
type notifier struct {
	s       *Server
	tracker *tracker
	wake    chan struct{} // capacity 1: there are events or ended partitions

	subscribers atomic.Int32 // subscriptions, of all clients; while there are none no events are kept

	events struct {
		sync.Mutex
		list  []event
		bytes int64
		lost  bool // there was no room for one
	}

	mu struct {
		sync.Mutex
		clients  map[int64]*conn // by their ids
		channels map[string]map[*postbox]struct{}
		patterns map[string]map[*postbox]struct{}
		wanted   int // subscriptions and clients that keep values: lanes tell while there are some
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
	eventsBytesMax = 16 << 20 // of events that wait; who has subscribed is cut off beyond
	leasesEvery    = time.Second
)

func newNotifier(s *Server) *notifier {
	n := &notifier{s: s, tracker: newTracker(), wake: make(chan struct{}, 1)}
	n.mu.clients = make(map[int64]*conn)
	n.mu.channels = make(map[string]map[*postbox]struct{})
	n.mu.patterns = make(map[string]map[*postbox]struct{})
	return n
}

func (n *notifier) notify() {
	select {
	case n.wake <- struct{}{}:
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
			woken = true
		case replica.FedChanges:
			for j := range f.Writes {
				if w := &f.Writes[j]; w.Key.Space() == replica.SpaceUser {
					n.tracker.changed(f.Partition, w.Key.Name())
					woken = n.keep(event{w.Key.Name(), w.Change()}) || woken
				}
			}
		}
	}
	if woken {
		n.notify()
	}
}

// keep keeps an event for run, if anybody has subscribed.
func (n *notifier) keep(e event) bool {
	if n.subscribers.Load() == 0 {
		return false
	}
	n.events.Lock()
	defer n.events.Unlock()
	switch size := int64(eventBytes + len(e.key)); {
	case n.events.bytes+size > eventsBytesMax:
		n.events.lost = true
	default:
		n.events.list = append(n.events.list, e)
		n.events.bytes += size
	}
	return true
}

// run tells what lanes said, until ctx ends.
func (n *notifier) run(ctx context.Context) {
	leases := time.NewTicker(leasesEvery)
	defer leases.Stop()
	var events []event
	for {
		select {
		case <-n.wake:
		case <-leases.C:
			n.lookAtLeases()
		case <-ctx.Done():
			return
		}
		n.tracker.tellEnded()
		n.events.Lock()
		lost := n.events.lost
		n.events.list, events = events[:0], n.events.list
		n.events.bytes, n.events.lost = 0, false
		n.events.Unlock()
		for i := range events {
			n.publish(&events[i])
		}
		clear(events)
		if lost {
			n.cutSubscribers()
		}
	}
}

// names are what events are called.
var eventNames = [...]string{replica.ChangeUnknown: redis.EventSet, replica.ChangeSet: redis.EventSet,
	replica.ChangeDeleted: redis.EventDel, replica.ChangeExpired: redis.EventExpired}

// publish tells of an event who has subscribed.
func (n *notifier) publish(e *event) {
	name := eventNames[e.change]
	n.mu.Lock()
	defer n.mu.Unlock()
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

// want counts who is to be told of changes.
func (n *notifier) want(by int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wantLocked(by)
}

// wantLocked is want for who holds mu. Whoever is counted first is told of what is committed
// from its return on.
func (n *notifier) wantLocked(by int) {
	before := n.mu.wanted
	n.mu.wanted += by
	if (before == 0) != (n.mu.wanted == 0) {
		n.s.lanes.Feed(n.mu.wanted > 0)
	}
}

// came and left say which clients there are.
func (n *notifier) came(c *conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.clients[c.session.client.ID()] = c
}

func (n *notifier) left(c *conn) {
	n.mu.Lock()
	delete(n.mu.clients, c.session.client.ID())
	n.mu.Unlock()
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
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.clients[id]
}

// subscriptionsOf returns those of a scope. The caller holds mu.
func (n *notifier) subscriptionsOf(scope redis.Scope) map[string]map[*postbox]struct{} {
	if scope == redis.Pattern {
		return n.mu.patterns
	}
	return n.mu.channels
}

func (n *notifier) subscribe(scope redis.Scope, name string, b *postbox) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wantLocked(1)
	n.subscribers.Add(1)
	addTo(n.subscriptionsOf(scope), name, b)
}

func (n *notifier) unsubscribe(scope redis.Scope, name string, b *postbox) {
	n.mu.Lock()
	defer n.mu.Unlock()
	dropFrom(n.subscriptionsOf(scope), name, b)
	n.subscribers.Add(-1)
	n.wantLocked(-1)
}

// lookAtLeases ends in the tracker the partitions that this server reads under no lease now:
// it may be cut off from the others, and not know that one of them has taken over.
func (n *notifier) lookAtLeases() {
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
	told := make(chan struct{}, len(byLane))
	asked := 0
	for i, ids := range byLane {
		if len(ids) == 0 {
			continue
		}
		asked++
		n.s.lanes.Put(i, lane.Looked(&look{told: told, do: func(core *replica.Core) {
			now := n.s.opts.Now()
			for _, id := range ids {
				if !core.Leased(now, id) {
					n.tracker.end(id)
				}
			}
		}}))
	}
	for range asked {
		select {
		case <-told:
		case <-n.s.ctx.Done():
			return
		}
	}
}

// look is a call of nobody's.
type look struct {
	told chan<- struct{}
	do   func(*replica.Core)
}

func (*look) ToRead() (r lane.Read, isRead bool) { return r, false }
func (*look) ToWrite() *replica.Request          { return nil }
func (l *look) Look() func(*replica.Core)        { return l.do }
func (l *look) Complete(replica.Answer)          { l.told <- struct{}{} }
func (*look) Client() lane.Client                { return nil }

// info is what INFO tells, in Redis's words.
func (n *notifier) info() string {
	t := n.tracker.stats()
	n.mu.Lock()
	defer n.mu.Unlock()
	return fmt.Sprintf("pubsub_channels:%d\r\npubsub_patterns:%d\r\ntracking_total_keys:%d\r\ntracking_total_items:%d\r\ntracking_total_prefixes:%d\r\ntracking_memory:%d\r\n",
		len(n.mu.channels), len(n.mu.patterns), t.keys, t.items, t.prefixes, t.bytes)
}
