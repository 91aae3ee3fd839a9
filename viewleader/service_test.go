package viewleader

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"viewring/internal/disk/crashdisk"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/viewleader/vocab"
)

func testOptions(t *testing.T) Options {
	t.Helper()
	level := slog.LevelWarn
	if testing.Verbose() {
		level = slog.LevelInfo
	}
	return Options{
		Listen: "127.0.0.1:0", Data: t.TempDir(), Partitions: 16,
		Heartbeat: 20 * time.Millisecond, DownAfter: 250 * time.Millisecond, ReturnGrace: 300 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: level})),
	}
}

func start(t *testing.T, o Options) *Service {
	t.Helper()
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func leaderOf(t *testing.T, s *Service) *wire.Leader {
	t.Helper()
	l := wire.NewLeader([]string{s.Addr()}, nil)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// server is a fake server: it registers and sends heartbeats.
type server struct {
	t      *testing.T
	leader *wire.Leader
	reg    vocab.Register
	view   *ring.View
	knows  bool // it says that it knows weights
	stop   context.CancelFunc
	wg     sync.WaitGroup
}

func newServer(t *testing.T, addr string, n byte) *server {
	t.Helper()
	l := wire.NewLeader([]string{addr}, nil)
	t.Cleanup(func() { _ = l.Close() })
	return &server{t: t, leader: l, reg: vocab.Register{Store: [16]byte{n}, Instance: uint64(n) << 8, Incarnation: 1,
		Addr: "host:" + string('0'+rune(n)), Weight: 1, Whole: true}}
}

func (v *server) register() {
	v.t.Helper()
	got, err := v.leader.Register(v.t.Context(), v.reg)
	if err != nil {
		v.t.Fatal(err)
	}
	if v.view, err = ring.DecodeView(got.View, nil); err != nil {
		v.t.Fatal(err)
	}
	v.reg.ID, v.reg.Cluster = got.ID, v.view.Cluster
	if m := v.view.Member(got.ID); m == nil || m.Incarnation != v.reg.Incarnation || got.Every == 0 || v.view.Epoch < got.Epoch {
		v.t.Fatalf("%+v in %+v", m, got)
	}
}

func (v *server) beat() (wire.HeartbeatReply, error) {
	return v.leader.Heartbeat(v.t.Context(), wire.Heartbeat{ID: v.reg.ID, Instance: v.reg.Instance,
		Incarnation: v.reg.Incarnation, Epoch: 1, Stats: vocab.ServerStats{Keys: 7, KnowsWeights: v.knows}})
}

// live sends heartbeats until kill.
func (v *server) live() {
	ctx, stop := context.WithCancel(v.t.Context())
	v.stop = stop
	v.wg.Go(func() {
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for ctx.Err() == nil {
			_, _ = v.beat()
			select {
			case <-ticker.C:
			case <-ctx.Done():
			}
		}
	})
	v.t.Cleanup(v.kill)
}

func (v *server) kill() {
	v.stop()
	v.wg.Wait()
	_ = v.leader.Close()
}

func (v *server) restart(addr string) {
	v.t.Helper()
	v.leader = wire.NewLeader([]string{addr}, nil)
	v.t.Cleanup(func() { _ = v.leader.Close() })
	v.reg.Previous = v.reg.Incarnation
	v.reg.Incarnation++
	v.reg.Instance++
	v.register()
}

func (v *server) incarnated() ring.Incarnated {
	return ring.Incarnated{ID: v.reg.ID, Incarnation: v.reg.Incarnation}
}

// waitView waits for a view that ok holds for, by long polls only.
func waitView(t *testing.T, l *wire.Leader, base *ring.View, ok func(*ring.View) bool) *ring.View {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for v := base; ; {
		if v != nil && ok(v) {
			return v
		}
		next, err := l.View(ctx, v, 5*time.Second)
		if err != nil {
			t.Fatalf("the view that was waited for did not come: %v; last %+v", err, v)
		}
		v = next
	}
}

func handoffAll(v *ring.View, from ring.Incarnated, acting ...ring.Incarnated) []wire.Change {
	changes := make([]wire.Change, len(v.Partitions))
	for i := range changes {
		changes[i] = wire.Change{Kind: wire.ChangeHandoff, From: from, Partition: ring.PartitionID(i),
			Term: v.Partitions[i].Term, Acting: acting}
	}
	return changes
}

func TestServersJoinAndExpire(t *testing.T) {
	s := start(t, testOptions(t))
	l := leaderOf(t, s)
	if v, err := l.View(t.Context(), nil, 0); err != nil || v.Epoch != 0 || len(v.Partitions) != 16 {
		t.Fatalf("%+v, %v", v, err)
	}
	servers := threeServers(t, s)
	v := servers[2].view
	results, err := l.Change(t.Context(), handoffAll(v, servers[0].incarnated(),
		servers[0].incarnated(), servers[1].incarnated(), servers[2].incarnated()))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if !r.Done || r.Epoch != v.Epoch+1 {
			t.Fatalf("%+v after epoch %d: want one epoch for all", r, v.Epoch)
		}
	}
	v = waitView(t, l, v, func(v *ring.View) bool { return len(v.Partitions[3].Acting) == 3 })
	if ok, err := l.Confirm(t.Context(), []wire.Confirm{{Partition: 3, Term: v.Partitions[3].Term}, {Partition: 3, Term: 1},
		{Partition: 999, Term: 1}}); err != nil || !slices.Equal(ok, []bool{true, false, false}) {
		t.Fatal(ok, err)
	}
	if r, err := servers[0].beat(); err != nil || !r.Known || r.Epoch != v.Epoch || r.Every == 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	servers[0].kill()
	v = waitView(t, l, v, func(v *ring.View) bool { return !v.Member(1).Up })
	if !slices.Equal(v.Partitions[0].Acting, []ring.ServerID{2, 3}) {
		t.Fatalf("%+v", v.Partitions[0])
	}
	st, err := l.Status(t.Context())
	if err != nil || len(st.Servers) != 3 || st.Servers[1].Stats.Keys != 7 || st.Servers[1].Age < 0 {
		t.Fatalf("%+v, %v", st, err)
	}
	// Back in time as the same process: it learns.
	servers[0].restart(s.Addr())
	if m := servers[0].view.Member(1); !m.Up || servers[0].view.Partitions[0].IsActing(1) {
		t.Fatalf("%+v", m)
	}
}

// threeServers are registered, and live.
func threeServers(t *testing.T, s *Service) (servers []*server) {
	for n := byte(1); n <= 3; n++ {
		sv := newServer(t, s.Addr(), n)
		sv.register()
		sv.live()
		servers = append(servers, sv)
	}
	return servers
}

func TestSilenceOfAllLeavesTheSets(t *testing.T) {
	s := start(t, testOptions(t))
	l := leaderOf(t, s)
	servers := threeServers(t, s)
	v := servers[2].view
	if _, err := l.Change(t.Context(), handoffAll(v, servers[0].incarnated(), servers[0].incarnated(),
		servers[1].incarnated(), servers[2].incarnated())); err != nil {
		t.Fatal(err)
	}
	for _, sv := range servers {
		sv.stop()
	}
	v = waitView(t, l, v, func(v *ring.View) bool { return !v.Member(1).Up && !v.Member(2).Up && !v.Member(3).Up })
	if len(v.Partitions[0].Acting) != 3 {
		t.Fatalf("%+v", v.Partitions[0])
	}
	if r, err := servers[1].beat(); err != nil || r.Known {
		t.Fatalf("%+v, %v", r, err)
	}
	servers[1].register() // the same process, told that it was taken for dead
	servers[1].live()
	v = waitView(t, l, v, func(v *ring.View) bool { return len(v.Partitions[0].Acting) == 1 })
	if v.Partitions[0].Acting[0] != 2 {
		t.Fatalf("%+v", v.Partitions[0])
	}
}

func TestOutAfter(t *testing.T) {
	o := testOptions(t)
	o.OutAfter = 300 * time.Millisecond
	s := start(t, o)
	a, b := newServer(t, s.Addr(), 1), newServer(t, s.Addr(), 2)
	a.register()
	a.live()
	b.register()
	b.live()
	b.kill()
	v := waitView(t, a.leader, a.view, func(v *ring.View) bool { m := v.Member(2); return m != nil && m.Status == ring.Out })
	if v.Member(1).Status != ring.In {
		t.Fatalf("%+v", v.Members)
	}
	b.restart(s.Addr())
	if b.view.Member(2).Status != ring.In {
		t.Fatalf("%+v", b.view.Members)
	}
}

func TestTwoProcesses(t *testing.T) {
	o := testOptions(t)
	o.DownAfter = 2 * time.Second // a busy machine must not take the first for dead
	s := start(t, o)
	a := newServer(t, s.Addr(), 1)
	a.register()
	a.live()
	clone := newServer(t, s.Addr(), 1) // on a copy of the data folder
	clone.reg = a.reg
	clone.reg.Previous, clone.reg.Incarnation, clone.reg.Instance, clone.reg.Addr = 1, 2, 99, "host:9"
	if _, err := clone.leader.Register(t.Context(), clone.reg); !wire.IsCode(err, wire.CodeRefused) || !strings.Contains(err.Error(), "another process") {
		t.Fatal(err)
	}
	thief := newServer(t, s.Addr(), 5)
	thief.reg.Addr = a.reg.Addr
	if _, err := thief.leader.Register(t.Context(), thief.reg); !wire.IsCode(err, wire.CodeRefused) || !strings.Contains(err.Error(), "belongs to s1") {
		t.Fatal(err)
	}
	foreign := newServer(t, s.Addr(), 6)
	foreign.reg.Cluster = [16]byte{42}
	if _, err := foreign.leader.Register(t.Context(), foreign.reg); !wire.IsCode(err, wire.CodeRefused) {
		t.Fatal(err)
	}
	// A quick restart is no second process.
	a.kill()
	a.restart(s.Addr())
	// Nor is a new server at the address of one that died.
	a.live()
	a.kill()
	thief.register()
}

func TestRestartKeepsState(t *testing.T) {
	o := testOptions(t)
	o.SnapshotEvery = 7
	s := start(t, o)
	sv := newServer(t, s.Addr(), 1)
	sv.register()
	l := leaderOf(t, s)
	var last uint64
	for i := range 20 {
		name := string('a' + rune(i))
		token, err := l.LockGet(t.Context(), wire.LockAsk{Lock: "l" + name, Client: "c"})
		if err != nil || token <= last {
			t.Fatal(token, err)
		}
		last = token
	}
	if err := l.LockFree(t.Context(), "la", "c", 0); err != nil {
		t.Fatal(err)
	}
	before := s.View()
	for range 3 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = start(t, o)
	}
	if v := s.View(); v.Epoch != before.Epoch || v.Cluster != before.Cluster || len(v.Members) != 1 || v.Partitions[5].Acting[0] != 1 {
		t.Fatalf("%+v, was %+v", v, before)
	}
	l = leaderOf(t, s)
	locks, err := l.Locks(t.Context())
	if err != nil || len(locks.Locks) != 19 || locks.Locks[0].Name != "lb" || locks.Locks[0].Holders[0].Client != "c" || locks.Locks[0].Holders[0].Since.IsZero() {
		t.Fatalf("%+v, %v", locks, err)
	}
	if token, err := l.LockGet(t.Context(), wire.LockAsk{Lock: "la", Client: "d"}); err != nil || token != last+1 {
		t.Fatal(token, err)
	}
	if token, err := l.LockGet(t.Context(), wire.LockAsk{Lock: "lt", Client: "c"}); err != nil || token != last {
		t.Fatal(token, err)
	}
}

