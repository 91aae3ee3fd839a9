package front

import (
	"context"
	"time"

	"viewring/internal/wait"
)

const finishLookEvery = 25 * time.Millisecond

// Finish hangs up on the clients of a service that is about to end: on each once it has asked
// for nothing for so long and has all its answers, so that no request is cut off that was on
// its way. It returns when none is left, or when ctx ends; then those are hung up on too that
// have all their answers at that moment. Clients that come meanwhile are served until then.
// Connections that were taken over are left alone.
func (s *Server) Finish(ctx context.Context, idle time.Duration) {
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
			if !over && time.Since(seen[c].since) < idle || !c.farewell() {
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
		if !c.mu.ended && !c.mu.gone && !c.mu.dismissed {
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
