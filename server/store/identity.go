package store

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"slices"
	"time"

	"viewring/internal/codec"
	"viewring/internal/disk"
	"viewring/internal/seglog"
	"viewring/ring"
	"viewring/server/replica"
)

// Identity is what a server keeps about itself from start to start.
type Identity struct {
	Store       [16]byte      // random, made with the store
	Server      ring.ServerID // 0 until the view leader gave one
	Incarnation uint64        // of this start, from 1
	Previous    uint64        // of the start before, 0 at the first
	Starts      []uint64      // random, one for each start: the last one that the view leader confirmed, and all since
	Cluster     [16]byte      // zero until registered
	Epoch       uint64        // the highest view ever used
	LeaseMax    time.Duration // the largest L ever seen: how long promises given before this start may bind
}

// identityFormat is the first byte of a stored identity.
const identityFormat = 2

// startsMax bounds Starts. The starts that are dropped first are neither the confirmed one nor
// a new one: of these at most the view leader's answer was lost. If it had registered one of
// them, the folder counts as rolled back.
const startsMax = 64

// The identity is a file of its own beside the log, with the same content twice. So whatever
// happens to the log, the server keeps its identity. The log has the number of the start,
// written before the identity has it: a log with a lower number is not the one that this
// server wrote last.
const identityName = "IDENTITY"

// identityBytesMax bounds what is read of the file: a view of all partitions is far below.
const identityBytesMax = 64 << 20

var startKey = replica.MakeKey(0, replica.SpaceLocal, "start")

// Identity returns what the server knows of itself.
func (s *Store) Identity() Identity {
	s.identity.Lock()
	defer s.identity.Unlock()
	return s.identity.Identity
}

// View returns the newest view that was ever used, encoded; nil: there was none, or
// a program used it that did not keep it. It is not to be written to.
func (s *Store) View() []byte {
	s.identity.Lock()
	defer s.identity.Unlock()
	return s.identity.view
}

// Update changes the identity; it is durable when Update returns.
func (s *Store) Update(change func(*Identity)) error {
	return s.update(nil, change)
}

// Adopt is Update, and keeps a view in the same step. So the server can report both after any
// restart, should the view leader lose its data.
func (s *Store) Adopt(view []byte, change func(*Identity)) error { return s.update(view, change) }

func (s *Store) update(view []byte, change func(*Identity)) error {
	s.identity.changing.Lock()
	defer s.identity.changing.Unlock()
	id := s.Identity()
	change(&id)
	if err := s.saveIdentity(id, view); err != nil {
		return err
	}
	s.identity.Lock()
	defer s.identity.Unlock()
	s.identity.Identity = id
	if view != nil {
		s.identity.view = view
	}
	return nil
}

// start loads the identity, or makes one, and counts this start.
func (s *Store) start() error {
	id, view, err := s.loadIdentity()
	if errors.Is(err, fs.ErrNotExist) {
		return s.firstStart()
	}
	if err == nil {
		err = s.checkStart(id.Incarnation)
	}
	if err != nil {
		return fmt.Errorf("read identity: %w", err)
	}
	s.identity.view = view
	return s.Update(func(now *Identity) {
		*now = id
		now.Previous, now.Incarnation = id.Incarnation, id.Incarnation+1
		now.Starts = append(slices.Clone(id.Starts), newStart())
		if len(now.Starts) > startsMax {
			now.Starts = slices.Delete(now.Starts, 1, 2)
		}
	})
}

// checkStart looks whether the log is the one of the last start, and counts the new one in it.
func (s *Store) checkStart(last uint64) error {
	b, found, err := s.log.Get(uint16(nodePartition), bytesOf(startKey))
	switch {
	case errors.Is(err, seglog.ErrCorrupt): // what is lost with it is known
	case err != nil:
		return err
	case !found || len(b) != 8:
		return fmt.Errorf("%w: the log is gone", replica.ErrCorrupt)
	case binary.BigEndian.Uint64(b) < last:
		return fmt.Errorf("%w: the log is one of start %d, and there were %d", replica.ErrCorrupt, binary.BigEndian.Uint64(b), last)
	}
	return s.countStart(last + 1)
}

func (s *Store) countStart(n uint64) error {
	return s.write(replica.StoreOp{Kind: replica.PutItem, Partition: nodePartition, Key: startKey, Value: binary.BigEndian.AppendUint64(nil, n)})
}

