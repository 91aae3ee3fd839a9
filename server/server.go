package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"viewring/internal/front"
	"viewring/internal/wait"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/budget"
	"viewring/server/lane"
	"viewring/server/link"
	"viewring/server/membership"
	"viewring/server/redis"
	"viewring/server/replica"
	"viewring/server/store"
	"viewring/server/upkeep"
)

// valueBytesMax is the longest value that operations may make.
const valueBytesMax = wire.ValueBytesMax

var errStopped = errors.New("the server stops")

// ErrLeft is what Wait returns of a server that is no member any more: nothing is
// left to do for it.
var ErrLeft = membership.ErrLeft

func isCorrupt(err error) bool { return errors.Is(err, replica.ErrCorrupt) }

// Server is a running server. It stops when its context ends, when Close is
// called, or when it can't go on; Wait says which. It holds its parts together: each guards
// itself, and all fields but err are set before a goroutine reads them.
type Server struct {
	opts   Options
	logger *slog.Logger
	id     ring.ServerID
	addr   string // advertised

	ctx      context.Context         // ends when the server begins to stop
	cancel   context.CancelCauseFunc // stops the server; the first reason counts
	listener net.Listener
	store    *store.Store
	budget   *budget.Budget
	member   *membership.Member
	lanes    lane.Lanes
	links    *link.Links
	unlinked *unlinked
	views    *membership.Views
	receiver *link.Receiver
	room     *upkeep.Room
	scrubber *upkeep.Scrubber
	mover    *upkeep.Mover
	janitor  *upkeep.Janitor
	console  *console
	notifier *notifier
	monitor  *redis.Monitor // of commands
	meters   meters
	stops    stops
	clients  // what all connections share

	running sync.WaitGroup
	stopped chan struct{} // closed when everything has ended
	err     error         // why; set before stopped is closed
}

// clients is what all connections share.
type clients struct {
	frontend *front.Server // their connections, accepted and bounded
	front    *redis.Front
	turns    []chan struct{} // see transaction
	started  time.Time
	wall     func() int64 // unix milliseconds of Options.Now

	watchBytes atomic.Int64 // of all watches
}

// Start opens the store, listens, joins the cluster and serves. It waits for the
// view leader as long as ctx allows; the server ends with ctx.
func Start(ctx context.Context, opts Options) (*Server, error) {
	if err := opts.setDefaults(); err != nil {
		return nil, err
	}
	s := &Server{opts: opts, logger: opts.Logger, stopped: make(chan struct{})}
	s.turns, s.started = newTurns(), time.Now()
	s.monitor = redis.NewMonitor(opts.Monitor, time.Now, ownNames...)
	s.opts.Store.Synced = s.synced
	s.wall = func() int64 { return s.opts.Now().Wall }
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	run, err := s.open()
	if err != nil {
		s.cancel(err)
		s.release()
		return nil, err
	}
	for _, fn := range run {
		s.spawn(fn)
	}
	go s.supervise()
	return s, nil
}

// open does what can fail before any goroutine runs, and returns what those do.
func (s *Server) open() (run []func(), err error) {
	if s.store, err = store.Open(s.opts.Data, s.opts.FS, s.opts.Store, s.logger); err != nil {
		return nil, err
	}
	if s.opts.Zone == "" && s.opts.KeepZone {
		s.opts.Zone = zoneBefore(s.store)
	}
	if s.listener, s.addr, err = listen(s.ctx, &s.opts); err != nil {
		return nil, err
	}
	s.front = s.newFront()
	s.member = membership.New(&membership.Config{
		Addr: s.addr, Zone: s.opts.Zone, Weight: s.opts.Weight, Data: s.opts.Data, LeaderAddrs: s.opts.LeaderAddrs, HeartbeatEvery: s.opts.HeartbeatEvery,
		Dial: s.opts.Dial, Store: s.store, Now: s.opts.Now, Logger: s.logger, Context: s.ctx, Part: s.part, Fail: s.cancel,
	})
	view, err := s.member.Join()
	if err != nil {
		return nil, err
	}
	s.id = s.member.ID()
	return s.assemble(view)
}

// zoneBefore is the zone in which a server stood that was started on this store before.
func zoneBefore(st *store.Store) string {
	if st.View() == nil {
		return ""
	}
	v, err := ring.DecodeView(st.View(), nil)
	if err != nil {
		return "" // of an earlier build: whoever needs the view says so
	}
	if m := v.Member(st.Identity().Server); m != nil {
		return m.Zone
	}
	return ""
}

