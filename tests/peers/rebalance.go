package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"viewring/client"
	"viewring/client/admin"
	"viewring/ring"
)

// The measurement of rebalancing: servers join, leave, crash and return, beside a load and without one.
const (
	moverServers = 4
	moverAway    = 10 * time.Second // of the server that returns
	moverOut     = "15s"            // more than that
	moverWait    = 10 * time.Minute // for balance
)

// moving is one run.
type moving struct {
	o      *options
	t      *moverTable
	dir    string
	up     *cluster
	ops    *admin.Cluster
	cl     *client.Client
	keys   *movedKeys
	stops  []func() // of servers beside those of up
	joined int      // servers, for their names
}

// runRebalance measures rebalancing some times over.
func runRebalance(ctx context.Context, o *options, size int) error {
	scratch, err := os.MkdirTemp("", "peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	t := &moverTable{about: fmt.Sprintf("%d servers with %d MiB of keys of %d bytes (three copies each), %d clients, %d %% get. All servers share one disk and %s.",
		moverServers, size, moverValue, moverClients, moverReads, processors())}
	o.keys = size << 20 / moverValue
	for n := range o.runs {
		m := &moving{o: o, t: t, dir: filepath.Join(scratch, fmt.Sprint(n))}
		err := m.run(ctx)
		m.close()
		_ = os.RemoveAll(m.dir) // scratch
		if err != nil {
			return fmt.Errorf("run %d: %w", n+1, err)
		}
	}
	text := t.markdown()
	fmt.Print("\n", text)
	if err := os.WriteFile(filepath.Join(o.out, "rebalance.csv"), []byte(t.csv()), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(o.out, "rebalance.md"), []byte(text), 0o644)
}

func (m *moving) close() {
	for _, stop := range m.stops {
		stop()
	}
	if m.ops != nil {
		_ = m.ops.Close() // it has nothing to lose
	}
	if m.cl != nil {
		_ = m.cl.Close() // likewise
	}
	if m.up != nil {
		m.up.stop()
	}
}

// begin starts the cluster and fills it.
func (m *moving) begin(ctx context.Context) (err error) {
	if m.up, err = viewringUp(ctx, m.o, m.dir, "--servers", fmt.Sprint(moverServers), "--viewleader-flag=--out-after="+moverOut); err != nil {
		return err
	}
	opts := client.Options{Leaders: []string{m.up.Viewleader}, ViewCache: client.NoViewCache, Persist: true}
	if m.ops, err = admin.Open(ctx, opts); err != nil {
		return err
	}
	m.cl, err = client.Open(ctx, opts)
	if err != nil {
		return err
	}
	m.keys = newMovedKeys(viewringStore{m.cl}, m.o.keys)
	m.o.keys = len(m.keys.acked)
	if _, err = m.balanced(ctx, moverServers); err != nil {
		return err
	}
	return m.keys.all(ctx, 1, m.keys.set)
}

// balanced waits until so many servers have what they should have, and returns how they stand.
func (m *moving) balanced(ctx context.Context, servers int) (*admin.Status, error) {
	var last *admin.Status
	return last, untilWithin(ctx, moverWait, fmt.Sprint(servers, " servers are balanced"), func() bool {
		s, err := m.ops.Status(ctx)
		if err != nil {
			return false
		}
		last = s
		in := 0
		for i := range s.View.Members {
			if me := &s.View.Members[i]; me.Status == ring.In && me.Up {
				in++
			}
		}
		return in == servers && s.Safety().Balanced
	})
}

// rest waits until heartbeats have told what all servers have copied.
func (m *moving) rest(ctx context.Context, servers int) (*admin.Status, error) {
	if err := settle(ctx); err != nil {
		return nil, err
	}
	return m.balanced(ctx, servers)
}

func copied(s *admin.Status) (sum uint64) {
	for _, h := range s.Servers {
		sum += h.Stats.CopiedKeys
	}
	return sum
}

// join starts one more server and returns its id, once the view has it.
func (m *moving) join(ctx context.Context) (id ring.ServerID, err error) {
	m.joined++
	known := make(map[ring.ServerID]bool)
	for _, me := range m.ops.View().Members {
		known[me.ID] = true
	}
	if err := m.server(fmt.Sprint("joiner", m.joined)); err != nil {
		return 0, err
	}
	return id, untilWithin(ctx, moverWait, "a server joins", func() bool {
		s, err := m.ops.Status(ctx)
		if err != nil {
			return false
		}
		for _, me := range s.View.Members {
			if !known[me.ID] {
				id = me.ID
			}
		}
		return id != 0
	})
}