// firstStart makes an identity. A store that holds something has lost its own.
func (s *Store) firstStart() error {
	if len(s.log.Metas()) > 0 {
		return fmt.Errorf("%w: there is no identity beside what is stored", replica.ErrCorrupt)
	}
	s.fresh = true
	if err := s.countStart(1); err != nil {
		return err
	}
	return s.Update(func(id *Identity) {
		if _, err := rand.Read(id.Store[:]); err != nil {
			panic(err) // documented never to happen
		}
		id.Incarnation = 1
		id.Starts = []uint64{newStart()}
	})
}

// newStart draws the name that tells a start from every other one, of this folder and of all
// copies of it. It is durable before the start registers.
func newStart() uint64 {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic(err) // documented never to happen
	}
	return binary.BigEndian.Uint64(b[:]) | 1 // never zero
}

// Confirmed notes that the view leader has registered this start: it knows no
// earlier one any more.
func (id *Identity) Confirmed() { id.Starts = id.Starts[len(id.Starts)-1:] }

// saveIdentity keeps id, and view unless it is nil, in which case the one before stays.
func (s *Store) saveIdentity(id Identity, view []byte) error {
	if view == nil {
		view = s.View()
	}
	one := appendIdentity(nil, id)
	content := codec.AppendBytes(codec.AppendBytes(nil, one), view)
	b := make([]byte, 0, 2*(len(content)+8))
	for range 2 {
		b = binary.BigEndian.AppendUint32(b, uint32(len(content)))
		b = binary.BigEndian.AppendUint32(b, crc32.Checksum(content, castagnoli))
		b = append(b, content...)
	}
	if err := disk.WriteFile(s.fs, identityName, b); err != nil {
		return fmt.Errorf("write identity: %w", err)
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// loadIdentity reads the file, of which one copy must be sound.
func (s *Store) loadIdentity() (id Identity, view []byte, err error) {
	b, err := disk.ReadFile(s.fs, identityName, identityBytesMax)
	if err != nil {
		return id, nil, err
	}
	half := len(b) / 2
	for _, part := range [][]byte{b[:half], b[half:]} {
		if id, view, err = decodeIdentityFile(part); err == nil {
			return id, view, nil
		}
	}
	return id, nil, err
}

// decodeIdentityFile reads one of the two copies.
func decodeIdentityFile(b []byte) (id Identity, view []byte, err error) {
	const head = 8
	if len(b) < head || int(binary.BigEndian.Uint32(b)) != len(b)-head || crc32.Checksum(b[head:], castagnoli) != binary.BigEndian.Uint32(b[4:]) {
		return id, nil, fmt.Errorf("%w: identity of %d bytes", replica.ErrCorrupt, len(b))
	}
	r := codec.NewReader(b[head:])
	one := r.Bytes()
	view = r.Bytes()
	if err := r.Done(); err != nil {
		return id, nil, fmt.Errorf("%w: identity: %w", replica.ErrCorrupt, err)
	}
	id, err = decodeIdentity(one)
	if len(view) == 0 {
		view = nil
	}
	return id, slices.Clone(view), err
}

// repairIdentity rewrites the file if it differs from what is in memory.
func (s *Store) repairIdentity() error {
	b, err := disk.ReadFile(s.fs, identityName, identityBytesMax)
	if err == nil {
		half := len(b) / 2
		_, _, err = decodeIdentityFile(b[:half])
		_, _, again := decodeIdentityFile(b[half:])
		err = errors.Join(err, again)
	}
	if err == nil {
		return nil
	}
	s.corruptions.Add(1)
	s.logger.Error("the identity file is damaged: it is rewritten", "err", err)
	return s.update(s.View(), func(*Identity) {})
}

func appendIdentity(b []byte, id Identity) []byte {
	b = append(b, identityFormat)
	b = append(b, id.Store[:]...)
	b = append(b, id.Cluster[:]...)
	for _, n := range []uint64{uint64(id.Server), id.Incarnation, id.Previous, id.Epoch, uint64(id.LeaseMax)} {
		b = binary.AppendUvarint(b, n)
	}
	b = binary.AppendUvarint(b, uint64(len(id.Starts)))
	for _, n := range id.Starts {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}

func decodeIdentity(b []byte) (Identity, error) {
	var id Identity
	r := codec.NewReader(b)
	format := r.Byte()
	if format != identityFormat {
		return id, fmt.Errorf("%w: identity of format %d", ErrFormat, format)
	}
	r.Fixed(id.Store[:])
	r.Fixed(id.Cluster[:])
	id.Server = ring.ServerID(r.Uvarint())
	id.Incarnation = r.Uvarint()
	id.Previous = r.Uvarint()
	id.Epoch = r.Uvarint()
	id.LeaseMax = time.Duration(r.Uvarint())
	for range r.Count(8) {
		id.Starts = append(id.Starts, r.Uint64())
	}
	return id, r.Done()
}
