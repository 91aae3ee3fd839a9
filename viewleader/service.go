package viewleader

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"viewring/internal/files"
	"viewring/internal/front"
	"viewring/internal/tally"
	"viewring/internal/wait"
	"viewring/ring"
	"viewring/viewleader/roster"
)

// Service is a running view leader.
type Service struct {
	opts       Options
	ln         net.Listener
	disk       *raftLog
	group      *group // nil while this view leader looks for its group; groupStatus says when it is set
	views      views
	events     events
	elections  elections
	beats      beats
	lockQueues lockQueues
	links      links

	frontend *front.Server // of all connections that come in
	meters   meters

	groupStatus atomic.Pointer[groupStatus]
	recovery    atomic.Pointer[recovery] // nil: this view leader has its data
	sessions    sessions
	published   atomic.Pointer[published]

	ctx     context.Context // ends with the service
	cancel  context.CancelFunc
	running sync.WaitGroup
	stopped chan struct{} // closed when everything has ended
	err     error         // set before stopped is closed

	mu struct {
		sync.Mutex
		err error // the first failure
	}
}

// published is what an epoch looks like to everyone but the Raft loop.
type published struct {
	view    *ring.View
	members []roster.MemberState
	returns map[ring.ServerID][]int64 // when servers were let in again after a failure (unix ms)
	next    chan struct{}             // closed when there is a newer one
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
	if err := files.Check(); err != nil {
		return nil, fmt.Errorf("start view leader: %w", err)
	}
	ln := opts.Listener
	if ln == nil {
		var err error
		if ln, err = opts.Secure.Listen(ctx, opts.Listen, opts.Logger); err != nil {
			return nil, fmt.Errorf("start view leader: %w", err)
		}
	}
	s := &Service{opts: opts, ln: ln, stopped: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(ctx)
	if err := s.start(); err != nil {
		s.cancel()
		_ = ln.Close() // nobody has connected
		return nil, fmt.Errorf("start view leader: %w", err)
	}
	if v := s.view(); v != nil {
		opts.Logger.Info("view leader is up", "addr", s.Addr(), "data", opts.Data,
			"epoch", v.Epoch, "servers", len(v.Members), "partitions", len(v.Partitions))
	} else if opts.Recover.Wanted {
		opts.Logger.Info("view leader waits for the servers' reports", "addr", s.Addr(), "data", opts.Data)
	} else {
		opts.Logger.Info("view leader looks for its group", "addr", s.Addr(), "data", opts.Data, "peers", opts.Peers)
	}
	return s, nil
}

func (s *Service) start() error {
	s.meters.commands = tally.NewOps(len(commandNames))
	logged := logOptions(s.opts.Logger)
	logged.Synced = s.synced
	d, err := openLog(s.opts.Data, s.opts.FS, logged)
	if err != nil {
		return err
	}
	s.disk = d
	s.views.init()
	s.events.init()
	s.beats.init(&s.opts)
	s.lockQueues.init(s)
	s.sessions.init(s)
	s.links.init(s)
	s.frontend = s.newFrontend()
	s.groupStatus.Store(&groupStatus{members: &membership{next: founderID}})
	if err := s.begin(); err != nil {
		stopped := s.ctx.Err()
		s.cancel()
		s.running.Wait()
		_ = d.close() // the first error matters
		return errors.Join(err, stopped)
	}
	s.running.Go(func() { s.frontend.Serve(s.ln) })
	s.running.Go(s.detect)
	go s.finish()
	return nil
}

// begin starts this member. Alone it decides at once; with others it goes on in
// the background.
func (s *Service) begin() error {
	switch {
	case s.disk.identity.id == 0 && s.opts.Recover.Wanted:
		s.recovery.Store(newRecovery(s))
		s.running.Go(func() {
			if err := s.recover(); err != nil && s.ctx.Err() == nil {
				s.fail(err)
			}
		})
		return nil
	case s.disk.identity.id == 0 && len(s.opts.peers()) > 1:
		s.running.Go(func() {
			if err := s.enter(); err != nil && s.ctx.Err() == nil {
				s.fail(err)
			}
		})
		return nil
	case s.disk.identity.id == 0:
		if err := s.found(); err != nil {
			return err
		}
	}
	if err := s.startGroup(); err != nil || !s.group.startedAlone {
		return err
	}
	select {
	case <-s.group.ready:
		return s.configure()
	case <-s.ctx.Done():
		return nil // why is told by fail
	}
}

// startGroup runs the group's member on this data folder.
func (s *Service) startGroup() error {
	id := s.disk.identity
	g, err := newGroup(s.disk, groupOptions{
		id: id.id, addr: s.advertised(), store: id.store, every: s.opts.SnapshotEvery,
		now: s.opts.Now, random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), logger: s.opts.Logger,
	}, hooks{published: s.onView, happened: s.events.publish, granted: s.lockQueues.granted, ticked: s.onTick, headed: s.onHead, changed: s.onMembers, stood: s.meters.hasStood, followed: s.meters.hasFollowed, send: s.links.send})
	if err != nil {
		return err
	}
	s.group = g
	if s.recovery.Load() == nil {
		if err := s.mayRecover(); err != nil {
			return err
		}
	}
	if g.state != nil {
		id.cluster = g.state.Cluster()
		s.publish(g.state)
	}
	s.setGroupStatus(func(st *groupStatus) { st.self, st.cluster = id.id, id.cluster })
	s.onMembers(g.members, 0)
	s.running.Go(func() { s.fail(g.run(s.ctx)) })
	if !g.startedAlone {
		s.running.Go(s.announce)
	}
	return nil
}

// configure lets flags that changed since the last start take effect.
func (s *Service) configure() error {
	v := s.view()
	if s.opts.Partitions != 0 && s.opts.Partitions != len(v.Partitions) {
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

// advertised is where others reach this view leader.
func (s *Service) advertised() string {
	if s.opts.Advertise != "" {
		return s.opts.Advertise
	}
	return s.Addr()
}

// Reached tells how often clients met a limit.
func (s *Service) Reached() *front.Reached { return s.frontend.Reached() }

// View returns the newest view that this view leader knows, nil when it has not
// found its group yet.
func (s *Service) View() *ring.View { return s.view() }

func (s *Service) view() *ring.View {
	if p := s.published.Load(); p != nil {
		return p.view
	}
	return nil
}

// report has the Raft loop look at something.
func (s *Service) report(look func(*group)) {
	select {
	case s.group.reports <- func() { look(s.group) }:
	case <-s.ctx.Done():
	}
}

// HandOver lets another view leader of the group be the head, if this one is and
// there is another one. It returns when that is so, or when ctx ends.
func (s *Service) HandOver(ctx context.Context) {
	for s.serves() {
		s.report((*group).handOver)
		if others := len(s.groupStatus.Load().members.members); others < 2 || !wait.For(ctx, tickEvery) {
			return
		}
	}
}

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
	s.publish(state)
	s.views.publish(s.view())
	s.events.publish(state)
}

// publish shows a view inside this process.
func (s *Service) publish(state *roster.State) {
	old := s.published.Load()
	s.published.Store(&published{view: state.View(), members: state.Members(), returns: returns(state.Events(0)), next: make(chan struct{})})
	if old != nil {
		close(old.next)
	}
}

// onTick answers those whose time is over. The Raft loop calls it.
func (s *Service) onTick(now time.Time) {
	s.views.tick(now)
	s.events.tick(now)
	s.lockQueues.tick(now)
	s.sessions.tick(now)
}
