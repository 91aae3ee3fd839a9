package server

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/replica"
)

func TestFrameCodec(t *testing.T) {
	b := appendFrameHeader(nil, frameHeader{epoch: 9, done: 8})
	b = replica.AppendMessage(b, &replica.Message{Type: replica.MsgPing, SentAt: 5, Incarnation: 2})
	b = replica.AppendMessage(b, &replica.Message{Type: replica.MsgAck, Partition: 3, Term: 7, Seq: 11})
	h, messages, err := decodeFrame(b)
	if err != nil || h.epoch != 9 || h.done != 8 || len(messages) != 2 || messages[1].Seq != 11 {
		t.Fatalf("%+v, %v, %v", h, messages, err)
	}
	for i := range b {
		if _, m, err := decodeFrame(b[:i]); err == nil && len(m) == 2 {
			t.Errorf("%d of %d bytes pass for the whole", i, len(b))
		}
	}
	b[0]++
	if _, _, err := decodeFrame(b); err == nil || !strings.Contains(err.Error(), "format 3, this build speaks 2") {
		t.Errorf("another format: %v", err)
	}
}

// TestInboxBound fills an inbox: putting waits until something was taken, forcing
// does not, and nothing is lost or reordered.
// TestInboxBound: who waits for room in an inbox gets it when events are taken, also
// where it is full to the brim and no further.
func TestInboxBound(t *testing.T) {
	for _, forced := range []uint64{0, 1} {
		t.Run(fmt.Sprint(forced, " forced"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testInboxBound(t, laneEventsMax+forced) })
		})
	}
}

func testInboxBound(t *testing.T, full uint64) {
	b := newInbox()
	for n := range uint64(laneEventsMax) {
		b.put(event{n: n})
	}
	for n := uint64(laneEventsMax); n < full; n++ {
		b.force(event{n: n})
	}
	put := make(chan struct{})
	go func() {
		b.put(event{n: full})
		close(put)
	}()
	synctest.Wait()
	select {
	case <-put:
		t.Error("a full inbox took an event")
	default:
	}
	taken := b.take(nil)
	synctest.Wait()
	select {
	case <-put:
	default:
		b.close() // lets it go
		t.Fatal("there is room, and who waits for it is not told")
	}
	taken = append(taken, b.take(nil)...)
	if uint64(len(taken)) != full+1 {
		t.Fatalf("%d events", len(taken))
	}
	for i, e := range taken {
		if e.n != uint64(i) {
			t.Fatalf("event %d at place %d", e.n, i)
		}
	}
}

func TestInboxCloseLetsGo(t *testing.T) {
	b := newInbox()
	b.put(make([]event, laneEventsMax)...)
	var waiting sync.WaitGroup
	for range 3 {
		waiting.Add(1)
		go func() {
			defer waiting.Done()
			b.put(event{})
		}()
	}
	b.close()
	waiting.Wait()
}

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
