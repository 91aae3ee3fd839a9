package viewleader

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"viewring/internal/codec"
	"viewring/internal/folder"
)

// The keys of the log: 'h' the hard state, 's' the snapshot, 'e' and the index
// (8 bytes, big endian) an entry, 'i' whose folder it is.
var (
	hardKey     = []byte{'h'}
	snapshotKey = []byte{'s'}
	identityKey = []byte{'i'}
)

const entryPrefix = 'e'

// The log's database in a data folder, and the format of the folder in this build.
const (
	raftName     = "raft"
	folderFormat = 1
)

// Errors of a data folder that can't be used.
var (
	ErrInUse  = folder.ErrInUse
	ErrFormat = folder.ErrFormat
)

// entriesKept stay in the log behind a snapshot, for members that lag a little.
const entriesKept = 1000

// disk keeps what Raft must not forget: entries, hard state and snapshot, all
// written with a sync. Raft reads from a copy in memory, which the log's
// truncation keeps short.
type disk struct {
	memory *raft.MemoryStorage
	db     *pebble.DB
	lock   *pebble.Lock
	logger *slog.Logger
	broken chan struct{} // closed at the first failure of the disk

	identity identity // as it is on disk

	mu struct {
		sync.Mutex
		err error // that failure
	}
}

// identity says whose data folder it is.
type identity struct {
	store   [16]byte // drawn once
	cluster [16]byte
	id      uint64 // in the group; 0: of none yet
}

const identityFormat = 1

func (i *identity) append(b []byte) []byte {
	b = append(b, identityFormat)
	b = append(b, i.store[:]...)
	b = append(b, i.cluster[:]...)
	return binary.AppendUvarint(b, i.id)
}

func decodeIdentity(b []byte) (i identity, err error) {
	r := codec.NewReader(b)
	if f := r.Byte(); r.Err() == nil && f != identityFormat {
		return i, fmt.Errorf("identity of format %d, want %d", f, identityFormat)
	}
	r.Fixed(i.store[:])
	r.Fixed(i.cluster[:])
	i.id = r.Uvarint()
	return i, r.Done()
}

// openDisk opens the log in dir.
func openDisk(dir string, fs vfs.FS, logger *slog.Logger) (*disk, error) {
	lock, err := folder.TakePebble(fs, dir, "viewleader", folderFormat)
	if err != nil {
		return nil, err
	}
	if err := folder.CheckLog(fs, fs.PathJoin(dir, raftName)); err != nil {
		_ = lock.Close() // nothing was written through it
		return nil, fmt.Errorf("open raft log in %s: %w", dir, err)
	}
	d := &disk{memory: raft.NewMemoryStorage(), lock: lock, logger: logger, broken: make(chan struct{})}
	d.db, err = pebble.Open(fs.PathJoin(dir, raftName), &pebble.Options{
		FS:                 fs,
		FormatMajorVersion: pebble.FormatValueSeparation,
		MemTableSize:       1 << 20, // logs of this size are overwritten soon, which syncs faster than a log that grows
		Logger:             diskLogger{d},
		EventListener: &pebble.EventListener{
			// The default kills the process without a word.
			DataCorruption: func(i pebble.DataCorruptionInfo) {
				d.fail(fmt.Errorf("file %s is damaged: %w", i.Path, i.Details))
			},
		},
	})
	if err != nil {
		_ = lock.Close() // nothing was written
		return nil, fmt.Errorf("open the log in %s: %w", dir, err)
	}
	if err := d.load(); err != nil {
		_ = d.close() // the first error matters
		return nil, fmt.Errorf("read the log in %s: %w", dir, err)
	}
	return d, nil
}

// load fills the copy in memory.
func (d *disk) load() error {
	snapshot := &pb.Snapshot{}
	found, err := d.read(snapshotKey, snapshot)
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	if err := d.loadIdentity(found); err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	if found {
		if err := d.memory.ApplySnapshot(snapshot); err != nil {
			return fmt.Errorf("snapshot: %w", err)
		}
	}
	hard := &pb.HardState{}
	switch has, err := d.read(hardKey, hard); {
	case err != nil:
		return fmt.Errorf("hard state: %w", err)
	case found && !has:
		return errors.New("hard state: missing")
	case has:
		if err := d.memory.SetHardState(hard); err != nil {
			return err
		}
	}
	entries, err := d.entries(snapshot.GetMetadata().GetIndex() + 1)
	if err != nil {
		return err
	}
	return d.memory.Append(entries)
}

// loadIdentity reads whose folder it is. A folder with a log and without an
// identity is from before there were groups: the only member's.
func (d *disk) loadIdentity(hasLog bool) error {
	value, closer, err := d.db.Get(identityKey)
	switch {
	case err == nil:
		d.identity, err = decodeIdentity(value)
		if cerr := closer.Close(); err == nil {
			err = cerr
		}
		return err
	case !errors.Is(err, pebble.ErrNotFound):
		return err
	}
	var i identity
	if _, err := rand.Read(i.store[:]); err != nil {
		return fmt.Errorf("draw an id: %w", err)
	}
	if hasLog {
		i.id = founderID
	}
	if err := d.identify(i); err != nil {
		return err
	}
	// The first log was begun before the store had its format: damage in it
	// would look like its end. Flushing begins the next one.
	return d.db.Flush()
}

// identify writes whose folder it is.
func (d *disk) identify(i identity) error {
	b := d.db.NewBatch()
	if err := b.Set(identityKey, i.append(nil), nil); err != nil {
		return err
	}
	if err := d.commit(b); err != nil {
		return err
	}
	d.identity = i
	return nil
}

