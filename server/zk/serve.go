package zk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"viewring/internal/route"
	"viewring/internal/tree"
	"viewring/internal/wire"
	"viewring/server/zk/jute"
)

// answer is what a request comes to.
type answer struct {
	code jute.Code
	zxid int64 // of what it shows
	body []byte
	then func() // called once the answer is in line; nil: nothing is to be done
}

// failure is the error of a request that has a code of its own.
type failure struct {
	code jute.Code
	why  string
}

func (f *failure) Error() string { return f.why }

func failf(code jute.Code, format string, args ...any) error {
	return &failure{code, fmt.Sprintf(format, args...)}
}

// handlers carry requests out, by their types.
var handlers map[jute.Op]func(c *conn, ctx context.Context, q *jute.Request) (answer, error)

func init() {
	handlers = map[jute.Op]func(c *conn, ctx context.Context, q *jute.Request) (answer, error){
		jute.OpCreate: (*conn).create, jute.OpCreate2: (*conn).create, jute.OpCreateContainer: (*conn).create, jute.OpCreateTTL: (*conn).create,
		jute.OpDelete: (*conn).remove, jute.OpExists: (*conn).exists, jute.OpGetData: (*conn).getData, jute.OpSetData: (*conn).setData,
		jute.OpGetACL: (*conn).getACL, jute.OpSetACL: (*conn).setACL, jute.OpGetChildren: (*conn).getChildren, jute.OpGetChildren2: (*conn).getChildren,
		jute.OpSync: (*conn).sync, jute.OpMulti: (*conn).multi, jute.OpMultiRead: (*conn).multiRead,
		jute.OpCheckWatches: (*conn).checkWatches, jute.OpRemoveWatches: (*conn).removeWatches, jute.OpAddWatch: (*conn).addWatch,
		jute.OpSetWatches: (*conn).setWatches, jute.OpSetWatches2: (*conn).setWatches, jute.OpClose: (*conn).close,
	}
}

// serve carries a request out and puts its answer in line.
func (c *conn) serve(q *request) {
	base := c.ctx // nobody waits for what is read, once the client is gone
	if changes(q.Op) {
		base = c.f.ctx
	}
	ctx, cancel := context.WithTimeout(base, c.f.opts.Patience)
	defer cancel()
	c.watches.tidy()
	c.out.await(outputRoom, false)
	a, err := c.carryOut(ctx, q)
	defer func() {
		c.giveBack(c.built)
		c.built = 0
	}()
	if endsConn(err) {
		c.f.count(c, q, jute.ConnectionLoss)
		c.hangUp(err)
		return
	}
	if err != nil {
		a.code, a.body = codeOf(err), nil
	}
	if a.then == nil {
		if c.out.answer(q.Xid, a.zxid, a.code, a.body) {
			c.out.run()
		}
	} else {
		c.out.reply(q.Xid, a.zxid, a.code, a.body) // and what follows does not wait for the client
		c.f.letPass(beforeArming)
		a.then()
	}
	c.f.count(c, q, a.code)
	c.f.stats.took(time.Since(q.came))
}

// carryOut reads a request, and carries it out.
func (c *conn) carryOut(ctx context.Context, q *request) (a answer, err error) {
	if q.Op == jute.OpSetWatches || q.Op == jute.OpSetWatches2 {
		if err := c.build(pathsGrow * len(q.raw)); err != nil {
			return a, err
		}
	}
	r, err := jute.DecodeRequest(q.raw)
	handle := handlers[q.Op]
	switch {
	case errors.Is(err, jute.ErrTooMany):
		err = &failure{jute.BadArguments, err.Error()}
	case err != nil:
		err = &failure{jute.MarshallingError, err.Error()}
	case handle == nil:
		err = failf(jute.Unimplemented, "requests of type %d are not served", q.Op)
	default:
		a, err = handle(c, ctx, &r)
	}
	if err != nil && !endsConn(err) {
		c.noteFailure(&r, codeOf(err), err)
	}
	return a, err
}

// pathsGrow is how many times the bytes of short paths take when they were read.
const pathsGrow = 5

// endsConn reports whether an error ends the connection: nothing that an answer shows may be told before its events.
func endsConn(err error) bool { return err == errUntold || err == errFull }

