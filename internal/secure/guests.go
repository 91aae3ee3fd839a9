package secure

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// guestMin is how long a guest is left in peace: a handshake and a password take less, unless
// very many come at once, who then wait to be let in.
const guestMin = time.Second

// Guests are connections that have not shaken hands or said the password yet. They are bounded
// together: where there are too many, the one that has been there longest is cut off, after
// guestMin, so whoever says nothing keeps nobody out. Any goroutine may call its methods.
type Guests struct {
	most int

	mu      sync.Mutex
	inside  list.List     // of *guest, in the order in which they came; guarded by mu
	changed chan struct{} // closed when one leaves; nil: nobody waits; guarded by mu
}

type guest struct {
	since time.Time
	cut   func()
}

// NewGuests returns a room for so many.
func NewGuests(most int) *Guests { return &Guests{most: max(1, most)} }

// Enter lets a connection in, waiting until there is room or ctx ends. cut is called once if it
// has to go; it must not wait. leave is called when the connection is a guest no more, or over,
// and may be called again.
func (g *Guests) Enter(ctx context.Context, cut func()) (leave func()) {
	g.mu.Lock()
	for g.inside.Len() >= g.most && ctx.Err() == nil {
		oldest := g.inside.Front()
		left := guestMin - time.Since(oldest.Value.(*guest).since)
		if left <= 0 {
			g.inside.Remove(oldest)
			oldest.Value.(*guest).cut()
			continue
		}
		g.await(ctx, left)
	}
	e := g.inside.PushBack(&guest{since: time.Now(), cut: cut})
	g.mu.Unlock()
	return sync.OnceFunc(func() { g.leave(e) })
}

// await waits until one has left, for a while. The caller holds mu.
func (g *Guests) await(ctx context.Context, most time.Duration) {
	if g.changed == nil {
		g.changed = make(chan struct{})
	}
	changed := g.changed
	g.mu.Unlock()
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
	}
	g.mu.Lock()
}

func (g *Guests) leave(e *list.Element) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside.Remove(e) // nothing where it was cut off
	if g.changed != nil {
		close(g.changed)
		g.changed = nil
	}
}

// Len returns how many there are.
func (g *Guests) Len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inside.Len()
}

type guestKey struct{}

// WithGuest has Greeted, with a context that comes from the one that it returns, call leave.
func WithGuest(ctx context.Context, leave func()) context.Context {
	return context.WithValue(ctx, guestKey{}, leave)
}

// Greeted says that the request of a context has a right password, or needs none.
func Greeted(ctx context.Context) {
	if leave, ok := ctx.Value(guestKey{}).(func()); ok {
		leave()
	}
}
