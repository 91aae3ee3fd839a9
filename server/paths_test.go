package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"viewring/internal/tree"
	"viewring/internal/wire"
)

// treeClient is a client of the tree with a connection of its own.
func (c *cluster) treeClient(client byte) tree.Ask {
	c.t.Helper()
	conn, err := wire.Dial(c.t.Context(), c.servers[1].Addr(), (&net.Dialer{}).DialContext, wire.DefaultLimits)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { conn.Close() })
	number := uint64(0)
	return func(q *wire.TreeRequest) (wire.TreeReply, error) {
		if q.Op.Mutates() {
			number++
			q.Client, q.Number, q.Born = [16]byte{client}, number, time.Now().UnixMilli()
		}
		v, err := conn.Do(context.Background(), []byte(wire.CmdTree), wire.AppendTreeRequest(nil, q))
		if err != nil {
			return wire.TreeReply{}, err
		}
		return wire.DecodeTreeReply(v.Bytes)
	}
}

func createNode(ask tree.Ask, path string, value []byte) error {
	dir, name := tree.Split(path)
	_, _, err := tree.Change(ask, dir, []wire.TreeItem{{Kind: wire.TreeCreate, Name: name, Value: value, DataVersion: -1}})
	return err
}

// TestTreeOnePage: what others have in the slot does not make a list more than one page.
func TestTreeOnePage(t *testing.T) {
	c := startCluster(t, 1, 4, 1)
	ask := c.treeClient(1)
	create := func(path string, value []byte) {
		t.Helper()
		if err := createNode(ask, path, value); err != nil {
			t.Fatal(path, err)
		}
	}
	create("/{t}large", nil)
	create("/{t}small", nil)
	for i := range 30 {
		create(fmt.Sprint("/{t}large/", i), bytes.Repeat([]byte("x"), 60_000))
	}
	const children = 20
	for i := range children {
		create(fmt.Sprint("/{t}small/", i), nil)
	}
	for _, limit := range []int{children, 1000} {
		nodes, next, err := tree.ListPage(ask, "/{t}small", nil, limit)
		if err != nil || len(nodes) != children || len(next) != 0 {
			t.Errorf("with a limit of %d: %d nodes, more: %t, %v", limit, len(nodes), len(next) > 0, err)
		}
	}
	nodes, next, err := tree.ListPage(ask, "/{t}large", nil, 0)
	if err != nil || len(nodes) != 30 || len(next) != 0 || nodes[0].ValueBytes != 60_000 || nodes[0].Value != nil {
		t.Errorf("nodes with values: %d, more: %t, %v", len(nodes), len(next) > 0, err)
	}
}

// TestTreeHead: of a node all is told but its value, however long that is.
func TestTreeHead(t *testing.T) {
	c := startCluster(t, 1, 4, 1)
	ask := c.treeClient(1)
	for _, size := range []int{0, 1, 100, 5000, 200_000, wire.TreeValueMax} {
		path := fmt.Sprint("/n", size)
		if err := createNode(ask, path, bytes.Repeat([]byte("v"), size)); err != nil {
			t.Fatal(err)
		}
		whole, err := tree.Get(ask, path)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // from the disk perhaps, and from memory
			head, err := tree.Head(ask, path)
			if err != nil || head.Value != nil || head.ValueBytes != size {
				t.Fatalf("%s: %+v, %v", path, head, err)
			}
			head.Value = whole.Value
			if !reflect.DeepEqual(head, whole) {
				t.Errorf("%s: %+v, not %+v", path, head, whole)
			}
		}
	}
	if _, err := tree.Head(ask, "/none"); !errors.Is(err, tree.ErrNoNode) {
		t.Errorf("of no node: %v", err)
	}
	if n, err := tree.Head(ask, "/"); err != nil || n.Name != "/" {
		t.Errorf("of the root: %+v, %v", n, err)
	}
}

