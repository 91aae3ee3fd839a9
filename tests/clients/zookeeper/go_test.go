package zookeeper

import (
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

// goClient is the Go client.
var goClient = zkClient{name: "go-zookeeper", run: runGo, missing: func() error { return nil }}

// goPlace is a directory of one feature, and the clients that it opened.
type goPlace struct {
	addr, root string
	opened     []*goConn
}

// goConn is a client, whose connection can be cut.
type goConn struct {
	*zk.Conn
	events <-chan zk.Event
	mu     sync.Mutex
	conn   net.Conn
}

type silent struct{}

func (silent) Printf(string, ...any) {}

func (p *goPlace) open() (*goConn, error) {
	g := &goConn{}
	dialer := func(network, addr string, timeout time.Duration) (net.Conn, error) {
		c, err := net.DialTimeout(network, addr, timeout)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.conn = c
		return c, err
	}
	var err error
	g.Conn, g.events, err = zk.Connect([]string{p.addr}, 4*time.Second, zk.WithDialer(dialer), zk.WithLogger(silent{}))
	if err != nil {
		return nil, err
	}
	p.opened = append(p.opened, g)
	return g, g.becomes(zk.StateHasSession)
}

func (g *goConn) becomes(state zk.State) error {
	over := time.After(patience)
	for {
		select {
		case e := <-g.events:
			if e.State == state {
				return nil
			}
		case <-over:
			return fmt.Errorf("never %v", state)
		}
	}
}

// cut ends the connection as a broken network does; the client makes a new one.
func (g *goConn) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conn.Close()
}

func told(ch <-chan zk.Event, kind zk.EventType, path string) error {
	select {
	case e := <-ch:
		if e.Type != kind || e.Path != path || e.Err != nil {
			return fmt.Errorf("told of %v %s, %v; want %v %s", e.Type, e.Path, e.Err, kind, path)
		}
		return nil
	case <-time.After(patience):
		return fmt.Errorf("never told of %v %s", kind, path)
	}
}

func wants(what string, got, want any) error {
	if fmt.Sprint(got) != fmt.Sprint(want) {
		return fmt.Errorf("%s: %v, want %v", what, got, want)
	}
	return nil
}

var everyone = zk.WorldACL(zk.PermAll)

type goFeature struct {
	name string
	try  func(p *goPlace, a, b *goConn) error
}

func runGo(t *testing.T, addr string) (version string, results []result) {
	t.Helper()
	version = "go-zookeeper"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/go-zookeeper/zk" {
				version += " " + m.Version
			}
		}
	}
	for i, f := range goFeatures {
		p := &goPlace{addr: addr, root: fmt.Sprintf("/go-%d", i)}
		r := result{feature: f.name}
		r.outcome, r.why = outcomeOf(p.try(f))
		results = append(results, r)
	}
	return version, results
}

func (p *goPlace) try(f goFeature) error {
	defer func() {
		for _, c := range p.opened {
			c.Close()
		}
	}()
	a, err := p.open()
	if err != nil {
		return err
	}
	b, err := p.open()
	if err != nil {
		return err
	}
	if _, err := a.Create(p.root, nil, 0, everyone); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- f.try(p, a, b) }()
	select {
	case err = <-done:
	case <-time.After(2 * patience):
		err = errors.New("never ends")
	}
	if err != nil && strings.Contains(err.Error(), "unknown error: -6") || errors.Is(err, zk.ErrInvalidACL) { // it has no name for UNIMPLEMENTED
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	return err
}

