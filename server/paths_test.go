package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
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
		told, pages := make(map[string]int), 0
		for cursor := []byte(nil); pages == 0 || len(cursor) > 0; pages++ {
			nodes, next, err := tree.ListPage(ask, "/{t}d", cursor, 1+limit%5)
			if err != nil || len(nodes) > 1+limit%5 {
				t.Fatal(len(nodes), err)
			}
			for i := range nodes {
				told[nodes[i].Name]++
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
