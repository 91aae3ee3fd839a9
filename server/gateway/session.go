package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"viewring/internal/front"
	"viewring/internal/route"
	"viewring/internal/wire"
	"viewring/server/redis"
)

// session is a client's. Its connection's reading goroutine sends commands on, the other
// one waits for the answers and writes them.
type session struct {
	*front.Conn
	g      *Gateway
	pipe   *route.Pipeline
	ctx    context.Context // ends when nobody writes any more
	cancel context.CancelFunc

	// Of the reading goroutine.
	client *redis.Session
	tx     transaction
	asked  int64    // bytes of the command being run, until its item has them
	asking asking   // the command that is being run
	wrote  []uint64 // bits: the slots that were written to

	ended redis.Ended // what the answer that is being written comes to; of who has the writer
}

// asking is a command as it was read, for who counts it when it is answered.
type asking struct {
	number, words int
	came          time.Time
	firstBytes    int                 // of its first argument,
	first         [firstBytesMax]byte // which begins so
}

// firstBytesMax is how much of a first argument is kept for the slow log, so that who is not slow costs no allocation.
const firstBytesMax = 48

// is says which command it is.
func (a *asking) is(cmd *redis.Command, args [][]byte) {
	a.number = cmd.Index
	if len(args) > 0 {
		a.firstBytes = len(args[0])
		copy(a.first[:], args[0])
	}
}

// show is the first argument as the slow log has it.
func (a *asking) show() string {
	if more := a.firstBytes - firstBytesMax; more > 0 {
		return fmt.Sprintf("%s... (%d more bytes)", a.first[:], more)
	}
	return string(a.first[:a.firstBytes])
}

// item is a command whose answer is to be written. write is called in the
// command's turn and waits for what it writes; ready says that it need not.
type item struct {
	s     *session
	write func(ctx context.Context, w *wire.Writer)
	ready func() bool // nil: it is
	bytes int64       // of the command
	asked asking
	ended redis.Ended
	done  chan struct{} // closed when it was written, where somebody waits for that
}

// Done reports that there is nothing to wait for.
func (it *item) Done() bool { return it.ready == nil || it.ready() }

// Write waits for the answer and writes it. When the client is gone it waits all the same,
// for mutations are under way.
func (it *item) Write(w *wire.Writer) {
	it.s.ended = redis.EndedOK
	it.write(it.s.ctx, w)
	it.ended = it.s.ended
}

// Release ends the command.
func (it *item) Release() {
	m, a := it.s.g.monitor, &it.asked
	d := redis.Done{Number: a.number, Words: a.words, Ended: it.ended, Took: time.Since(a.came)}
	if m.Slow(d.Took) {
		d.First = a.show()
	}
	m.Done(it.s.client, d)
	it.s.Give(it.bytes)
	if it.done != nil {
		close(it.done)
	}
}

// Size and MustWait are of no interest: answers are written in their turn.
func (it *item) Size() int { return 0 }

// MustWait is false: the client's pipeline keeps the order of what must not be swapped.
func (it *item) MustWait([]front.Reply) bool { return false }

func (g *Gateway) newSession(c *front.Conn) front.Session {
	s := &session{Conn: c, g: g, client: g.front.Join(c.RemoteAddr().String(), c.LocalAddr().String())}
	s.pipe = g.opts.Client.NewPipeline(g.opts.Patience, g.opts.Bounds.Buffered)
	s.ctx, s.cancel = context.WithCancel(g.ctx)
	return s
}

// Run carries out a command, or sends it on.
func (s *session) Run(words [][]byte) error {
	s.g.stats.commands.Add(1)
	s.asking = asking{number: s.g.monitor.Other(), words: len(words), came: time.Now()}
	size := sizeOf(words)
	if !s.Await(size) {
		s.wrong(busy)
		return nil
	}
	s.asked = size
	err := s.run(words)
	s.Give(s.asked) // of what got no answer
	s.asked = 0
	return err
}

// busy answers a command for which there is no room.
const busy = wire.CodeBusy + " too many bytes are under way"

// Submit does nothing: commands are sent on when they are run.
func (s *session) Submit() {}

// Flushed does nothing, either.
func (s *session) Flushed(bool) {}

// Ended does nothing: mutations that are under way are waited for.
func (s *session) Ended() {}

// Left ends the session.
func (s *session) Left() {
	s.endTransaction()
	s.client.Leave()
	s.cancel()
}

// push puts an answer in line, waiting while there are too many.
func (s *session) push(it item) {
	it.s, it.bytes, it.asked = s, s.asked, s.asking
	s.asked = 0
	s.Push(&it)
	s.Notify()
}

// reply answers a command at once, in its turn.
func (s *session) reply(write func(w *wire.Writer)) {
	s.push(item{write: func(_ context.Context, w *wire.Writer) { write(w) }})
}

func (s *session) replyError(text string) {
	s.reply(func(w *wire.Writer) { s.writeError(w, text) })
}

func (s *session) writeError(w *wire.Writer, text string) {
	s.ended = redis.EndedWith(text)
	w.WriteError(text)
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
	s.writeError(w, failureText(err))
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
