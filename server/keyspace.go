package server

import (
	"errors"
	"math/rand/v2"
	"time"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/redis"
	"viewring/server/replica"
)

// The commands on all keys of a server: those of the partitions that it is primary of,
// as each master of a Redis Cluster tells its own. They read the store in pages, on the
// connection's goroutine, so no lane waits for them.

const (
	scanPageKeys  = 1000 // that one SCAN looks at, at most
	flushCallsMax = 256  // deletes under way
)

// primaryOf reports whether this server is the primary of a partition.
func (s *Server) primaryOf(v *ring.View, p ring.PartitionID) bool {
	return v.Partitions[p].Primary() == s.id
}

// walk calls fn with the users' keys from a slot on, in the order of their places, until it
// returns false. What is past its expiry is left out.
func (s *Server) walk(slot uint16, fn func(key replica.Key) bool) error {
	v := s.views.View()
	from := replica.Cursor{Place: replica.PlaceOf(slot, replica.SpaceUser)}
	for p := ring.PartitionOf(slot, len(v.Partitions)); int(p) < len(v.Partitions); p++ {
		if s.primaryOf(v, p) {
			more, err := s.walkPartition(p, from, fn)
			if !more || err != nil {
				return err
			}
		}
		from = replica.Cursor{}
	}
	return nil
}

// walkPartition is walk within a partition.
func (s *Server) walkPartition(p ring.PartitionID, from replica.Cursor, fn func(key replica.Key) bool) (more bool, err error) {
	return s.walkKeys(p, from, func(key replica.Key, expiry int64) bool {
		return expiry != 0 && expiry <= s.wall() || fn(key)
	})
}

// walkKeys is walkSpace of the users' keys.
func (s *Server) walkKeys(p ring.PartitionID, from replica.Cursor, fn func(key replica.Key, expiry int64) bool) (more bool, err error) {
	return s.walkSpace(p, replica.SpaceUser, from, fn)
}

// walkSpace calls fn with the keys of a space of a partition and their expiries, until it returns false. It reads page
// by page, and looks between two whether the server stops.
func (s *Server) walkSpace(p ring.PartitionID, space replica.Space, from replica.Cursor, fn func(key replica.Key, expiry int64) bool) (more bool, err error) {
	wanted := true
	for more := true; more && wanted; {
		skip := false
		from, more, err = s.store.Heads(p, from, func(key replica.Key, expiry int64) bool {
			if skip = key.Space() != space; skip {
				return false
			}
			wanted = fn(key, expiry)
			return wanted
		})
		if err != nil {
			return false, err
		}
		if skip { // to those of the slot, or if they were passed, of the next one
			slot := from.Key.Slot()
			if from.Key.Space() > space {
				if slot == ring.Slots-1 {
					return true, nil
				}
				slot++
			}
			from = replica.Cursor{Place: replica.PlaceOf(slot, space)}
		}
		if s.ctx.Err() != nil {
			return false, errStopped
		}
	}
	return wanted, nil
}

// failed is the reply where the store can't be read.
func failed(err error) wire.Value { return redis.Fail(failedText(err)) }

func failedText(err error) string {
	code := wire.CodeErr
	switch {
	case isCorrupt(err):
		code = wire.CodeCorrupt
	case errors.Is(err, errStopped):
		code = wire.CodeUnavailable
	}
	return code + " " + err.Error()
}

func (c *conn) sayKeys(args [][]byte) wire.Value {
	found := redis.Array()
	held, tooMuch := call{conn: c}, false
	defer func() { c.session.held += held.cost }()
	pattern := string(args[0])
	err := c.s.walk(0, func(key replica.Key) bool {
		if name := key.Name(); redis.Match(pattern, name) {
			tooMuch = !c.take(&held, int64(len(name)+stepBytes))
			found.Array = append(found.Array, redis.Text(name))
		}
		return !tooMuch
	})
	switch {
	case err != nil:
		return failed(err)
	case tooMuch:
		return redis.Fail(wire.CodeTooLarge + " more names than one reply may hold: use SCAN")
	}
	return found
}

// sayRandomKey begins at a random slot, and takes one of the first names from there.
func (c *conn) sayRandomKey([][]byte) wire.Value {
	const among = 32
	start := uint16(rand.IntN(ring.Slots))
	var names []string
	look := func(key replica.Key) bool {
		names = append(names, key.Name())
		return len(names) < among
	}
	err := c.s.walk(start, look)
	if err == nil && len(names) == 0 {
		err = c.s.walk(0, look)
	}
	switch {
	case err != nil:
		return failed(err)
	case len(names) == 0:
		return redis.Nil()
	}
	return redis.Text(names[rand.IntN(len(names))])
}

// slotArgument reads a slot.
func slotArgument(arg []byte) (slot uint16, count int64, ok bool) {
	n, ok := redis.ParseInt(arg)
	return uint16(n), n, ok
}

// inSlot calls fn with the names of a slot until it returns false.
func (s *Server) inSlot(slot uint16, fn func(name string) bool) error {
	return s.walk(slot, func(key replica.Key) bool { return key.Slot() == slot && fn(key.Name()) })
}

func (c *conn) sayCountKeysInSlot(args [][]byte) wire.Value {
	slot, n, ok := slotArgument(args[0])
	switch {
	case !ok:
		return redis.Fail(redis.ErrNotInteger)
	case n < 0 || n >= ring.Slots:
		return redis.Fail("ERR Invalid slot")
	}
	count := int64(0)
	if err := c.s.inSlot(slot, func(string) bool { count++; return true }); err != nil {
		return failed(err)
	}
	return redis.Number(count)
}

func (c *conn) sayGetKeysInSlot(args [][]byte) wire.Value {
	slot, n, ok := slotArgument(args[0])
	limit, ok2 := redis.ParseInt(args[1])
	switch {
	case !ok || !ok2:
		return redis.Fail(redis.ErrNotInteger)
	case n < 0 || n >= ring.Slots || limit < 0:
		return redis.Fail("ERR Invalid slot or number of keys")
	}
	names := redis.Array()
	if limit == 0 {
		return names
	}
	err := c.s.inSlot(slot, func(name string) bool {
		names.Array = append(names.Array, redis.Text(name))
		return int64(len(names.Array)) < min(limit, wire.PageItemsMax)
	})
	if err != nil {
		return failed(err)
	}
	return names
}

// sayWait is WAIT: how many replicas besides the primary have this connection's
// writes on their disks. Each that acts has: a write is answered no sooner.
func (c *conn) sayWait(args [][]byte) wire.Value {
	want, limit, errText := redis.ParseWait(args)
	if errText != "" {
		return redis.Fail(errText)
	}
	end := time.NewTimer(limit)
	defer end.Stop()
	for {
		adopted := c.s.views.Next()
		n := c.copies()
		if n >= want || c.session.within {
			return redis.Number(n)
		}
		select {
		case <-adopted:
		case <-end.C:
			return redis.Number(n)
		case <-c.s.ctx.Done():
			return failed(errStopped)
		}
	}
}

// copies is the least number of backups of the partitions that this connection wrote
// to; where it wrote to none, of all.
func (c *conn) copies() int64 {
	v := c.view()
	least, found := 0, false
	for p := range v.Partitions {
		if w := c.session.wrote; w == nil || w[p/64]&(1<<(p%64)) != 0 {
			if n := max(0, len(v.Partitions[p].Acting)-1); !found || n < least {
				least, found = n, true
			}
		}
	}
	return int64(least)
}
