package front

import (
	"context"
	"time"

	"viewring/internal/wait"
)

const finishLookEvery = 25 * time.Millisecond

// For a service that makes its answers itself: a client that has asked nothing for quietMin is
// hung up on at once, others at the latest after quietMax, when what they have asked is answered.
const (
	quietMin = 200 * time.Millisecond
	quietMax = time.Second
)

// Retire lets the clients go of a service that is about to end, and returns when all have left, or with
// ctx: nobody new is let in, what clients have sent is carried out and answered, and then they are hung
// up on. It is for services without a Takeover.
func (s *Server) Retire(ctx context.Context) {
	s.mu.Lock()
	s.mu.retiring = true
	if s.mu.listener != nil {
		_ = s.mu.listener.Close() // nobody waits for more
	}
	s.mu.Unlock()
	quiet, cancel := context.WithTimeout(ctx, quietMax)
	s.eachQuiet(quiet, quietMin, (*Conn).dismiss)
	cancel()
	for s.serves() && wait.For(ctx, finishLookEvery) {
	}
}

// retires reports whether Retire was called.
func (s *Server) retires() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.retiring
}

// serves reports whether somebody waits for an answer, or is to be let hang up first.
func (s *Server) serves() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mu.conns) > 0
}

// dismiss lets no further command begin: the connection then ends as after QUIT.
func (c *Conn) dismiss() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.mu.ended { // else the deadline is another's
		c.leaves.Store(true)
		_ = c.nc.SetReadDeadline(longAgo) // a broken connection says so when it is read
	}
	return true
}

// Finish hangs up on the clients of a service that is about to end: on each once it has asked
// for nothing for so long and has all its answers, so that no request is cut off that was on
// its way. It returns when none is left, or when ctx ends; then those are hung up on too that
// have all their answers at that moment. Clients that come meanwhile are served until then.
// Connections that were taken over are left alone.
func (s *Server) Finish(ctx context.Context, idle time.Duration) {
	s.eachQuiet(ctx, idle, (*Conn).farewell)
}

// eachQuiet has bye end a connection once its client has asked nothing for so long, and when ctx ends that of each that
// is left; bye is false where it is too early.
func (s *Server) eachQuiet(ctx context.Context, idle time.Duration, bye func(*Conn) bool) {
	type look struct {
		came  uint64
		since time.Time
	}
	seen := make(map[*Conn]look)
	for {
		over, left := ctx.Err() != nil, 0
		for _, c := range s.clients() {
			now := look{c.came.Load(), time.Now()}
			if before, known := seen[c]; !known || before.came != now.came {
				seen[c] = now
			}
			if !over && time.Since(seen[c].since) < idle || !bye(c) {
				left++
			}
		}
		if over || left == 0 {
			return
		}
		wait.For(ctx, finishLookEvery)
	}
}

// clients are the connections on which commands may come.
func (s *Server) clients() (all []*Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.mu.conns {
		c.mu.Lock()
		if !c.mu.ended && !c.mu.gone && !c.mu.dismissed && !c.leaves.Load() {
			all = append(all, c)
		}
		c.mu.Unlock()
	}
	return all
}

// farewell ends what is written to a client, unless it waits for an answer. It is read until
// it hangs up or the Server stops: closed with unread bytes the connection would be reset.
func (c *Conn) farewell() bool {
	if !c.TakeWriter() { // and nobody gets it any more
		return false
	}
	c.mu.Lock()
	c.mu.dismissed = true
	c.mu.Unlock()
	if half, can := c.nc.(interface{ CloseWrite() error }); !can || half.CloseWrite() != nil {
		_ = c.nc.Close() // lets the reader go
	}
	return true
}
