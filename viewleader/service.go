package viewleader

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"viewring/ring"
	"viewring/viewleader/roster"
)

// Service is a running view leader.
type Service struct {
	opts   Options
	ln     net.Listener
	disk   *disk
	group  *group
	views  views
	events events
	beats  beats
	lines  lines

	published atomic.Pointer[published]

	ctx     context.Context // ends with the service
	cancel  context.CancelFunc
	running sync.WaitGroup
	stopped chan struct{} // closed when everything has ended
	err     error         // set before stopped is closed

	mu struct {
		sync.Mutex
		conns  map[*conn]bool
		closed bool
		err    error // the first failure
	}
}

// published is what an epoch looks like to everyone but the Raft loop.
type published struct {
	view    *ring.View
	members []roster.MemberState
	next    chan struct{} // closed when there is a newer one
}

// member returns the member with that id, or nil.
func (p *published) member(id ring.ServerID) *roster.MemberState {
	for i := range p.members {
		if p.members[i].ID == id {
			return &p.members[i]
		}
	}
	return nil
}

// Start runs a view leader until ctx ends or Close. When it returns, everything
// that an earlier process on the same data decided is in force again.
func Start(ctx context.Context, opts Options) (*Service, error) {
	opts.fill()
	if err := opts.validate(); err != nil {
		return nil, fmt.Errorf("start view leader: %w", err)
	}
	ln := opts.Listener
	if ln == nil {
		var err error
		if ln, err = (&net.ListenConfig{}).Listen(ctx, "tcp", opts.Listen); err != nil {
			return nil, fmt.Errorf("start view leader: %w", err)
		}
	}
	s := &Service{opts: opts, ln: ln, stopped: make(chan struct{})}
	s.mu.conns = make(map[*conn]bool)
	s.ctx, s.cancel = context.WithCancel(ctx)
	if err := s.start(); err != nil {
		s.cancel()
		_ = ln.Close() // nobody has connected
		return nil, fmt.Errorf("start view leader: %w", err)
	}
	opts.Logger.Info("view leader is up", "addr", s.Addr(), "data", opts.Data,
		"epoch", s.view().Epoch, "servers", len(s.view().Members), "partitions", len(s.view().Partitions))
	return s, nil
}

func (s *Service) start() error {
	d, err := openDisk(s.opts.Data, s.opts.FS, s.opts.Logger, s.firstSnapshot)
	if err != nil {
		return err
	}
	s.disk = d
	s.views.init()
	s.events.init()
	s.beats.init(&s.opts)
	s.lines.init(s)
	if s.group, err = newGroup(d, s.opts.SnapshotEvery, s.opts.Now, s.opts.Logger); err != nil {
		_ = d.close() // the first error matters
		return err
	}
	s.group.published, s.group.granted, s.group.ticked = s.onView, s.lines.granted, s.onTick
	loop := make(chan error, 1)
	s.running.Go(func() {
		err := s.group.run(s.ctx)
		loop <- err
		s.fail(err)
	})
	select {
	case <-s.group.ready:
	case err := <-loop:
		s.running.Wait()
		_ = d.close() // the first error matters
		return errors.Join(err, s.ctx.Err())
	}
	if err := s.configure(); err != nil {
		s.cancel()
		s.running.Wait()
		_ = d.close() // the first error matters
		return err
	}
	s.running.Go(s.accept)
	s.running.Go(s.detect)
	go s.finish()
	return nil
}

// firstSnapshot is the state of a cluster that begins.
func (s *Service) firstSnapshot() (*pb.Snapshot, error) {
	var cluster [16]byte
	if _, err := rand.Read(cluster[:]); err != nil {
		return nil, fmt.Errorf("draw a cluster id: %w", err)
	}
	state := roster.New(s.opts.rosterConfig(cluster))
	one := uint64(1)
	return &pb.Snapshot{
		Data:     state.AppendSnapshot(nil),
		Metadata: &pb.SnapshotMetadata{Index: &one, Term: &one, ConfState: &pb.ConfState{Voters: []uint64{selfID}}},
	}, nil
}

