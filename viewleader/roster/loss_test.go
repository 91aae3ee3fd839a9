package roster

import (
	"bytes"
	"slices"
	"testing"

	"viewring/ring"
)

func acceptLoss(ps ...ring.PartitionID) Command {
	return Command{Kind: KindAcceptLoss, Partitions: ps}
}

// loseAll makes s1, s2 and s3 die together and s4, which holds nothing, join.
func loseAll(t *testing.T) *world {
	w := newWorld(t, 2)
	w.join(3)
	w.fill(1, 2, 3)
	w.expire(1, 2, 3)
	w.must(reg(0, 4, 1))
	w.inc[4] = 1
	w.part(ids{1, 2, 3}, ids{1, 2, 3})
	return w
}

func TestAcceptLoss(t *testing.T) {
	w := loseAll(t)
	w.refuse(acceptLoss(0), "its lease may run")
	w.at += 599
	w.refuse(acceptLoss(0), "its lease may run")
	w.at++
	w.must(acceptLoss(0))
	w.part(ids{4}, ids{4})
	v := w.s.View()
	p := &v.Partitions[0]
	if p.ResetTerm != v.Epoch || p.Term != v.Epoch || p.MinCopies != 2 {
		t.Errorf("%+v in epoch %d", *p, v.Epoch)
	}
	if v.Partitions[1].ResetTerm != 0 {
		t.Error("another partition was given up, too")
	}
	restored, err := Restore(w.s.AppendSnapshot(nil))
	if err != nil || restored.View().Partitions[0].ResetTerm != p.ResetTerm {
		t.Errorf("after a restart: %v", err)
	}

	// The old holders return to nothing: they act nowhere in it, until handed to.
	for id := ring.ServerID(1); id <= 3; id++ {
		w.restart(id, true)
	}
	w.part(ids{4}, ids{4})
	w.refuse(acceptLoss(0), "s4 is up and holds it")
	w.expire(4)
	w.part(ids{4}, ids{4}) // nobody is restored from before
	w.at += 600
	w.must(acceptLoss(0))
	if again := w.s.View().Partitions[0]; again.ResetTerm <= p.ResetTerm {
		t.Errorf("given up again: %+v", again)
	}
}

func TestAcceptLossRefusals(t *testing.T) {
	w := newWorld(t, 2)
	w.refuse(acceptLoss(0), "never held anything")
	w.join(3)
	w.fill(1, 2, 3)
	w.refuse(acceptLoss(), "no partition")
	w.refuse(acceptLoss(16), "no partition 16")
	w.refuse(acceptLoss(0), "s1 is up and holds it")
	w.expire(2, 3)
	w.at += 10_000
	w.refuse(acceptLoss(0), "s1 is up and holds it")
	w.expire(1)
	w.at += 10_000
	w.refuse(acceptLoss(0), "no server is up")
	w.must(reg(0, 4, 1))
	w.inc[4] = 1
	w.refuse(acceptLoss(1, 16), "no partition 16")
	w.part(ids{1}, ids{1, 2, 3}) // all or nothing
	// Whoever would be restored in the same batch saves it.
	w.inc[2]++
	back := reg(2, 2, w.inc[2])
	loss := acceptLoss(0)
	loss.At = w.at
	if r := w.s.Apply([]Command{back, loss}); r[1].Code != Refused {
		t.Fatalf("given up while s2 brings it back: %+v", r[1])
	}
	w.part(ids{2}, ids{1, 2, 3})
}

// A clock that was set back tells nothing of how long somebody is down.
func TestAcceptLossAfterTheClockWentBack(t *testing.T) {
	w := loseAll(t)
	w.at -= 500
	w.must(acceptLoss(0))
}

// The last one came back without its data: nothing is left to wait for.
func TestAcceptLossOfWhatNobodyHolds(t *testing.T) {
	w := newWorld(t, 1)
	w.join(2)
	w.restart(1, false)
	w.part(nil, nil)
	w.must(acceptLoss(0))
	p := w.s.View().Partitions[0]
	if first := w.targets(0)[0]; !slices.Equal(p.Acting, ids{first}) {
		t.Errorf("acting %v, want the first target %v", p.Acting, first)
	}
}

// A snapshot of the first format had neither rebirths nor events.
func TestSnapshotOfTheFirstFormat(t *testing.T) {
	w := newWorld(t, 2)
	w.s.parts = w.s.parts[:1]
	b := w.s.AppendSnapshot(nil)
	old := beforeSessions(b)
	old[0] = snapshotFormatFirst
	i := bytes.LastIndex(old, []byte{1, 0, 0, 0, 0, 0, 0}) // min-copies, acting, W, tainted, ejected, reset; asked …
	old = slices.Delete(old, i+4, i+6)                     // ejected, reset
	old = slices.Delete(old, i+5, i+6)                     // events
	s, err := Restore(old)
	if err != nil {
		t.Fatal(err)
	}
	if again := s.AppendSnapshot(nil); !bytes.Equal(again, b) {
		t.Errorf("%x became %x, want %x", old, again, b)
	}
}