var goFeatures = []goFeature{
	{"create, get, set, delete", goCRUD},
	{"children", goChildren},
	{"create sequential", goSequential},
	{"Multi", goMulti},
	{"Multi across parents", func(p *goPlace, a, _ *goConn) error {
		_, err := a.Create(p.root+"/a", nil, 0, everyone)
		if err != nil {
			return err
		}
		_, err = a.Multi(&zk.CreateRequest{Path: p.root + "/x", Acl: everyone}, &zk.CreateRequest{Path: p.root + "/a/y", Acl: everyone})
		there, _, asked := a.Exists(p.root + "/x")
		return errors.Join(err, asked, wants("created", there, err == nil))
	}},
	{"GetW", func(p *goPlace, a, b *goConn) error {
		_, _, ch, err := a.GetW(p.root)
		if err != nil {
			return err
		}
		_, err = b.Set(p.root, []byte("1"), -1)
		return errors.Join(err, told(ch, zk.EventNodeDataChanged, p.root))
	}},
	{"ChildrenW", func(p *goPlace, a, b *goConn) error {
		_, _, ch, err := a.ChildrenW(p.root)
		if err != nil {
			return err
		}
		_, err = b.Create(p.root+"/x", nil, 0, everyone)
		return errors.Join(err, told(ch, zk.EventNodeChildrenChanged, p.root))
	}},
	{"ExistsW", func(p *goPlace, a, b *goConn) error {
		there, _, ch, err := a.ExistsW(p.root + "/x")
		if err != nil || there {
			return fmt.Errorf("%v, %w", there, err)
		}
		_, err = b.Create(p.root+"/x", nil, 0, everyone)
		return errors.Join(err, told(ch, zk.EventNodeCreated, p.root+"/x"))
	}},
	{"watches through a new connection", goWatchesThroughCut},
	{"ephemeral, session closed", func(p *goPlace, a, b *goConn) error {
		if _, err := a.Create(p.root+"/e", nil, zk.FlagEphemeral, everyone); err != nil {
			return err
		}
		_, st, ch, err := b.ExistsW(p.root + "/e")
		if err != nil {
			return err
		}
		a.Close()
		return errors.Join(wants("owner", st.EphemeralOwner, a.SessionID()), told(ch, zk.EventNodeDeleted, p.root+"/e"))
	}},
	{"session through a new connection", func(p *goPlace, a, b *goConn) error {
		if _, err := a.Create(p.root+"/e", nil, zk.FlagEphemeral, everyone); err != nil {
			return err
		}
		session := a.SessionID()
		a.cut()
		if err := a.becomes(zk.StateHasSession); err != nil {
			return err
		}
		there, _, err := b.Exists(p.root + "/e")
		return errors.Join(err, wants("session", a.SessionID(), session), wants("the ephemeral node is there", there, true))
	}},
	{"Lock", goLock},
	{"CreateProtectedEphemeralSequential", func(p *goPlace, a, _ *goConn) error {
		name, err := a.CreateProtectedEphemeralSequential(p.root+"/n-", nil, everyone)
		if err == nil && !strings.HasPrefix(name, p.root+"/_c_") {
			err = errors.New(name)
		}
		return err
	}},
	{"Sync", func(p *goPlace, a, _ *goConn) error { _, err := a.Sync(p.root); return err }},
	{"GetACL, SetACL", func(p *goPlace, a, _ *goConn) error {
		acl, _, err := a.GetACL(p.root)
		if err != nil {
			return err
		}
		_, err = a.SetACL(p.root, everyone, -1)
		return errors.Join(err, wants("acl", acl, everyone))
	}},
	{"SetACL of some", func(p *goPlace, a, b *goConn) error {
		if _, err := a.SetACL(p.root, zk.DigestACL(zk.PermAll, "me", "secret"), -1); err != nil {
			return err
		}
		if _, _, err := b.Get(p.root); !errors.Is(err, zk.ErrNoAuth) {
			return fmt.Errorf("read by another: %w", err)
		}
		return nil
	}},
	{"CreateContainer", func(p *goPlace, a, _ *goConn) error {
		_, err := a.CreateContainer(p.root+"/c", nil, zk.FlagContainer, everyone)
		return err
	}},
	{"CreateTTL", func(p *goPlace, a, _ *goConn) error {
		_, err := a.CreateTTL(p.root+"/t", nil, zk.FlagTTL, everyone, time.Hour)
		return err
	}},
}

func goCRUD(p *goPlace, a, _ *goConn) error {
	path := p.root + "/x"
	_, err := a.Create(path, []byte("1"), 0, everyone)
	if err != nil {
		return err
	}
	_, again := a.Create(path, nil, 0, everyone)
	st, err := a.Set(path, []byte("2"), 0)
	if err != nil {
		return err
	}
	_, old := a.Set(path, []byte("3"), 0)
	value, _, err := a.Get(path)
	_, _, no := a.Get(path + "/no")
	return errors.Join(err, wants("create again", again, zk.ErrNodeExists), wants("version", st.Version, 1), wants("set of an old version", old, zk.ErrBadVersion),
		wants("value", string(value), "2"), wants("get of none", no, zk.ErrNoNode), wants("delete with children", a.Delete(p.root, -1), zk.ErrNotEmpty), a.Delete(path, 1))
}

