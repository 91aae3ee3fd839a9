package server

import (
	"slices"
	"sync"
	"sync/atomic"

	"viewring/internal/front"
	"viewring/internal/wire"
	"viewring/server/redis"
)

// letter is what a client is told: a message of a channel, or that the client that it
// redirects to is gone.
type letter struct {
	kind             letterKind
	pattern          string // that the channel matches, of a patternMessage
	channel, payload string
	id               int64 // of a brokenRedirect
}

type letterKind uint8

const (
	channelMessage letterKind = iota
	patternMessage
	brokenRedirect
)

// Bytes that a postbox counts of a letter or a key besides their texts, and how many it holds
// at most. A client that is behind by more messages is cut off, and one that is behind by
// more keys is told that all it keeps is old.
const (
	letterBytes     = 96
	postboxBytesMax = 8 << 20
)

// post is what a postbox holds.
type post struct {
	letters []letter
	all     bool     // all that the client keeps is old
	keys    []string // what it keeps of these is old
	bytes   int64
}

func (p *post) empty() bool { return len(p.letters) == 0 && len(p.keys) == 0 && !p.all }

// postbox holds what a connection's client is told that it did not ask for, until it is
// written. It is a front.Reply, which is in line at most once, with a post that does not
// change: what comes meanwhile goes in line again after that, and so stands behind all
// replies that were pushed before it came.
type postbox struct {
	c *conn

	size atomic.Int64 // bytes of the post that is in line

	mu struct {
		sync.Mutex
		out    post // in line
		next   post
		inLine bool
		held   bool // nothing comes in line: see hold
		closed bool // nobody is told any more

		resp3   bool // the client can tell what it is told from replies
		listens bool // or it has subscribed, and waits for no replies
	}
}

// Done reports that there is nothing to wait for.
func (b *postbox) Done() bool { return true }

// MustWait is false: nothing is pushed that way.
func (b *postbox) MustWait([]front.Reply) bool { return false }

// Size is that of the post in line.
func (b *postbox) Size() int { return int(b.size.Load()) }

// Write writes the post that is in line.
func (b *postbox) Write(w *wire.Writer) {
	b.mu.Lock()
	out, listens := b.mu.out, b.mu.listens
	b.mu.Unlock() // nobody changes the post before Release
	if out.all {
		writeStale(w, nil, listens)
	}
	if len(out.keys) > 0 {
		writeStale(w, out.keys, listens)
	}
	for i := range out.letters {
		out.letters[i].write(w)
	}
}

// writeStale tells that what the client keeps of some keys is old; nil: of all.
func writeStale(w *wire.Writer, keys []string, listens bool) {
	switch {
	case w.RESP3():
		w.WriteUnasked(2)
		w.WriteBulkString("invalidate")
	case listens:
		w.WriteUnasked(3)
		w.WriteBulkString("message")
		w.WriteBulkString("__redis__:invalidate")
	default:
		return // it could not tell that from a reply
	}
	if keys == nil {
		w.WriteValue(redis.NilArray())
		return
	}
	w.WriteArray(len(keys))
	for _, k := range keys {
		w.WriteBulkString(k)
	}
}

func (l *letter) write(w *wire.Writer) {
	switch l.kind {
	case brokenRedirect:
		if w.RESP3() {
			w.WriteUnasked(2)
			w.WriteBulkString("tracking-redir-broken")
			w.WriteInt(l.id)
		}
		return
	case patternMessage:
		w.WriteUnasked(4)
		w.WriteBulkString("pmessage")
		w.WriteBulkString(l.pattern)
	default:
		w.WriteUnasked(3)
		w.WriteBulkString("message")
	}
	w.WriteBulkString(l.channel)
	w.WriteBulkString(l.payload)
}

// Release gives the post back, and brings what came meanwhile in line.
func (b *postbox) Release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.c.Give(b.mu.out.bytes)
	b.mu.out, b.mu.inLine = post{}, false
	b.send()
}

// send brings what there is in line, if it may. The caller holds mu.
func (b *postbox) send() {
	if b.mu.inLine || b.mu.held || b.mu.next.empty() {
		return
	}
	b.size.Store(b.mu.next.bytes)
	b.mu.out, b.mu.next = b.mu.next, post{}
	if b.mu.inLine = b.c.Tell(b); !b.mu.inLine {
		b.c.Give(b.mu.out.bytes)
		b.mu.out, b.mu.closed = post{}, true
	}
}

// take counts n more bytes; false when there may not be so many. The caller holds mu.
func (b *postbox) take(n int64) bool {
	if b.mu.out.bytes+b.mu.next.bytes+n > postboxBytesMax || !b.c.Take(n) {
		return false
	}
	b.mu.next.bytes += n
	return true
}

// tell adds a letter. It is false where there is no room: the client has to be cut off.
func (b *postbox) tell(l letter) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.mu.closed:
		return true
	case !b.take(l.bytes()):
		return false
	}
	b.mu.next.letters = append(b.mu.next.letters, l)
	b.send()
	return true
}

// stale tells the client, if it can be told, that what it keeps of a key is old. Where there
// are too many keys, all that it keeps is.
func (b *postbox) stale(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.mu.closed || b.mu.next.all || !b.mu.resp3 && !b.mu.listens:
		return
	case b.take(int64(letterBytes + len(key))):
		b.mu.next.keys = append(b.mu.next.keys, key)
	default:
		b.staleAll()
	}
	b.send()
}

// allStale tells the client, if it can be told, that all that it keeps is old.
func (b *postbox) allStale() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.closed || !b.mu.resp3 && !b.mu.listens {
		return
	}
	b.staleAll()
	b.send()
}

// staleAll replaces the keys that wait. The caller holds mu.
func (b *postbox) staleAll() {
	n := int64(0)
	for _, k := range b.mu.next.keys {
		n += int64(letterBytes + len(k))
	}
	b.c.Give(n)
	b.mu.next.bytes -= n
	b.mu.next.keys, b.mu.next.all = nil, true
}

// bytes is what a letter counts.
func (l *letter) bytes() int64 {
	return int64(letterBytes + len(l.pattern) + len(l.channel) + len(l.payload))
}

// discard drops the letters of subscriptions that have ended which are not in line yet.
func (b *postbox) discard(scope redis.Scope, names map[string]bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := int64(0)
	b.mu.next.letters = slices.DeleteFunc(b.mu.next.letters, func(l letter) bool {
		drop := l.kind == channelMessage && scope == redis.OneChannel && names[l.channel] ||
			l.kind == patternMessage && scope == redis.Pattern && names[l.pattern]
		if drop {
			n += l.bytes()
		}
		return drop
	})
	b.c.Give(n)
	b.mu.next.bytes -= n
}

// empty drops all that is not in line yet.
func (b *postbox) empty() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.c.Give(b.mu.next.bytes)
	b.mu.next = post{}
}

// hold keeps what comes out of the line until letGo: while a command is carried out whose
// reply may be made before it is in line, and has to come before what changed after it.
func (b *postbox) hold() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.held = true
}

func (b *postbox) letGo() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.held = false
	b.send()
}

// speaks notes what the client can be told.
func (b *postbox) speaks(resp3, listens bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.resp3, b.mu.listens = resp3, listens
}

// close drops what was not sent. Nobody is told any more.
func (b *postbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.c.Give(b.mu.next.bytes)
	b.mu.next, b.mu.closed = post{}, true
}
