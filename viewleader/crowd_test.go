package viewleader

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"viewring/internal/front"
	"viewring/internal/wire"
)

// TestPeersPlaces: where clients have all places nobody waits for a view on those that are
// kept for peers; what takes a moment is answered there, and a peer may wait.
func TestPeersPlaces(t *testing.T) {
	o := testOptions(t)
	o.Limits = func(l *front.Limits) { l.Connections, l.PeerTimeout = 1, time.Hour }
	s := start(t, o)
	dial := func() *wire.Conn {
		c, err := wire.Dial(t.Context(), s.Addr(), (&net.Dialer{}).DialContext, wire.DefaultLimits)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := dial()
	if v, err := client.Do(ctx, []byte("PING")); err != nil {
		t.Fatalf("the client that may come: %v, %v", v, err)
	}
	full := func(words string) bool {
		var args [][]byte
		for _, word := range strings.Fields(words) {
			args = append(args, []byte(word))
		}
		_, err := dial().Do(ctx, args...)
		return wire.IsCode(err, wire.CodeBusy)
	}
	for words, want := range map[string]bool{
		"PING": true, wire.CmdView + " 999999 30000": true, wire.CmdView + " 0 0": false, wire.CmdView + " 999999 0": false,
		wire.CmdMember + " drain nobody": false, wire.CmdConfirm + " x": false,
	} {
		if got := full(words); got != want {
			t.Errorf("%s is turned away: %t, want %t", words, got, want)
		}
	}
	peer := dial()
	_, _ = peer.Do(ctx, []byte(wire.CmdHeartbeat), []byte("x")) // that it asks is enough
	if v, err := peer.Do(ctx, []byte(wire.CmdView), []byte("999999"), []byte("1")); err != nil || !v.IsNil() {
		t.Errorf("a peer may not wait for a view: %v, %v", v, err)
	}
}
