package server

import (
	"fmt"
	"strconv"
	"sync"

	"viewring/internal/front"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/replica"
	"viewring/server/tree"
)

// Bounds of watches, and of what is told to one connection.
const (
	watchesMax     = 20_000  // of a connection
	watchShare     = 4       // those of all connections take a quarter of what requests may at most: an account of their own, for they stay
	watchPrefixMax = 8 << 10 // bytes of a prefix: longer than any path of the tree
	tellBytesMax   = 4 << 20 // that wait to be written: one more ends its watch
	watchBytes     = 512     // about what a watch takes here and in its lane, besides its name
	tellBytes      = 96      // about what a Told takes while it waits, besides its changes
	changeBytes    = 64      // about what a change takes, besides its value
)

// tooManyWatches refuses one more.
var tooManyWatches = fmt.Sprintf("a connection has at most %d watches", watchesMax)

// keyWatches are a connection's, and what its client is to be told.
type keyWatches struct {
	c *conn

	mu struct {
		sync.Mutex
		byID   map[uint64]*keyWatch // Invariant: none is over
		queue  []telling
		bytes  int64 // of the queue, counted by Take
		inLine bool  // a tells is in the connection's line, and takes the queue with it
		gone   bool  // the connection has ended
	}
}

// keyWatch is one of a client's watches. It is a lane.Watcher.
type keyWatch struct {
	of        *keyWatches
	id        uint64
	partition ring.PartitionID
	cost      int64
	token     uint64 // that the lane knows it by; of the reading goroutine
	over      bool   // nothing more is told; guarded by of.mu
}

// telling is something to be told, as the lane handed it over.
type telling struct {
	w    *keyWatch
	told replica.Watched
	slow bool // it is told instead that the client is too slow
}

// runWatchKeys is VR.WATCH.
func (c *conn) runWatchKeys(args [][]byte) error {
	q, err := wire.DecodeWatchRequest(args[0])
	partitions := len(c.s.views.View().Partitions)
	space := replica.Space(q.Space)
	switch {
	case err != nil:
		return c.reject(wire.CodeErr + " " + err.Error())
	case int(q.Partition) >= partitions || !q.Prefix && ring.PartitionOf(q.Slot, partitions) != q.Partition:
		return c.reject(wire.CodeErr + " watch: the key is not of partition " + strconv.Itoa(int(q.Partition)))
	case q.Prefix && len(q.Name) > watchPrefixMax:
		return c.reject(fmt.Sprintf("%s watch: a prefix has at most %d bytes", wire.CodeTooLarge, watchPrefixMax))
	case !mayWatch(&q) || len(q.Name) > wire.KeyBytesMax:
		return c.reject(wire.CodeErr + " watch: no such keys")
	}
	w := &keyWatch{id: q.ID, partition: q.Partition, cost: watchBytes + int64(len(q.Name))}
	if errText := c.addWatch(w); errText != "" {
		return c.reject(errText)
	}
	c.replyOK()
	wish := replica.Watch{Partition: q.Partition, From: replica.Version{Term: q.Term, Seq: q.Seq}, Now: q.Now, Values: q.Values}
	if q.Prefix {
		wish.Space, wish.Prefix = space, string(q.Name)
	} else {
		wish.Key = replica.MakeKey(q.Slot, space, string(q.Name))
	}
	w.token = c.s.lanes.Watch(wish, w)
	return nil
}

// mayWatch reports whether keys are for clients to watch: of files, heads of record chunks alone, each for itself.
func mayWatch(q *wire.WatchRequest) bool {
	switch q.Space {
	case wire.UserSpace, wire.MetaSpace:
		return true
	case wire.FileSpace:
		_, ok := wire.ParseChunkName(string(q.Name))
		return ok && !q.Prefix
	}
	return false
}

// addWatch notes a watch, and says why it can't.
func (c *conn) addWatch(w *keyWatch) (errText string) {
	if c.watches == nil {
		c.watches = &keyWatches{c: c}
		c.watches.mu.byID = make(map[uint64]*keyWatch)
	}
	ws := c.watches
	w.of = ws
	ws.mu.Lock()
	defer ws.mu.Unlock()
	switch {
	case ws.mu.byID[w.id] != nil:
		return wire.CodeErr + " watch: the connection has one of that number"
	case len(ws.mu.byID) >= watchesMax:
		return wire.CodeBusy + " " + tooManyWatches
	case c.s.watchBytes.Add(w.cost) > c.s.budget.Requests()/watchShare:
		c.s.watchBytes.Add(-w.cost)
		return wire.CodeBusy + " too many watches"
	}
	ws.mu.byID[w.id] = w
	return ""
}

// runUnwatchKeys is VR.UNWATCH.
func (c *conn) runUnwatchKeys(args [][]byte) error {
	id, err := strconv.ParseUint(string(args[0]), 10, 64)
	if err != nil {
		return c.reject(wire.CodeErr + " watch: no number " + quote(args[0]))
	}
	if ws := c.watches; ws != nil {
		ws.mu.Lock()
		if w := ws.mu.byID[id]; w != nil {
			ws.end(w)
			c.s.lanes.Unwatch(w.partition, w.token)
		}
		ws.mu.Unlock()
	}
	c.replyOK()
	return nil
}

// end takes a watch off the list. The caller holds mu.
func (ws *keyWatches) end(w *keyWatch) {
	w.over = true
	delete(ws.mu.byID, w.id)
	ws.c.s.watchBytes.Add(-w.cost)
}

