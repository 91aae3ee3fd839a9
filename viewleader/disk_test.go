package viewleader

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"viewring/internal/disk"
	"viewring/internal/disk/crashdisk"
	"viewring/internal/seglog"
)

// content is all that a log keeps.
type content struct {
	identity identity
	kept
	data    []byte
	entries [][]byte // after the snapshot
}

func contentOf(t *testing.T, l *raftLog) *content {
	t.Helper()
	c := &content{identity: l.identity, kept: l.kept}
	s, err := l.memory.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	c.data = s.GetData()
	if l.last == l.snapshot {
		return c
	}
	entries, err := l.memory.Entries(l.snapshot+1, l.last+1, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := proto.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		c.entries = append(c.entries, b)
	}
	return c
}

func (c *content) equal(o *content) bool {
	return c.identity == o.identity && c.kept == o.kept && bytes.Equal(c.data, o.data) && slices.EqualFunc(c.entries, o.entries, bytes.Equal)
}

func snapshotAt(index, term uint64, data []byte) *pb.Snapshot {
	return &pb.Snapshot{Data: data, Metadata: &pb.SnapshotMetadata{Index: &index, Term: &term, ConfState: &pb.ConfState{Voters: []uint64{1}}}}
}

func hardAt(term, commit uint64) *pb.HardState {
	return &pb.HardState{Term: &term, Commit: &commit, Vote: new(uint64(1))}
}

func noise(rng *rand.Rand, n int) []byte {
	b := make([]byte, 0, n+8)
	for len(b) < n {
		b = binary.LittleEndian.AppendUint64(b, rng.Uint64())
	}
	return b[:n]
}

// anyChange draws a change that Raft could make to a log.
func anyChange(i identity, k kept, rng *rand.Rand) func(*raftLog) error {
	term, between := max(1, k.hard.term+uint64(rng.IntN(4)/3)), func(lo, hi uint64) uint64 { return lo + rng.Uint64N(hi-lo+1) }
	switch p := rng.IntN(100); {
	case p < 3:
		i.id++
		return func(l *raftLog) error { return l.identify(i) }
	case p < 8: // a head's that is far ahead, or whose entries are other ones
		size := rng.IntN(3000)
		if rng.IntN(40) == 0 {
			size = 2*pieceBytes + rng.IntN(pieceBytes)
		}
		s := snapshotAt(between(k.hard.commit+1, k.last+5), term, noise(rng, size))
		return func(l *raftLog) error { return l.install(s, hardAt(term, s.GetMetadata().GetIndex())) }
	case p < 16 && k.hard.commit > k.snapshot:
		index, data := between(k.snapshot+1, k.hard.commit), noise(rng, rng.IntN(3000))
		return func(l *raftLog) error { return l.compact(index, hardAt(term, k.hard.commit), &pb.ConfState{}, data) }
	default:
		at, last := k.last+1, k.last
		if rng.IntN(4) == 0 { // another head's, in the place of what was not committed
			at = between(k.hard.commit+1, k.last+1)
		}
		var entries []*pb.Entry
		for range rng.IntN(4) {
			last = at + uint64(len(entries))
			entries = append(entries, &pb.Entry{Index: new(last), Term: &term, Data: noise(rng, rng.IntN(2000))})
		}
		hard := hardAt(term, between(k.hard.commit, last))
		return func(l *raftLog) error { return l.append(hard, entries) }
	}
}

// TestLogCrashes crashes logs at any step of the disk, again and again: each change is
// there as a whole or not at all, and none is missing that had returned.
func TestLogCrashes(t *testing.T) {
	t.Parallel()
	seeds := uint64(12)
	if os.Getenv("VIEWRING_SLOW") != "" {
		seeds = 60
	}
	for seed := range seeds {
		p := &logPlay{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 0x6c6f67))}
		p.disk = crashdisk.New([]int{512, 4096}[p.rng.IntN(2)], rand.New(rand.NewPCG(seed, 1)))
		for range 8 {
			p.life()
		}
	}
}

// logPlay is one log over its crashes.
type logPlay struct {
	t             *testing.T
	seed          uint64
	rng           *rand.Rand
	disk          *crashdisk.FS
	before, after *content // one of them is there; nil: nothing had returned
}

