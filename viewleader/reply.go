package viewleader

import (
	"sync"
	"time"

	"viewring/internal/front"
	"viewring/internal/wire"
)

// reply is the answer to one command, in the place that the command had on its
// connection. Whoever works on the command finishes it, at any time, from any
// goroutine; or the connection breaks first and it is lost.
type reply struct {
	c       *conn          // whose it is; nil in tests
	id      wire.CommandID // that the client gave its command; zero: none
	bytes   int64          // of its command
	done    chan struct{}  // closed when write is set
	written bool           // of who has the connection's writer
	command int            // its number
	number  uint64         // of the connection, for who counts
	came    time.Time
	failed  bool // the answer is an error; set before done is closed

	mu struct {
		sync.Mutex
		write func(*wire.Writer)
		ended bool
		end   func(delivered bool)
	}
}

func newReply() *reply { return &reply{done: make(chan struct{})} }

func (c *conn) newReply() *reply {
	r := newReply()
	r.c, r.came, r.number = c, time.Now(), c.number
	return r
}

// finish sets the answer. Only the first counts.
func (r *reply) finish(write func(*wire.Writer)) { r.answer(false, write) }

// answer is finish; failed says that it is an error, for who counts.
func (r *reply) answer(failed bool, write func(*wire.Writer)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.write != nil {
		return
	}
	r.mu.write, r.failed = write, failed
	close(r.done)
	if r.c != nil {
		r.c.Notify()
	}
}

func (r *reply) bulk(b []byte) { r.finish(func(w *wire.Writer) { w.WriteBulk(b) }) }

func (r *reply) fail(code, text string) { r.error(code + " " + text) }

func (r *reply) error(text string) {
	r.answer(true, func(w *wire.Writer) { w.WriteError(text) })
}

// onEnd sets what is called, once, when the answer was handed to the network or
// can't be any more. It is false, and nothing is called, when it can't already.
func (r *reply) onEnd(end func(delivered bool)) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.mu.ended {
		r.mu.end = end
	}
	return !r.mu.ended
}

func (r *reply) finalize(delivered bool) {
	r.mu.Lock()
	end := r.mu.end
	r.mu.ended, r.mu.end = true, nil
	r.mu.Unlock()
	if end != nil {
		end(delivered)
	}
}

func (r *reply) isDone() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// Done reports that the answer is there, or that nobody waits for it.
func (r *reply) Done() bool { return r.isDone() || r.c.hungUp() }

// Write writes the answer, if there is one.
func (r *reply) Write(w *wire.Writer) {
	if !r.isDone() {
		return
	}
	r.mu.Lock()
	write := r.mu.write
	r.mu.Unlock()
	write(w)
	r.written = true
	r.c.written = append(r.c.written, r)
}

// Release ends the command. What becomes of an answer that was written is known when it
// is flushed.
func (r *reply) Release() {
	r.took()
	r.c.Give(r.bytes)
	if !r.written {
		r.finalize(false)
	}
}

// Size is of no interest: one goroutine writes all.
func (r *reply) Size() int { return 0 }

// MustWait is false: commands are set to work as they come.
func (r *reply) MustWait([]front.Reply) bool { return false }