// assemble makes the parts, from the lanes outward, and gives them their first view.
// It returns what the goroutines do.
func (s *Server) assemble(v *ring.View) (run []func(), err error) {
	s.budget = budget.New(&budget.Config{
		Memory: s.opts.Memory, Buffered: s.opts.Bounds.Buffered, ItemBytes: s.opts.ItemBytes, Lanes: s.opts.Lanes,
		IndexBytes: func() int64 { return s.store.Stats().IndexBytes }, LimitHeap: s.opts.LimitHeap, PaceHeap: s.opts.PaceHeap,
	})
	id := s.store.Identity()
	s.lanes, err = lane.New(&lane.Config{
		Self: s.id, Incarnation: id.Incarnation, Lanes: s.opts.Lanes, Fresh: s.store.Fresh(), ValueBytesMax: valueBytesMax,
		LeaseSeen: id.LeaseMax, Store: s.store, ItemBytes: s.budget.Lane, Now: s.opts.Now,
	})
	if err != nil {
		return nil, err
	}
	s.unlinked = newUnlinked(s.logger, s.isUp)
	s.links = link.New(&link.Config{
		Cluster: id.Cluster, Self: s.id, Incarnation: id.Incarnation, Addr: s.addr, Dial: s.opts.Dial, Now: s.opts.Now, Done: s.lanes.Done,
		Logger: s.logger, Tried: s.unlinked.tried, Context: s.ctx, Spawn: s.spawn,
	})
	s.views = membership.NewViews(s.member, s.lanes, s.links)
	queue := membership.NewQueue(s.member, s.lanes, func() time.Duration { return s.mover.HandoffEvery() })

	base := &upkeep.Base{Self: s.id, Store: s.store, Lanes: s.lanes, Now: s.opts.Now, Logger: s.logger, Context: s.ctx}
	s.room = upkeep.NewRoom(base, s.opts.Data, s.opts.DiskReserve)
	s.mover = upkeep.NewMover(base, s.views, s.opts.RebalanceRate, s.links.Send, s.room.Full)
	sweeper := upkeep.NewSweeper(base, s.views, len(v.Partitions))
	reaper := upkeep.NewReaper(base, s.views, s.member.Leader(), len(v.Partitions))
	cluster := &peers{s: s}
	s.janitor = upkeep.NewJanitor(base, s.views, cluster, s.opts.Graces, len(v.Partitions))
	orphans := upkeep.NewOrphans(base, s.views, cluster, s.opts.Graces)
	s.scrubber = upkeep.NewScrubber(base, s.views, s.opts.ScrubEvery)
	s.receiver = link.NewReceiver(s.links, s.views, s.lanes, s.mover.Arrived)
	s.console = newConsole(s.opts.Console)
	s.notifier = newNotifier(s)

	s.frontend = s.newFrontend()
	s.room.Look() // before anything is learned
	if err := s.views.Begin(v); err != nil {
		return nil, err
	}
	run = s.lanes.Begin(s.ctx, lane.Outward{
		Peers: s.links, Mover: s.mover, Leader: queue, Stored: s.room.Stored, Fail: s.cancel,
		Fed:     s.notifier.fed,
		Stopped: func(stops []time.Duration) { s.stops.note(s.opts.Now().Mono, stops) },
		Storing: func(b *replica.Batch) {
			s.meters.batches.Note(len(b.Ops))
			sweeper.Storing(b)
			upkeep.Storing(b, reaper, s.janitor)
		},
	})
	return append(run,
		func() { s.member.RunHeartbeats(membership.Vitals{Views: s.views, Lanes: s.lanes, Stats: s.stats}) },
		s.views.RunPolls, s.views.RunAdoption, queue.RunChanges, queue.RunConfirms,
		func() { s.links.RunPings(s.views) },
		s.mover.Run, s.mover.RunFetches, sweeper.Run, reaper.Run, reaper.RunEnds, s.janitor.Run, orphans.Run, cluster.run, s.scrubber.Run, s.room.Run,
		func() { s.budget.Run(s.ctx) },
		func() { s.console.run(s.ctx) },
		func() { s.notifier.run(s.ctx) }, func() { s.notifier.runEnds(s.ctx) }, func() { s.notifier.runLeases(s.ctx) },
		s.watchStore, s.runPace,
		func() { s.frontend.Serve(s.listener) },
	), nil
}

