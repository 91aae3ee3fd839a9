package sim

import (
	"fmt"
	"strings"
	"time"

	"viewring/internal/invariant"
	"viewring/ring"
	"viewring/server/replica"
)

// hotKeys are few, so that operations meet.
var hotKeys = []string{"a", "b", "c", "d", "e", "f"}

type opKind uint8

const (
	opGet opKind = iota
	opSet
	opAppend
	opDelete
)

// input and output are what the linearizability checker sees.
type input struct {
	kind  opKind
	key   string
	value string
}

type output struct {
	known bool
	found bool
	value string // opGet
	size  int64  // opAppend
}

// record is one operation of the history.
type record struct {
	client     int
	in         input
	out        output
	call, done time.Duration // done is far away when the outcome is unknown
}

const never = 24 * time.Hour

// client does one operation after the other, each under one request id over all
// its tries, and gives up after a while without knowing the outcome.
type client struct {
	w      *world
	id     byte
	number uint64
	view   *ring.View
	op     *record
	since  time.Duration
	tries  uint64
	serial int
	ops    []*record
	finals []string // keys left to read at the end

	patience time.Duration // with one try
	lost     bool          // the last try was not answered: the view may be old
	final    bool
}

func newClient(w *world, id byte) *client {
	patience := 500 * time.Millisecond
	if id%2 == 0 {
		patience = 2500 * time.Millisecond
	}
	return &client{w: w, id: id, patience: patience}
}

func (c *client) next() {
	if c.w.quiet && !c.final {
		return
	}
	in := input{key: hotKeys[c.w.rng.IntN(len(hotKeys))]}
	if c.final {
		if len(c.finals) == 0 {
			return
		}
		in.key, c.finals = c.finals[0], c.finals[1:]
	} else if r := c.w.rng.Float64(); r < 0.35 {
		in.kind, in.value = opSet, c.unique()
	} else if r < 0.6 {
		in.kind, in.value = opAppend, c.unique()
	} else if r < 0.68 {
		in.kind = opDelete
	}
	c.number++
	c.since = c.w.now
	c.op = &record{client: int(c.id), in: in, call: c.w.now, done: never}
	c.ops = append(c.ops, c.op)
	c.try()
}

func (c *client) unique() string {
	c.serial++
	return fmt.Sprintf("%c%d;", 'A'+c.id, c.serial)
}

// try sends the operation to who it thinks is the primary.
func (c *client) try() {
	if c.w.now-c.since > 4*time.Second && !c.final {
		c.w.count("given up")
		c.w.after(c.w.between(time.Millisecond, 50*time.Millisecond), c.next)
		return
	}
	c.tries++
	try := c.tries
	if eager := c.id%4 < 2; c.view == nil || eager || c.lost && c.w.chance(0.7) {
		c.view = c.w.leader.state.View()
	}
	c.lost = true // until an answer comes
	slot := ring.SlotOf(c.op.in.key)
	p := ring.PartitionOf(slot, partitions)
	if s := c.w.byID(c.view.Partitions[p].Primary()); s != nil {
		c.request(s, p, slot, try)
	}
	c.w.after(c.patience, func() {
		if c.tries == try {
			c.try()
		}
	})
}

func (c *client) request(s *server, p ring.PartitionID, slot uint16, try uint64) {
	in := c.op.in
	key := replica.MakeKey(slot, replica.SpaceUser, in.key)
	id := replica.RequestID{Client: [16]byte{c.id}, Number: c.number, Born: c.since.Milliseconds() + 1_000_000}
	number := c.number
	c.w.deliver(outside, s.id(), func() {
		if !s.alive || s.node == nil {
			return
		}
		s.later(0, func() {
			s.tokens++
			token := s.tokens
			life, stood := s.life, standing{term: c.w.leader.state.View().Partitions[p].Term}
			s.asks[token] = func(a replica.Answer) {
				if s.life == life {
					stood.leased = s.unleased[token] != s.w.now || s.lanes[int(p)%lanes].core.Leased(s.instant(), p)
					s.w.checkAnswer(s, p, in, a, stood)
					c.w.deliver(s.id(), outside, func() { c.answered(number, try, a) })
				}
			}
			s.lanes[int(p)%lanes].post(func(at replica.Instant, core *replica.Core) {
				if in.kind == opGet {
					core.Read(at, replica.Read{Token: token, Partition: p, Key: key})
					return
				}
				op := map[opKind]replica.OpCode{opSet: replica.OpSet, opAppend: replica.OpAppend, opDelete: replica.OpDelete}[in.kind]
				core.Propose(at, replica.Request{Token: token, Partition: p, ID: id, Mark: number - 1, Op: op, Key: key, Value: []byte(in.value)})
			})
		})
	})
}

func (s *server) answer(_ *lane, a replica.Answer) {
	if fn := s.asks[a.Token]; fn != nil {
		delete(s.asks, a.Token)
		fn(a)
	}
}

// answered takes the answer to a try; those of earlier operations are late.
func (c *client) answered(number, try uint64, a replica.Answer) {
	if number != c.number || c.op.done != never {
		return
	}
	c.w.count(fmt.Sprintf("answer %d", a.Status))
	switch a.Status {
	case replica.StatusOK:
		c.op.out = output{known: true, found: true, value: string(a.Value), size: a.Number}
	case replica.StatusNotFound:
		c.op.out = output{known: true}
	case replica.StatusExpiredID:
		c.tries++
		c.w.after(time.Millisecond, c.next)
		return
	case replica.StatusMoved, replica.StatusUnavailable, replica.StatusTooFewCopies, replica.StatusUnknown, replica.StatusBusy:
		if try == c.tries {
			c.tries++
			c.w.after(c.w.between(5*time.Millisecond, 150*time.Millisecond), c.try)
		}
		return
	default:
		invariant.Check(false, "answer", "%+v", a)
	}
	c.op.done, c.lost = c.w.now, false
	c.tries++
	c.w.count("operations")
	c.w.done++
	c.w.after(c.w.between(time.Millisecond, c.w.thinkMax()), c.next)
}

// thinkMax is how long clients wait between operations at most: less when so far
// there were few, for the partitions could not serve.
func (w *world) thinkMax() time.Duration {
	if w.done < int(30*w.now.Seconds()) {
		return 15 * time.Millisecond
	}
	return 120 * time.Millisecond
}

// dup reports a token that a value holds twice: an append done more than once.
func dup(value string) string {
	seen := make(map[string]bool)
	for _, t := range strings.Split(value, ";") {
		if t != "" && seen[t] {
			return t
		}
		seen[t] = true
	}
	return ""
}
