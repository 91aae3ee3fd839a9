package rebalance

import (
	"cmp"
	"slices"
	"time"

	"viewring/ring"
)

// Why says why copies do not come. The numbers go over the wire: never use one again.
type Why uint8

// The reasons, the first that applies to a copy counts.
const (
	WhyPaused  Why = 1 // an operator has paused the copying in
	WhyFull    Why = 2 // the server's disk is nearly full; its server says so, not the Mover
	WhyLimit   Why = 3 // the rate holds its next page back
	WhyPrimary Why = 4 // it has everything, and its primary, On, does not let it act
	WhySlow    Why = 5 // nothing comes of it from On, from where others come
	WhySilent  Why = 6 // nothing comes from On
	WhyClients Why = 7 // it leaves the processors to clients, and its next page waits for that
)

// Wait is why some copies do not come.
type Wait struct {
	Why    Why
	On     ring.ServerID // who is waited for; 0: nobody in particular
	Copies int
	One    ring.PartitionID // the first of them
	For    time.Duration    // the longest; 0 where the copies have not begun
}

// Waits lists why copies do not come, what most of them wait for first. held tells of which
// partitions the next page waits here for the rate to allow it.
func (m *Mover) Waits(held func(ring.PartitionID) bool) []Wait {
	now, paused := m.cfg.Clock.Now(), m.gate.paused()
	m.mu.Lock()
	defer m.mu.Unlock()
	var waits []Wait
	if paused {
		if m.mu.left > 0 {
			waits = append(waits, Wait{Why: WhyPaused, Copies: m.mu.left, One: m.mu.wanted[0].Partition})
		}
		return waits
	}
	by := m.allowed().By
	lively := make(map[ring.ServerID]bool) // sources from which something comes
	for _, tr := range m.mu.running {
		if !tr.whole && tr.bytes > 0 && now-tr.moved < stallAfter {
			lively[tr.source] = true
		}
	}
	for i := range m.mu.wanted {
		p := m.mu.wanted[i].Partition
		tr := m.mu.running[p]
		if tr == nil || now-tr.moved < stallAfter {
			continue // it goes on, or has yet to begin
		}
		w := Wait{Why: WhySilent, On: tr.source, Copies: 1, One: p, For: now - tr.moved}
		switch {
		case tr.whole:
			w.Why, w.On = WhyPrimary, m.mu.view.Partitions[p].Primary()
		case held(p):
			if w.Why, w.On = WhyLimit, 0; by == ByOwn || by == BySources {
				w.Why = WhyClients
			}
		case lively[tr.source]:
			w.Why = WhySlow
		}
		waits = collect(waits, w)
	}
	slices.SortStableFunc(waits, func(a, b Wait) int { return cmp.Compare(b.Copies, a.Copies) })
	return waits
}

// collect adds a wait to the others for the same.
func collect(waits []Wait, w Wait) []Wait {
	for i := range waits {
		if o := &waits[i]; o.Why == w.Why && o.On == w.On {
			o.Copies += w.Copies
			o.For = max(o.For, w.For)
			return waits
		}
	}
	return append(waits, w)
}