// isUp reports whether the view leader takes a server for up.
func (s *Server) isUp(id ring.ServerID) bool {
	known := s.views.Current()
	if known == nil {
		return false
	}
	m := known.View.Member(id)
	return m != nil && m.Up
}

// spawn runs fn as one of the goroutines that Close waits for.
func (s *Server) spawn(fn func()) {
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		fn()
	}()
}

// watchStore stops the server when its store has failed.
func (s *Server) watchStore() {
	look := time.NewTicker(damageLookEvery)
	defer look.Stop()
	var scrubAt time.Duration
	for {
		select {
		case <-s.store.Failed():
			s.cancel(s.store.Err())
			return
		case <-s.ctx.Done():
			return
		case <-look.C:
			if now := s.opts.Now().Mono; s.store.Failing() && now >= scrubAt {
				scrubAt = now + failingScrubEvery
				s.scrubber.Start()
			}
		}
	}
}

const (
	damageLookEvery   = time.Second
	failingScrubEvery = time.Minute // while damage is met
)

// stopMax bounds the stopping of a server whose store has failed: its goroutines
// may be stuck in it.
const stopMax = 5 * time.Second

// supervise ends what has to end, in order.
func (s *Server) supervise() {
	<-s.ctx.Done()
	cause := context.Cause(s.ctx)
	_ = s.listener.Close() // no more connections
	s.member.Close()       // ends the calls that wait
	ended := make(chan struct{})
	go func() {
		s.running.Wait()
		close(ended)
	}()
	if s.store.Err() == nil {
		<-ended
	} else {
		select {
		case <-ended:
		case <-time.After(stopMax):
		}
	}
	if err := s.release(); err != nil && errors.Is(cause, context.Canceled) {
		cause = err
	}
	if !errors.Is(cause, context.Canceled) {
		s.err = cause
	}
	close(s.stopped)
}

// release closes what open has opened.
func (s *Server) release() error {
	if s.member != nil {
		s.member.Close()
	}
	if s.listener != nil {
		_ = s.listener.Close() // closed already, or never used
	}
	if s.store != nil {
		return s.store.Close()
	}
	return nil
}

// ID returns the server's id.
func (s *Server) ID() ring.ServerID { return s.id }

// Addr returns the address under which others reach the server.
func (s *Server) Addr() string { return s.addr }

// Reached tells how often clients met a limit.
func (s *Server) Reached() *front.Reached { return s.frontend.Reached() }

// Wait returns when the server has stopped: nil after Close or the end of its
// context, ErrLeft when it is no member any more, otherwise why it could not go on.
func (s *Server) Wait() error {
	<-s.stopped
	return s.err
}

// A drained server goes on telling clients where its partitions went. Those that did not ask
// meanwhile would find nobody.
const (
	drainLinger = 200 * time.Millisecond // for so long, and to each until it has asked nothing for so long
	farewellMax = time.Second            // beyond which who goes on asking is hung up on
)

// Drain takes the server out of service for a planned restart and returns when
// others serve what it served and its clients have their answers, or with the reason why
// that can't be had before ctx ends. The server runs on either way, but clients are hung
// up on where it returns nil; Close ends it.
func (s *Server) Drain(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	if !s.member.HasLeft() {
		if err := s.member.Drain(ctx, s.views, s.lanes); err != nil {
			return err
		}
	}
	wait.For(ctx, drainLinger)
	ctx, cancel = context.WithTimeout(ctx, farewellMax)
	defer cancel()
	s.frontend.Finish(ctx, drainLinger)
	return nil
}

// partMax is how long go-redis goes by its map of the cluster, where nobody says MOVED to it
// (ClusterStateReloadInterval): it does not look again when it finds nobody at an address.
const partMax = time.Minute

// part begins to take leave of clients: this server, which is no member any more, tells them where
// everything is until all of them have hung up. Then it ends.
func (s *Server) part() {
	s.spawn(func() {
		ctx, cancel := context.WithTimeout(s.ctx, partMax)
		defer cancel()
		wait.For(ctx, drainLinger)
		s.frontend.Finish(ctx, partMax)
		s.cancel(ErrLeft)
	})
}

// Close stops the server and waits for it to end.
func (s *Server) Close() error {
	s.cancel(context.Canceled)
	return s.Wait()
}
