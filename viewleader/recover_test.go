package viewleader

import (
	"context"
	"strings"
	"testing"
	"time"

	"viewring/internal/wire"
	"viewring/ring"
)

// report says what a server that has this view would.
func (v *server) report(l *wire.Leader) {
	v.t.Helper()
	err := l.Report(v.t.Context(), wire.Report{Register: v.reg, View: ring.AppendView(nil, v.view, 0), Epoch: v.view.Epoch, Token: 40})
	if err != nil {
		v.t.Error(err)
	}
}

// wantRecovering asks for something and wants to be told who is missing.
func wantRecovering(t *testing.T, l *wire.Leader, words string) {
	t.Helper()
	if _, err := l.Status(t.Context()); !wire.IsCode(err, wire.CodeRecovering) || !strings.Contains(err.Error(), words) {
		t.Errorf("%v, want %q", err, words)
	}
}

// TestRecover: a view leader on an empty folder says who has not reported, goes on when
// all have, and does so once.
func TestRecover(t *testing.T) {
	lost := testOptions(t)
	s := start(t, lost)
	one, two := newServer(t, s.Addr(), 1), newServer(t, s.Addr(), 2)
	one.register()
	two.register()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	o := testOptions(t)
	o.Recover = RecoverOptions{Wanted: true, QuietFor: 300 * time.Millisecond}
	s = start(t, o)
	l := leaderOf(t, s)
	wantRecovering(t, l, "no server has reported")
	two.report(l)
	s.recovery.Load().state()
	wantRecovering(t, l, "s1 at host:1 has not reported")
	one.report(l)
	copied := &server{t: t, reg: one.reg, view: one.view}
	copied.reg.Instance++
	copied.report(l)
	s.recovery.Load().state()
	wantRecovering(t, l, "s1 reports as two processes")
	v := awaitRecovered(t, l, one, two)
	if v.Epoch < two.view.Epoch+ring.RecoveryJump || len(v.Members) != 2 || !v.Members[0].Up || v.Partitions[3].Primary() != 1 {
		t.Errorf("%+v", v)
	}
	one.leader, two.leader = l, l
	if r, err := two.beat(); err != nil || !r.Known {
		t.Errorf("a server that has reported must register again: %+v, %v", r, err)
	}
	if token, err := l.LockGet(t.Context(), wire.LockAsk{Lock: "l", Client: "c"}); err != nil || token <= 40 {
		t.Errorf("token %d, %v", token, err)
	}
	if err := l.Report(t.Context(), wire.Report{Register: one.reg}); !wire.IsCode(err, wire.CodeRefused) {
		t.Errorf("a report to nobody's use: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = start(t, o)
	if again := s.View(); again == nil || again.Epoch < v.Epoch || again.Epoch > v.Epoch+10 {
		t.Errorf("recovered once more: %+v", again)
	}

	lost.Recover.Wanted = true
	if _, err := Start(t.Context(), lost); err == nil || !strings.Contains(err.Error(), "move the folder away") || strings.Contains(err.Error(), "cancel") {
		t.Errorf("over data: %v", err)
	}
}

// awaitRecovered has servers report until there is a view.
func awaitRecovered(t *testing.T, l *wire.Leader, servers ...*server) *ring.View {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 200 {
		for _, v := range servers {
			_ = l.Report(t.Context(), wire.Report{Register: v.reg, View: ring.AppendView(nil, v.view, 0), Epoch: v.view.Epoch, Token: 40})
		}
		v, err := l.View(t.Context(), nil, 0)
		if err == nil {
			return v
		}
		if !wire.IsCode(err, wire.CodeRecovering) {
			t.Fatal(err)
		}
		<-tick.C
	}
	t.Fatal("it did not go on")
	return nil
}

// TestRolledBackViewLeaderStops: going on would make epochs a second time.
func TestRolledBackViewLeaderStops(t *testing.T) {
	s := start(t, testOptions(t))
	one := newServer(t, s.Addr(), 1)
	one.register()
	_, err := one.leader.Heartbeat(t.Context(), wire.Heartbeat{ID: 1, Instance: one.reg.Instance + 1, Incarnation: 1, Epoch: one.view.Epoch + 1})
	if err != nil {
		t.Fatalf("of another process: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, _ = one.leader.Heartbeat(ctx, wire.Heartbeat{ID: 1, Instance: one.reg.Instance, Incarnation: 1, Epoch: one.view.Epoch + 1})
	if err := s.Wait(); err == nil || !strings.Contains(err.Error(), "--recover") {
		t.Errorf("%v", err)
	}
}