// leave ends all watches: the connection has ended.
func (ws *keyWatches) leave() {
	if ws == nil {
		return
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.mu.gone = true
	for _, w := range ws.mu.byID {
		ws.end(w)
		ws.c.s.lanes.Unwatch(w.partition, w.token)
	}
	ws.c.Give(ws.mu.bytes)
	ws.mu.queue, ws.mu.bytes = nil, 0
}

// Watched puts what a lane tells in line for the client, or ends the watch where too much is
// there that the client has not read. It is called in the lane's turn.
func (w *keyWatch) Watched(t *replica.Watched) {
	ws := w.of
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if w.over || ws.mu.gone {
		return
	}
	one := telling{w: w, told: *t}
	n := one.size()
	if len(ws.mu.queue) > 0 && ws.mu.bytes+n > tellBytesMax || !ws.c.Take(n) {
		one, n = telling{w: w, slow: true}, 0
		ws.c.s.lanes.Unwatch(w.partition, t.Token)
	}
	if one.slow || t.Kind == replica.WatchEnded {
		ws.end(w)
	}
	ws.mu.queue = append(ws.mu.queue, one)
	ws.mu.bytes += n
	if !ws.mu.inLine {
		ws.mu.inLine = ws.c.Tell(&tells{of: ws})
	}
}

func (t *telling) size() int64 {
	n := int64(tellBytes)
	for i := range t.told.Changes {
		c := &t.told.Changes[i]
		n += changeBytes + int64(len(c.Key)+len(c.Item))
	}
	return n
}

// tells is a reply to no command: what there is to tell when its turn comes.
type tells struct {
	of     *keyWatches
	bytes  int64 // that it has taken over
	paused []telling
}

var _ front.Reply = (*tells)(nil)

// Done is true from the start.
func (*tells) Done() bool { return true }

// MustWait is false: it is about no command.
func (*tells) MustWait([]front.Reply) bool { return false }

// Size is not known before it is written.
func (*tells) Size() int { return tellBytesMax }

// Write pushes all that there is to tell.
func (r *tells) Write(w *wire.Writer) {
	queue := r.take()
	var b []byte
	for i := range queue {
		t := &queue[i]
		if t.told.Kind == replica.WatchPaused {
			r.paused = append(r.paused, *t)
		}
		b = wire.AppendTold(b[:0], t.wire(r.of.c.s.views.View().Epoch))
		w.WritePush(2)
		w.WriteBulkString(wire.PushTold)
		w.WriteBulk(b)
	}
}

// take takes the queue over.
func (r *tells) take() []telling {
	ws := r.of
	ws.mu.Lock()
	defer ws.mu.Unlock()
	queue := ws.mu.queue
	r.bytes, ws.mu.bytes, ws.mu.queue, ws.mu.inLine = ws.mu.bytes, 0, nil, false
	return queue
}

// Release gives back what the reply held, and has more told to who has been told a part.
func (r *tells) Release() {
	r.of.c.Give(r.bytes)
	for i := range r.paused {
		p := &r.paused[i]
		r.of.c.s.lanes.ResumeWatch(p.w.partition, p.told.Token)
	}
}

// wire returns what the client is told.
func (t *telling) wire(epoch uint64) *wire.Told {
	out := &wire.Told{ID: t.w.id, Kind: tellKinds[t.told.Kind], Term: t.told.Version.Term, Seq: t.told.Version.Seq}
	switch {
	case t.slow:
		return &wire.Told{ID: t.w.id, Kind: wire.TellEnded, Why: wire.WhySlow, Epoch: epoch}
	case t.told.Kind == replica.WatchEnded:
		out.Epoch, out.Why = epoch, wire.WhyMoved
		if t.told.Status != replica.StatusMoved {
			out.Why = wire.WhyUnavailable
		}
	}
	for i := range t.told.Changes {
		if c, ok := toldChange(&t.told.Changes[i], t.told.Version); ok {
			out.Changes = append(out.Changes, c)
		}
	}
	if out.Kind == wire.TellChanged && len(out.Changes) == 0 {
		out.Kind = wire.TellPassed
	}
	return out
}

// toldChange is what a client is told of a key's change; false for what is not for clients. A
// value that can't be read is left out: who wants it reads the key, and has it repaired.
func toldChange(c *replica.KeyChange, v replica.Version) (out wire.ToldChange, ok bool) {
	out = wire.ToldChange{Change: tellChanges[c.Change], Slot: c.Key.Slot(), Name: []byte(c.Key.Name())}
	var item *replica.Item
	if c.Item != nil {
		if it, err := replica.DecodeItem(c.Key, c.Item); err == nil {
			item = &it
		}
	}
	if c.Key.Space() == replica.SpaceMeta {
		n, seen, err := tree.Told(c.Key, v, item)
		if n != nil && err == nil {
			out.HasValue, out.Value = true, wire.AppendTreeNode(nil, n)
		}
		return out, seen
	}
	if item != nil {
		out.HasValue, out.Value, out.Expiry = true, item.Value, item.Expiry
	}
	return out, true
}

var tellKinds = [...]wire.TellKind{
	replica.WatchBegun: wire.TellBegun, replica.WatchChanged: wire.TellChanged, replica.WatchPassed: wire.TellPassed,
	replica.WatchPaused: wire.TellPassed, replica.WatchAnew: wire.TellAnew, replica.WatchEnded: wire.TellEnded,
}

var tellChanges = [...]wire.TellChange{
	replica.ChangeSet: wire.TellSet, replica.ChangeDeleted: wire.TellDeleted, replica.ChangeExpired: wire.TellExpired,
}
