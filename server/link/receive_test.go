package link

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"testing"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/frame"
	"viewring/server/lane"
	"viewring/server/replica"
)

// oneView is a server's views: one.
type oneView struct{ view *ring.View }

func (o oneView) View() *ring.View                           { return o.view }
func (o oneView) Need(context.Context, uint64, string) error { return nil }

// waitingLane is a server's lanes: one, for which everything waits.
type waitingLane struct{ events chan lane.Event }

func (w waitingLane) Count() int                 { return 1 }
func (w waitingLane) Index(ring.PartitionID) int { return 0 }
func (w waitingLane) Put(_ int, events ...lane.Event) {
	for _, e := range events {
		w.events <- e
	}
}

// TestMessagesOutliveTheirFrame: a message that waits for its lane stays what it is,
// whatever comes by the link after it.
func TestMessagesOutliveTheirFrame(t *testing.T) {
	const frames = 20
	ctx, cancel := context.WithCancel(t.Context())
	links := New(&Config{Self: 1, Logger: slog.New(slog.DiscardHandler), Context: ctx})
	waiting := waitingLane{events: make(chan lane.Event, frames)}
	r := NewReceiver(links, oneView{&ring.View{Epoch: 3, Members: []ring.Member{{ID: 2, Incarnation: 1}}}}, waiting, nil)
	here, there := net.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Serve(here, wire.Hello{From: 2, Incarnation: 1})
	}()
	item := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, 500) }
	for i := range frames {
		b := replica.AppendMessage(frame.AppendHeader(nil, frame.Header{Epoch: 3}), &replica.Message{Type: replica.MsgRepair, Term: 3,
			Items: []replica.PageItem{{Key: replica.MakeKey(0, replica.SpaceUser, "k"), Item: item(i)}}})
		if _, err := there.Write(wire.AppendCommand(nil, []byte(wire.CmdFrame), b)); err != nil {
			t.Fatal(err)
		}
	}
	var events []lane.Event
	for range frames {
		events = append(events, <-waiting.events)
	}
	for i, e := range events {
		if got := e.Message().Items[0].Item; !bytes.Equal(got, item(i)) {
			t.Errorf("message %d is %.10q… by now", i, got)
		}
	}
	cancel()
	<-ended
}
