package viewleader

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"viewring/internal/metrics"
	"viewring/internal/tally"
	"viewring/ring"
	"viewring/viewleader/roster"
)

// meters are what is counted for who reads metrics.
type meters struct {
	commands *tally.Ops
	syncs    tally.Histogram // times of synced writes
	slow     tally.Slow      // the newest of them that took very long

	stood, heads atomic.Uint64 // elections in which this one stood; changes of the head that it saw
	term         atomic.Uint64
}

func (m *meters) hasStood() { m.stood.Add(1) }

func (m *meters) hasFollowed(term uint64) {
	m.heads.Add(1)
	m.term.Store(term)
}

// commandNumbers are those of the commands by their names, for who counts them; 0 is for what is none.
var commandNumbers map[string]int

// commandNames are the names by number, in small letters.
var commandNames = []string{"other"}

func init() {
	commandNumbers = make(map[string]int)
	for _, name := range append(slices.Sorted(maps.Keys(handlers)), "AUTH") {
		commandNumbers[name] = len(commandNames)
		commandNames = append(commandNames, strings.ToLower(name))
	}
}

// What a command came to, for who counts it.
const (
	endedOK = iota
	endedError
	endedLost // nobody waited for its answer
)

var endedNames = [...]string{endedOK: "ok", endedError: "error", endedLost: "lost"}

// The families of a view leader. What is known to the head alone is told by it alone.
var (
	commandFamilies = metrics.NewCommands("viewleader", "commands", "command", "outcome",
		"From the arrival of a command to its reply. Commands that wait, for a view, an event or a lock, take as long as that takes.")
	connFamilies = metrics.NewConnections("viewleader")

	isHead       = metrics.Gauge("viewleader_head", "Whether this view leader is the head: it decides.")
	knowsHead    = metrics.Gauge("viewleader_knows_head", "Whether it knows of a head, itself or another.")
	groupMembers = metrics.Gauge("viewleader_group_members", "View leaders of the group.")
	raftTerm     = metrics.Gauge("viewleader_raft_term", "Term of the group's Raft.")
	stood        = metrics.Counter("viewleader_elections_total", "Times that it stood as the head.")
	headChanges  = metrics.Counter("viewleader_head_changes_total", "Changes of the head that it saw, to none too.")
	recovering   = metrics.Gauge("viewleader_recovering", "Whether it waits for the servers' reports (--recover).")
	epochs       = metrics.Gauge("viewleader_view_epoch", "Epoch of the newest view that it knows.")

	servers        = metrics.Gauge("viewleader_servers", "Members, by whether they are up or down.", "state")
	serversLeaving = metrics.Gauge("viewleader_servers_by_status", "Members by their status: in, draining, leaving, out.", "status")
	heartbeatAge   = metrics.Gauge("viewleader_heartbeat_age_seconds", "How long ago a server was heard last; told by the head.", "server")
	unserved       = metrics.Gauge("viewleader_partitions_unserved", "Partitions that nobody who is up serves.")
	short          = metrics.Gauge("viewleader_copies_short", "Acting copies that partitions lack of three, or of as many as there are servers.")

	locksHeld    = metrics.Gauge("viewleader_locks_held", "Locks that are held; told by the head.")
	locksWaiting = metrics.Gauge("viewleader_locks_waiting", "Clients that wait for a lock; told by the head.")
	openSessions = metrics.Gauge("viewleader_sessions", "Sessions; told by the head.")

	logSyncs   = metrics.Histogram("viewleader_log_sync_duration_seconds", "Synced writes of the log.")
	logDisk    = metrics.Gauge("viewleader_log_disk_bytes", "Bytes of the log's files.")
	logLive    = metrics.Gauge("viewleader_log_live_bytes", "Bytes of them that are needed.")
	logWritten = metrics.Counter("viewleader_log_written_bytes_total", "Bytes written to the log.")
)

// Service is the view leader as its process's port for metrics shows it.
func (s *Service) Service() metrics.Service {
	return metrics.Service{Name: "viewleader", Collect: s.collect, Ready: s.ready, Healthy: s.healthy}
}

