package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"viewring/internal/route"
	"viewring/internal/wait"
	"viewring/internal/wire"
)

const (
	updatePauseMin = time.Millisecond
	updatePauseMax = 100 * time.Millisecond
)

// Tx is a transaction on keys of one slot: keys with the same {tag}. It is used by the function that
// Update calls, and for one goroutine.
type Tx struct {
	c       *Client
	ctx     context.Context
	slot    uint16
	read    map[string]Value // as the servers have it; absent keys with the zero Version
	checks  []wire.AtomicCheck
	writes  []wire.AtomicWrite
	written map[string]int // in writes
	err     error          // the first of its methods'
}

// Update changes keys of one slot at one moment. It calls change, which reads and writes keys by its Tx. If none of
// the keys that it read was changed meanwhile, all its writes take effect as one, and have the version that is returned;
// else nothing does, and it is called again until ctx ends: so it must have no other effects than by its Tx.
// If change fails, nothing is written, and Update fails with that error.
//
// What change reads may be of different moments, while it runs. When Update succeeds it was all of one: that of
// the writes. So an Update that only reads tells what keys are at one moment; its Version is zero.
//
// A write is asked for under one request id over all its tries, as a Set is, and never takes effect twice.
// The error is ErrCondition if others changed the keys until ctx ended, ErrUnknownOutcome if the writes may
// or may not have taken effect, or may do so yet, and ErrRefused for keys of several slots. All values together
// have up to 16 MiB, and there are up to 1,024 keys with names of up to 256 KiB.
func (c *Client) Update(ctx context.Context, change func(tx *Tx) error) (Version, error) {
	for pause := updatePauseMin; ; pause = min(2*pause, updatePauseMax) {
		tx := &Tx{c: c, ctx: ctx, read: make(map[string]Value), written: make(map[string]int)}
		if err := change(tx); err != nil {
			return Version{}, err
		}
		if tx.err != nil {
			return Version{}, tx.err
		}
		version, err := tx.commit()
		if err == nil || !errors.Is(err, ErrCondition) {
			return version, err
		}
		if !wait.For(ctx, pause/2+rand.N(pause)) {
			var told *route.Error
			errors.As(err, &told)
			told.Ended = ctx.Err()
			return Version{}, told
		}
	}
}

// Get reads a key, as the Client's Get does, or what was written to it before by this Tx: that has no version yet.
// An absent key is ErrNotFound.
func (tx *Tx) Get(key string) (Value, error) {
	if err := tx.belongs(key); err != nil {
		return Value{}, err
	}
	if i, ok := tx.written[key]; ok {
		w := &tx.writes[i]
		if w.Delete {
			return Value{}, notFound(key)
		}
		return Value{Bytes: w.Value}, nil
	}
	value, known := tx.read[key]
	if !known {
		var err error
		value, err = tx.c.Get(tx.ctx, key)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return Value{}, tx.failed(err)
		}
		tx.read[key] = value
		tx.checks = append(tx.checks, wire.AtomicCheck{Key: []byte(key), Term: value.Version.Term, Seq: value.Version.Seq})
	}
	if value.Version == (Version{}) {
		return Value{}, notFound(key)
	}
	return value, nil
}

func notFound(key string) error {
	return &route.Error{Op: fmt.Sprintf("get %.200q", key), Kind: ErrNotFound}
}

// Set writes a key, which then stays. The value must not be changed before Update returns.
func (tx *Tx) Set(key string, value []byte) {
	tx.write(wire.AtomicWrite{Key: []byte(key), Value: value})
}

// SetFor writes a key that expires after ttl, as the Client's SetFor does.
func (tx *Tx) SetFor(key string, value []byte, ttl time.Duration) {
	ms, err := milliseconds(ttl)
	if err != nil {
		_ = tx.failed(fmt.Errorf("set %.200q: %w", key, err)) // Update returns it
		return
	}
	tx.write(wire.AtomicWrite{Key: []byte(key), Value: value, TTL: ms})
}

// Delete removes a key, if it is there.
func (tx *Tx) Delete(key string) { tx.write(wire.AtomicWrite{Key: []byte(key), Delete: true}) }

func (tx *Tx) write(w wire.AtomicWrite) {
	key := string(w.Key)
	if tx.belongs(key) != nil {
		return
	}
	if i, ok := tx.written[key]; ok {
		tx.writes[i] = w
		return
	}
	tx.written[key] = len(tx.writes)
	tx.writes = append(tx.writes, w)
}

// belongs notes an error where a key can't be one of the transaction.
func (tx *Tx) belongs(key string) error {
	slot := route.SlotOf(key)
	switch {
	case key == "":
		return tx.failed(&route.Error{Op: "update", Kind: ErrRefused, Last: errors.New("the name is empty")})
	case len(tx.read)+len(tx.writes) == 0:
		tx.slot = slot
	case slot != tx.slot:
		return tx.failed(&route.Error{Op: fmt.Sprintf("update %.200q", key), Kind: ErrRefused,
			Last: errors.New("the key lies in another slot than those before: give all of them one {tag}")})
	}
	return nil
}

// failed notes the first error, which Update returns.
func (tx *Tx) failed(err error) error {
	if tx.err == nil {
		tx.err = err
	}
	return err
}

// commit has the servers check and write.
func (tx *Tx) commit() (Version, error) {
	if len(tx.writes) == 0 && len(tx.checks) <= 1 {
		return Version{}, nil // one read is of one moment
	}
	q := &wire.AtomicRequest{Checks: tx.checks, Writes: tx.writes}
	fence, _ := tx.ctx.Value(fenceKey{}).(Fence)
	q.FenceLock, q.FenceToken = fence.Lock, fence.Token
	name := "read several keys"
	if len(tx.writes) > 0 {
		name = fmt.Sprintf("update %.200q", tx.writes[0].Key)
	}
	reply, err := tx.c.router.Atomic(tx.ctx, name, q)
	switch {
	case err != nil:
		return Version{}, err
	case reply.Status == wire.DoCondFailed:
		changed := "a key"
		if i := reply.Number; i >= 0 && i < int64(len(tx.checks)) {
			changed = fmt.Sprintf("%.200q", tx.checks[i].Key)
		}
		return Version{}, &route.Error{Op: name, Kind: ErrCondition, Last: fmt.Errorf("others have changed %s", changed)}
	}
	if err := fenced(name, fence, reply); err != nil {
		return Version{}, err
	}
	if len(tx.writes) == 0 {
		return Version{}, statusError(name, reply)
	}
	return Version{reply.Term, reply.Seq}, statusError(name, reply)
}
