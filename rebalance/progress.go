package rebalance

import "time"

// Progress is how far a server's rebalancing is.
type Progress struct {
	Left    int // partitions that it should hold and does not yet
	Running int // of them, started
	Done    int // transfers ended with an acting copy, since the start
	Bytes   uint64
	// Of the stretch that goes on, or of the newest: transfers done, their bytes and those of
	// the ones that go on.
	StretchDone  int
	StretchBytes uint64
	Seen         uint64        // bytes/s in the stretch, or the newest that brought a MiB, over the seconds in which some came; 0: none yet
	Rate         uint64        // bytes/s, over the last seconds
	LeftBytes    uint64        // a guess from the transfers done in the stretch; 0 before there are a few
	TimeLeft     time.Duration // a guess from the pace of the last seconds; negative: none yet
	Paused       bool
	Limit        int64 // bytes/s; 0: none
	Allowed      Allowed
}

// seenLeast is how many bytes a stretch brings whose rate tells something.
const seenLeast = 1 << 20

// guessFrom is after how many transfers of a stretch their mean is a guess at the others. Those
// of earlier stretches tell little: the cluster may have been empty then.
const guessFrom = 8

// meterSeconds is how far back rate and pace look.
const meterSeconds = 10

// meter counts bytes and transfers in one bucket per second.
type meter struct {
	done      int
	bytes     uint64
	doneBytes uint64 // of the transfers done

	lacking                bool   // the stretch goes on
	beforeDone, beforeAll  uint64 // done and bytes when the stretch began
	beforeDoneBytes        uint64
	seen                   uint64 // bytes/s in the stretches before
	busySeconds, busyBytes uint64 // of the stretch: seconds in which something came, and that

	began   time.Duration
	second  int64 // of the bucket in use
	buckets [meterSeconds]struct {
		bytes uint64
		done  int
	}
}

// advance empties the buckets of the seconds that have gone by since the last call.
func (m *meter) advance(now time.Duration) {
	second := int64(now / time.Second)
	if m.bytes == 0 && m.done == 0 {
		m.began, m.second = now, second
	}
	if b := m.buckets[m.second%meterSeconds].bytes; b > 0 && second > m.second {
		m.busySeconds++
		m.busyBytes += b
	}
	for range min(second-m.second, meterSeconds) {
		m.second++
		m.buckets[m.second%meterSeconds] = struct {
			bytes uint64
			done  int
		}{}
	}
	m.second = second
}

// lacks notes whether the server lacks anything. A stretch begins when it does.
func (m *meter) lacks(now time.Duration, something bool) {
	m.advance(now)
	if something && !m.lacking {
		m.seen = m.seenNow()
		m.beforeDone, m.beforeAll, m.beforeDoneBytes = uint64(m.done), m.bytes, m.doneBytes
		m.busySeconds, m.busyBytes = 0, 0
	}
	m.lacking = something
}

// seenNow is the rate of the stretch, or of the newest that brought enough to tell.
func (m *meter) seenNow() uint64 {
	bytes := m.bytes - m.beforeAll
	switch {
	case bytes < seenLeast:
		return m.seen
	case m.busySeconds == 0:
		return bytes // it takes its first second, or took no more
	}
	return m.busyBytes / m.busySeconds
}

func (m *meter) add(now time.Duration, bytes uint64) {
	m.advance(now)
	m.bytes += bytes
	m.buckets[m.second%meterSeconds].bytes += bytes
}

func (m *meter) finish(now time.Duration, bytes uint64) {
	m.advance(now)
	m.done++
	m.doneBytes += bytes
	m.buckets[m.second%meterSeconds].done++
}

func (m *meter) progress(now time.Duration, left int) Progress {
	m.advance(now)
	p := Progress{Left: left, Done: m.done, Bytes: m.bytes, StretchDone: m.done - int(m.beforeDone), StretchBytes: m.bytes - m.beforeAll}
	p.Seen = m.seenNow()
	var bytes uint64
	done := 0
	for _, b := range m.buckets {
		bytes += b.bytes
		done += b.done
	}
	// The oldest bucket is whole, the newest has just begun.
	span := min(now-m.began, time.Duration(meterSeconds-1)*time.Second+now%time.Second)
	span = max(span, time.Second)
	p.Rate = uint64(float64(bytes) / span.Seconds())
	if p.StretchDone >= guessFrom {
		p.LeftBytes = uint64(left) * ((m.doneBytes - m.beforeDoneBytes) / uint64(p.StretchDone))
	}
	switch {
	case left == 0:
		p.TimeLeft = 0
	case done > 0:
		p.TimeLeft = span / time.Duration(done) * time.Duration(left)
	default:
		p.TimeLeft = -1
	}
	return p
}