func goChildren(p *goPlace, a, _ *goConn) error {
	var want []string
	for i := range 100 {
		want = append(want, fmt.Sprintf("n%03d", i))
		if _, err := a.Create(p.root+"/"+want[i], nil, 0, everyone); err != nil {
			return err
		}
	}
	got, st, err := a.Children(p.root)
	slices.Sort(got)
	return errors.Join(err, wants("children", got, want), wants("NumChildren", st.NumChildren, 100))
}

func goSequential(p *goPlace, a, b *goConn) error {
	last := ""
	for i := range 20 {
		c := []*goConn{a, b}[i%2]
		name, err := c.Create(p.root+"/n-", nil, zk.FlagSequence, everyone)
		if err != nil {
			return err
		}
		if name <= last {
			return fmt.Errorf("%s after %s", name, last)
		}
		last = name
	}
	return nil
}

func goMulti(p *goPlace, a, _ *goConn) error {
	if _, err := a.Create(p.root+"/x", nil, 0, everyone); err != nil {
		return err
	}
	got, err := a.Multi(&zk.CheckVersionRequest{Path: p.root + "/x"}, &zk.CreateRequest{Path: p.root + "/y", Acl: everyone},
		&zk.SetDataRequest{Path: p.root + "/x", Data: []byte("1"), Version: 0}, &zk.DeleteRequest{Path: p.root + "/y", Version: -1})
	if err != nil {
		return err
	}
	if err := errors.Join(wants("results", len(got), 4), wants("created", got[1].String, p.root+"/y"), wants("version", got[2].Stat.Version, 1)); err != nil {
		return err
	}
	_, err = a.Multi(&zk.CreateRequest{Path: p.root + "/z", Acl: everyone}, &zk.DeleteRequest{Path: p.root + "/no", Version: -1})
	there, _, asked := a.Exists(p.root + "/z")
	return errors.Join(asked, wants("a failed Multi", err, zk.ErrNoNode), wants("what a failed Multi left", there, false))
}

// goWatchesThroughCut changes nodes while the watcher is away: it is told when it is back.
func goWatchesThroughCut(p *goPlace, a, b *goConn) error {
	if _, err := b.Create(p.root+"/x", nil, 0, everyone); err != nil {
		return err
	}
	_, _, data, err1 := a.GetW(p.root + "/x")
	_, _, children, err2 := a.ChildrenW(p.root)
	_, _, made, err3 := a.ExistsW(p.root + "/y/z")
	_, _, quiet, err4 := a.GetW(p.root)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	a.cut()
	_, err1 = b.Set(p.root+"/x", []byte("1"), -1)
	_, err2 = b.Create(p.root+"/y", nil, 0, everyone)
	_, err3 = b.Create(p.root+"/y/z", nil, 0, everyone)
	err := errors.Join(err1, err2, err3, told(data, zk.EventNodeDataChanged, p.root+"/x"), told(children, zk.EventNodeChildrenChanged, p.root),
		told(made, zk.EventNodeCreated, p.root+"/y/z"))
	if err != nil {
		return err
	}
	if _, _, err = a.Exists(p.root); err != nil { // what was told before is here after this
		return err
	}
	select {
	case e := <-quiet:
		return fmt.Errorf("%w: told of %v %s, which was not changed", errDiffers, e.Type, e.Path)
	default:
	}
	_, err = b.Set(p.root, []byte("1"), -1)
	return errors.Join(err, told(quiet, zk.EventNodeDataChanged, p.root))
}

// goLock has both clients raise a counter that only the lock guards.
func goLock(p *goPlace, a, b *goConn) error {
	var n, holders, misses int
	var running sync.WaitGroup
	failed := make([]error, 2)
	for i, c := range []*goConn{a, b} {
		running.Go(func() {
			for range 15 {
				l := zk.NewLock(c.Conn, p.root+"/lock", everyone)
				if failed[i] = l.Lock(); failed[i] != nil {
					return
				}
				if holders++; holders > 1 {
					misses++
				}
				seen := n
				_, _, failed[i] = c.Exists(p.root) // time for the other
				n = seen + 1
				holders--
				if err := errors.Join(failed[i], l.Unlock()); err != nil {
					failed[i] = err
					return
				}
			}
		})
	}
	running.Wait()
	return errors.Join(failed[0], failed[1], wants("counted", n, 30), wants("two holders", misses, 0))
}