// life goes from a start to a crash.
func (p *logPlay) life() {
	p.disk.CrashAfter(p.rng.IntN(200))
	defer func() { p.disk = p.disk.Crash() }()
	l, err := openLog("data", p.disk, smallLog)
	if err != nil {
		p.mustBeCrash(err)
		return
	}
	has := contentOf(p.t, l)
	if p.before != nil && !has.equal(p.before) && !has.equal(p.after) {
		p.t.Fatalf("seed %d: %+v or %+v was written, %+v is there", p.seed, p.before.kept, p.after.kept, has.kept)
	}
	p.before, p.after = has, has
	twin, err := openLog("data", p.disk.Clone(), smallLog) // shows what a change comes to
	if err != nil {
		p.t.Fatalf("seed %d: %v", p.seed, err)
	}
	defer twin.close() // it is on no disk
	for n := p.rng.IntN(150); err == nil && n > 0; n-- {
		change := anyChange(l.identity, l.kept, p.rng)
		if err := change(twin); err != nil {
			p.t.Fatalf("seed %d: %v", p.seed, err)
		}
		p.after = contentOf(p.t, twin)
		if err = change(l); err != nil {
			p.mustBeCrash(err)
			<-l.broken
			p.mustBeCrash(l.failure())
			break
		}
		if p.before = contentOf(p.t, l); !p.before.equal(p.after) {
			p.t.Fatalf("seed %d: %+v, want %+v", p.seed, p.before.kept, p.after.kept)
		}
		if p.rng.IntN(8) == 0 {
			p.look()
		}
		if p.rng.IntN(10) == 0 {
			if _, err = l.store.Collect(); err != nil {
				p.mustBeCrash(err)
			}
		}
	}
	if err := l.close(); err != nil {
		p.mustBeCrash(err)
	}
}

// look sees what a power cut would leave now, and whether there is more than is wanted.
func (p *logPlay) look() {
	l, err := openLog("data", p.disk.CrashClone(0, p.rng), smallLog)
	if err != nil {
		p.t.Fatalf("seed %d: after a power cut: %v", p.seed, err)
	}
	defer l.close() // it is on no disk
	if has := contentOf(p.t, l); !has.equal(p.after) {
		p.t.Fatalf("seed %d: after a power cut: %+v, want %+v", p.seed, has.kept, p.after.kept)
	}
	if n := l.store.Stats().Keys; n != int(l.pieces) {
		p.t.Fatalf("seed %d: %d pieces are kept of a snapshot in %d", p.seed, n, l.pieces)
	}
}

func (p *logPlay) mustBeCrash(err error) {
	p.t.Helper()
	if !errors.Is(err, crashdisk.ErrCrashed) {
		p.t.Fatalf("seed %d: %v", p.seed, err)
	}
}

// writtenLog is a folder as a crash leaves it, with what it keeps.
func writtenLog(t *testing.T) (*crashdisk.FS, *content) {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, 7))
	fs := crashdisk.Mem()
	l, err := openLog("data", fs, smallLog)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.found(identity{store: l.identity.store, id: 1}, snapshotAt(1, 1, noise(rng, 500))); err != nil {
		t.Fatal(err)
	}
	for i := range uint64(60) {
		if err := l.append(hardAt(1, 1+i), []*pb.Entry{{Index: new(2 + i), Term: new(uint64(1)), Data: noise(rng, 3000)}}); err != nil {
			t.Fatal(err)
		}
		if i == 20 {
			if err := l.compact(15, hardAt(1, 1+i), &pb.ConfState{Voters: []uint64{1}}, noise(rng, 2000)); err != nil {
				t.Fatal(err)
			}
		}
	}
	crashed := fs.CrashClone(0, rng)
	c := contentOf(t, l)
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	return crashed, c
}

// harm is damage to a file.
type harm struct {
	name string
	at   int
	zero int // bytes that read as zeros; 0: bits of one are flipped
}

func (h harm) do(folder *crashdisk.FS) {
	b := folder.Bytes(h.name)[h.at:]
	clear(b[:h.zero])
	if h.zero == 0 {
		b[0] ^= 0x11
	}
}

// harms are flipped bits all over the files of a folder, and blocks that are lost. The
// newest frame is not: zeros in its place are what a crash leaves.
func harms(t *testing.T, folder *crashdisk.FS) (all []harm) {
	t.Helper()
	names, err := folder.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b := folder.Bytes(name)
		step := 61
		if strings.HasPrefix(name, "segment-") {
			step = 2003
			end := len(bytes.TrimRight(b, "\x00")) - disk.BlockBytes
			for at := 0; at < end; at += disk.BlockBytes {
				all = append(all, harm{name, at, disk.BlockBytes})
			}
			all = append(all, harm{name, 0, len(b)})
		}
		for at := 0; at < len(b); at += step {
			all = append(all, harm{name, at, 0})
		}
	}
	return all
}

// TestDamagedLog damages a log at many places: what had been acknowledged is there, or the
// start is refused with a word on what to do, this time and the next.
func TestDamagedLog(t *testing.T) {
	t.Parallel()
	folder, want := writtenLog(t)
	refused, fine := 0, 0
	for _, h := range harms(t, folder) {
		damaged := folder.Clone()
		h.do(damaged)
		starts := 0
		for range 2 {
			l, err := openLog("data", damaged, smallLog)
			if err != nil {
				if h.name != "FORMAT" && !strings.Contains(err.Error(), "Move the folder away") {
					t.Errorf("%+v: %v", h, err)
				}
				continue
			}
			starts++
			if has := contentOf(t, l); !has.equal(want) {
				t.Errorf("%+v: %+v, want %+v, and nothing is said", h, has.kept, want.kept)
			}
			if err := l.close(); err != nil {
				t.Error(err)
			}
		}
		if starts == 1 {
			t.Errorf("%+v: one start of two is refused", h)
		}
		refused, fine = refused+2-starts, fine+starts
	}
	if refused == 0 || fine == 0 {
		t.Errorf("%d starts were refused, %d were fine", refused, fine)
	}
	t.Logf("%d starts were refused, %d were fine", refused, fine)
}