// found writes the snapshot that a new group starts from, and its first member.
func (d *disk) found(i identity, s *pb.Snapshot) error {
	term, index := s.GetMetadata().GetTerm(), s.GetMetadata().GetIndex()
	hard := &pb.HardState{Term: &term, Commit: &index, Vote: new(uint64)}
	b := d.db.NewBatch()
	if err := b.Set(identityKey, i.append(nil), nil); err != nil {
		return err
	}
	if err := d.replace(b, s, hard); err != nil {
		return err
	}
	d.identity = i
	return d.memory.SetHardState(hard)
}

// install puts a snapshot of the head in the place of everything.
func (d *disk) install(s *pb.Snapshot, hard *pb.HardState) error {
	return d.replace(d.db.NewBatch(), s, hard)
}

func (d *disk) replace(b *pebble.Batch, s *pb.Snapshot, hard *pb.HardState) error {
	if err := put(b, snapshotKey, s); err != nil {
		return err
	}
	if err := put(b, hardKey, hard); err != nil {
		return err
	}
	if err := b.DeleteRange(entryKey(0), []byte{entryPrefix + 1}, nil); err != nil {
		return err
	}
	if err := d.commit(b); err != nil {
		return err
	}
	return d.memory.ApplySnapshot(s)
}

// read reads what is kept under a key; false: nothing.
func (d *disk) read(key []byte, m proto.Message) (bool, error) {
	value, closer, err := d.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	err = proto.Unmarshal(value, m)
	if cerr := closer.Close(); err == nil {
		err = cerr
	}
	return true, err
}

// entries reads the log from index from on.
func (d *disk) entries(from uint64) (entries []*pb.Entry, err error) {
	it, err := d.db.NewIter(&pebble.IterOptions{LowerBound: entryKey(from), UpperBound: []byte{entryPrefix + 1}})
	if err != nil {
		return nil, err
	}
	defer func() {
		if cerr := it.Close(); err == nil {
			err = cerr
		}
	}()
	for ok := it.First(); ok; ok = it.Next() {
		e := &pb.Entry{}
		value, err := it.ValueAndErr()
		if err == nil {
			err = proto.Unmarshal(value, e)
		}
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", from, err)
		}
		if e.GetIndex() != from {
			return nil, fmt.Errorf("entry %d is missing: the next is %d", from, e.GetIndex())
		}
		entries = append(entries, e)
		from++
	}
	return entries, it.Error()
}

func entryKey(index uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{entryPrefix}, index)
}

func put(b *pebble.Batch, key []byte, m proto.Message) error {
	value, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	return b.Set(key, value, nil)
}

// append makes entries and the hard state durable. New entries replace those at
// and after their index.
func (d *disk) append(hard *pb.HardState, entries []*pb.Entry) error {
	b := d.db.NewBatch()
	if !raft.IsEmptyHardState(hard) {
		if err := put(b, hardKey, hard); err != nil {
			return err
		}
	}
	if len(entries) > 0 {
		last, err := d.memory.LastIndex()
		if err != nil {
			return err
		}
		if first := entries[0].GetIndex(); first <= last {
			if err := b.DeleteRange(entryKey(first), entryKey(last+1), nil); err != nil {
				return err
			}
		}
		for _, e := range entries {
			if err := put(b, entryKey(e.GetIndex()), e); err != nil {
				return err
			}
		}
	}
	if err := d.commit(b); err != nil {
		return err
	}
	return d.memory.Append(entries)
}

// compact replaces the log up to index by a snapshot. hard goes with it: what is
// on disk may be behind index, for a commit alone is not written.
func (d *disk) compact(index uint64, hard *pb.HardState, conf *pb.ConfState, data []byte) error {
	snapshot, err := d.memory.CreateSnapshot(index, conf, data)
	if err != nil {
		return err
	}
	b := d.db.NewBatch()
	if err := put(b, snapshotKey, snapshot); err != nil {
		return err
	}
	if err := put(b, hardKey, hard); err != nil {
		return err
	}
	// On disk nothing before the snapshot is needed: a restart begins there.
	if err := b.DeleteRange(entryKey(0), entryKey(index+1), nil); err != nil {
		return err
	}
	if err := d.commit(b); err != nil {
		return err
	}
	first, err := d.memory.FirstIndex()
	if err != nil || index < first+entriesKept {
		return err
	}
	return d.memory.Compact(index - entriesKept)
}

// commit writes b with a sync. It never writes without: mixed, a damaged log
// was seen to drop what had been synced.
func (d *disk) commit(b *pebble.Batch) error {
	done := make(chan error, 1)
	go func() {
		// Pebble's logger ends this goroutine when a sync fails.
		done <- b.Commit(pebble.Sync)
	}()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("write the log: %w", err)
		}
		return b.Close()
	case <-d.broken: // b may still be in Pebble's hands
		return fmt.Errorf("write the log: %w", d.failure())
	}
}

func (d *disk) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.err == nil {
		d.mu.err = err
		close(d.broken)
	}
}

func (d *disk) failure() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.err
}

// close leaves Pebble alone after a failure, when it may hang.
func (d *disk) close() error {
	if d.failure() != nil {
		return nil
	}
	err := d.db.Close()
	if lerr := d.lock.Close(); err == nil {
		err = lerr
	}
	return err
}

// diskLogger passes on what Pebble says.
type diskLogger struct{ d *disk }

func (l diskLogger) Infof(format string, args ...any) {
	l.d.logger.Debug("pebble", "says", fmt.Sprintf(format, args...))
}

func (l diskLogger) Errorf(format string, args ...any) {
	l.d.logger.Error("pebble", "says", fmt.Sprintf(format, args...))
}

// Fatalf must not return: Pebble goes on as if the write had been made.
func (l diskLogger) Fatalf(format string, args ...any) {
	l.d.fail(fmt.Errorf(format, args...))
	runtime.Goexit()
}