// TestTreeNamesPipelined: lists of a connection are answered in their turn, each with what was created before it
// on that connection.
func TestTreeNamesPipelined(t *testing.T) {
	c := startCluster(t, 1, 4, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := createNode(c.treeClient(1), "/d", nil); err != nil {
		t.Fatal(err)
	}
	conn, err := wire.Dial(ctx, c.servers[1].Addr(), (&net.Dialer{}).DialContext, wire.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := createNode(c.treeClient(2), "/d/first", nil); err != nil {
		t.Fatal(err)
	}
	var sent []wire.Pending
	send := func(q wire.TreeRequest) {
		p, err := conn.Start(ctx, wire.AppendCommand(nil, []byte(wire.CmdTree), wire.AppendTreeRequest(nil, &q)), 1, wire.Room{})
		if err != nil {
			t.Fatal(err)
		}
		sent = append(sent, p)
	}
	const rounds = 50
	for i := range rounds {
		send(wire.TreeRequest{Client: [16]byte{9}, Number: uint64(i + 1), Born: time.Now().UnixMilli(), Op: wire.TreeChange, Dir: "/d",
			Items: []wire.TreeItem{{Kind: wire.TreeCreate, Name: fmt.Sprint(i), DataVersion: -1}}})
		send(wire.TreeRequest{Op: wire.TreeNames, Dir: "/d"})
		send(wire.TreeRequest{Op: wire.TreeList, Dir: "/d"})
	}
	for i, p := range sent {
		res := <-p.Done()
		if res.Err != nil || res.First != nil {
			t.Fatal(res.Err, res.First)
		}
		v, err := wire.NewReader(bytes.NewReader(res.Raw), wire.DefaultLimits).ReadValue()
		if err != nil {
			t.Fatal(err)
		}
		reply, err := wire.DecodeTreeReply(v.Bytes)
		there := 2 + i/3                                     // the first, and what was created by then
		want := [][]int{{0, 0}, {0, there}, {there, 0}}[i%3] // nodes, and names
		if err != nil || reply.Code != wire.TreeOK || len(reply.Nodes) != want[0] || len(reply.Names) != want[1] {
			t.Fatalf("answer %d: %v, code %d, %d nodes and %d names, want %v", i, err, reply.Code, len(reply.Nodes), len(reply.Names), want)
		}
	}
}

// TestTreePagesUnderChanges: while others create and remove nodes, a list in small pages tells
// once of each node that is there all the while, and of none twice.
func TestTreePagesUnderChanges(t *testing.T) {
	c := startCluster(t, 1, 4, 1)
	ask := c.treeClient(1)
	stay := make(map[string]bool)
	for _, path := range []string{"/{t}d", "/{t}other"} {
		if err := createNode(ask, path, nil); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 40 {
		name := fmt.Sprint("stays", i)
		stay[name] = true
		if err := createNode(ask, "/{t}d/"+name, nil); err != nil {
			t.Fatal(err)
		}
	}
	over := make(chan struct{})
	var others sync.WaitGroup
	defer others.Wait()
	defer close(over)
	for id := range byte(3) {
		other := c.treeClient(2 + id)
		dir := []string{"/{t}d/", "/{t}d/", "/{t}other/"}[id]
		others.Go(func() {
			for i := 0; ; i++ {
				path := fmt.Sprint(dir, "goes", id, ".", i%20)
				err := createNode(other, path, nil)
				if errors.Is(err, tree.ErrNodeExists) {
					err = tree.Remove(other, path, tree.Always)
				}
				if err != nil {
					t.Errorf("%s: %v", path, err)
				}
				select {
				case <-over:
					return
				default:
				}
			}
		})
	}
	for limit := range 20 {
		page := func(cursor []byte, limit int) (names []string, next []byte, err error) {
			names, _, next, err = tree.NamesPage(ask, "/{t}d", cursor, limit)
			return names, next, err
		}
		if limit%2 == 0 {
			page = func(cursor []byte, limit int) (names []string, next []byte, err error) {
				nodes, next, err := tree.ListPage(ask, "/{t}d", cursor, limit)
				for i := range nodes {
					names = append(names, nodes[i].Name)
				}
				return names, next, err
			}
		}
		told, pages := make(map[string]int), 0
		for cursor := []byte(nil); pages == 0 || len(cursor) > 0; pages++ {
			names, next, err := page(cursor, 1+limit%5)
			if err != nil || len(names) > 1+limit%5 {
				t.Fatal(len(names), err)
			}
			for _, name := range names {
				told[name]++
			}
			cursor = next
		}
		for name := range stay {
			if told[name] != 1 {
				t.Errorf("%s is told %d times", name, told[name])
			}
		}
		for name, n := range told {
			if n > 1 || !stay[name] && !strings.HasPrefix(name, "goes") {
				t.Errorf("%s is told %d times", name, n)
			}
		}
	}
}

// TestTreeBadInput: what is no step is refused, and the connection goes on.
func TestTreeBadInput(t *testing.T) {
	c := startCluster(t, 1, 4, 1)
	c.waitBalanced()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var addr string
	for _, s := range c.servers {
		addr = s.Addr()
	}
	conn, err := wire.Dial(ctx, addr, (&net.Dialer{}).DialContext, wire.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ask := func(payload string) (wire.Value, error) {
		return conn.Do(ctx, []byte(wire.CmdTree), []byte(payload))
	}
	encoded := func(q wire.TreeRequest) string {
		if q.Op.Mutates() {
			q.Number, q.Born = 1, time.Now().UnixMilli()
		}
		return string(wire.AppendTreeRequest(nil, &q))
	}
	large := wire.TreeRequest{Op: wire.TreeChange, Dir: "/", Items: []wire.TreeItem{{Name: "n", Value: make([]byte, wire.TreeValueMax+1)}}}
	for _, bad := range []struct{ what, payload, want string }{
		{"nothing", "", wire.CodeErr},
		{"garbage", "\x00\xff\x17garbage", wire.CodeErr},
		{"another format", "\x63", wire.CodeErr},
		{"a bad path", encoded(wire.TreeRequest{Op: wire.TreeDirectory, Dir: "x"}), wire.CodeErr},
		{"a cursor that is none", encoded(wire.TreeRequest{Op: wire.TreeList, Dir: "/", Cursor: []byte("x")}), wire.CodeErr},
		{"the root's record", encoded(wire.TreeRequest{Op: wire.TreeDrop, Dir: "/"}), wire.CodeErr},
		{"a value too large", encoded(large), wire.CodeTooLarge},
		{"a request too large", strings.Repeat("x", treeRequestMax+1), wire.CodeTooLarge},
	} {
		_, err := ask(bad.payload)
		if !wire.IsCode(err, bad.want) {
			t.Errorf("%s: %v, want %s", bad.what, err, bad.want)
		}
	}
	for _, cursor := range [][]byte{nil, []byte("\xff\xff\xff\xff\xff\xff\xff\xff"), []byte("\x00\x00\x00\x00\x00\x00\x00\x00key")} {
		v, err := ask(encoded(wire.TreeRequest{Op: wire.TreeList, Dir: "/", Cursor: cursor}))
		if p, failed := wire.DecodeTreeReply(v.Bytes); err != nil || failed != nil || len(p.Nodes) != 0 {
			t.Errorf("a list from %q: %+v, %v, %v", cursor, p, err, failed)
		}
	}
}
