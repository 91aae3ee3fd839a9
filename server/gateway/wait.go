package gateway

import (
	"context"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/redis"
)

// noteWrite remembers a slot for WAIT.
func (s *session) noteWrite(slot uint16) {
	if s.wrote == nil {
		s.wrote = make([]uint64, ring.Slots/64)
	}
	s.wrote[slot/64] |= 1 << (slot % 64)
}

// runWait is WAIT: whatever was acknowledged is on disk on every acting replica, so
// all that there is to wait for is more of them.
func (s *session) runWait(words [][]byte) error {
	want, limit, errText := redis.ParseWait(words[1:])
	if errText != "" {
		s.replyError(errText)
		return nil
	}
	s.now(func(ctx context.Context, w *wire.Writer) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		v, err := s.g.opts.Client.WaitView(ctx, func(v *ring.View) bool { return s.copies(v) >= want })
		if err != nil {
			v = s.g.opts.Client.View()
		}
		w.WriteInt(s.copies(v))
	})
	return nil
}

// copies is the least number of backups of the partitions that this session wrote
// to; where it wrote to none, of all.
func (s *session) copies(v *ring.View) int64 {
	least, found := 0, false
	for slot := range ring.Slots {
		if s.wrote == nil || s.wrote[slot/64]&(1<<(slot%64)) != 0 {
			p := ring.PartitionOf(uint16(slot), len(v.Partitions))
			if n := max(0, len(v.Partitions[p].Acting)-1); !found || n < least {
				least, found = n, true
			}
		}
	}
	return int64(least)
}
