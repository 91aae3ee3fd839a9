package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"viewring/internal/codec"
	"viewring/internal/seglog"
	"viewring/server/replica"
)

// Throttle is what an operator has set for the copying in of this server. It outlives
// restarts.
type Throttle struct {
	Paused bool
	Rated  bool  // a rate was set; else that of the server's flags holds
	Rate   int64 // bytes/s; 0: no limit
}

// throttleFormat is the first byte of a stored Throttle.
const throttleFormat = 1

var throttleKey = replica.MakeKey(0, replica.SpaceLocal, "throttle")

// Throttle returns what was set last; set is false when nothing ever was.
func (s *Store) Throttle() (t Throttle, set bool) {
	if p := s.throttle.Load(); p != nil {
		return *p, true
	}
	return Throttle{}, false
}

// SetThrottle keeps t; it is durable when this returns.
func (s *Store) SetThrottle(t Throttle) error {
	s.throttling.Lock()
	defer s.throttling.Unlock()
	return s.keepThrottle(t)
}

// keepThrottle is SetThrottle for who holds throttling.
func (s *Store) keepThrottle(t Throttle) error {
	b := codec.AppendBool([]byte{throttleFormat}, t.Paused)
	b = codec.AppendBool(b, t.Rated)
	b = binary.AppendUvarint(b, uint64(t.Rate))
	if err := s.write(replica.StoreOp{Kind: replica.PutItem, Partition: nodePartition, Key: throttleKey, Value: b}); err != nil {
		return fmt.Errorf("keep the rate of rebalancing: %w", err)
	}
	s.throttle.Store(&t)
	return nil
}

// loadThrottle reads what an earlier start was told. One that can't be read is as good as
// none: the operator is told, and sets it again.
func (s *Store) loadThrottle() error {
	b, found, err := s.log.Get(uint16(nodePartition), bytesOf(throttleKey))
	if err == nil && !found {
		return nil
	}
	var t Throttle
	if err == nil {
		t, err = decodeThrottle(b)
	}
	switch {
	case errors.Is(err, seglog.ErrCorrupt), errors.Is(err, errThrottleFormat):
		s.logger.Error("what was set for rebalancing (viewring rebalance) can't be read: set it again", "err", err)
		return nil
	case err != nil:
		return fmt.Errorf("read the rate of rebalancing: %w", err)
	}
	s.throttle.Store(&t)
	return nil
}

var errThrottleFormat = errors.New("format")

func decodeThrottle(b []byte) (t Throttle, err error) {
	r := codec.NewReader(b)
	if f := r.Byte(); r.Err() == nil && f != throttleFormat {
		return t, fmt.Errorf("%w %d, this build reads %d", errThrottleFormat, f, throttleFormat)
	}
	t.Paused, t.Rated = r.Bool(), r.Bool()
	t.Rate = int64(r.Uvarint())
	switch err := r.Done(); {
	case err != nil:
		return Throttle{}, fmt.Errorf("%w: %w", seglog.ErrCorrupt, err)
	case t.Rate < 0:
		return Throttle{}, fmt.Errorf("%w: a rate of %d", seglog.ErrCorrupt, t.Rate)
	}
	return t, nil
}

// rewriteNode writes anew what the store keeps of itself in the log.
func (s *Store) rewriteNode() error {
	if err := s.countStart(s.Identity().Incarnation); err != nil {
		return err
	}
	s.throttling.Lock()
	defer s.throttling.Unlock()
	if t, set := s.Throttle(); set {
		return s.keepThrottle(t)
	}
	return s.write(replica.StoreOp{Kind: replica.DeleteItem, Partition: nodePartition, Key: throttleKey}) // it may be what is damaged
}
