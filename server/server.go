package server

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"viewring/internal/wait"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/redis"
	"viewring/server/replica"
	"viewring/server/store"
	"viewring/viewleader/vocab"
)

// valueBytesMax is the longest value that operations may make.
const valueBytesMax = wire.ValueBytesMax

var errStopped = errors.New("the server stops")

func isCorrupt(err error) bool { return errors.Is(err, replica.ErrCorrupt) }

// Server is a running server. It stops when its context ends, when Close is
// called, or when it can't go on; Wait says which.
type Server struct {
	opts     Options
	logger   *slog.Logger
	id       ring.ServerID
	instance uint64 // random: this process among those on copies of its folder
	addr     string // advertised

	ctx      context.Context // ends when the server begins to stop
	cancel   context.CancelCauseFunc
	listener net.Listener
	store    *store.Store
	node     *node
	views    *views
	peers    *peers
	heard    *heard
	lanes    []*lane
	asker    *asker
	mover    *mover
	sweeper  *sweeper
	scrubber *scrubber
	console  *console
	leader   *wire.Leader // for what is answered at once, and for long waits
	confirms *wire.Leader // its own, so that reads do not wait behind changes

	beatEvery atomic.Int64 // between heartbeats
	bond      bond
	behind    bool // the view leader is, of this server; the heartbeat's goroutine's

	budget  *budget
	room    *room
	full    atomic.Bool  // its disk nearly is
	written atomic.Int64 // bytes of batches since the disk was looked at

	memory  atomic.Int64 // bytes of requests and answers under way
	conns   atomic.Int64
	reached reached // bounds, by clients
	front   *redis.Front

	strangers wire.Strangers

	turns   []chan struct{} // see transaction
	started time.Time
	wall    func() int64 // unix milliseconds of Options.Now

	running sync.WaitGroup
	stopped chan struct{} // closed when everything has ended
	err     error         // why; set before stopped is closed
}

// Start opens the store, listens, joins the cluster and serves. It waits for the
// view leader as long as ctx allows; the server ends with ctx.
func Start(ctx context.Context, opts Options) (*Server, error) {
	if err := opts.setDefaults(); err != nil {
		return nil, err
	}
	s := &Server{opts: opts, logger: opts.Logger, instance: newInstance(), stopped: make(chan struct{}),
		turns: newTurns(), started: time.Now()}
	s.wall = func() int64 { return s.opts.Now().Wall }
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	if err := s.open(); err != nil {
		s.cancel(err)
		s.release()
		return nil, err
	}
	s.spawnAll()
	go s.supervise()
	return s, nil
}

// open does what can fail before any goroutine runs.
func (s *Server) open() error {
	var err error
	if s.store, err = store.Open(s.opts.Data, s.opts.FS, s.opts.Store, s.logger); err != nil {
		return err
	}
	if s.listener, s.addr, err = listen(s.ctx, &s.opts); err != nil {
		return err
	}
	s.front = s.newFront()
	s.leader = wire.NewLeader(s.opts.LeaderAddrs, s.opts.Dial)
	s.confirms = wire.NewLeader(s.opts.LeaderAddrs, s.opts.Dial)
	view, err := s.join()
	if err != nil {
		return err
	}
	return s.assemble(view)
}

// newInstance tells this process from others that run on copies of its folder.
func newInstance() uint64 {
	var b [8]byte
	for binary.BigEndian.Uint64(b[:]) == 0 {
		if _, err := rand.Read(b[:]); err != nil {
			panic(err) // documented never to happen
		}
	}
	return binary.BigEndian.Uint64(b[:])
}

// join registers, waiting for the view leader, and returns the view in which this
// start is a member.
func (s *Server) join() (*ring.View, error) {
	said := false
	for {
		r, err := s.register(s.leader)
		if err == nil {
			return s.joined(r)
		}
		if refusal(err) {
			return nil, err
		}
		if s.ctx.Err() != nil {
			return nil, fmt.Errorf("stopped before the view leader at %v answered: %w", s.opts.LeaderAddrs, context.Cause(s.ctx))
		}
		if !said {
			s.logger.Info("waiting for the view leader", "addrs", s.opts.LeaderAddrs, "err", err)
			said = true
		}
		wait.For(s.ctx, redialMax)
	}
}

