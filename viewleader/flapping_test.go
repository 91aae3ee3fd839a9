package viewleader

import (
	"strings"
	"testing"
	"time"

	"viewring/internal/wait"
	"viewring/internal/wire"
	"viewring/ring"
)

// TestFlappingServerStaysOut has a server fail again and again: it stays out for a
// while, the status says so, and then it is let in.
func TestFlappingServerStaysOut(t *testing.T) {
	o := testOptions(t)
	o.MinCopies, o.FlapsMax, o.FlapHold = 1, 2, time.Second
	s := start(t, o)
	l := leaderOf(t, s)
	steady, flapping := newServer(t, s.Addr(), 1), newServer(t, s.Addr(), 2)
	steady.register()
	steady.live()
	flapping.register()
	flapping.live()
	v := flapping.view
	fail := func() {
		flapping.kill()
		v = waitView(t, l, v, func(v *ring.View) bool { return !v.Member(2).Up })
	}
	for range 2 {
		fail()
		flapping.restart(s.Addr())
		flapping.live()
		v = flapping.view
	}
	fail()
	down := time.Now()
	again := wire.NewLeader([]string{s.Addr()}, nil)
	defer again.Close()
	flapping.reg.Previous, flapping.reg.Incarnation, flapping.reg.Instance = flapping.reg.Incarnation, flapping.reg.Incarnation+1, flapping.reg.Instance+1
	_, err := again.Register(t.Context(), flapping.reg)
	if !wire.IsCode(err, wire.CodeBusy) || !strings.Contains(err.Error(), "failed 3 times") {
		t.Fatalf("%v, want that it stays out", err)
	}
	st, err := l.Status(t.Context())
	if err != nil || st.Servers[1].Failures != 2 || !st.Servers[1].Held.After(down) {
		t.Fatalf("%+v, %v", st.Servers, err)
	}
	for {
		_, err = again.Register(t.Context(), flapping.reg)
		if !wire.IsCode(err, wire.CodeBusy) || !wait.For(t.Context(), 20*time.Millisecond) {
			break
		}
	}
	if stayed := time.Since(down); err != nil || stayed < o.FlapHold/2 {
		t.Fatalf("let in after %v: %v", stayed, err)
	}
}

// TestNeededServerComesBackAtOnce has the server fail that acts alone.
func TestNeededServerComesBackAtOnce(t *testing.T) {
	o := testOptions(t)
	o.MinCopies, o.FlapsMax = 1, 1
	s := start(t, o)
	l := leaderOf(t, s)
	alone := newServer(t, s.Addr(), 1)
	alone.register()
	alone.live()
	for range 3 {
		alone.kill()
		waitView(t, l, alone.view, func(v *ring.View) bool { return !v.Member(1).Up })
		alone.restart(s.Addr())
		alone.live()
	}
}
