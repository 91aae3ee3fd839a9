package viewleader

import (
	"fmt"
	"strconv"
	"sync"
	"time"

	"viewring/internal/wire"
	"viewring/viewleader/vocab"
)

// electionsMax is how many events of the group a view leader remembers.
const electionsMax = 256

// elections are what this view leader has seen happen to its group since it started, in memory: of an
// election the roster knows nothing, which goes on as if there had been none.
type elections struct {
	mu   sync.Mutex
	kept []vocab.Event // oldest first; guarded by mu
}

func (e *elections) note(at time.Time, kind, detail string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.kept) >= electionsMax {
		e.kept = append(e.kept[:0], e.kept[1:]...)
	}
	e.kept = append(e.kept, vocab.Event{At: at, Kind: kind, Detail: detail})
}

// since are those after a time, unix ms.
func (e *elections) since(ms int64) (after []vocab.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, v := range e.kept {
		if v.At.UnixMilli() > ms {
			after = append(after, v)
		}
	}
	return after
}

// compare notes what has changed of the group. The Raft loop calls it.
func (e *elections) compare(now time.Time, before *groupStatus, m *membership, head uint64) {
	for i := range m.members {
		if o := &m.members[i]; before.members.of(o.id) == nil && len(before.members.members) > 0 {
			e.note(now, vocab.EventLeaderJoined, leaderName(m, o.id))
		}
	}
	for i := range before.members.members {
		if o := &before.members.members[i]; m.of(o.id) == nil {
			e.note(now, vocab.EventLeaderLeft, leaderName(before.members, o.id))
		}
	}
	switch {
	case head == before.head:
	case head != 0:
		e.note(now, vocab.EventHead, leaderName(m, head))
	default:
		e.note(now, vocab.EventNoHead, leaderName(m, before.head))
	}
}

func leaderName(m *membership, id uint64) string {
	if o := m.of(id); o != nil && o.addr != "" {
		return fmt.Sprintf("view leader %d at %s", id, o.addr)
	}
	return fmt.Sprintf("view leader %d", id)
}

// elections answers CmdElections.
func (c *conn) elections(r *reply, args [][]byte) {
	since, err := strconv.ParseInt(string(args[0]), 10, 64)
	if err != nil {
		r.fail(wire.CodeErr, "want a time in milliseconds")
		return
	}
	r.bulk(wire.AppendEvents(nil, c.s.elections.since(since)))
}
