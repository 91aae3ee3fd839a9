package server

import (
	"testing"
	"time"

	"viewring/internal/wire"
)

// TestAtomic: keys are checked and written as one; a retry gets the first answer, and nonsense is refused.
func TestAtomic(t *testing.T) {
	c := startCluster(t, 3, 4, 2)
	c.set("{x}old", "1")
	s := c.primaryOf(partitionOf("{x}"))
	conn := dial(t, s.Addr())
	number := uint64(0)
	ask := func(q wire.AtomicRequest) (wire.DoReply, error) {
		if q.Number == 0 {
			number++
			q.Number = number
		}
		q.Client, q.Born = [16]byte{1}, s.wall()
		v, err := ask(t, conn, wire.CmdAtomic, string(wire.AppendAtomicRequest(nil, &q)))
		if err != nil {
			return wire.DoReply{}, err
		}
		return wire.DecodeDoReply(v.Bytes)
	}
	both := wire.AtomicRequest{Checks: []wire.AtomicCheck{{Key: []byte("{x}new")}},
		Writes: []wire.AtomicWrite{{Key: []byte("{x}new"), Value: []byte("2")}, {Key: []byte("{x}old"), Delete: true}}}
	first, err := ask(both)
	if err != nil || first.Status != wire.DoOK || first.Seq == 0 {
		t.Fatalf("%+v, %v", first, err)
	}
	c.expect("{x}new", "2")
	c.expect("{x}old", "")
	both.Number = number
	if again, err := ask(both); err != nil || again.Status != wire.DoOK || again.Seq != first.Seq {
		t.Errorf("again: %+v, %v, first %+v", again, err, first)
	}
	both.Number = 0
	both.Checks = append([]wire.AtomicCheck{{Key: []byte("{x}old")}}, both.Checks...)
	if p, err := ask(both); err != nil || p.Status != wire.DoCondFailed || p.Seq != first.Seq || p.Number != 1 {
		t.Errorf("a key that is there now: %+v, %v", p, err)
	}
	if p, err := ask(wire.AtomicRequest{Writes: []wire.AtomicWrite{{Key: []byte("{x}a")}, {Key: []byte("{y}a")}}}); err == nil {
		t.Errorf("two slots: %+v", p)
	}
	many := wire.AtomicRequest{Checks: make([]wire.AtomicCheck, wire.AtomicKeysMax+1)}
	if p, err := ask(many); !wire.IsCode(err, wire.CodeTooLarge) {
		t.Errorf("many: %+v, %v", p, err)
	}
	if held := s.frontend.Held(); held != 0 {
		t.Errorf("%d bytes are held", held)
	}
}

// TestAbout: a server tells its build, and of a write that took very long to be on its disk.
func TestAbout(t *testing.T) {
	c := startCluster(t, 3, 4, 2)
	s := c.primaryOf(0)
	s.opts.Version = "v7"
	before := time.Now()
	s.synced(slowSync)
	v, err := ask(t, dial(t, s.Addr()), wire.CmdAbout)
	if err != nil {
		t.Fatal(err)
	}
	a, err := wire.DecodeAbout(v.Bytes)
	if err != nil || a.Version != "v7" || a.SlowSync != slowSync || a.SlowSyncAt.Before(before.Add(-time.Minute)) || a.At.IsZero() || a.FilesMax == 0 {
		t.Errorf("%+v, %v", a, err)
	}
}
