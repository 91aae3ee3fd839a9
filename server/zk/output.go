package zk

import (
	"encoding/binary"
	"sync"
	"time"

	"viewring/server/zk/jute"
)

// outputRoom is how many bytes may wait before a request waits for the client to read.
const outputRoom = 1 << 20

// output is what a client is told, in the order in which it was put there.
type output struct {
	c *conn

	mu struct {
		sync.Mutex
		waiting []byte
		zxid    int64         // the highest that the client was told
		room    chan struct{} // closed when all was taken; nil: nobody waits for that
		writing bool          // somebody writes; else all is written
	}
}

func (o *output) init(c *conn) {
	o.c = c
}

// reply puts an answer in line. zxid is that of what it shows, 0 for none.
func (o *output) reply(xid int32, zxid int64, code jute.Code, body []byte) {
	if o.answer(xid, zxid, code, body) {
		o.c.f.running.Go(o.run)
	}
}

// answer is reply for who has time to write: where it is true the caller calls run. To wake another
// goroutine for each answer costs more than to write it.
func (o *output) answer(xid int32, zxid int64, code jute.Code, body []byte) (mustRun bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen(zxid)
	at := o.open()
	o.mu.waiting = jute.AppendReply(o.mu.waiting, jute.Reply{Xid: xid, Zxid: o.mu.zxid, Err: code})
	o.mu.waiting = append(o.mu.waiting, body...)
	return o.shut(at)
}

// event puts an event in line.
func (o *output) event(e jute.Event, path string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	at := o.open()
	o.mu.waiting = jute.AppendEvent(o.mu.waiting, e, path)
	o.writeAside(at)
}

// message puts a message in line as it is.
func (o *output) message(b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	at := o.open()
	o.mu.waiting = append(o.mu.waiting, b...)
	o.writeAside(at)
}

// writeAside ends the message that began at at, and has it written by a goroutine of its own. The caller holds mu.
func (o *output) writeAside(at int) {
	if o.shut(at) {
		o.c.f.running.Go(o.run)
	}
}

// seen raises the zxid that the client is told. The caller holds mu.
func (o *output) seen(zxid int64) {
	o.mu.zxid = max(o.mu.zxid, zxid)
	for {
		was := o.c.f.stats.zxid.Load()
		if zxid <= was || o.c.f.stats.zxid.CompareAndSwap(was, zxid) {
			return
		}
	}
}

// open begins a message, and returns where. The caller holds mu.
func (o *output) open() (at int) {
	at = len(o.mu.waiting)
	o.mu.waiting = append(o.mu.waiting, 0, 0, 0, 0)
	return at
}

// shut ends the message that began at at. Who does not read is cut off. Where it is true run has to be
// called: nobody writes. The caller holds mu.
func (o *output) shut(at int) (mustRun bool) {
	n := len(o.mu.waiting) - at
	binary.BigEndian.PutUint32(o.mu.waiting[at:], uint32(n-wordBytes))
	switch {
	case o.c.ctx.Err() != nil: // nobody writes any more
		o.mu.waiting = o.mu.waiting[:at]
		o.discard()
	case int64(at) > o.c.f.opts.Bounds.Buffered:
		o.c.f.stats.cut.Add(1)
		o.c.drop("the client does not read what it is told")
		o.mu.waiting = o.mu.waiting[:at]
		o.discard()
	case !o.c.reserve(int64(n)):
		o.c.hangUp(errFull)
		o.mu.waiting = o.mu.waiting[:at]
		o.discard()
	}
	o.c.sent.Add(1)
	o.c.f.stats.sent.Add(1)
	mustRun = !o.mu.writing
	o.mu.writing = true
	return mustRun
}

// discard forgets what waits, when the connection has ended. The caller holds mu.
func (o *output) discard() {
	o.c.giveBack(int64(len(o.mu.waiting)))
	o.mu.waiting = nil
}

// await waits until there is room for an answer, or all was written.
func (o *output) await(most int, written bool) {
	for {
		o.mu.Lock()
		if len(o.mu.waiting) <= most && !(written && o.mu.writing) {
			o.mu.Unlock()
			return
		}
		if o.mu.room == nil {
			o.mu.room = make(chan struct{})
		}
		room := o.mu.room
		o.mu.Unlock()
		select {
		case <-room:
		case <-o.c.ctx.Done():
			return
		}
	}
}

// flush waits until the client was told all, or is gone.
func (o *output) flush() { o.await(0, true) }

// run writes until all is written, or the connection has ended: then nobody writes any more.
func (o *output) run() {
	for {
		b := o.take()
		if b == nil {
			return
		}
		_ = o.c.nc.SetWriteDeadline(time.Now().Add(o.c.f.opts.Bounds.WriteTimeout)) // a broken connection says so when it is written
		_, err := o.c.nc.Write(b)
		o.c.giveBack(int64(len(b)))
		if err != nil {
			o.c.drop("the client can't be told: " + err.Error())
			o.mu.Lock()
			o.discard()
			o.mu.Unlock()
			return
		}
	}
}

// take takes what is to be written; nil when all is.
func (o *output) take() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	b := o.mu.waiting
	o.mu.waiting, o.mu.writing = nil, len(b) > 0
	if o.mu.room != nil {
		close(o.mu.room)
		o.mu.room = nil
	}
	return b
}