// TestLostBeginning loses the first frames of a log, of which nothing is needed any more:
// the store can't know that, and neither can the log.
func TestLostBeginning(t *testing.T) {
	folder := crashdisk.Mem()
	l, err := openLog("data", folder, smallLog)
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(3) {
		if err := l.install(snapshotAt(1+i, 1, []byte("roster")), hardAt(1, 1+i)); err != nil {
			t.Fatal(err)
		}
	}
	crashed := folder.CrashClone(0, rand.New(rand.NewPCG(0, 0)))
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	harm{"segment-0000000001", 0, 3 * disk.BlockBytes}.do(crashed)
	if _, err := openLog("data", crashed, smallLog); err == nil || !strings.Contains(err.Error(), "some of what was written is lost") {
		t.Error(err)
	}
}

// TestIncompleteLog takes away what the log's own state tells of, as no damage would.
func TestIncompleteLog(t *testing.T) {
	written, want := writtenLog(t)
	for _, c := range []struct {
		words string
		op    seglog.Op
	}{
		{"the log ends at entry", seglog.Op{Kind: seglog.Cut, Part: logPart, Seq: want.last - 1}},
		{"it is missing", seglog.Op{Kind: seglog.Trim, Part: logPart, Seq: want.snapshot + 1}},
		{"it is missing", seglog.Op{Kind: seglog.PutRow, Part: logPart, Seq: want.last + 2}},
		{"is missing", seglog.Op{Kind: seglog.Delete, Part: snapshotPart, Key: pieceKey(0)}},
		{"snapshot at", seglog.Op{Kind: seglog.Put, Part: snapshotPart, Key: pieceKey(0), Value: []byte{1}}},
		{"its state is missing", seglog.Op{Kind: seglog.Wipe, Part: logPart}},
		{"state of format 9", seglog.Op{Kind: seglog.PutMeta, Part: logPart, Value: []byte{9}}},
		{"is committed", seglog.Op{Kind: seglog.PutMeta, Part: logPart, Value: appendState(nil, &identity{}, &kept{snapshot: 2})}},
	} {
		folder := written.Clone()
		store, err := seglog.Open(folder, smallLog)
		if err != nil {
			t.Fatal(err)
		}
		wait, err := store.Apply([]seglog.Op{c.op})
		if err == nil {
			err = errors.Join(wait(), store.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err = openLog("data", folder, smallLog)
		if err == nil || !strings.Contains(err.Error(), c.words) || !strings.Contains(err.Error(), "Move the folder away") {
			t.Errorf("%+v: %v, want a word on %q", c.op, err, c.words)
		}
	}
}

// TestFailedLog lets a disk refuse a write: nobody is told that it was made, and the log
// ends.
func TestFailedLog(t *testing.T) {
	errDisk := errors.New("the disk does not like it")
	for _, kind := range []crashdisk.StepKind{crashdisk.WriteSync, crashdisk.WriteSyncEnd} {
		folder, want := writtenLog(t)
		l, err := openLog("data", folder, smallLog)
		if err != nil {
			t.Fatal(err)
		}
		folder.Watch(func(s crashdisk.Step) error {
			if s.Kind == kind {
				return errDisk
			}
			return nil
		})
		next := []*pb.Entry{{Index: new(want.last + 1), Term: new(uint64(1))}}
		for range 2 {
			if err := l.append(hardAt(1, want.hard.commit), next); !errors.Is(err, errDisk) {
				t.Errorf("an entry is said to be written: %v", err)
			}
		}
		<-l.broken
		if last, err := l.memory.LastIndex(); last != want.last || err != nil {
			t.Errorf("Raft is shown entry %d, %v", last, err)
		}
		if err := l.close(); !errors.Is(err, errDisk) {
			t.Errorf("close: %v", err)
		}
	}
}

// TestFormerFolder refuses a folder that a former build wrote, and touches nothing in it.
func TestFormerFolder(t *testing.T) {
	folder := crashdisk.Mem()
	if err := disk.WriteFile(folder, "FORMAT", []byte("viewring viewleader 1\n")); err != nil {
		t.Fatal(err)
	}
	before := folder.Steps()
	_, err := openLog("data", folder, smallLog)
	if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), `says "viewring viewleader 1"`) || !strings.Contains(err.Error(), "viewleaders add") {
		t.Error(err)
	}
	if folder.Steps() != before {
		t.Error("it was written to")
	}
	if err := disk.WriteFile(folder, "FORMAT", []byte("viewring viewleader 3\n")); err != nil {
		t.Fatal(err)
	}
	if _, err = openLog("data", folder, smallLog); !errors.Is(err, ErrFormat) || strings.Contains(err.Error(), "viewleaders add") {
		t.Error(err)
	}
}
