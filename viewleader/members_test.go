package viewleader

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"viewring/internal/wire"
	"viewring/ring"
)

// whole reports that n members vote, are heard and have everything.
func whole(n int) func(*wire.Group) bool {
	return func(p *wire.Group) bool {
		ok := p.Head != 0 && len(p.Members) == n && len(p.Awaited) == 0
		for _, m := range p.Members {
			ok = ok && m.Voter && m.Heard && m.Lag == 0
		}
		return ok
	}
}

func (g *trio) lock(name string) uint64 {
	g.t.Helper()
	token, err := g.leader.LockGet(g.t.Context(), wire.LockAsk{Lock: name, Client: "alice"})
	if err != nil {
		g.t.Fatal(err)
	}
	return token
}

// TestMinorityRefuses leaves one of three: it says what is missing, and serves
// again when a second one is back.
func TestMinorityRefuses(t *testing.T) {
	t.Parallel()
	g := startTrio(t, 3)
	token := g.lock("deploy")
	first := g.head()
	g.stop(first)
	second := g.head()
	g.stop(second)
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	_, err := g.leader.LockGet(ctx, wire.LockAsk{Lock: "other", Client: "bob"})
	if !errors.Is(err, wire.ErrLeaderUnreachable) {
		t.Fatalf("%v, want that there is no head", err)
	}
	p := g.waitGroup("no head", func(p *wire.Group) bool { return p.Head == 0 && len(p.Members) == 3 })
	up := 0
	for _, m := range p.Members {
		if m.Heard {
			up++
		}
	}
	if up != 1 {
		t.Fatalf("%d of %+v are up, want one", up, p.Members)
	}
	third := 3 - first - second
	l := wire.NewLeader([]string{g.addrs[third]}, nil)
	defer l.Close()
	if _, err := l.Status(t.Context()); !errors.Is(err, wire.ErrNoHead) || !strings.Contains(err.Error(), "majority") {
		t.Fatalf("%v, want that no majority is up", err)
	}
	g.start(first)
	if again := g.lock("deploy"); again != token {
		t.Fatalf("token %d, then %d", token, again)
	}
}

// TestAllRestart stops all view leaders at once: nothing is lost.
func TestAllRestart(t *testing.T) {
	t.Parallel()
	g := startTrio(t, 3)
	sv := newServer(t, g.addrs[0], 1)
	sv.register()
	tokens := make(map[string]uint64)
	for i := range 20 {
		name := fmt.Sprint("lock ", i)
		tokens[name] = g.lock(name)
	}
	before, err := g.leader.View(t.Context(), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for i := range g.members {
			g.stop(i)
		}
		for i := range g.members {
			g.start(i)
		}
		g.waitGroup("all are back", whole(3))
		for name, token := range tokens {
			if again := g.lock(name); again != token {
				t.Fatalf("%s: token %d, then %d", name, token, again)
			}
		}
		after, err := g.leader.View(t.Context(), nil, 0)
		if err != nil || after.Epoch != before.Epoch || after.Cluster != before.Cluster || !slices.EqualFunc(after.Members, before.Members, sameMember) {
			t.Fatalf("%+v, %v; before %+v", after, err, before)
		}
	}
	if newest := g.lock("another"); newest <= tokens["lock 19"] {
		t.Fatalf("token %d after %d", newest, tokens["lock 19"])
	}
}

func sameMember(a, b ring.Member) bool {
	return a.ID == b.ID && a.Incarnation == b.Incarnation && a.Addr == b.Addr
}

// TestWipedMemberComesBackAnew takes a member's folder away: it gets a new id, in
// its old place, and the old one can't come back.
func TestWipedMemberComesBackAnew(t *testing.T) {
	t.Parallel()
	g := startTrio(t, 3)
	token := g.lock("deploy")
	i := (g.head() + 1) % 3
	g.stop(i)
	lost := g.options[i].Data + ".lost"
	if err := os.Rename(g.options[i].Data, lost); err != nil {
		t.Fatal(err)
	}
	g.start(i)
	g.waitGroup("it is back as member 4", func(p *wire.Group) bool {
		return whole(3)(p) && slices.ContainsFunc(p.Members, func(m wire.GroupMember) bool { return m.ID == 4 && m.Addr == g.addrs[i] })
	})
	g.stop(i)
	if again := g.lock("deploy"); again != token {
		t.Fatalf("token %d, then %d", token, again)
	}
	o := g.options[i]
	o.Data = lost
	s := start(t, o)
	if err := s.Wait(); err == nil || !strings.Contains(err.Error(), "removed") {
		t.Fatalf("a member that was replaced ended with %v", err)
	}
}

