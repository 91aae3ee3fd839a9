package viewleader

import (
	"sync"

	"viewring/internal/wire"
)

// reply is the answer to one command, in the place that the command had on its
// connection. Whoever works on the command finishes it, at any time, from any
// goroutine; or the connection breaks first and it is lost.
type reply struct {
	id   wire.CommandID // that the client gave its command; zero: none
	done chan struct{}  // closed when write is set

	mu struct {
		sync.Mutex
		write func(*wire.Writer)
		ended bool
		end   func(delivered bool)
	}
}

func newReply() *reply { return &reply{done: make(chan struct{})} }

// finish sets the answer. Only the first counts.
func (r *reply) finish(write func(*wire.Writer)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.write == nil {
		r.mu.write = write
		close(r.done)
	}
}

func (r *reply) bulk(b []byte) { r.finish(func(w *wire.Writer) { w.WriteBulk(b) }) }

func (r *reply) fail(code, text string) { r.error(code + " " + text) }

func (r *reply) error(text string) { r.finish(func(w *wire.Writer) { w.WriteError(text) }) }

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

func (r *reply) writeTo(w *wire.Writer) {
	r.mu.Lock()
	write := r.mu.write
	r.mu.Unlock()
	write(w)
}
