package membership

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"viewring/internal/wait"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/replica"
	"viewring/server/store"
	"viewring/viewleader/vocab"
)

// Bounds and intervals of what is asked of the view leader.
const (
	heartbeatDefault = 150 * time.Millisecond
	leaderTimeout    = 2 * time.Second
	registerTimeout  = 15 * time.Second       // it may wait for a predecessor to prove dead
	retryEvery       = 500 * time.Millisecond // while it does not answer
	viewWait         = 10 * time.Second
	waitingEvery     = 10 * time.Second // between words on a view leader that is waited for
	hungAfter        = 2 * time.Second  // a lane that stands still so long stops the heartbeats
)

// Config of a Member.
type Config struct {
	Addr           string        // that others reach this server at
	Zone           string        // "" where zones are not used
	Weight         uint32        // 0: as the view leader has it, 1 at first
	Data           string        // the folder's name
	LeaderAddrs    []string      // of the view leaders
	HeartbeatEvery time.Duration // 0: as the view leader wants it
	Dial           wire.DialFunc
	Store          *store.Store
	Now            func() replica.Instant
	Logger         *slog.Logger

	Context context.Context // ends when the server stops
	Part    func()          // begins to take leave of clients, once this server has left; at the end of that it stops
	Fail    func(err error) // stops it
}

// Lanes are what adopts views and steps the cores. lane.Lanes are some.
type Lanes interface {
	// Adopt gives a view to all lanes: what they are given later they find after it.
	Adopt(v *ring.View, table *ring.Table, promised map[ring.ServerID]time.Duration)
	Done() uint64                              // the epoch that all have adopted
	Stalled(after time.Duration) int           // one that stands still for longer, or -1
	Confirmed(lane int, token uint64, ok bool) // answers replica.AskConfirm
}

// Vitals are what heartbeats tell.
type Vitals struct {
	Views *Views
	Lanes Lanes
	Stats func() vocab.ServerStats
}

// Member is this start of the server as the view leader knows it.
type Member struct {
	c        Config
	instance uint64        // random: this process among those on copies of its folder
	id       ring.ServerID // set by Join
	leader   *wire.Leader  // for what is answered at once, and for long waits
	confirms *wire.Leader  // its own, so that reads do not wait behind changes

	beatEvery atomic.Int64 // between heartbeats
	left      atomic.Bool  // a view without this server has come
	fence     fence
	behind    bool // the view leader is, of this server; the heartbeat's goroutine's
}

// New returns a member that has not joined. Close it.
func New(c *Config) *Member {
	return &Member{c: *c, instance: newInstance(),
		leader: wire.NewLeader(c.LeaderAddrs, c.Dial), confirms: wire.NewLeader(c.LeaderAddrs, c.Dial)}
}

// Close ends the calls that wait for the view leader. It may be called again.
func (m *Member) Close() {
	_ = m.leader.Close() // never fails
	_ = m.confirms.Close()
}

// ID returns the server's id, once it has joined.
func (m *Member) ID() ring.ServerID { return m.id }

// Instance returns a random number that is this process's among those on copies of its folder.
func (m *Member) Instance() uint64 { return m.instance }

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

// Join registers, waiting for the view leader, and returns the view in which this
// start is a member.
func (m *Member) Join() (*ring.View, error) {
	var quiet time.Time // until then the log is not told again
	for {
		r, err := m.register()
		if err == nil {
			return m.joined(r)
		}
		if refusal(err) {
			return nil, err
		}
		if m.c.Context.Err() != nil {
			return nil, fmt.Errorf("stopped before the view leader at %v answered: %w", m.c.LeaderAddrs, context.Cause(m.c.Context))
		}
		if now := time.Now(); now.After(quiet) {
			m.c.Logger.Warn("waiting for the view leader", "addrs", m.c.LeaderAddrs, "err", err)
			quiet = now.Add(waitingEvery)
		}
		wait.For(m.c.Context, retryEvery)
	}
}

// joined makes the registration durable.
func (m *Member) joined(r wire.Registered) (*ring.View, error) {
	v, err := ring.DecodeView(r.View, nil)
	if err != nil {
		return nil, fmt.Errorf("register: %w", err)
	}
	before := m.c.Store.Identity()
	if before.Cluster != ([16]byte{}) && before.Cluster != v.Cluster {
		return nil, fmt.Errorf("the data folder %s belongs to cluster %x, the view leader's is %x", m.c.Data, before.Cluster, v.Cluster)
	}
	if v.Epoch < before.Epoch {
		return nil, errBehind(v.Epoch, before.Epoch)
	}
	if me := v.Member(r.ID); me == nil || me.Incarnation != before.Incarnation {
		return nil, fmt.Errorf("register: epoch %d does not list %v at incarnation %d", v.Epoch, r.ID, before.Incarnation)
	}
	// The view is what says that this start is registered: who forgets one forgets both.
	err = m.c.Store.Adopt(ring.AppendView(nil, v, 0), func(id *store.Identity) {
		id.Server, id.Cluster, id.Epoch = r.ID, v.Cluster, v.Epoch
		id.Confirmed()
	})
	if err != nil {
		return nil, err
	}
	m.fence.goesOn(0) // it answered what was asked after a report
	m.id = r.ID
	m.c.Logger.Info("joined the cluster", "id", r.ID, "addr", m.c.Addr, "incarnation", before.Incarnation, "epoch", v.Epoch)
	return v, nil
}

