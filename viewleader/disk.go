package viewleader

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"viewring/internal/codec"
	"viewring/internal/disk"
	"viewring/internal/folder"
	"viewring/internal/seglog"
)

// The partitions of the store that the log is kept in. The snapshot has its own, for it
// is replaced as a whole: a wipe costs nothing, however long the former one was.
const (
	logPart      = 0 // rows: the entries, by index; meta: identity and kept
	snapshotPart = 1 // items: the snapshot's pieces, by number
)

const (
	folderFormat = 2 // in this build; 1 was a Pebble store
	// segmentBytes holds about a thousand commands that come one by one, 4 KiB each. The
	// folder takes three of these, and what lives.
	segmentBytes = 4 << 20
	pieceBytes   = 1 << 20 // of a snapshot
)

// Errors of a data folder that can't be used.
var (
	ErrInUse  = folder.ErrInUse
	ErrFormat = folder.ErrFormat
)

// entriesKept stay in the log behind a snapshot, for members that lag a little.
const entriesKept = 1000

// raftLog keeps what Raft must not forget: entries, hard state and snapshot. Each change
// is one batch of the store: there as a whole, and durable, when the method returns. Raft
// reads from a copy in memory, which the log's truncation keeps short.
type raftLog struct {
	memory *raft.MemoryStorage
	store  *seglog.Store
	lock   io.Closer
	broken <-chan struct{} // closed at the first failure of the disk

	// As they are on disk. Others than the loop may read the identity once there is a
	// group: it changes no more.
	identity identity
	kept
}

// kept is what every change writes anew, together with the identity. If entries or the
// snapshot that it names are not there, that is damage, whatever the store reports.
type kept struct {
	hard     hardState
	snapshot uint64 // index of the last entry in it; 0: there is none
	pieces   uint64 // of the snapshot
	last     uint64 // index of the last entry, in the snapshot or after it
}

// hardState is Raft's.
type hardState struct{ term, vote, commit uint64 }

// identity says whose data folder it is.
type identity struct {
	store   [16]byte // drawn once
	cluster [16]byte
	id      uint64 // in the group; 0: of none yet
}

const stateFormat = 1