// configure lets flags that changed since the last start take effect.
func (s *Service) configure() error {
	v := s.view()
	if s.opts.Partitions != len(v.Partitions) {
		return fmt.Errorf("the cluster in %s was made with %d partitions, not %d: their number is fixed",
			s.opts.Data, len(v.Partitions), s.opts.Partitions)
	}
	if int(v.MinCopies) == s.opts.MinCopies && v.LeaseTTL == s.opts.LeaseTTL {
		return nil
	}
	r, err := s.do(s.ctx, roster.Command{Kind: roster.KindConfigure, MinCopies: s.opts.MinCopies, LeaseTTL: s.opts.LeaseTTL})
	if err == nil && r.Code != roster.Done {
		err = errors.New(r.Reason)
	}
	return err
}

// Addr returns the address that the service listens at.
func (s *Service) Addr() string { return s.ln.Addr().String() }

// View returns the present view.
func (s *Service) View() *ring.View { return s.view() }

func (s *Service) view() *ring.View { return s.published.Load().view }

// Close stops the service and returns when everything in it has ended.
func (s *Service) Close() error {
	s.cancel()
	return s.Wait()
}

// Wait returns when the service has stopped: nil after Close or the end of its
// context, otherwise what broke.
func (s *Service) Wait() error {
	<-s.stopped
	return s.err
}

// fail stops the service for a reason; nil when it stops anyway.
func (s *Service) fail(err error) {
	s.mu.Lock()
	if s.mu.err == nil {
		s.mu.err = err
	}
	s.mu.Unlock()
	if err != nil {
		s.opts.Logger.Error("view leader stops", "err", err)
	}
	s.cancel()
}

// finish takes everything down in order once the service's context has ended.
func (s *Service) finish() {
	<-s.ctx.Done()
	_ = s.ln.Close() // accept ends by it
	s.mu.Lock()
	s.mu.closed = true
	for c := range s.mu.conns {
		c.hangUp()
	}
	s.mu.Unlock()
	s.running.Wait()
	err := s.disk.close()
	s.mu.Lock()
	if s.mu.err != nil {
		err = s.mu.err
	}
	s.mu.Unlock()
	s.err = err
	close(s.stopped)
}

// submit puts a command on its way. done is called once unless the service
// stops first, by the Raft loop: it must not wait.
func (s *Service) submit(p proposal) {
	select {
	case s.group.submits <- p:
	case <-s.ctx.Done():
	}
}

// do carries out a command and waits for the result.
func (s *Service) do(ctx context.Context, cmd roster.Command) (roster.Result, error) {
	type answer struct {
		r   roster.Result
		err error
	}
	c := make(chan answer, 1)
	s.submit(proposal{cmd: cmd, done: func(r roster.Result, err error) { c <- answer{r, err} }})
	select {
	case a := <-c:
		return a.r, a.err
	case <-ctx.Done():
		return roster.Result{}, context.Cause(ctx)
	case <-s.ctx.Done():
		return roster.Result{}, errStopped
	}
}

// ask has done called with the state by the Raft loop, while it surely is the
// head's: done must not wait.
func (s *Service) ask(done func(*roster.State, error)) {
	select {
	case s.group.asks <- question{done}:
	case <-s.ctx.Done():
	}
}

// onView spreads a new view. The Raft loop calls it.
func (s *Service) onView(state *roster.State) {
	old := s.published.Load()
	now := &published{view: state.View(), members: state.Members(), next: make(chan struct{})}
	s.published.Store(now)
	if old != nil {
		close(old.next)
	}
	s.views.publish(now.view)
	s.events.publish(state.Events(0))
}

// onTick answers those whose time is over. The Raft loop calls it.
func (s *Service) onTick(now time.Time) {
	s.views.tick(now)
	s.events.tick(now)
	s.lines.tick(now)
}
