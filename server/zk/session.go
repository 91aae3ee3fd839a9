package zk

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"viewring/internal/session"
	"viewring/internal/wire"
	"viewring/server/zk/jute"
)

// begin opens a session, or takes up the one that the client names, and answers. Where that is
// over the client is told so, and there is nothing more to do.
func (c *conn) begin(hello *jute.Connect) error {
	sent := time.Now()
	var err error
	id := uint64(hello.Session)
	if id == 0 {
		if !c.f.opening.may(sent) {
			c.f.stats.turnedAway.Add(1)
			c.f.opts.Logger.Debug("too many sessions are opened", "from", c.nc.RemoteAddr().String())
			return nil
		}
		ttl := time.Duration(hello.Timeout) * time.Millisecond
		c.ttl = min(max(ttl, c.f.opts.SessionMin), c.f.opts.SessionMax)
		ctx, cancel := context.WithTimeout(c.ctx, c.f.opts.Patience)
		defer cancel()
		id, err = c.f.opts.Client.Leader().SessionOpen(ctx, c.ttl, 0)
		if err != nil {
			c.f.opts.Logger.Warn("a session can't be opened", "err", err)
			return nil
		}
	} else if err = c.resume(id, hello); err != nil {
		if !errors.Is(err, errExpired) {
			c.f.opts.Logger.Warn("a session can't be taken up", "session", fmt.Sprintf("0x%x", id), "err", err)
			return nil // the client tries again, here or elsewhere
		}
		c.f.stats.expired.Add(1)
		return c.answerNow(jute.AppendConnected(nil, &jute.Connect{Password: make([]byte, passwordBytes), HasReadOnly: hello.HasReadOnly}))
	}
	c.session, c.opened = id, hello.Session == 0
	c.beat.start(c, sent)
	c.out.mu.zxid = max(0, hello.LastZxid)
	c.out.message(jute.AppendConnected(nil, &jute.Connect{Timeout: int32(c.ttl.Milliseconds()), Session: int64(id),
		Password: c.f.password(id, c.ttl), HasReadOnly: hello.HasReadOnly}))
	return nil
}

// opening bounds how many sessions a front opens. The protocol has the session's number in the answer to the
// first message, before a client can say a password: so strangers open sessions, which stay for their time to live
// where no password is wanted. The zero value has opened none.
type opening struct {
	mu    sync.Mutex
	spent float64 // of sessionsBurst
	at    time.Time
}

// may counts one more; false where that is too many.
func (o *opening) may(now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now.After(o.at) {
		o.spent = max(0, o.spent-now.Sub(o.at).Seconds()*sessionsRate)
		o.at = now
	}
	if o.spent+1 > sessionsBurst {
		return false
	}
	o.spent++
	return true
}

// errExpired says that there is no such session, not any more or of another password.
var errExpired = errors.New("no such session")

// resume takes a session up.
func (c *conn) resume(id uint64, hello *jute.Connect) error {
	var ok bool
	if c.ttl, ok = c.f.ttlOf(id, hello.Password); !ok {
		return errExpired
	}
	ctx, cancel := context.WithTimeout(c.ctx, min(c.f.opts.Patience, c.ttl))
	defer cancel()
	err := c.f.opts.Client.Leader().SessionKeep(ctx, id)
	if wire.IsCode(err, wire.CodeNoSession) {
		return errExpired
	}
	return err
}

// answerNow writes a message before anybody else writes.
func (c *conn) answerNow(b []byte) error {
	_ = c.nc.SetWriteDeadline(time.Now().Add(c.f.opts.Bounds.WriteTimeout)) // a broken connection says so when it is written
	if _, err := c.nc.Write(jute.AppendBytes(nil, b)); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	return nil
}

// endSession ends the session, whatever becomes of the connection.
func (c *conn) endSession() error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), c.f.opts.Patience)
	defer cancel()
	return c.f.opts.Client.Leader().SessionEnd(ctx, c.session)
}

// beat tells the view leader that the client lives, as long as it does, and not every time that it
// is heard: once in a quarter of its time to live.
type beat struct {
	c *conn

	mu struct {
		sync.Mutex
		keeper session.Keeper
		heard  bool        // the client was, since the view leader was told last
		asking bool        // the view leader is being told
		next   time.Time   // when it may be told again
		timer  *time.Timer // that looks again; nil before the start, and after the end
	}
}

// start begins, for a session that the view leader heard of by a message sent at sent.
func (b *beat) start(c *conn, sent time.Time) {
	b.c = c
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.keeper = session.NewKeeper(c.ttl, sent)
	b.mu.next = sent.Add(b.mu.keeper.Pause())
	b.mu.timer = time.AfterFunc(time.Until(b.mu.keeper.Until()), b.look)
}

// stop ends it.
func (b *beat) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.timer != nil {
		b.mu.timer.Stop()
		b.mu.timer = nil
	}
}

// heard notes that the client lives.
func (b *beat) heard() {
	b.mu.Lock()
	b.mu.heard = true
	b.mu.Unlock()
	b.look()
}

// look tells the view leader, if it is time, and drops the connection of a client that lives
// while the view leader may have taken it for dead: only the view leader can say whether the
// session goes on, and does so when the client connects anew.
func (b *beat) look() {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	switch {
	case b.mu.timer == nil:
	case !now.Before(b.mu.keeper.Until()):
		why := "the client was silent"
		if b.mu.heard || b.mu.asking {
			why = "the view leader has not confirmed the session in time"
		}
		b.end(why)
	case !b.mu.heard:
		b.mu.timer.Reset(b.mu.keeper.Until().Sub(now))
	case now.Before(b.mu.next):
		b.mu.timer.Reset(b.mu.next.Sub(now))
	case !b.mu.asking:
		b.mu.asking, b.mu.heard = true, false
		until := b.mu.keeper.Until()
		b.mu.timer.Reset(until.Sub(now))
		b.c.working.Go(func() { b.tell(now, until) })
	}
}

// end drops the connection. The caller holds mu.
func (b *beat) end(why string) {
	b.mu.timer.Stop()
	b.mu.timer = nil
	b.c.drop(why)
}

// tell has the view leader know that the client lived at a time.
func (b *beat) tell(sent, until time.Time) {
	ctx, cancel := context.WithDeadline(b.c.ctx, until)
	defer cancel()
	err := b.c.f.opts.Client.Leader().SessionKeep(ctx, b.c.session)
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.asking = false
	switch {
	case b.mu.timer == nil:
		return
	case wire.IsCode(err, wire.CodeNoSession):
		b.end("the session has ended")
		return
	case err == nil && b.mu.keeper.Heard(sent, now):
	default:
		b.mu.heard = true // it was, and is to be told again
		b.mu.keeper.Failed()
	}
	b.mu.next = sent.Add(b.mu.keeper.Pause())
	b.mu.timer.Reset(max(0, b.mu.next.Sub(now)))
}
