package server

import (
	"strconv"
	"strings"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/redis"
	"viewring/server/replica"
)

const (
	scanCountDefault = 10
	scanBytesMax     = 1 << 20 // of the names that one SCAN looks at
)

// scanOptions are those of SCAN.
type scanOptions struct {
	pattern string
	count   int64
	typed   string // "": any
}

func parseScan(args [][]byte) (o scanOptions, errText string) {
	o = scanOptions{pattern: "*", count: scanCountDefault}
	for ; len(args) > 0; args = args[2:] {
		option := strings.ToUpper(string(args[0]))
		if len(args) < 2 {
			return o, redis.ErrSyntax
		}
		switch option {
		case "MATCH":
			o.pattern = string(args[1])
		case "TYPE":
			o.typed = strings.ToLower(string(args[1]))
		case "COUNT":
			var ok bool
			if o.count, ok = redis.ParseInt(args[1]); !ok {
				return o, redis.ErrNotInteger
			}
			if o.count < 1 {
				return o, redis.ErrSyntax
			}
		default:
			return o, redis.ErrSyntax
		}
	}
	return o, ""
}

func (c *conn) sayScan(args [][]byte) wire.Value {
	at, ok := redis.ParseCursor(args[0])
	if !ok {
		return redis.Fail("ERR invalid cursor")
	}
	o, errText := parseScan(args[1:])
	if errText != "" {
		return redis.Fail(errText)
	}
	page := newScanPage(o)
	if !wire.Cursor(at).Valid() {
		return page.reply(0)
	}
	next, err := c.s.scan(c.view(), wire.Cursor(at), page, false)
	if err != nil {
		return failed(err)
	}
	return page.reply(next)
}

// runScanRun is VR.SCAN, by which a gateway scans all slots in order, whoever serves
// them: SCAN, but it ends where the partitions do that this server is primary of.
func (c *conn) runScanRun(args [][]byte) error {
	if !c.AwaitReplies() {
		return errStopped
	}
	c.replyValue(c.sayScanRun(args))
	return nil
}

func (c *conn) sayScanRun(args [][]byte) wire.Value {
	n, ok := redis.ParseCursor(args[0])
	at := wire.Cursor(n)
	o, errText := parseScan(args[1:])
	switch {
	case !ok || !at.Valid():
		return redis.Fail("ERR invalid cursor")
	case errText != "":
		return redis.Fail(errText)
	}
	v := c.view()
	p := ring.PartitionOf(at.Slot(), len(v.Partitions))
	if !c.s.primaryOf(v, p) {
		m := v.Member(v.Partitions[p].Primary())
		if m == nil || v.Unserved(p) {
			return redis.Fail(wire.CodeUnavailable + " " + v.WhyUnserved(p))
		}
		return redis.Fail(wire.MovedText(at.Slot(), m.Addr))
	}
	page := newScanPage(o)
	next, err := c.s.scan(v, at, page, true)
	if err != nil {
		return failed(err)
	}
	return page.reply(next)
}

// scanPage is what one SCAN looks at, and what of it is asked for.
type scanPage struct {
	o     scanOptions
	seen  int64
	bytes int
	found wire.Value
}

func newScanPage(o scanOptions) *scanPage { return &scanPage{o: o, found: redis.Array()} }

func (p *scanPage) full() bool {
	return p.seen >= min(p.o.count, scanPageKeys) || p.bytes >= scanBytesMax
}

func (p *scanPage) add(name string) {
	p.seen++
	p.bytes += len(name)
	if (p.o.typed == "" || p.o.typed == "string") && redis.Match(p.o.pattern, name) {
		p.found.Array = append(p.found.Array, redis.Text(name))
	}
}

func (p *scanPage) reply(next wire.Cursor) wire.Value {
	return redis.Array(redis.Text(strconv.FormatUint(uint64(next), 10)), p.found)
}

// scan adds the names from a place on to the page, and returns the cursor that goes on;
// 0 is the end. Partitions that this server is not primary of are left out, or, of a
// run, are where it ends.
func (s *Server) scan(v *ring.View, at wire.Cursor, page *scanPage, run bool) (next wire.Cursor, err error) {
	for p := ring.PartitionOf(at.Slot(), len(v.Partitions)); int(p) < len(v.Partitions); p++ {
		first, _ := ring.SlotRange(p, len(v.Partitions))
		at = max(at, wire.CursorOf(first))
		switch {
		case s.primaryOf(v, p) && page.full():
			return at, nil
		case s.primaryOf(v, p):
			if next, ok, err := s.scanPartition(p, at, page); err != nil || !ok {
				return next, err
			}
		case run:
			return at, nil
		}
	}
	return 0, nil
}

// cursorOf is where a key comes in a scan: where the store has it, but for the bits that a
// client's double has no room for.
func cursorOf(k replica.Key) wire.Cursor {
	hash := k.Place() & (1<<replica.PlaceHashBits - 1)
	return wire.CursorOf(k.Slot()) | wire.Cursor(hash>>(replica.PlaceHashBits-wire.CursorHashBits))
}

// storeCursor is where the store goes on from a cursor: nothing after that comes before it.
func storeCursor(at wire.Cursor) replica.Cursor {
	hash := uint64(at) & (1<<wire.CursorHashBits - 1)
	return replica.Cursor{Place: replica.PlaceOf(at.Slot(), replica.SpaceUser) | hash<<(replica.PlaceHashBits-wire.CursorHashBits)}
}

// scanPartition is scan within a partition; ok is false where the page became full before
// its end. Names of one cursor stay together, for nothing can tell them apart.
func (s *Server) scanPartition(p ring.PartitionID, at wire.Cursor, page *scanPage) (next wire.Cursor, ok bool, err error) {
	ok = true
	_, err = s.walkPartition(p, storeCursor(at), func(key replica.Key) bool {
		if now := cursorOf(key); now != next {
			if next = now; page.full() {
				ok = false
				return false
			}
		}
		page.add(key.Name())
		return true
	})
	return next, ok, err
}
