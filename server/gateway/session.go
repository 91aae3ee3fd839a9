package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"viewring/internal/route"
	"viewring/internal/wire"
	"viewring/server/redis"
)

// session is a client's connection. One goroutine reads commands and sends them
// on, another writes the answers in the commands' order.
type session struct {
	g      *Gateway
	nc     net.Conn
	pipe   *route.Pipeline
	reader *wire.Reader
	writer *wire.Writer
	line   *queue
	ctx    context.Context // ends when nobody writes any more
	cancel context.CancelFunc

	// Of the reading goroutine.
	client *redis.Session
	tx     transaction
	wrote  []uint64 // bits: the slots that were written to
}

// item is a command whose answer is to be written. write is called in the
// command's turn and waits for what it writes; ready says that it need not.
type item struct {
	write func(ctx context.Context, w *wire.Writer)
	ready func() bool   // nil: it is
	bytes int64         // of the command
	done  chan struct{} // closed when it was written, where somebody waits for that
}

func newSession(g *Gateway, nc net.Conn) *session {
	s := &session{g: g, nc: nc, client: g.front.Join(nc.RemoteAddr().String(), nc.LocalAddr().String()), line: newQueue(g.opts.Bounds.Pipeline, g.opts.Bounds.Buffered)}
	s.pipe = g.opts.Client.NewPipeline(g.opts.Patience, g.opts.Bounds.Buffered)
	limits := wire.DefaultLimits
	limits.TotalBytesMax = g.opts.Bounds.Request
	limits.BulkBytesMax = min(limits.BulkBytesMax, g.opts.Bounds.Request)
	s.reader = wire.NewReader(nc, limits)
	s.writer = wire.NewWriter(deadlineWriter{s})
	s.ctx, s.cancel = context.WithCancel(g.ctx)
	return s
}

// deadlineWriter cuts off who does not read.
type deadlineWriter struct{ s *session }

func (w deadlineWriter) Write(p []byte) (int, error) {
	if err := w.s.nc.SetWriteDeadline(time.Now().Add(w.s.g.opts.Bounds.WriteTimeout)); err != nil {
		return 0, err
	}
	n, err := w.s.nc.Write(p)
	var slow net.Error
	if errors.As(err, &slow) && slow.Timeout() {
		w.s.g.stats.slow.Add(1)
		w.s.g.opts.Logger.Warn("a client that does not read was cut off", "peer", w.s.nc.RemoteAddr())
	}
	return n, err
}

// serve runs the session to its end.
func (s *session) serve() {
	written := make(chan struct{})
	go func() {
		defer close(written)
		s.writeAll()
	}()
	err := s.readAll()
	s.g.strangers.Note(s.g.opts.Logger, s.nc.RemoteAddr(), err)
	if errors.Is(err, wire.ErrProtocol) || errors.Is(err, wire.ErrTooLarge) {
		if errors.Is(err, wire.ErrTooLarge) {
			s.g.stats.tooLarge.Add(1)
		}
		s.replyError(wire.CodeErr + " Protocol error: " + err.Error())
	}
	s.line.end()
	<-written
	s.tx.unpin()
	s.client.Leave()
	s.cancel()
	_ = s.nc.Close() // over in any case
}

// errQuit ends a session that asked for it.
var errQuit = errors.New("quit")

func (s *session) readAll() error {
	for {
		args, err := s.reader.ReadCommand()
		if err != nil {
			if err != io.EOF {
				s.g.opts.Logger.Debug("a connection broke", "peer", s.nc.RemoteAddr(), "err", err)
			}
			return err
		}
		s.g.stats.commands.Add(1)
		if err := s.run(args); err != nil {
			return err
		}
	}
}

// writeAll writes answers until there are no more. When the client is gone it
// goes on waiting for them, for mutations are under way.
func (s *session) writeAll() {
	broken := false
	flush := func() {
		if err := s.writer.Flush(); err != nil && !broken {
			broken = true
			_ = s.nc.Close() // lets the reader go
		}
	}
	for {
		it, ok := s.line.front()
		if !ok {
			break
		}
		if it.ready != nil && !it.ready() {
			flush()
		}
		it.write(s.ctx, s.writer)
		if !s.line.over() {
			flush()
		}
		if it.done != nil {
			close(it.done)
		}
	}
	flush()
}

// push puts an answer in line, waiting while there are too many.
func (s *session) push(it item) {
	if s.line.put(it) {
		s.g.stats.pipelines.Add(1)
	}
}

// reply answers a command at once, in its turn.
func (s *session) reply(write func(w *wire.Writer)) {
	s.push(item{write: func(_ context.Context, w *wire.Writer) { write(w) }})
}

func (s *session) replyError(text string) {
	s.reply(func(w *wire.Writer) { w.WriteError(text) })
}

func (s *session) replyOK() {
	s.reply(func(w *wire.Writer) { w.WriteSimple("OK") })
}

// now carries something out in its turn, after all before it were answered and
// before anything after it is read.
func (s *session) now(do func(ctx context.Context, w *wire.Writer)) {
	done := make(chan struct{})
	s.push(item{write: do, ready: func() bool { return false }, done: done})
	<-done
}

// writeFailure writes why there is no answer.
func (s *session) writeFailure(w *wire.Writer, err error) {
	s.g.stats.failures.Add(1)
	w.WriteError(failureText(err))
}

var codes = []struct {
	kind error
	code string
}{
	{route.ErrUnknownOutcome, wire.CodeUnknownOutcome},
	{route.ErrDiskFull, wire.CodeReadOnly},
	{route.ErrUnavailable, wire.CodeUnavailable},
	{route.ErrUnreachable, wire.CodeUnavailable},
	{route.ErrTooFewCopies, wire.CodeNotEnoughCopies},
	{route.ErrBusy, wire.CodeBusy},
}

func failureText(err error) string {
	if reply, ok := err.(*wire.ServerError); ok {
		return reply.Error()
	}
	for _, c := range codes {
		if errors.Is(err, c.kind) {
			return c.code + " " + err.Error()
		}
	}
	return wire.CodeErr + " " + err.Error()
}
