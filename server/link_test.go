package server

import (
	"bytes"
	"context"
	"net"
	"testing"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/replica"
)

// TestMessagesOutliveTheirFrame: a message that waits for its lane stays what it is,
// whatever comes by the link after it.
func TestMessagesOutliveTheirFrame(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := &Server{ctx: ctx, logger: testLogger(), heard: newHeard(), lanes: []*lane{{inbox: newInbox()}}}
	s.views = newViews(s)
	s.views.present.Store(&known{view: &ring.View{Epoch: 3, Members: []ring.Member{{ID: 2, Incarnation: 1}}}})
	s.views.handed.Store(3)
	here, there := net.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.serveLink(&conn{s: s, nc: here}, &linkRequest{hello: wire.Hello{From: 2, Incarnation: 1}})
	}()
	const frames = 20
	item := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, 500) }
	for i := range frames {
		frame := replica.AppendMessage(appendFrameHeader(nil, frameHeader{epoch: 3}), &replica.Message{Type: replica.MsgRepair, Term: 3,
			Items: []replica.PageItem{{Key: replica.MakeKey(0, replica.SpaceUser, "k"), Item: item(i)}}})
		if _, err := there.Write(wire.AppendCommand(nil, []byte(wire.CmdFrame), frame)); err != nil {
			t.Fatal(err)
		}
	}
	var events []event
	for len(events) < frames {
		<-s.lanes[0].inbox.wake
		events = append(events, s.lanes[0].inbox.take(nil)...)
	}
	for i, e := range events {
		if !bytes.Equal(e.msg.Items[0].Item, item(i)) {
			t.Errorf("message %d is %.10q… by now", i, e.msg.Items[0].Item)
		}
	}
	cancel()
	<-ended
}