// appendState makes the meta of the log's partition.
func appendState(b []byte, i *identity, k *kept) []byte {
	b = append(b, stateFormat)
	b = append(b, i.store[:]...)
	b = append(b, i.cluster[:]...)
	for _, n := range [...]uint64{i.id, k.hard.term, k.hard.vote, k.hard.commit, k.snapshot, k.pieces, k.last} {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

func decodeState(b []byte) (i identity, k kept, err error) {
	r := codec.NewReader(b)
	if f := r.Byte(); r.Err() == nil && f != stateFormat {
		return i, k, fmt.Errorf("state of format %d, want %d", f, stateFormat)
	}
	r.Fixed(i.store[:])
	r.Fixed(i.cluster[:])
	for _, n := range [...]*uint64{&i.id, &k.hard.term, &k.hard.vote, &k.hard.commit, &k.snapshot, &k.pieces, &k.last} {
		*n = r.Uvarint()
	}
	if err := r.Done(); err != nil {
		return i, k, err
	}
	if k.hard.commit < k.snapshot || k.hard.commit > k.last {
		return i, k, fmt.Errorf("entry %d is committed, the snapshot is at %d and the log ends at %d", k.hard.commit, k.snapshot, k.last)
	}
	return i, k, nil
}

// logOptions are those of the store under a log.
func logOptions(logger *slog.Logger) seglog.Options {
	// Each command waits for a write of one block. A write into zeros takes less time, and
	// there are few enough of them to write the zeros ahead.
	return seglog.Options{SegmentBytes: segmentBytes, Zeroed: true, Logger: logger}
}

// openLog opens the log in the folder dir; fs is that folder, nil: the disk's. It refuses a
// log of which acknowledged entries may be missing.
func openLog(dir string, fs disk.FS, opts seglog.Options) (*raftLog, error) {
	if fs == nil {
		var err error
		if fs, err = disk.Make(dir); err != nil {
			return nil, fmt.Errorf("make data folder: %w", err)
		}
	}
	lock, err := folder.Take(fs, dir, "viewleader", folderFormat)
	if errors.Is(err, folder.ErrFormer) {
		return nil, fmt.Errorf("%w. Let the former build go on with it, and let a view leader of this build on an empty folder take its place: "+
			"`viewleaders add` its address, start it with --peers, and when it votes `viewleaders remove` the former one", err)
	}
	if err != nil {
		return nil, err
	}
	l := &raftLog{memory: raft.NewMemoryStorage(), lock: lock}
	if l.store, err = seglog.Open(fs, opts); err != nil {
		_ = lock.Close() // the first error matters
		if errors.Is(err, seglog.ErrCorrupt) {
			return nil, damaged(dir, err)
		}
		return nil, fmt.Errorf("open the log in %s: %w", dir, err)
	}
	l.broken = l.store.Failed()
	isNew, err := l.load()
	switch {
	case err != nil:
		err = damaged(dir, err)
	case isNew:
		err = l.begin()
	}
	if err != nil {
		_ = l.close() // the first error matters
		return nil, err
	}
	return l, nil
}

// damaged says what to do about a log that can no longer be trusted. A member that started
// on what is left of it could vote twice in a term, or be elected without entries that
// were acknowledged.
func damaged(dir string, err error) error {
	return fmt.Errorf("the log in %s is damaged: %w. Move the folder away and start on an empty one: "+
		"with the same flags if others of the group are up, which then let it in anew; with --recover if this is the only view leader", dir, err)
}

var errLost = errors.New("some of what was written is lost, and nothing tells what")

// load fills the copy in memory. All its errors are of damage.
func (l *raftLog) load() (isNew bool, err error) {
	var state []byte
	for _, m := range l.store.Metas() {
		if m.Suspect {
			return false, errLost
		}
		if m.Value == nil {
			return false, errors.New("its state cannot be read")
		}
		if m.Part == logPart {
			state = m.Value
		}
	}
	if l.store.LostAll() {
		return false, errLost
	}
	if state == nil {
		return true, l.checkNew()
	}
	if l.identity, l.kept, err = decodeState(state); err != nil {
		return false, err
	}
	if err := l.loadSnapshot(); err != nil {
		return false, fmt.Errorf("snapshot at %d: %w", l.snapshot, err)
	}
	if l.hard != (hardState{}) {
		if err := l.memory.SetHardState(&pb.HardState{Term: &l.hard.term, Vote: &l.hard.vote, Commit: &l.hard.commit}); err != nil {
			return false, err
		}
	}
	entries, err := l.entries()
	if err != nil {
		return false, err
	}
	return false, l.memory.Append(entries)
}

// checkNew refuses a store that has no state and was not empty.
func (l *raftLog) checkNew() error {
	rows := 0
	err := l.store.Rows(logPart, 0, func(uint64, []byte) bool {
		rows++
		return false
	})
	if st := l.store.Stats(); err == nil && (rows > 0 || st.Keys > 0 || st.Damage > 0) {
		err = errors.New("its state is missing")
	}
	return err
}

// begin draws a new folder's identity.
func (l *raftLog) begin() error {
	var i identity
	if _, err := rand.Read(i.store[:]); err != nil {
		return fmt.Errorf("draw an id: %w", err)
	}
	return l.identify(i)
}

func (l *raftLog) loadSnapshot() error {
	if l.snapshot == 0 {
		return nil
	}
	var all []byte
	for n := range l.pieces {
		piece, ok, err := l.store.Get(snapshotPart, pieceKey(n))
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("piece %d of %d is missing", n, l.pieces)
		}
		all = append(all, piece...)
	}
	s := &pb.Snapshot{}
	if err := proto.Unmarshal(all, s); err != nil {
		return err
	}
	if at := s.GetMetadata().GetIndex(); at != l.snapshot {
		return fmt.Errorf("it is that of entry %d", at)
	}
	return l.memory.ApplySnapshot(s)
}

// entries reads the log from the snapshot on.
func (l *raftLog) entries() (entries []*pb.Entry, err error) {
	next := l.snapshot + 1
	var bad error
	err = l.store.Rows(logPart, l.snapshot, func(index uint64, row []byte) bool {
		e := &pb.Entry{}
		if bad = proto.Unmarshal(row, e); bad == nil && (index != next || e.GetIndex() != next) {
			bad = fmt.Errorf("it is missing: the next is %d, and says that it is %d", index, e.GetIndex())
		}
		entries = append(entries, e)
		next++
		return bad == nil
	})
	switch {
	case err != nil:
		return nil, err
	case bad != nil:
		return nil, fmt.Errorf("entry %d: %w", next-1, bad)
	case next != l.last+1:
		return nil, fmt.Errorf("the log ends at entry %d, not at %d", next-1, l.last)
	}
	return entries, nil
}

// identify writes whose folder it is.
func (l *raftLog) identify(i identity) error {
	if err := l.commit(i, l.kept); err != nil {
		return err
	}
	l.identity = i
	return nil
}

// found writes the snapshot that a new group starts from, and its first member.
func (l *raftLog) found(i identity, s *pb.Snapshot) error {
	term, index := s.GetMetadata().GetTerm(), s.GetMetadata().GetIndex()
	hard := &pb.HardState{Term: &term, Commit: &index, Vote: new(uint64)}
	if err := l.replace(i, s, hard); err != nil {
		return err
	}
	l.identity = i
	return l.memory.SetHardState(hard)
}

// install puts a snapshot of the head in the place of everything.
func (l *raftLog) install(s *pb.Snapshot, hard *pb.HardState) error {
	return l.replace(l.identity, s, hard)
}

func (l *raftLog) replace(i identity, s *pb.Snapshot, hard *pb.HardState) error {
	k, index := l.kept, s.GetMetadata().GetIndex()
	k.setHard(hard)
	k.last = index
	// No entry is at or below the snapshot, none may be left above it.
	ops := []seglog.Op{{Kind: seglog.Cut, Part: logPart, Seq: index}, {Kind: seglog.Trim, Part: logPart, Seq: index}}
	ops, err := k.putSnapshot(ops, s)
	if err != nil {
		return err
	}
	if err := l.commit(i, k, ops...); err != nil {
		return err
	}
	return l.memory.ApplySnapshot(s)
}

func (k *kept) setHard(hard *pb.HardState) {
	k.hard = hardState{hard.GetTerm(), hard.GetVote(), hard.GetCommit()}
}

// putSnapshot appends the operations that put a snapshot in the place of the former one.
func (k *kept) putSnapshot(ops []seglog.Op, s *pb.Snapshot) ([]seglog.Op, error) {
	b, err := proto.Marshal(s)
	if err != nil {
		return nil, err
	}
	ops = append(ops, seglog.Op{Kind: seglog.Wipe, Part: snapshotPart})
	for k.snapshot, k.pieces = s.GetMetadata().GetIndex(), 0; len(b) > 0; k.pieces++ {
		n := min(pieceBytes, len(b))
		ops = append(ops, seglog.Op{Kind: seglog.Put, Part: snapshotPart, Known: seglog.KnownAbsent, Key: pieceKey(k.pieces), Value: b[:n]})
		b = b[n:]
	}
	return ops, nil
}

func pieceKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// append makes entries and the hard state durable. New entries replace those at
// and after their index.
func (l *raftLog) append(hard *pb.HardState, entries []*pb.Entry) error {
	k, ops := l.kept, []seglog.Op(nil)
	if !raft.IsEmptyHardState(hard) {
		k.setHard(hard)
	}
	if len(entries) > 0 {
		if first := entries[0].GetIndex(); first <= k.last {
			ops = append(ops, seglog.Op{Kind: seglog.Cut, Part: logPart, Seq: first - 1})
		}
		k.last = entries[len(entries)-1].GetIndex()
	}
	for _, e := range entries {
		row, err := proto.Marshal(e)
		if err != nil {
			return err
		}
		ops = append(ops, seglog.Op{Kind: seglog.PutRow, Part: logPart, Seq: e.GetIndex(), Value: row})
	}
	if err := l.commit(l.identity, k, ops...); err != nil {
		return err
	}
	return l.memory.Append(entries)
}

// compact replaces the log up to index by a snapshot. hard goes with it: what is
// on disk may be behind index, for a commit alone is not written.
func (l *raftLog) compact(index uint64, hard *pb.HardState, conf *pb.ConfState, data []byte) error {
	snapshot, err := l.memory.CreateSnapshot(index, conf, data)
	if err != nil {
		return err
	}
	k := l.kept
	k.setHard(hard)
	// On disk nothing before the snapshot is needed: a restart begins there.
	ops, err := k.putSnapshot([]seglog.Op{{Kind: seglog.Trim, Part: logPart, Seq: index}}, snapshot)
	if err != nil {
		return err
	}
	if err := l.commit(l.identity, k, ops...); err != nil {
		return err
	}
	first, err := l.memory.FirstIndex()
	if err != nil || index < first+entriesKept {
		return err
	}
	return l.memory.Compact(index - entriesKept)
}

// commit carries out a change, all of it or nothing, and waits until it is durable.
func (l *raftLog) commit(i identity, k kept, ops ...seglog.Op) error {
	wait, err := l.store.Apply(append(ops, seglog.Op{Kind: seglog.PutMeta, Part: logPart, Value: appendState(nil, &i, &k)}))
	if err == nil {
		err = wait()
	}
	if err != nil {
		return fmt.Errorf("write the log: %w", err)
	}
	l.kept = k
	return nil
}

// failure is why broken is closed.
func (l *raftLog) failure() error { return l.store.Err() }

// close ends the log. After a failure it writes nothing more.
func (l *raftLog) close() error {
	return errors.Join(l.store.Close(), l.lock.Close())
}
