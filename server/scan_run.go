package server

import (
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/redis"
)

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
	at, ok := redis.ParseCursor(args[0])
	o, errText := parseScan(args[1:])
	switch {
	case !ok || at>>cursorHashBits >= ring.Slots:
		return redis.Fail("ERR invalid cursor")
	case errText != "":
		return redis.Fail(errText)
	}
	v := c.view()
	p := ring.PartitionOf(uint16(at>>cursorHashBits), len(v.Partitions))
	if !c.s.primaryOf(v, p) {
		m := v.Member(v.Partitions[p].Primary())
		if m == nil || v.Unserved(p) {
			return redis.Fail(wire.CodeUnavailable + " " + v.WhyUnserved(p))
		}
		return redis.Fail(wire.MovedText(uint16(at>>cursorHashBits), m.Addr))
	}
	slot, after, _, err := c.s.resume(at)
	if err != nil {
		return failed(err)
	}
	page := newScanPage(o)
	next, err := c.s.scanRun(v, slot, after, page)
	if err != nil {
		return failed(err)
	}
	return page.reply(next)
}

// scanRun adds names to the page and returns the cursor that goes on: that of the slot
// after the run when it is through, 0 after the last.
func (s *Server) scanRun(v *ring.View, slot uint16, after string, page *scanPage) (next uint64, err error) {
	from := positionOf(slot, after)
	for p := ring.PartitionOf(slot, len(v.Partitions)); int(p) < len(v.Partitions); p++ {
		if !s.primaryOf(v, p) {
			first, _ := ring.SlotRange(p, len(v.Partitions))
			return uint64(first) << cursorHashBits, nil
		}
		more, err := s.walkPartition(p, from, func(slot uint16, name string) bool {
			if page.full() {
				return false
			}
			page.add(slot, name)
			return true
		})
		if err != nil {
			return 0, err
		}
		if !more {
			return s.cursors.keep(page.lastSlot, page.last), nil
		}
		from = ""
	}
	return 0, nil
}
