package replica

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// silence is a rig of three whose third server says nothing from some time on.
type silence struct {
	*rig
	began  time.Duration
	silent bool
	sent   int     // how often it was sent the entry that it lacks first
	lacks  uint64  // that entry
	word   *parcel // its last acknowledgement, from before
	writes int
}

func newSilence(t *testing.T) *silence {
	s := &silence{rig: acting(t, 3, 2)}
	s.drop = func(p parcel) bool {
		if s.silent && p.to == 3 && p.msg.Type == MsgAppend && len(p.msg.Entries) > 0 && p.msg.Entries[0].Version.Seq == s.lacks {
			s.sent++
		}
		if !s.silent && p.from == 3 && p.msg.Type == MsgAck {
			s.word = &p
		}
		return s.silent && (p.to == 3 || p.from == 3)
	}
	s.write(1, setTo("first", "v"))
	s.writes++
	s.run()
	s.pass(3 * ejectAfter) // of rest, which is not held against anybody
	return s
}

func (s *silence) begin() {
	s.silent, s.began, s.sent, s.lacks = true, s.mono, 0, s.host(3).core.Inspect(0).Last.Seq+1
}

// writeFor writes again and again until the silent one is to go, for d at most, and
// returns when.
func (s *silence) writeFor(d time.Duration) (asked time.Duration) {
	for until := s.mono + d; s.mono < until; {
		s.write(1, setTo(fmt.Sprint("k", s.writes), "v"))
		s.writes++
		if s.silent {
			s.deliver(*s.word) // once more: it is no news
		}
		s.pass(50 * time.Millisecond)
		if s.isToGo() {
			return s.mono - s.began
		}
	}
	return 0
}

func (s *silence) isToGo() bool {
	return slices.ContainsFunc(s.asked, func(q LeaderRequest) bool { return q.Kind == AskEject && q.Acting[0].ID == 3 })
}

// TestSilentBackup: a backup that says nothing new is sent to at longer and longer
// intervals, however much is written meanwhile, and is asked to be taken out when it has
// been silent for too long, again and again: neither what it is sent nor what it said
// before counts as its word. Then what waited for it is answered.
func TestSilentBackup(t *testing.T) {
	s := newSilence(t)
	s.begin()
	if asked := s.writeFor(2 * ejectAfter); asked < ejectAfter || asked > ejectAfter+2*resendAfter {
		t.Errorf("to go after %v, want %v", asked, ejectAfter)
	}
	if len(s.got) != 1 {
		t.Errorf("%d of %d writes are answered without it", len(s.got), s.writes)
	}
	if s.sent < 3 || s.sent > 5 { // at once, and after one, two, four of resendAfter
		t.Errorf("the first entry that it lacks was sent %d times", s.sent)
	}
	s.asked = nil
	if s.pass(2 * askAfter); !s.isToGo() {
		t.Error("it is not asked again that it goes")
	}
	s.change(actingAre(1, 2))
	s.pings()
	if s.pass(time.Second); len(s.got) != s.writes {
		t.Errorf("%d of %d writes are answered after it is out", len(s.got), s.writes)
	}
}

// TestSilentForAWhile: a backup that speaks again in time is sent all that it lacks, and
// its next silence is a new one.
func TestSilentForAWhile(t *testing.T) {
	s := newSilence(t)
	for round := range 3 {
		s.begin()
		if asked := s.writeFor(ejectAfter * 3 / 4); asked != 0 {
			t.Fatalf("round %d: to go after %v", round, asked)
		}
		if s.sent < 3 {
			t.Errorf("round %d: the first entry that it lacks was sent %d times", round, s.sent)
		}
		s.silent = false
		s.pass(resendAfter << resendsMax)
		if a, b := s.host(1).core.Inspect(0), s.host(3).core.Inspect(0); a.Last != b.Last || len(s.got) != s.writes {
			t.Errorf("round %d: %d of %d writes are answered, the primary has %+v, who was silent %+v", round, len(s.got), s.writes, a, b)
		}
	}
}