// ready says why it can't say who decides.
func (s *Service) ready() error {
	st := s.groupStatus.Load()
	switch {
	case s.ctx.Err() != nil:
		return errStopped
	case s.recovery.Load() != nil:
		return errors.New("it waits for the servers' reports")
	case st.self == 0:
		return errors.New("it looks for its group")
	case st.serving:
		return nil
	case st.head == 0:
		return errors.New("it knows of no head: is a majority of the group up?")
	case st.head == st.self:
		return errors.New("it becomes the head")
	}
	return nil
}

func (s *Service) healthy() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.err
}

// collect tells all figures.
func (s *Service) collect(ctx context.Context, to *metrics.Sink) {
	for number, name := range commandNames {
		if c := s.meters.commands.Counts(number); c.Count() > 0 {
			to.PutCommand(commandFamilies, name, &c, func(i int) string { return endedNames[i] })
		}
	}
	to.PutConnections(connFamilies, s.frontend)
	st := s.groupStatus.Load()
	to.PutBool(isHead, st.serving)
	to.PutBool(knowsHead, st.head != 0)
	to.Put(groupMembers, float64(len(st.members.members)))
	to.Put(raftTerm, float64(s.meters.term.Load()))
	to.Put(stood, float64(s.meters.stood.Load()))
	to.Put(headChanges, float64(s.meters.heads.Load()))
	to.PutBool(recovering, s.recovery.Load() != nil)
	syncs, g := s.meters.syncs.Counts(), s.disk.store.Stats()
	to.PutTimes(logSyncs, &syncs)
	to.Put(logDisk, float64(g.DiskBytes))
	to.Put(logLive, float64(g.LiveBytes))
	to.Put(logWritten, float64(g.Written))
	if p := s.published.Load(); p != nil {
		s.collectView(to, p)
	}
	if st.serving {
		s.collectLocks(ctx, to)
	}
}

// collectView tells what the newest view says.
func (s *Service) collectView(to *metrics.Sink, p *published) {
	v := p.view
	to.Put(epochs, float64(v.Epoch))
	up, targets := 0, 0
	states := map[ring.Status]int{ring.In: 0, ring.Draining: 0, ring.Leaving: 0, ring.Out: 0}
	for i := range v.Members {
		m := &v.Members[i]
		if states[m.Status]++; m.Up {
			up++
		}
		if m.Status == ring.In || m.Status == ring.Draining {
			targets++
		}
	}
	to.Put(servers, float64(up), "up")
	to.Put(servers, float64(len(v.Members)-up), "down")
	for status, n := range states {
		to.Put(serversLeaving, float64(n), status.String())
	}
	none, lack := 0, 0
	for i := range v.Partitions {
		if v.Unserved(ring.PartitionID(i)) {
			none++
		}
		lack += max(0, min(ring.Copies, targets)-len(v.Partitions[i].Acting))
	}
	to.Put(unserved, float64(none))
	to.Put(short, float64(lack))
	if !s.serves() {
		return
	}
	for _, st := range s.beats.status(p.members) {
		if st.Age >= 0 {
			to.Put(heartbeatAge, st.Age.Seconds(), st.ID.String())
		}
	}
}

// collectLocks asks the Raft loop what it has of locks and sessions, unless it is too busy to say.
func (s *Service) collectLocks(ctx context.Context, to *metrics.Sink) {
	told := make(chan roster.LockCounts, 1)
	look := func() { told <- s.group.state.LockCounts() }
	select {
	case s.group.reports <- look:
	case <-ctx.Done():
		return
	case <-s.ctx.Done():
		return
	}
	select {
	case n := <-told:
		to.Put(locksHeld, float64(n.Held))
		to.Put(locksWaiting, float64(n.Waiting))
		to.Put(openSessions, float64(n.Sessions))
	case <-ctx.Done():
	case <-s.ctx.Done():
	}
}

// took notes a reply that has left its line.
func (r *reply) took() {
	ended := endedLost
	if r.isDone() {
		ended = endedOK
		if r.failed {
			ended = endedError
		}
	}
	r.c.s.meters.commands.Done(r.number, r.command, ended, time.Since(r.came))
}
