package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"viewring/internal/route"
	"viewring/internal/session"
	"viewring/internal/wait"
	"viewring/internal/wire"
)

// What a session is like unless said otherwise.
const (
	sessionTTL   = 10 * time.Second
	sessionDelay = time.Second
	keepRetry    = session.RetryEvery
)

// SessionOptions say how a session ends by silence.
type SessionOptions struct {
	// TTL is the silence after which it ends; 0 is 10 s.
	TTL time.Duration
	// LockDelay keeps its locks from others for so long once it ended by silence:
	// time to stop what was done under them. 0 is 1 s, negative is none.
	LockDelay time.Duration
}

// Session is what locks end with: it is kept alive until Close, or until the view
// leader has not heard of it for its time to live. Safe for concurrent use.
//
// It takes itself for lost a tenth earlier than the view leader does, counted from
// when it sent what was heard last: with clocks that run evenly to a tenth it knows
// before anybody else is granted its locks. A machine that sleeps may find out
// later: fences (WithFence) protect from what is written meanwhile.
type Session struct {
	c       *Client
	id      uint64
	cancel  context.CancelFunc
	running sync.WaitGroup
	alive   context.Context // ends with the session
	over    context.CancelFunc

	mu   sync.Mutex
	err  error          // why it is over; guarded by mu
	kept session.Keeper // guarded by mu
}

// OpenSession begins a session. Close it after use: it is kept alive in the background.
func (c *Client) OpenSession(ctx context.Context, o SessionOptions) (*Session, error) {
	if o.TTL == 0 {
		o.TTL = sessionTTL
	}
	if o.LockDelay == 0 {
		o.LockDelay = sessionDelay
	}
	brief, cancel := c.router.Brief(ctx)
	defer cancel()
	began := time.Now()
	id, err := c.router.Leader().SessionOpen(brief, o.TTL, max(0, o.LockDelay))
	if err != nil {
		return nil, c.router.LeaderFailed(ctx, "open a session", err)
	}
	s := &Session{c: c, id: id, kept: session.NewKeeper(o.TTL, began)}
	s.alive, s.over = context.WithCancel(context.Background())
	keeping, stop := context.WithCancel(context.Background())
	s.cancel = stop
	s.running.Go(func() { s.keep(keeping) })
	return s, nil
}

// ID is the session's number, as in the list of locks.
func (s *Session) ID() uint64 { return s.id }

// Done is closed when the session is over: lost, or closed.
func (s *Session) Done() <-chan struct{} { return s.alive.Done() }

// Err says why the session is over: ErrSessionLost, or ErrClosed after Close; nil
// while it goes on.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *Session) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
		s.over()
	}
}

// Until is when this client takes the session for lost, unless the view leader hears
// of it before: until then nobody else is granted its locks, with clocks that run
// evenly to a tenth. What is begun under a lock and must not outlast it has to end
// by then, or carry a fence.
func (s *Session) Until() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept.Until()
}

// keep tells the view leader that this client lives.
func (s *Session) keep(ctx context.Context) {
	for {
		s.mu.Lock()
		until, pause := s.kept.Until(), s.kept.Pause()
		s.mu.Unlock()
		trying, cancel := context.WithDeadline(ctx, until)
		var err error
		var sent time.Time
		if wait.For(trying, pause) {
			sent = time.Now()
			err = s.c.router.Leader().SessionKeep(trying, s.id)
		}
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case wire.IsCode(err, wire.CodeNoSession):
			s.end(s.c.router.LeaderFailed(ctx, fmt.Sprintf("session %d", s.id), err))
			return
		case err == nil && !sent.IsZero() && s.heard(sent):
		case !time.Now().Before(until):
			s.end(&route.Error{Op: fmt.Sprintf("session %d", s.id), Kind: ErrSessionLost,
				Last: errors.New("no view leader has heard of it for its time to live")})
			return
		default:
			s.mu.Lock()
			s.kept.Failed()
			s.mu.Unlock()
		}
	}
}

// heard notes that what was sent at a time was heard; false when it came too late.
func (s *Session) heard(sent time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept.Heard(sent, time.Now())
}

// Close ends the session; its locks are free at once. It may be called again.
func (s *Session) Close(ctx context.Context) error {
	s.cancel()
	s.running.Wait()
	if s.Err() != nil {
		return nil // there is nothing left to end
	}
	s.end(ErrClosed)
	brief, cancel := s.c.router.Brief(ctx)
	defer cancel()
	return s.c.router.LeaderFailed(ctx, fmt.Sprintf("end session %d", s.id), s.c.router.Leader().SessionEnd(brief, s.id))
}

// LockGet takes a lock that ends with the session, as Client.LockGet does. The same
// holder in another session is somebody else. When the session is lost while it
// waits it returns ErrSessionLost.
func (s *Session) LockGet(ctx context.Context, lock, holder string, o LockOptions) (Grant, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.alive, cancel)()
	g, err := s.c.lockGet(ctx, lock, holder, s.id, o)
	if err == nil && !time.Now().Before(s.Until()) {
		// This process stood still, and looks at an old answer before it finds out.
		<-s.Done()
	}
	if why := s.Err(); why != nil && !errors.Is(err, ErrSessionLost) {
		return Grant{}, fmt.Errorf("lock %.200q: %w", lock, why)
	}
	return g, err
}

// LockRelease releases a lock of the session.
func (s *Session) LockRelease(ctx context.Context, lock, holder string) error {
	return s.c.lockRelease(ctx, lock, holder, s.id)
}
