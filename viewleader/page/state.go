package page

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"viewring/client/admin"
	"viewring/client/meter"
	"viewring/ring"
)

// state is what those who look are told every time.
type state struct {
	At         int64                 `json:"at"`              // of the reading, in milliseconds since 1970; 0: there was none yet
	Error      string                `json:"error,omitempty"` // why there is no newer one
	Status     any                   `json:"status,omitempty"`
	Partitions string                `json:"partitions"` // a letter for each, see stateLetters
	Work       map[string]meter.Work `json:"work"`
	Locks      []lock                `json:"locks"`
	LocksLeft  int                   `json:"locks_left"` // that are not shown
	Deadlocks  []string              `json:"deadlocks"`
}

// lock is one that is held, as the page shows it.
type lock struct {
	Name    string   `json:"name"`
	Shared  bool     `json:"shared"`
	Holders []holder `json:"holders"`
	Waiters []string `json:"waiters"`
}

type holder struct {
	Client  string `json:"client"`
	Token   uint64 `json:"token"`
	Since   int64  `json:"since"`   // milliseconds since 1970
	Expires int64  `json:"expires"` // likewise; 0: when it is released
	Lost    bool   `json:"lost"`    // its session fell silent
}

// locksMax is how many locks, holders of one and waiters for one the page shows.
const locksMax = 100

// stateLetters are the letters of State.Partitions, beside moving.
var stateLetters = [...]byte{admin.Whole: 'w', admin.TooFew: 'f', admin.ReadOnly: 'r', admin.Unavailable: 'u'}

// moving is the letter of a partition that has all copies, but not where the ring wants them.
const moving = 'm'

// stateOf makes of a reading what people are told.
func stateOf(r *reading, describe func(*admin.Status) any) state {
	s := state{Locks: []lock{}, Deadlocks: []string{}, Work: r.work}
	if r.err != nil {
		s.Error = r.err.Error()
	}
	if r.status == nil {
		return s
	}
	s.At, s.Status, s.Partitions = r.at.UnixMilli(), describe(r.status), letters(r.status)
	s.LocksLeft = max(0, len(r.locks.Locks)-locksMax)
	for _, l := range r.locks.Locks[:min(len(r.locks.Locks), locksMax)] {
		s.Locks = append(s.Locks, lockOf(&l))
	}
	for _, cycle := range r.locks.Deadlocks[:min(len(r.locks.Deadlocks), locksMax)] {
		s.Deadlocks = append(s.Deadlocks, deadlockText(cycle))
	}
	return s
}

// letters tells how each partition is.
func letters(st *admin.Status) string {
	states := st.Partitions()
	text := make([]byte, len(states))
	for i, is := range states {
		text[i] = stateLetters[is]
		if is == admin.Whole && !ring.SameServers(st.View.Partitions[i].Acting, st.Targets(ring.PartitionID(i))) {
			text[i] = moving
		}
	}
	return string(text)
}

func lockOf(l *admin.Lock) lock {
	out := lock{Name: shown(l.Name), Shared: l.Shared, Holders: []holder{}, Waiters: []string{}}
	for _, h := range l.Holders[:min(len(l.Holders), locksMax)] {
		one := holder{Client: shown(h.Client), Token: h.Token, Since: h.Since.UnixMilli(), Lost: h.Lost}
		if !h.Expires.IsZero() {
			one.Expires = h.Expires.UnixMilli()
		}
		out.Holders = append(out.Holders, one)
	}
	for _, w := range l.Waiters[:min(len(l.Waiters), locksMax)] {
		out.Waiters = append(out.Waiters, shown(w.Client))
	}
	return out
}

func deadlockText(cycle []admin.LockWait) string {
	steps := make([]string, len(cycle))
	for i, w := range cycle {
		steps[i] = fmt.Sprintf("%s waits for %s, for %s", shown(w.Client), shown(w.Lock), shown(w.For))
	}
	return strings.Join(steps, "; ")
}

// shownMax is how many bytes of a name the page shows.
const shownMax = 120

// shown is a name as people read it: cut, and quoted where it would not read well.
func shown(name string) string {
	if cut := shownMax; len(name) > cut {
		for cut > 0 && !utf8.RuneStart(name[cut]) {
			cut--
		}
		name = name[:cut] + "…"
	}
	return legible(name)
}

// legible is shown without a bound.
func legible(name string) string {
	if name == "" || !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Sprintf("%q", name)
	}
	return name
}

// placing is where the partitions are. It is told when it changes.
type placing struct {
	Epoch   uint64            `json:"epoch"`
	Acting  [][]ring.ServerID `json:"acting"`  // of each partition, primary first
	Targets [][]ring.ServerID `json:"targets"` // likewise; null where they are the same
}

func placingOf(st *admin.Status) placing {
	p := placing{Epoch: st.View.Epoch}
	for i := range st.View.Partitions {
		acting, targets := st.View.Partitions[i].Acting, st.Targets(ring.PartitionID(i))
		if slices.Equal(acting, targets) {
			targets = nil
		}
		p.Acting, p.Targets = append(p.Acting, acting), append(p.Targets, targets)
	}
	return p
}

// event is something that happened, as the page shows it.
type event struct {
	Number uint64 `json:"number"`
	At     int64  `json:"at"` // milliseconds since 1970
	Epoch  uint64 `json:"epoch"`
	Kind   string `json:"kind"`
	Server string `json:"server"`
	Detail string `json:"detail"`
}

func eventsOf(all []admin.Event) []event {
	out := make([]event, 0, len(all))
	for _, e := range all {
		server, detail := "", ""
		if e.Server != 0 {
			server = e.Server.String()
		}
		if e.Detail != "" {
			detail = shown(e.Detail)
		}
		out = append(out, event{e.Number, e.At.UnixMilli(), e.Epoch, e.Kind, server, detail})
	}
	return out
}

// encode makes JSON of what only the page's own types and those of query_servers are in.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err))
	}
	return b
}

// isFresh reports whether a reading is still told to who comes.
func (r *reading) isFresh(every time.Duration) bool { return time.Since(r.at) < 2*every }
