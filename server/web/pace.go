package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"
)

// pace is how fast a client sends a body, by the time that it was waited for: what the front itself is slow at does
// not count.
type pace struct {
	conn     *http.ResponseController
	patience time.Duration // without a byte

	mu     sync.Mutex
	bytes  int64         // since
	waited time.Duration // so long was waited,
	since  time.Time     // besides what is waited for since then; zero: nothing is
	cut    bool          // it was too slow while others waited
}

// paceOver is the time over which a pace is taken: of a client that is not slow all of it may pass without a byte once.
const paceOver = 3 * time.Second

// errSlow: others waited for the room that an upload took.
var errSlow = errors.New("the body came too slowly, and others waited for its room in memory: send it again")

// begin is told that a read begins.
func (p *pace) begin() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut {
		return os.ErrDeadlineExceeded
	}
	p.since = time.Now()
	_ = p.conn.SetReadDeadline(p.since.Add(p.patience)) // where there are none nobody is slow
	return nil
}

// end is told what it has brought.
func (p *pace) end(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waited += time.Since(p.since)
	p.bytes += int64(n)
	p.since = time.Time{}
	if p.waited >= 2*paceOver { // what was long ago counts less
		p.waited /= 2
		p.bytes /= 2
	}
}

// failed is what ended the reading, as it is told.
func (p *pace) failed(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut {
		return fmt.Errorf("%w: %w", errSlow, err)
	}
	return err
}

// cutOff ends the upload if it is slower than so many bytes a second.
func (p *pace) cutOff(least int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	waited := p.waited
	if !p.since.IsZero() {
		waited += time.Since(p.since)
	}
	if p.cut || waited < paceOver || float64(p.bytes) >= float64(least)*waited.Seconds() {
		return false
	}
	p.cut = true
	// The read that waits ends, and so does what net/http reads of the rest before it answers.
	_ = p.conn.SetReadDeadline(time.Unix(1, 0))
	return true
}

type paceKey struct{}

// withPace is a context of a request whose body has a pace.
func withPace(ctx context.Context, p *pace) context.Context {
	return context.WithValue(ctx, paceKey{}, p)
}

// paceOf is that of the request of a context; nil: there is none.
func paceOf(ctx context.Context) *pace {
	p, _ := ctx.Value(paceKey{}).(*pace)
	return p
}