// HasLeft reports whether this server has left the cluster, as planned.
func (m *Member) HasLeft() bool { return m.left.Load() }

// Leader is the view leader, for what is not about this server's membership.
func (m *Member) Leader() *wire.Leader { return m.leader }

// RunHeartbeats tells the view leader that this server lives: that its lanes do, not only
// this goroutine, until the server stops.
func (m *Member) RunHeartbeats(vitals Vitals) {
	silent := false
	for wait.For(m.c.Context, wait.Until(m.c.Now().Mono, time.Duration(m.beatEvery.Load()))) && !m.left.Load() {
		if lane := vitals.Lanes.Stalled(hungAfter); lane >= 0 {
			if !silent && m.c.Context.Err() == nil {
				m.c.Logger.Warn("a lane is stalled: no heartbeats until it goes on", "lane", lane, "for", hungAfter)
			}
			silent = true
			continue
		}
		silent = false
		if err := m.heartbeat(vitals); err != nil && m.c.Context.Err() == nil {
			m.c.Logger.Debug("no heartbeat", "err", err)
		}
	}
}

func (m *Member) heartbeat(v Vitals) error {
	ctx, cancel := context.WithTimeout(m.c.Context, leaderTimeout)
	defer cancel()
	seen := v.Views.View().Epoch
	reply, err := m.leader.Heartbeat(ctx, wire.Heartbeat{
		ID: m.id, Instance: m.instance, Incarnation: m.c.Store.Identity().Incarnation, Epoch: v.Lanes.Done(), Stats: v.Stats(),
	})
	if err != nil {
		m.answerRecovery(err)
		return err
	}
	m.setBeat(reply.Every)
	m.fence.goesOn(reply.Epoch)
	if reply.Epoch < seen && !m.behind {
		m.c.Logger.Error(errBehind(reply.Epoch, seen).Error())
	}
	if m.behind = reply.Epoch < seen; m.behind {
		return errBehind(reply.Epoch, seen) // and what it says of this server is of the past, too
	}
	if reply.Known || m.leaves(ctx, v.Views) {
		return nil
	}
	// It took this server for dead. The process lost nothing, so the same start
	// registers again and goes on where it still acts.
	m.c.Logger.Warn("the view leader had taken this server for dead: registering again")
	_, err = m.register()
	switch {
	case wire.IsCode(err, wire.CodeRefused):
		m.c.Fail(err)
	case wire.IsLockedOut(err): // passwords are being changed: this server had the right one when it joined
		m.c.Logger.Warn("the view leader refuses this server's password", "err", err)
	}
	return err
}

// leaves reports whether the view leader does not know this server since it has left, though the
// view that says so may not have come yet.
func (m *Member) leaves(ctx context.Context, views *Views) bool {
	if m.left.Load() {
		return true
	}
	v, err := m.leader.View(ctx, views.View(), 0)
	return err == nil && v != nil && v.Epoch > views.View().Epoch && v.Member(m.id) == nil
}

// setBeat takes up the interval that the view leader wants, unless one was given.
func (m *Member) setBeat(wanted time.Duration) {
	every := heartbeatDefault
	switch {
	case m.c.HeartbeatEvery > 0:
		every = m.c.HeartbeatEvery
	case wanted > 0:
		every = wanted
	}
	m.beatEvery.Store(int64(every))
}

// register tells the view leader of this start; any number of times.
func (m *Member) register() (wire.Registered, error) {
	ctx, cancel := context.WithTimeout(m.c.Context, registerTimeout)
	defer cancel()
	id := m.c.Store.Identity()
	r, err := m.leader.Register(ctx, m.registration(&id))
	if err != nil {
		m.answerRecovery(err)
		return r, fmt.Errorf("join the cluster: %w", err)
	}
	m.setBeat(r.Every)
	return r, nil
}

// refusal reports whether the view leader said no, rather than nothing.
func refusal(err error) bool { return wire.IsCode(err, wire.CodeRefused) || wire.IsLockedOut(err) }