// TestCrashKeepsWhatWasAnswered loses everything that was not synced.
func TestCrashKeepsWhatWasAnswered(t *testing.T) {
	fs := crashdisk.Mem()
	o := testOptions(t)
	o.Data, o.FS, o.SnapshotEvery = "data", fs, 5
	s := start(t, o)
	l := leaderOf(t, s)
	for i := range 17 {
		token, err := l.LockGet(t.Context(), wire.LockAsk{Lock: "l", Client: "c" + string('a'+rune(i))})
		if err != nil {
			t.Fatal(err)
		}
		after := fs.CrashClone(0, rand.New(rand.NewPCG(0, 0)))
		crashed := o
		crashed.FS = after
		again := start(t, crashed)
		locks, err := leaderOf(t, again).Locks(t.Context())
		if err != nil || len(locks.Locks) != 1 || locks.Locks[0].Holders[0].Token != token {
			t.Fatalf("after %d: %+v, %v", token, locks, err)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		if err := l.LockFree(t.Context(), "l", "c"+string('a'+rune(i)), 0); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMember(t *testing.T) {
	s := start(t, testOptions(t))
	a, b := newServer(t, s.Addr(), 1), newServer(t, s.Addr(), 2)
	a.register()
	a.live()
	b.register()
	b.live()
	l := leaderOf(t, s)
	ctx := t.Context()
	if id, err := l.Member(ctx, wire.MemberLeave, "host:2"); err != nil || id != 2 {
		t.Fatal(id, err)
	}
	for _, c := range []struct{ verb, server, words string }{
		{wire.MemberLeave, "s1", "last server"}, {wire.MemberDrain, "s1", "min-copies"}, {wire.MemberRemove, "s1", "is up"},
		{wire.MemberLeave, "s9", "not a member"}, {wire.MemberLeave, "nobody:1", "no server"},
	} {
		if _, err := l.Member(ctx, c.verb, c.server); !wire.IsCode(err, wire.CodeRefused) || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s %s: %v", c.verb, c.server, err)
		}
	}
	if _, err := l.Member(ctx, "explode", "s1"); !wire.IsCode(err, wire.CodeErr) {
		t.Fatal(err)
	}
}

// TestPlace: weights and zones are set by id or address, and no weight while a server that is up
// says nothing of weights.
func TestPlace(t *testing.T) {
	s := start(t, testOptions(t))
	a, b := newServer(t, s.Addr(), 1), newServer(t, s.Addr(), 2)
	a.knows = true
	for _, v := range []*server{a, b} {
		v.register()
		v.live()
	}
	l := leaderOf(t, s)
	ctx := t.Context()
	refused := func(words, what, server, value string) {
		t.Helper()
		if _, err := l.Place(ctx, what, server, value); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s %s %q: %v, want %q", what, server, value, err, words)
		}
	}
	waitStatus(t, l, func(st *wire.Status) bool { return st.Servers[0].Age >= 0 && st.Servers[1].Age >= 0 })
	refused("s2 (host:2) runs a build that knows no weights", wire.PlaceWeight, "s1", "2")
	refused("not a member", wire.PlaceZone, "s9", "x")
	refused("no weight", wire.PlaceWeight, "s1", "much")
	refused("weight or zone", "colour", "s1", "red")
	for _, c := range [][3]string{{wire.PlaceZone, "host:2", "east"}, {wire.PlaceWeight, "s1", "1"}} {
		if _, err := l.Place(ctx, c[0], c[1], c[2]); err != nil {
			t.Errorf("%v: %v", c, err)
		}
	}
	b.kill()
	waitView(t, l, nil, func(v *ring.View) bool { return !v.Member(2).Up })
	if id, err := l.Place(ctx, wire.PlaceWeight, "s1", "2"); id != 1 || err != nil {
		t.Error(id, err)
	}
	waitView(t, l, nil, func(v *ring.View) bool { return v.Member(1).Weight == 2 && v.Member(2).Zone == "east" })
	b.leader = wire.NewLeader([]string{s.Addr()}, nil)
	defer b.leader.Close()
	b.reg.Previous, b.reg.Incarnation = b.reg.Incarnation, b.reg.Incarnation+1
	if _, err := b.leader.Register(ctx, b.reg); err == nil || !strings.Contains(err.Error(), "does not know") {
		t.Errorf("a build without weights is let in: %v", err)
	}
}

// waitStatus waits until ok holds for the status.
func waitStatus(t *testing.T, l *wire.Leader, ok func(*wire.Status) bool) {
	t.Helper()
	for over := time.After(2 * time.Minute); ; {
		st, err := l.Status(t.Context())
		if err == nil && ok(&st) {
			return
		}
		select {
		case <-over:
			t.Fatalf("%+v, %v", st, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestManyWaitersAreTold(t *testing.T) {
	s := start(t, testOptions(t))
	var wg sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	got := make(chan uint64, 100)
	for range 100 {
		l := leaderOf(t, s)
		wg.Go(func() {
			v, err := l.View(ctx, nil, time.Minute)
			if err != nil {
				t.Error(err)
				return
			}
			got <- v.Epoch
		})
	}
	newServer(t, s.Addr(), 1).register()
	wg.Wait()
	for range 100 {
		if epoch := <-got; epoch != 1 {
			t.Fatal(epoch)
		}
	}
}

func TestBadStarts(t *testing.T) {
	o := testOptions(t)
	s := start(t, o)
	for _, c := range []struct {
		name, words string
		change      func(*Options)
	}{
		{"folder in use", "in use", func(*Options) {}},
		{"port in use", "address already in use", func(o *Options) { o.Listen, o.Data = s.Addr(), t.TempDir() }},
		{"partitions", "power of two", func(o *Options) { o.Data, o.Partitions = t.TempDir(), 1000 }},
		{"no folder", "no data folder", func(o *Options) { o.Data = "" }},
		{"someone's folder", "not a data folder", func(o *Options) {
			o.Data = t.TempDir()
			if err := os.WriteFile(filepath.Join(o.Data, "thesis.txt"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"newer format", "viewleader 3", func(o *Options) {
			o.Data = t.TempDir()
			if err := os.WriteFile(filepath.Join(o.Data, "FORMAT"), []byte("viewring viewleader 3\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"down-after", "two heartbeats", func(o *Options) { o.Data, o.DownAfter = t.TempDir(), time.Millisecond }},
	} {
		bad := o
		c.change(&bad)
		if _, err := Start(t.Context(), bad); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	o.Partitions = 32
	if _, err := Start(t.Context(), o); err == nil || !strings.Contains(err.Error(), "made with 16 partitions") {
		t.Error(err)
	}
	o.Partitions, o.MinCopies = 0, 1
	if v := start(t, o).View(); v.MinCopies != 1 || len(v.Partitions) != 16 {
		t.Errorf("min-copies %d, %d partitions", v.MinCopies, len(v.Partitions))
	}
}

func TestGarbage(t *testing.T) {
	s := start(t, testOptions(t))
	for _, c := range []struct{ send, want string }{
		{"GET / HTTP/1.1\r\n", "-ERR Protocol error: not RESP but HTTP"},
		{"*1\r\n:5\r\n", "-ERR Protocol error: expected '$'"},
		{"*1\r\n$99999999\r\n", "-ERR"},
		{"*2\r\n$11\r\nVL.REGISTER\r\n$3\r\nabc\r\n", "-ERR register"},
		{"VL.LOCKGET a b c d\r\n", "-ERR want"},
		{"VL.VIEW\r\n", "-ERR wrong number"},
		{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n", "-ERR Protocol error: not RESP but TLS"},
		{"ping\r\n", "+PONG"},
	} {
		nc, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(nc, c.send); err != nil {
			t.Fatal(err)
		}
		_ = nc.SetReadDeadline(time.Now().Add(2 * time.Minute))
		buf := make([]byte, 200)
		n, err := nc.Read(buf)
		if err != nil || !strings.HasPrefix(string(buf[:n]), c.want) {
			t.Errorf("%q: got %q, %v, want %q", c.send, buf[:n], err, c.want)
		}
		_ = nc.Close()
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	o := testOptions(t)
	o.ConnectionsMax = 1
	s := start(t, o)
	l := leaderOf(t, s)
	if _, err := l.Locks(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := leaderOf(t, s)
	if _, err := other.Locks(t.Context()); err == nil {
		t.Fatal("a second connection was served")
	}
	if _, err := l.Locks(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestDiskFailureStops lets the disk refuse a write: who asked for what was to be written
// is not told that it was done, and the view leader ends and says why.
func TestDiskFailureStops(t *testing.T) {
	disk := crashdisk.Mem()
	o := testOptions(t)
	o.FS = disk
	s := start(t, o)
	disk.Watch(func(p crashdisk.Step) error {
		if p.Kind == crashdisk.WriteSync {
			return errors.New("the disk is gone")
		}
		return nil
	})
	ctx, giveUp := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	asking.Go(func() {
		if token, err := leaderOf(t, s).LockGet(ctx, wire.LockAsk{Lock: "l", Client: "c"}); err == nil {
			t.Errorf("a lock was granted with token %d", token)
		}
	})
	if err := s.Wait(); err == nil || !strings.Contains(err.Error(), "the disk is gone") {
		t.Error(err)
	}
	giveUp()
	asking.Wait()
}