// server starts a server in a folder.
func (m *moving) server(folder string) error {
	_, stop, err := process(m.dir+"-"+folder+".log", m.o.viewring, "server", "--viewleader", m.up.Viewleader, "--listen", "127.0.0.1:0", "--data", filepath.Join(m.dir, folder))
	if err == nil {
		m.stops = append(m.stops, stop)
	}
	return err
}

// beside does something beside the load, which has gone on for a while, and waits until the servers
// are balanced. What clients see while it is so is measured from when do returns, but for the longest answer: that
// may come while do goes on. least says, after it, how many keys had to move.
func (m *moving) beside(ctx context.Context, what string, servers int, do func() error, least func(before, after *admin.Status) uint64) error {
	before, err := m.ops.Status(ctx)
	if err != nil {
		return err
	}
	if err := m.calm(ctx); err != nil {
		return err
	}
	l := m.keys.load(ctx)
	began := time.Now()
	cost := m.processors()
	pauseUntil(ctx, began.Add(m.o.span))
	act, costBefore := time.Now(), cost()
	stopped := m.watchStops(ctx)
	err = do()
	begun := time.Now()
	cost = m.processors()
	var turns []turn
	if err == nil {
		turns, err = m.untilBalanced(ctx, servers)
	}
	end, costWhile := time.Now(), cost()
	stop := stopped()
	failed := l.stop()
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	after, err := m.rest(ctx, servers)
	if err != nil {
		return err
	}
	was, is, all := l.window(began, act), l.window(begun, end), l.window(act, end)
	if was.perSecond == 0 || is.perSecond == 0 {
		return fmt.Errorf("%s: nothing was answered", what)
	}
	gone := uint64(0) // what servers that are gone had copied before
	for _, h := range before.Servers {
		if after.View.Member(h.ID) == nil || after.Server(h.ID).Stats.CopiedKeys < h.Stats.CopiedKeys {
			gone += h.Stats.CopiedKeys
		}
	}
	moved, need := copied(after)+gone-copied(before), least(before, after)
	m.t.add(what+": moved / least", float64(moved)/float64(max(need, 1)))
	m.t.add(what+": requests failed", float64(failed))
	if throughput, p99, ok := l.compare(turns); ok {
		m.t.add(what+": throughput copying / paused", throughput)
		m.t.add(what+": p99 copying / paused", p99)
	}
	m.t.add(what+": throughput while / before", is.perSecond/was.perSecond)
	m.t.add(what+": processor time a request, while / before", (costWhile.Seconds()/is.count())/(costBefore.Seconds()/was.count()))
	m.t.add(what+": p99 while / before", float64(is.p99)/float64(was.p99))
	m.t.add(what+": longest answer, ms", float64(all.longest.Microseconds())/1000)
	m.t.add(what+": longest stop of a key, ms", float64(stop.Microseconds())/1000)
	m.t.add(what+": longest answer before, ms", float64(was.longest.Microseconds())/1000)
	m.t.add(what+": seconds", end.Sub(begun).Seconds())
	return nil
}

// untilBalanced waits until the servers are balanced. With -turns they copy and are paused meanwhile.
func (m *moving) untilBalanced(ctx context.Context, servers int) (turns []turn, err error) {
	if !m.o.turns {
		_, err = m.balanced(ctx, servers)
		return nil, err
	}
	stop := m.takeTurns(ctx)
	_, err = m.balanced(ctx, servers)
	turns, stopped := stop()
	return turns, errors.Join(err, stopped)
}

// run takes all measurements of one cluster.
func (m *moving) run(ctx context.Context) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	var fifth ring.ServerID
	err := m.beside(ctx, "join", moverServers+1, func() (err error) {
		fifth, err = m.join(ctx)
		return err
	}, func(_, after *admin.Status) uint64 { return after.Server(fifth).Stats.Keys })
	if err != nil {
		return err
	}
	held := func(id ring.ServerID) func(before, _ *admin.Status) uint64 {
		return func(before, _ *admin.Status) uint64 { return before.Server(id).Stats.Keys }
	}
	err = m.beside(ctx, "leave", moverServers, func() error {
		_, err := m.ops.Leave(ctx, fmt.Sprint(fifth))
		return err
	}, held(fifth))
	if err != nil {
		return err
	}
	if err := m.alone(ctx); err != nil {
		return err
	}
	if err := m.returns(ctx); err != nil {
		return err
	}
	crashed, err := m.idOf(2)
	if err != nil {
		return err
	}
	err = m.beside(ctx, "crash", moverServers, func() error {
		if err := m.kill("s3"); err != nil {
			return err
		}
		return untilWithin(ctx, moverWait, "s3 is out", func() bool {
			s, err := m.ops.Status(ctx)
			if err != nil {
				return false
			}
			me := s.View.Member(crashed)
			return me == nil || !me.Target()
		})
	}, held(crashed))
	if err != nil {
		return err
	}
	return m.verify(ctx)
}

