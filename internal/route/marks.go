package route

import "sync"

// marks numbers the mutations of a client and knows the low-water mark: all of
// its numbers up to there are over, answered or given up, and will never be
// sent again. Servers drop their records and refuse late duplicates.
type marks struct {
	mu   sync.Mutex
	last uint64
	born int64 // of the last number: a later one is not born earlier
	low  uint64
	over map[uint64]struct{} // numbers > low that are over
}

// begin returns the next number, with the mark and the time of birth (unix
// milliseconds) to send with it. Births never go back, whatever the clock does:
// servers forget old records by them.
func (m *marks) begin(now int64) (number, mark uint64, born int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last++
	m.born = max(m.born, now)
	return m.last, m.low, m.born
}

// end says that number will not be sent again.
func (m *marks) end(number uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over == nil {
		m.over = make(map[uint64]struct{})
	}
	m.over[number] = struct{}{}
	for {
		if _, ok := m.over[m.low+1]; !ok {
			return
		}
		m.low++
		delete(m.over, m.low)
	}
}
