package redis

import (
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"viewring/internal/tally"
)

// Monitoring is how a Monitor is set.
type Monitoring struct {
	SlowerThan time.Duration // commands that take at least so long are in the slow log; negative: none are
	SlowLen    int           // entries of the slow log; those before the last so many are forgotten
	SpikesFrom time.Duration // what takes at least so long is an event of LATENCY; 0: nothing is
}

// What Monitoring is where nobody says otherwise.
const (
	SlowerThan = 100 * time.Millisecond
	SlowLen    = 128
)

// Monitor watches commands: how many came to what, how long they took, and which were slow.
// Who counts a command waits for nobody, but for a slow one. Any goroutine may call its
// methods.
type Monitor struct {
	at    Monitoring
	now   func() time.Time
	names []string   // of commands, by number
	words [][]string // of their names in capitals, likewise
	ops   *tally.Ops
	slow  slowLog
	spike spikes
	least time.Duration // what takes less is neither slow nor an event

	lately struct { // see rate
		sync.Mutex
		at       time.Time
		commands uint64
		rate     uint64
	}
}

// NewMonitor returns a Monitor of the table's commands, numbered by their Index, and behind
// them those that a service has besides, by these names. now tells the time of slow ones.
func NewMonitor(at Monitoring, now func() time.Time, own ...string) *Monitor {
	m := &Monitor{at: at, now: now, names: make([]string, Count(), Count()+len(own)+1), least: math.MaxInt64}
	for name, c := range commands {
		m.names[c.Index] = name
	}
	m.names = append(append(m.names, own...), "other")
	for _, name := range m.names {
		m.words = append(m.words, strings.Split(strings.ToUpper(name), "|"))
	}
	m.ops = tally.NewOps(len(m.names))
	m.slow.most = at.SlowLen
	if at.SlowerThan >= 0 && at.SlowLen > 0 {
		m.least = at.SlowerThan
	}
	if at.SpikesFrom > 0 {
		m.least = min(m.least, at.SpikesFrom)
	}
	return m
}

// Other is the number of what is no command.
func (m *Monitor) Other() int { return len(m.names) - 1 }

// At returns how the Monitor is set.
func (m *Monitor) At() Monitoring { return m.at }

// Done is a command that was answered.
type Done struct {
	Number int // of the command
	Words  int // that it had, its name included
	Ended  Ended
	Took   time.Duration
	First  string // its first argument, where that is known
}

// Done notes a command of a client's.
func (m *Monitor) Done(s *Session, d Done) {
	took := max(0, d.Took)
	m.ops.Done(uint64(s.id), d.Number, int(d.Ended), took)
	if took >= m.least {
		m.noteSlow(s, &d)
	}
}

// Slow reports whether something that took so long is looked at more closely.
func (m *Monitor) Slow(took time.Duration) bool { return took >= m.least }

func (m *Monitor) noteSlow(s *Session, d *Done) {
	name, at := m.names[d.Number], m.now()
	if m.at.SlowerThan >= 0 && d.Took >= m.at.SlowerThan && name != "exec" {
		m.slow.add(at, s, m.words[d.Number], name == "auth", d)
	}
	event := "command"
	if c := commands[name]; c != nil && c.HasFlag("fast") {
		event = "fast-command"
	}
	m.Spike(event, d.Took)
}

// Spike notes that something took so long, as an event of LATENCY where that is long enough.
func (m *Monitor) Spike(event string, took time.Duration) {
	if m.at.SpikesFrom > 0 && took >= m.at.SpikesFrom {
		m.spike.add(event, m.now(), took)
	}
}

// Each calls fn with what was counted of each command that there was.
func (m *Monitor) Each(fn func(name string, c *tally.OpCounts)) {
	for number, name := range m.names {
		if c := m.ops.Counts(number); c.Count() > 0 {
			fn(name, &c)
		}
	}
}

// Totals are those of all commands.
type Totals struct {
	Commands     uint64
	Errors       uint64
	Hits, Misses uint64 // of commands that only read a key
}

// Totals adds up what was counted.
func (m *Monitor) Totals() (t Totals) {
	m.Each(func(name string, c *tally.OpCounts) {
		t.Commands += c.Count()
		for e := endedErrors; int(e) < EndedCount; e++ {
			t.Errors += c.Outcomes[e]
		}
		if readsKey(name) {
			t.Hits += c.Outcomes[EndedOK]
			t.Misses += c.Outcomes[EndedAbsent]
		}
	})
	return t
}

// readsOwn are the commands that only read a key, beside those of the table.
var readsOwn = []string{"vr.do|get"}

// readsKey reports whether a command only reads a key.
func readsKey(name string) bool {
	c := commands[name]
	return c != nil && c.HasFlag("readonly") && c.Keys.Step > 0 || slices.Contains(readsOwn, name)
}

// Timed is how many commands there were of a kind, and how long they took together, from their
// arrival to their answer.
type Timed struct {
	Count uint64
	Took  time.Duration
}

// EachTimed calls fn with the commands that there were and of says so of, by their numbers. row
// is nil of those that are not of the table.
func (m *Monitor) EachTimed(of func(name string, row *Command) bool, fn func(number int, t Timed)) {
	for number, name := range m.names {
		if c := m.ops.Counts(number); c.Count() > 0 && of(name, commands[name]) {
			fn(number, Timed{Count: c.Count(), Took: time.Duration(c.Times.Sum)})
		}
	}
}