// idOf is the id of a server of the first ones.
func (m *moving) idOf(n int) (ring.ServerID, error) {
	for _, me := range m.ops.View().Members {
		if me.Addr == m.up.Servers[n] {
			return me.ID, nil
		}
	}
	return 0, fmt.Errorf("no server at %s", m.up.Servers[n])
}

func (m *moving) kill(name string) error {
	pid := m.up.byName[name]
	if pid == 0 {
		return fmt.Errorf("no server %s among %v", name, m.up.byName)
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

// alone measures the rate of a join that nothing else goes on beside, and what disk and loopback do.
func (m *moving) alone(ctx context.Context) error {
	disk, err := diskSpeed(m.dir)
	if err != nil {
		return err
	}
	loop, err := loopbackSpeed()
	if err != nil {
		return err
	}
	if err := m.calm(ctx); err != nil {
		return err
	}
	stopped := m.watchStops(ctx)
	cpu, began := processorTime(m.pids()), time.Now()
	id, err := m.join(ctx)
	if err != nil {
		return err
	}
	if _, err := m.balanced(ctx, moverServers+1); err != nil {
		return err
	}
	took := time.Since(began)
	cpu = processorTime(m.pids()) - cpu
	m.t.add("alone: longest stop of a key, ms", float64(stopped().Microseconds())/1000)
	s, err := m.rest(ctx, moverServers+1)
	if err != nil {
		return err
	}
	mib := float64(s.Server(id).Stats.Keys) * moverValue / (1 << 20)
	m.t.add("alone: rate, MiB/s", mib/took.Seconds())
	m.t.add("alone: disk stream, MiB/s", disk.stream)
	m.t.add("alone: loopback, MiB/s", loop)
	m.t.add("alone: rate / min(disk, loopback)", mib/took.Seconds()/min(disk.stream, loop))
	m.t.add("alone: CPU of all servers, ms a MiB", float64(cpu.Milliseconds())/mib)
	return nil
}

// processors begins to measure what all processes take of the processors, this one with the clients
// included, and returns what tells it. Nothing is counted of a server that has gone by then.
func (m *moving) processors() func() time.Duration {
	before, own := make(map[int]time.Duration), ownProcessorTime()
	for _, pid := range m.pids() {
		before[pid] = processorTime([]int{pid})
	}
	return func() time.Duration {
		sum := ownProcessorTime() - own
		for pid, was := range before {
			sum += max(0, processorTime([]int{pid})-was)
		}
		return sum
	}
}

// pids are the processes of view leader and servers that there are.
func (m *moving) pids() (pids []int) {
	pids = append(pids, m.up.pids...)
	for pid, args := range childrenOf(os.Getpid()) {
		if len(args) > 1 && args[1] == "server" {
			pids = append(pids, pid)
		}
	}
	return pids
}

// returns kills a server, changes one key in a hundred, and starts it again.
func (m *moving) returns(ctx context.Context) error {
	id, err := m.idOf(1)
	if err != nil {
		return err
	}
	killed := time.Now()
	if err := m.kill("s2"); err != nil {
		return err
	}
	if err := m.keys.all(ctx, 100, m.keys.set); err != nil {
		return err
	}
	pauseUntil(ctx, killed.Add(moverAway))
	if err := m.server("s2"); err != nil {
		return err
	}
	if err := untilWithin(ctx, moverWait, "s2 is back", func() bool {
		s, err := m.ops.Status(ctx)
		return err == nil && s.View.Member(id) != nil && s.View.Member(id).Incarnation > 1
	}); err != nil {
		return err
	}
	s, err := m.rest(ctx, moverServers+1)
	if err != nil {
		return err
	}
	me := s.Server(id).Stats
	if me.Keys == 0 {
		return errors.New("the server that returned holds nothing")
	}
	m.t.add("return: copied / held", float64(me.CopiedKeys)/float64(me.Keys))
	return nil
}

// verify reads every key and compares all copies.
func (m *moving) verify(ctx context.Context) error {
	stale := m.keys.stale.Load()
	m.t.add("answers older than acknowledged", float64(stale))
	lost := 0
	if err := m.keys.all(ctx, 1, m.keys.get); errors.Is(err, client.ErrNotFound) {
		lost = 1
	} else if err != nil {
		return err
	}
	a, err := m.ops.Audit(ctx)
	if err != nil {
		return err
	}
	m.t.add("keys lost", float64(lost)+float64(m.keys.stale.Load()-stale)+float64(m.o.keys-min(m.o.keys, a.Keys)))
	m.t.add("keys with too few, too many or different copies", float64(len(a.Problems)))
	return nil
}
