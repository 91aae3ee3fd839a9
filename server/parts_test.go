package server

import (
	"bytes"
	"strings"
	"testing"

	"viewring/internal/wire"
	"viewring/ring"
)

func TestClusterDescriptions(t *testing.T) {
	v := &ring.View{Epoch: 5, Partitions: make([]ring.Partition, 4), Members: []ring.Member{
		{ID: 1, Addr: "127.0.0.1:1000", Up: true, Status: ring.In},
		{ID: 2, Addr: "127.0.0.1:2000", Status: ring.In},
	}}
	v.Partitions[0].Acting = []ring.ServerID{1, 2}
	v.Partitions[1].Acting = []ring.ServerID{1}
	v.Partitions[2].Acting = []ring.ServerID{2}
	text := nodesText(v, 2)
	if !strings.Contains(text, "127.0.0.1:1000@0 master - 0 0 5 connected 0-8191\n") ||
		!strings.Contains(text, "127.0.0.1:2000@0 myself,master,fail - 0 0 5 disconnected 8192-12287\n") {
		t.Errorf("nodes:\n%s", text)
	}
	if info := clusterInfo(v); !strings.Contains(info, "cluster_state:fail") || !strings.Contains(info, "cluster_slots_assigned:12288") {
		t.Errorf("info: %s", info)
	}
	for _, describe := range []func(*ring.View) wire.Value{slotsReply, shardsReply} {
		var out bytes.Buffer
		w := wire.NewWriter(&out)
		w.WriteValue(describe(v))
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		reply, err := wire.NewReader(&out, wire.DefaultLimits).ReadValue()
		if err != nil || len(reply.Array) != 3 || out.Len() != 0 {
			t.Errorf("%d entries, %d bytes left, %v", len(reply.Array), out.Len(), err)
		}
	}
}