// changes reports whether requests of a type are carried out to their end, whatever becomes of the client.
func changes(op jute.Op) bool {
	switch op {
	case jute.OpCreate, jute.OpCreate2, jute.OpCreateContainer, jute.OpCreateTTL, jute.OpDelete, jute.OpSetData, jute.OpMulti, jute.OpClose:
		return true
	}
	return false
}

// noteFailure counts and logs what is more than an answer about a node. What clients do wrong is theirs to log.
func (c *conn) noteFailure(q *jute.Request, code jute.Code, err error) {
	if code > jute.SystemError || code <= jute.NoNode || c.ctx.Err() != nil {
		return
	}
	c.f.stats.failed.Add(1)
	level := slog.LevelInfo
	if code == jute.BadArguments || code == jute.MarshallingError || code == jute.Unimplemented {
		level = slog.LevelDebug
	}
	c.f.opts.Logger.Log(c.ctx, level, "a request has failed", "session", c.name(), "type", int32(q.Op), "path", cut(q.Path), "code", code.String(), "err", cut(err.Error()))
}

// loggedMax is how many bytes of what a client says go into a line of the log.
const loggedMax = 100

// cut is the beginning of a text.
func cut(s string) string {
	if len(s) > loggedMax {
		return fmt.Sprintf("%s... (%d bytes)", strings.ToValidUTF8(s[:loggedMax], "?"), len(s))
	}
	return s
}

func (s *stats) took(d time.Duration) {
	us := d.Microseconds()
	s.latencyCount.Add(1)
	s.latencySum.Add(us)
	for {
		was := s.latencyMax.Load()
		if us <= was || s.latencyMax.CompareAndSwap(was, us) {
			return
		}
	}
}

// errUntold says that the watches of a session may not have been told what an answer shows.
var errUntold = errors.New("an event has not come in time")

// codes are what clients are told of errors.
var codes = []struct {
	err  error
	code jute.Code
}{
	{tree.ErrNoNode, jute.NoNode},
	{tree.ErrNoParent, jute.NoNode},
	{tree.ErrNodeExists, jute.NodeExists},
	{tree.ErrNotEmpty, jute.NotEmpty},
	{tree.ErrBadVersion, jute.BadVersion},
	{tree.ErrEphemeral, jute.NoChildrenForEphemerals},
	{tree.ErrBadPath, jute.BadArguments},
	{tree.ErrHadChild, jute.Unimplemented},
	{errTooMany, jute.SystemError},
	{route.ErrTooLarge, jute.BadArguments},
	{tree.ErrUnreadable, jute.SystemError},
}

// codeOf is what a client is told of an error, OK of none. All that may have been done, or may be done if it is
// tried again, is a lost connection, which clients know to handle.
func codeOf(err error) jute.Code {
	var own *failure
	if err == nil {
		return jute.OK
	}
	if errors.As(err, &own) {
		return own.code
	}
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return jute.ConnectionLoss
}

// hold waits until the client was told, by its watches, all that was done in a directory up to a
// version, which an answer shows: an event comes before the state that follows.
func (c *conn) hold(ctx context.Context, streams []*stream, dir string, version wire.TreeVersion) error {
	for _, s := range streams {
		if s.await(ctx, dir, version) != nil {
			return errUntold
		}
	}
	return nil
}

// holdAbsent is hold for an answer that shows that a node is not there, or is not any more: that has no version, but
// its removal is no later than the last in the directory.
func (c *conn) holdAbsent(ctx context.Context, streams []*stream, dir string) error {
	if len(streams) == 0 {
		return nil
	}
	p, err := c.f.ask(ctx, "look at "+dir)(&wire.TreeRequest{Op: wire.TreeDirectory, Dir: dir})
	switch {
	case err != nil:
		return errUntold
	case p.Directory != nil && p.Directory.Changed != wire.TreeVersion{}: // else it is of a directory that was created anew
		return c.hold(ctx, streams, dir, p.Directory.Changed)
	}
	for _, s := range streams {
		if c.watches.awaitGone(ctx, s, dir) != nil {
			return errUntold
		}
	}
	return nil
}

// close ends the session, and its nodes that were created here, before it is answered.
func (c *conn) close(_ context.Context, _ *jute.Request) (answer, error) {
	c.removeOwned()
	if err := c.endSession(); err != nil {
		c.f.opts.Logger.Warn("a session was not ended: it will by its time to live", "session", c.name(), "err", err)
	}
	return answer{then: func() {
		c.out.flush()
		c.hangUp(errClosed)
	}}, nil
}
