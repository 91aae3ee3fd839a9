package server

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"viewring/internal/wire"
)

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
