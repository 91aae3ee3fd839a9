package redis

import (
	"fmt"
	"sync"
	"time"

	"viewring/internal/wire"
)

// slowLog has the last commands that were slow.
type slowLog struct {
	most int

	mu      sync.Mutex
	last    int64       // id of the last entry
	entries []slowEntry // the newest last; at most most
}

// slowEntry is a command that was slow.
type slowEntry struct {
	id         int64
	at         time.Time
	took       time.Duration
	words      []string
	addr, name string // of its client
}

// slowArgBytes is how much of an argument is kept.
const slowArgBytes = 128

// add adds a command with these words for a name. What is secret is not shown.
func (l *slowLog) add(at time.Time, s *Session, name []string, secret bool, d *Done) {
	e := slowEntry{at: at, took: d.Took, words: append(make([]string, 0, len(name)+2), name...), addr: s.addr, name: s.Name()}
	rest := d.Words - len(e.words)
	if d.First != "" && rest > 0 {
		first := d.First
		if secret {
			first = "(redacted)"
		}
		if more := len(first) - slowArgBytes; more > 0 {
			first = fmt.Sprintf("%s... (%d more bytes)", first[:slowArgBytes], more)
		}
		e.words = append(e.words, first)
		rest--
	}
	if rest > 0 {
		e.words = append(e.words, fmt.Sprintf("... (%d more arguments)", rest))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	e.id = l.last
	if len(l.entries) >= l.most {
		l.entries = append(l.entries[:0], l.entries[len(l.entries)-l.most+1:]...)
	}
	l.entries = append(l.entries, e)
}

// newest returns up to n entries, the newest first; a negative n: all.
func (l *slowLog) newest(n int64) (some []slowEntry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n < 0 || n > int64(len(l.entries)) {
		n = int64(len(l.entries))
	}
	for i := range n {
		some = append(some, l.entries[int64(len(l.entries))-1-i])
	}
	return some
}

func (e *slowEntry) reply() wire.Value {
	words := Array()
	for _, w := range e.words {
		words.Array = append(words.Array, Text(w))
	}
	return Array(Number(e.id), Number(e.at.Unix()), Number(e.took.Microseconds()), words, Text(e.addr), Text(e.name))
}

// slowGetCount is how many entries SLOWLOG GET tells unless it says so.
const slowGetCount = 10

// talkSlowLogGet is SLOWLOG GET [count].
func talkSlowLogGet(s *Session, args [][]byte) wire.Value {
	n, ok := int64(slowGetCount), true
	if len(args) > 1 {
		return Fail("ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG HELP.")
	}
	if len(args) > 0 {
		if n, ok = ParseInt(args[0]); !ok || n < -1 {
			return Fail("ERR count should be greater than or equal to -1")
		}
	}
	all := Array()
	for _, e := range s.front.Monitor.slow.newest(n) {
		all.Array = append(all.Array, e.reply())
	}
	return all
}

func talkSlowLogLen(s *Session, _ [][]byte) wire.Value {
	l := &s.front.Monitor.slow
	l.mu.Lock()
	defer l.mu.Unlock()
	return Number(int64(len(l.entries)))
}

func talkSlowLogReset(s *Session, _ [][]byte) wire.Value {
	l := &s.front.Monitor.slow
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = nil
	return OK()
}