// joined makes the registration durable.
func (s *Server) joined(r wire.Registered) (*ring.View, error) {
	v, err := ring.DecodeView(r.View, nil)
	if err != nil {
		return nil, fmt.Errorf("register: %w", err)
	}
	before := s.store.Identity()
	if before.Cluster != ([16]byte{}) && before.Cluster != v.Cluster {
		return nil, fmt.Errorf("the data folder %s belongs to cluster %x, the view leader's is %x", s.opts.Data, before.Cluster, v.Cluster)
	}
	if v.Epoch < before.Epoch {
		return nil, errBehind(v.Epoch, before.Epoch)
	}
	m := v.Member(r.ID)
	if m == nil || m.Incarnation != before.Incarnation {
		return nil, fmt.Errorf("register: epoch %d does not list %v at incarnation %d", v.Epoch, r.ID, before.Incarnation)
	}
	// The view is what says that this start is registered: who forgets one forgets both.
	err = s.store.Adopt(ring.AppendView(nil, v, 0), func(id *store.Identity) {
		id.Server, id.Cluster, id.Epoch = r.ID, v.Cluster, v.Epoch
		id.Confirmed()
	})
	if err != nil {
		return nil, err
	}
	s.bond.goesOn(0) // it answered what was asked after a report
	s.id = r.ID
	s.logger.Info("joined the cluster", "id", r.ID, "addr", s.addr, "incarnation", before.Incarnation, "epoch", v.Epoch)
	return v, nil
}

// assemble makes the parts and gives them their first view.
func (s *Server) assemble(v *ring.View) error {
	s.node = &node{n: replica.NewNode(s.id, s.store.Identity().Incarnation)}
	s.views = newViews(s)
	s.peers, s.heard = newPeers(s), newHeard()
	s.asker = newAsker(s)
	s.mover = newMover(s)
	s.sweeper = newSweeper(s, len(v.Partitions))
	s.scrubber = newScrubber(s)
	s.console = newConsole(s.opts.Console)
	s.room, s.budget = newRoom(s), newBudget(s)
	for i := range s.opts.Lanes {
		l, err := newLane(s, i, s.store.Fresh())
		if err != nil {
			return err
		}
		l.movedAt.Store(int64(s.opts.Now().Mono))
		s.lanes = append(s.lanes, l)
	}
	s.room.look() // before anything is learned
	return s.views.adopt(v)
}

func (s *Server) spawnAll() {
	for _, l := range s.lanes {
		s.spawn(l.run)
		s.spawn(l.runCommits)
	}
	s.spawn(func() { s.runHeartbeats(s.leader) })
	s.spawn(func() { s.views.runPolls(s.leader) })
	s.spawn(func() { s.asker.runChanges(s.leader) })
	s.spawn(func() { s.asker.runConfirms(s.confirms) })
	s.spawn(s.views.runAdoption)
	s.spawn(s.runPings)
	s.spawn(s.mover.run)
	s.spawn(s.mover.runFetches)
	s.spawn(s.sweeper.run)
	s.spawn(s.scrubber.run)
	s.spawn(func() { s.console.run(s.ctx) })
	s.spawn(s.watchStore)
	s.spawn(s.room.run)
	s.spawn(s.budget.run)
	s.spawn(s.runAccept)
}

// spawn runs fn as one of the goroutines that Close waits for.
func (s *Server) spawn(fn func()) {
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		fn()
	}()
}

// fail stops the server; the first reason counts.
func (s *Server) fail(err error) { s.cancel(err) }

