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
	if !c.settle() {
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

// take adds names, in the order of their places, until the page is full; those of one
// place stay together, for no cursor can tell them apart. ok is false where it ended
// before the last, at the place next.
func (p *scanPage) take(names []placed) (next wire.Cursor, ok bool) {
	for i, n := range names {
		if p.full() && (i == 0 || names[i-1].at != n.at) {
			return n.at, false
		}
		p.add(n.name)
	}
	return 0, true
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
			if next, ok, err := s.scanPartition(v, p, at, page); err != nil || !ok {
				return next, err
			}
		case run:
			return at, nil
		}
	}
	return 0, nil
}

// scanPartition is scan within a partition; ok is false where the page became full
// before its end. The store has names in their own order, so a slot is read whole and
// put in order here, where it is small; how one is read that is not, see windows.
func (s *Server) scanPartition(v *ring.View, p ring.PartitionID, at wire.Cursor, page *scanPage) (next wire.Cursor, ok bool, err error) {
	if w := s.windows.known(v.Epoch, at); w != nil {
		return s.takeWindow(v, p, at, page, w)
	}
	slot := gathering{from: at, bytesMax: s.windows.smallMax}
	s.windows.enter(at)
	next, ok = 0, true
	err = s.walkSlots(p, at.Slot(), func(in uint16, name string) bool {
		if in != slot.from.Slot() {
			if next, ok = page.take(slot.sorted()); !ok {
				return false
			}
			if next = wire.CursorOf(in); page.full() {
				ok = false
				return false
			}
			s.windows.enter(next)
			slot.begin(next)
		}
		slot.add(in, name)
		return slot.end == 0 && !slot.tooMuch
	})
	switch {
	case err != nil || !ok:
		return next, false, err
	case slot.end == 0 && !slot.tooMuch:
		next, ok = page.take(slot.sorted())
		return next, ok, nil
	case page.seen > 0:
		return slot.from, false, nil // a page of its own will begin there
	}
	return s.scanWindow(v, p, slot.from, page)
}

// scanWindow is scanPartition in a slot with many names.
func (s *Server) scanWindow(v *ring.View, p ring.PartitionID, at wire.Cursor, page *scanPage) (next wire.Cursor, ok bool, err error) {
	w, err := s.windows.find(v.Epoch, at, func(g *gathering) error {
		return s.walkSlots(p, at.Slot(), func(in uint16, name string) bool {
			if in != at.Slot() {
				return false
			}
			g.add(in, name)
			return !g.tooMuch
		})
	})
	if err != nil {
		return 0, false, err
	}
	return s.takeWindow(v, p, at, page, w)
}

// takeWindow makes a page of a window.
func (s *Server) takeWindow(v *ring.View, p ring.PartitionID, at wire.Cursor, page *scanPage, w *window) (next wire.Cursor, ok bool, err error) {
	if next, ok = page.take(w.rest(at)); !ok {
		return next, false, nil
	}
	s.windows.drop(w)
	if w.end != 0 {
		return w.end, false, nil
	}
	_, last := ring.SlotRange(p, len(v.Partitions))
	if at.Slot() == last {
		return 0, true, nil
	}
	return wire.CursorOf(at.Slot() + 1), false, nil
}

// walkSlots calls fn with the names in a partition, from a slot on, until it returns
// false.
func (s *Server) walkSlots(p ring.PartitionID, slot uint16, fn func(slot uint16, name string) bool) error {
	from := replica.Key("")
	if slot > 0 { // the empty name is in slot 0
		from = replica.MakeKey(slot, replica.SpaceUser, "")
	}
	_, err := s.walkPartition(p, from, fn)
	return err
}