// TestFormerFolderBeforeItsReplacement finds a lost folder again while its replacement has no
// vote yet: it lost nothing and goes on. Who asks while there is no head learns which of the
// two is up at their one address.
func TestFormerFolderBeforeItsReplacement(t *testing.T) {
	t.Parallel()
	g := startTrio(t, 3)
	head := g.head()
	i := (head + 1) % 3
	g.stop(i)
	lost := g.options[i].Data + ".lost"
	if err := os.Rename(g.options[i].Data, lost); err != nil {
		t.Fatal(err)
	}
	former := g.options[i]
	former.Data = lost
	g.options[i].Dial = mute
	g.start(i)
	var id uint64 // of the former
	joining := func(p *wire.Group) bool {
		if len(p.Members) != 4 {
			return false
		}
		m := &p.Members[3]
		id = m.Replaces
		return m.Addr == g.addrs[i] && !m.Voter && slices.ContainsFunc(p.Members[:3], func(o wire.GroupMember) bool { return o.ID == id && o.Addr == m.Addr })
	}
	g.waitGroup("a newcomer that cannot catch up", joining)

	g.stop(head)
	g.waitGroup("no head, and the newcomer answers", func(p *wire.Group) bool {
		up := slices.DeleteFunc(slices.Clone(p.Members), func(m wire.GroupMember) bool { return !m.Heard })
		if slices.ContainsFunc(up, func(m wire.GroupMember) bool { return p.Head == 0 && m.ID == id }) {
			t.Fatalf("%d is called up, and its folder is not in use: %+v", id, p)
		}
		return p.Head == 0 && len(up) == 2 && joining(p)
	})
	g.start(head)
	token := g.lock("deploy")

	g.stop(i)
	g.options[i] = former
	g.start(i)
	g.waitGroup("the former is back", func(p *wire.Group) bool {
		return p.Head != 0 && len(p.Members) == 4 && whole(3)(&wire.Group{Head: p.Head, Members: p.Members[:3]})
	})
	g.stop(head)
	if again := g.lock("deploy"); again != token {
		t.Fatalf("token %d, then %d", token, again)
	}
}

// TestRemovedUnheard removes a newcomer that cannot be reached: it has no vote to ask for, so
// nothing that it would have sent by itself is refused.
func TestRemovedUnheard(t *testing.T) {
	t.Parallel()
	g := startTrio(t, 1)
	i := g.add()
	g.stop(i)
	var newcomer atomic.Pointer[Service]
	var announced atomic.Bool
	g.options[i].Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := mute(ctx, network, addr)
		return closing{c, func() {
			if s := newcomer.Load(); s != nil && s.groupStatus.Load().self != 0 {
				announced.Store(true)
			}
		}}, err
	}
	g.start(i)
	newcomer.Store(g.members[i])
	g.options[0].Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr == g.addrs[i] {
			return nil, errors.New("it cannot be reached")
		}
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	g.stop(0)
	g.start(0)
	if err := g.leader.GroupSet(t.Context(), wire.GroupAdd, g.addrs[i]); err != nil {
		t.Fatal(err)
	}
	g.waitGroup("it joins", func(p *wire.Group) bool { return len(p.Members) == 2 && announced.Load() })
	if err := g.leader.GroupSet(t.Context(), wire.GroupRemove, g.addrs[i]); err != nil {
		t.Fatal(err)
	}
	inVain := time.AfterFunc(20*time.Second, func() { _ = g.members[i].Close() })
	defer inVain.Stop()
	if err := g.members[i].Wait(); err == nil || !strings.Contains(err.Error(), "removed") {
		t.Fatalf("it ended with %v", err)
	}
}

// TestStopWhileLooking stops a view leader that looks for its group: that it got no answer
// must not make it found one.
func TestStopWhileLooking(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := testOptions(t)
	o.Peers = []string{"127.0.0.1:1", "127.0.0.1:2"}
	o.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	s, err := Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); err != nil {
		t.Fatal(err)
	}
	d, err := openLog(o.Data, o.FS, logOptions(o.Logger))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.close() }()
	if d.identity.id != 0 {
		t.Fatalf("it is view leader %d of cluster %x", d.identity.id, d.identity.cluster)
	}
}

// mute dials for a view leader that never gets a message to another one.
func mute(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	return muted{c}, err
}

type muted struct{ net.Conn }

func (m muted) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte(wire.CmdPeer)) {
		return 0, errors.New("it is mute")
	}
	return m.Conn.Write(b)
}

// closing tells of its end.
type closing struct {
	net.Conn
	closed func()
}

func (c closing) Close() error {
	defer c.closed()
	return c.Conn.Close()
}

