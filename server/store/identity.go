package store

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"viewring/internal/codec"
	"viewring/ring"
	"viewring/server/replica"
)

// Identity is what a server knows of itself over its starts.
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

// startsMax bounds Starts. What goes first is neither the confirmed start nor a new
// one: starts of which at most the answer of the view leader was lost. If it had
// registered one of those the folder passes as one that was rolled back.
const startsMax = 64

var (
	identityKey = replica.MakeKey(0, replica.SpaceLocal, "identity")
	viewKey     = replica.MakeKey(0, replica.SpaceLocal, "view") // of Identity.Epoch, encoded
)

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

// Adopt is Update, and keeps a view in the same step: what of either is used later is
// known after every restart, should the view leader ever ask.
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

// rewriteIdentity writes anew what cannot be read on the disk any more.
func (s *Store) rewriteIdentity() error { return s.update(s.View(), func(*Identity) {}) }

// start loads the identity, or makes one, and counts this start.
func (s *Store) start() error {
	b, found, err := s.log.Get(uint16(nodePartition), bytesOf(identityKey))
	if err != nil {
		return fmt.Errorf("read identity: %w", tell(err))
	}
	if !found {
		return s.firstStart()
	}
	id, err := decodeIdentity(b)
	if err != nil {
		return fmt.Errorf("read identity: %w", err)
	}
	if s.identity.view, _, err = s.log.Get(uint16(nodePartition), bytesOf(viewKey)); err != nil {
		return fmt.Errorf("read the last view: %w", tell(err))
	}
	return s.Update(func(now *Identity) {
		*now = id
		now.Previous, now.Incarnation = id.Incarnation, id.Incarnation+1
		now.Starts = append(slices.Clone(id.Starts), newStart())
		if len(now.Starts) > startsMax {
			now.Starts = slices.Delete(now.Starts, 1, 2)
		}
	})
}

// firstStart makes an identity. A store that holds something has lost its own.
func (s *Store) firstStart() error {
	if len(s.log.Metas()) > 0 {
		return fmt.Errorf("%w: there is no identity beside what is stored", replica.ErrCorrupt)
	}
	s.fresh = true
	return s.Update(func(id *Identity) {
		if _, err := rand.Read(id.Store[:]); err != nil {
			panic(err) // documented never to happen
		}
		id.Incarnation = 1
		id.Starts = []uint64{newStart()}
	})
}

// newStart draws what tells a start from every other one, of this folder and of
// all copies of it. It is durable before the start registers.
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

// saveIdentity keeps id, and view unless it is nil.
func (s *Store) saveIdentity(id Identity, view []byte) error {
	ops := []replica.StoreOp{{Kind: replica.PutItem, Partition: nodePartition, Key: identityKey, Value: appendIdentity(nil, id)}}
	if view != nil {
		ops = append(ops, replica.StoreOp{Kind: replica.PutItem, Partition: nodePartition, Key: viewKey, Value: view})
	}
	if err := s.write(ops...); err != nil {
		return fmt.Errorf("write identity: %w", err)
	}
	return nil
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