// watchStore stops the server when its store has failed.
func (s *Server) watchStore() {
	look := time.NewTicker(damageLookEvery)
	defer look.Stop()
	var scrubAt time.Duration
	for {
		select {
		case <-s.store.Failed():
			s.fail(s.store.Err())
			return
		case <-s.ctx.Done():
			return
		case <-look.C:
			if now := s.opts.Now().Mono; s.store.Failing() && now >= scrubAt {
				scrubAt = now + failingScrubEvery
				s.scrubber.start()
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
	_ = s.leader.Close()   // ends the calls that wait
	_ = s.confirms.Close()
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
	for _, l := range []*wire.Leader{s.leader, s.confirms} {
		if l != nil {
			_ = l.Close() // never fails
		}
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

// Wait returns when the server has stopped: nil after Close or the end of its
// context, ErrLeft when it is no member any more, otherwise why it could not go on.
func (s *Server) Wait() error {
	<-s.stopped
	return s.err
}

// Close stops the server and waits for it to end.
func (s *Server) Close() error {
	s.cancel(context.Canceled)
	return s.Wait()
}

func (s *Server) laneOf(p ring.PartitionID) *lane { return s.lanes[int(p)%len(s.lanes)] }

// done returns the epoch that all lanes have adopted.
func (s *Server) done() uint64 {
	epoch := s.lanes[0].epoch.Load()
	for _, l := range s.lanes[1:] {
		epoch = min(epoch, l.epoch.Load())
	}
	return epoch
}

// stats gathers what the heartbeat tells.
func (s *Server) stats() vocab.ServerStats {
	var t vocab.ServerStats
	for _, l := range s.lanes {
		c := l.stats.Load()
		t.Primaries += uint32(c.Primaries)
		t.Backups += uint32(c.Backups)
		t.Learners += uint32(c.Learners)
		t.Strays += uint32(c.Strays)
		t.Keys += uint64(c.Keys)
		t.Bytes += uint64(c.Bytes)
		t.MovedPartitions += c.FullCopies
		t.DeltaPartitions += c.DeltaCopies
		t.CopiedKeys += c.CopiedKeys
		t.Corrupt += c.Corrupt
		t.Mended += c.Repaired
		t.Unmendable += c.Unrepairable
	}
	t.DiskFree, t.Full = s.store.DiskFree(), s.full.Load()
	t.Clients, t.ClientsRefused, t.ClientsCut = uint32(s.conns.Load()), s.reached.connections.Load(), s.reached.cut.Load()
	t.RequestsRefused = s.reached.requests.Load() + s.reached.buffers.Load()
	s.mover.report(&t)
	s.storeStats(&t)
	return t
}

// storeStats adds how the log and the memory stand.
func (s *Server) storeStats(t *vocab.ServerStats) {
	g := s.store.Stats()
	t.LogKeys, t.LogSegments = uint64(g.Keys), uint64(g.Segments)
	t.LogDisk, t.LogLive, t.LogTombstones = uint64(g.DiskBytes), uint64(g.LiveBytes), uint64(g.Tombstones)
	t.LogWritten, t.LogCopied, t.LogFreed = uint64(g.Written), uint64(g.Copied), uint64(g.Freed)
	t.Checkpoints, t.CheckpointBytes, t.LogDamage = uint64(g.Checkpoints), uint64(g.CheckpointLen), g.Damage
	t.Collecting, t.Checkpointing = g.Collecting, g.Checkpointing
	t.Memory, t.IndexBytes = uint64(s.budget.total), uint64(g.IndexBytes)
	t.ItemBytes, t.ItemBytesMax = uint64(s.keptBytes()), uint64(s.budget.items.Load())
	t.RequestBytes, t.RequestBytesMax = uint64(max(0, s.memory.Load())), uint64(s.budget.requests)
}

// runAccept takes connections until the listener is closed.
func (s *Server) runAccept() {
	for s.ctx.Err() == nil {
		nc, err := s.listener.Accept()
		if err != nil {
			if s.ctx.Err() == nil {
				s.logger.Warn("a connection could not be accepted", "err", err)
				wait.For(s.ctx, redialMax) // out of file descriptors, most likely
			}
			continue
		}
		n := s.conns.Add(1)
		if n > int64(s.opts.Bounds.Connections+peerConnections) {
			s.conns.Add(-1)
			s.turnAway(nc)
			continue
		}
		late := n > int64(s.opts.Bounds.Connections)
		s.spawn(func() {
			defer s.conns.Add(-1)
			newConn(s, nc, late).serve()
		})
	}
}

// turnAway says why there is no service; whoever does not listen misses it.
func (s *Server) turnAway(nc net.Conn) {
	s.reached.connections.Add(1)
	_ = nc.SetWriteDeadline(time.Now().Add(redialMin))
	_, _ = nc.Write([]byte("-" + wire.TooManyClients + "\r\n"))
	_ = nc.Close()
}