// TestMembersChange adds a fourth view leader, removes the head, and replaces one
// after the other, while a client takes locks.
func TestMembersChange(t *testing.T) {
	t.Parallel()
	g := startTrio(t, 3)
	token := g.lock("deploy")
	if err := g.leader.GroupSet(t.Context(), wire.GroupAdd, "nonsense"); !wire.IsCode(err, wire.CodeRefused) {
		t.Fatal(err)
	}
	for round := range 3 {
		i := g.add()
		if err := g.leader.GroupSet(t.Context(), wire.GroupAdd, g.addrs[i]); err != nil {
			t.Fatal(err)
		}
		g.waitGroup("four", whole(4))
		head := g.head()
		if err := g.leader.GroupSet(t.Context(), wire.GroupRemove, g.addrs[head]); err != nil {
			t.Fatal(err)
		}
		if err := g.members[head].Wait(); !errors.Is(err, ErrRemoved) {
			t.Fatalf("the removed head ended with %v", err)
		}
		g.addrs[head] = "removed"
		g.waitGroup("three", whole(3))
		if again := g.lock("deploy"); again != token {
			t.Fatalf("round %d: token %d, then %d", round, token, again)
		}
	}
	if err := g.leader.GroupSet(t.Context(), wire.GroupRemove, "9"); !wire.IsCode(err, wire.CodeRefused) {
		t.Fatal(err)
	}
}

// add starts one more, with a new folder, which nobody has let in yet.
func (g *trio) add() int {
	g.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		g.t.Fatal(err)
	}
	o := testOptions(g.t)
	o.Listener, o.Listen = ln, ln.Addr().String()
	g.addrs = append(g.addrs, o.Listen)
	for _, addr := range g.addrs {
		if addr != "removed" {
			o.Peers = append(o.Peers, addr)
		}
	}
	g.options, g.members = append(g.options, o), append(g.members, nil)
	g.start(len(g.members) - 1)
	return len(g.members) - 1
}

// TestRemoveKeepsAMajority refuses to remove one that lives when the others would
// be too few.
func TestRemoveKeepsAMajority(t *testing.T) {
	t.Parallel()
	g := startTrio(t, 3)
	down := (g.head() + 1) % 3
	g.stop(down)
	g.waitGroup("one is silent", func(p *wire.Group) bool {
		return p.Head != 0 && slices.ContainsFunc(p.Members, func(m wire.GroupMember) bool { return m.Addr == g.addrs[down] && !m.Heard })
	})
	other := 3 - down - g.head()
	err := g.leader.GroupSet(t.Context(), wire.GroupRemove, g.addrs[other])
	if !wire.IsCode(err, wire.CodeRefused) || !strings.Contains(err.Error(), "majority") {
		t.Fatalf("%v, want a refusal: the head alone would be no majority of two", err)
	}
	if err := g.leader.GroupSet(t.Context(), wire.GroupRemove, g.addrs[down]); err != nil {
		t.Fatal(err)
	}
	g.waitGroup("two", whole(2))
}

// TestGroupOfOneGrows adds two to a view leader that was alone, as its folder of
// earlier builds is.
func TestGroupOfOneGrows(t *testing.T) {
	t.Parallel()
	g := startTrio(t, 1)
	token := g.lock("deploy")
	for range 2 {
		i := g.add()
		if err := g.leader.GroupSet(t.Context(), wire.GroupAdd, g.addrs[i]); err != nil {
			t.Fatal(err)
		}
		g.waitGroup("it votes", whole(i+1))
	}
	g.stop(0)
	l := wire.NewLeader(g.addrs, nil)
	defer l.Close()
	if again, err := l.LockGet(t.Context(), wire.LockAsk{Lock: "deploy", Client: "alice"}); err != nil || again != token {
		t.Fatalf("token %d, then %d, %v", token, again, err)
	}
}

// TestHandOver ends the head in order: the next one is there at once.
func TestHandOver(t *testing.T) {
	t.Parallel()
	g := startTrio(t, 3)
	i := g.head()
	g.members[i].HandOver(t.Context())
	if next := g.head(); next == i {
		t.Fatalf("%d is still the head", i)
	}
}

// TestSnapshotInPieces has a state that no single piece holds reach a newcomer.
func TestSnapshotInPieces(t *testing.T) {
	g := startTrio(t, 1)
	long := strings.Repeat("x", 900)
	for i := range 600 {
		g.lock(fmt.Sprint(long, i))
	}
	i := g.add()
	if err := g.leader.GroupSet(t.Context(), wire.GroupAdd, g.addrs[i]); err != nil {
		t.Fatal(err)
	}
	g.waitGroup("it votes", whole(2))
	locks, err := g.leader.Locks(t.Context())
	if err != nil || len(locks.Locks) != 600 {
		t.Fatal(len(locks.Locks), err)
	}
}
