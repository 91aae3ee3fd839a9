package rebalance

import (
	"math"
	"time"
)

// Bounds of a Pace. DESIGN.md says why they are what they are.
const (
	paceLeast   = 1 << 20 // bytes/s that others may always copy from a server
	paceInLeast = 4 << 20 // that a server may always copy in
	paceAny     = 1 << 30 // bytes/s above which nothing is held back
	clientShare = 0.08    // of the processor time that clients cost, which copying may cost when it is slowest

	lateGoal    = 1.1 // how many times what they should commands may take
	lateGain    = 2.0 // how strongly the rate answers to what is off that
	starvedGoal = 0.5 // in which part of the time something may wait for a processor
	starvedGain = 1.0

	paceUp, paceDown = 1.25, 0.6 // the most that the rate changes by with one sample: factors
	verdictCommands  = 30        // commands after which it is clear how late they are
	verdictAfter     = time.Second
	idleAfter        = time.Second      // without a command nobody is in the way
	patienceLeast    = time.Second      // after slowing down, before it becomes faster again
	patienceMost     = 16 * time.Second // likewise; it doubles while becoming faster fails
	baseMemory       = 10 * time.Second // how far back it looks for what commands should take
	useMemory        = 5 * time.Second  // likewise for what clients cost
)

// What a byte costs in processor time: at the server that copies in, at the one that it comes
// from, and at both.
const (
	costIn  = float64(8*time.Millisecond) / (1 << 20)
	costOut = float64(6*time.Millisecond) / (1 << 20)
	cost    = costIn + costOut
)

// Sample is what a server saw since the sample before.
type Sample struct {
	At      time.Duration // when it was taken
	Ops     []Op          // commands of clients that were answered, by kind
	Starved float64       // in which part of the time something waited for a processor; below 0: not known
	Busy    time.Duration // processor time that the process took
	In, Out uint64        // bytes copied, to this server and from it
}

// Op are commands of a kind.
type Op struct {
	Kind  int
	Count uint64
	Took  time.Duration // all of them together, from their arrival to their answer
}

// Pace decides at what rate a server copies by how its clients fare. It has no
// clock and does no I/O: samples come in, a rate comes out. The zero value holds nothing back.
type Pace struct {
	at       time.Duration
	began    bool
	rate     float64       // bytes/s; 0: any
	asked    time.Duration // when a client last asked for something
	served   bool          // one ever did
	kinds    map[int]*usual
	use      float64 // processor time a second that clients cost
	copied   float64 // bytes/s, lately
	starved  float64 // lately; below 0: not known
	calm     bool    // copying disturbed nobody in the sample before
	took     float64 // of the commands since the verdict before, seconds
	expected float64 // that they should have taken
	commands uint64
	judged   time.Duration // when the verdict was
	late     float64       // the verdict: how many times what they should commands take; 0: none yet
	patience time.Duration
	upFrom   time.Duration // it becomes no faster before
	grew     bool          // it has become faster since
}

// usual is what commands of a kind take while copying disturbs nobody. What is long ago
// counts less.
type usual struct{ count, took float64 }

func (u *usual) mean() float64 { return u.took / u.count }

// Out returns how many bytes/s others may copy from the server; 0: any.
func (p *Pace) Out() uint64 { return uint64(p.rate) }

// In returns how many the server may copy in; 0: any. It is never very few: what a server copies
// in is held back by those that it comes from, too.
func (p *Pace) In() uint64 {
	if p.rate == 0 {
		return 0
	}
	return uint64(max(p.rate, paceInLeast))
}

// Observe takes the next sample.
func (p *Pace) Observe(s *Sample) {
	span := (s.At - p.at).Seconds()
	if !p.began || span <= 0 {
		p.began, p.at, p.starved = true, s.At, s.Starved
		return
	}
	p.at = s.At
	p.weigh(s, span)
	if p.served = p.served || hasCommands(s); !p.served || s.At-p.asked >= idleAfter && !hasCommands(s) {
		p.rate, p.late, p.calm = 0, 0, p.copied < paceLeast
		p.commands, p.took, p.expected, p.judged = 0, 0, 0, s.At
		return
	}
	if hasCommands(s) {
		p.asked = s.At
	}
	floor := p.floor()
	if p.rate == 0 { // clients have come
		p.rate, p.judged, p.patience = floor, s.At, patienceLeast
		p.upFrom, p.grew = s.At+patienceLeast, false
	}
	p.judge(s)
	calm := p.rate <= floor*paceUp || p.copied < paceLeast
	p.learn(s, span, calm && p.calm)
	p.calm = calm
	p.step(s.At, floor)
}

func hasCommands(s *Sample) bool {
	for i := range s.Ops {
		if s.Ops[i].Count > 0 {
			return true
		}
	}
	return false
}

// weigh keeps what clients cost, what was copied, and whether processors are short.
func (p *Pace) weigh(s *Sample, span float64) {
	own := max(0, float64(s.Busy)-float64(s.In)*costIn-float64(s.Out)*costOut)
	p.use += (own/float64(time.Second)/span - p.use) * fresh(span, useMemory)
	p.copied += (float64(max(s.In, s.Out))/span - p.copied) * fresh(span, time.Second)
	if s.Starved < 0 || p.starved < 0 {
		p.starved = s.Starved
		return
	}
	p.starved += (s.Starved - p.starved) * fresh(span, time.Second/2)
}

// fresh is how much a sample of so many seconds counts in what is remembered for memory.
func fresh(span float64, memory time.Duration) float64 {
	return 1 - math.Exp(-span/memory.Seconds())
}

// floor is the rate that copying always has: what is left to it costs, at both ends, a part of
// the processor time that clients cost.
func (p *Pace) floor() float64 {
	return max(paceLeast, clientShare*p.use*float64(time.Second)/cost)
}

// judge finds out how late commands are, once there are enough of them.
func (p *Pace) judge(s *Sample) {
	for i := range s.Ops {
		op := &s.Ops[i]
		if u := p.kinds[op.Kind]; u != nil && u.count > 0 {
			p.commands += op.Count
			p.took += op.Took.Seconds()
			p.expected += float64(op.Count) * u.mean()
		}
	}
	if p.expected == 0 || p.commands < verdictCommands && s.At-p.judged < verdictAfter {
		return
	}
	late := p.took / p.expected
	if p.late == 0 {
		p.late = late
	}
	p.late += (late - p.late) / 3
	p.commands, p.took, p.expected, p.judged = 0, 0, 0, s.At
}

// learn remembers what commands take while copying disturbs nobody.
func (p *Pace) learn(s *Sample, span float64, calm bool) {
	if !calm {
		return
	}
	keep := 1 - fresh(span, baseMemory)
	for i := range s.Ops {
		op := &s.Ops[i]
		if op.Count == 0 {
			continue
		}
		u := p.kinds[op.Kind]
		if u == nil {
			if p.kinds == nil {
				p.kinds = make(map[int]*usual)
			}
			u = new(usual)
			p.kinds[op.Kind] = u
		}
		u.count = u.count*keep + float64(op.Count)
		u.took = u.took*keep + op.Took.Seconds()
	}
}

// step changes the rate: the more, the further it is off what clients should notice.
func (p *Pace) step(now time.Duration, floor float64) {
	room := 1 + lateGain*(lateGoal-p.late) // without a verdict there is room
	if p.starved >= 0 {
		room = min(room, 1+starvedGain*(starvedGoal-p.starved))
	}
	switch room = min(max(room, paceDown), paceUp); {
	case room < 1:
		if p.grew {
			p.patience = min(2*p.patience, patienceMost)
		}
		if p.rate *= room; p.rate <= floor { // back where it began
			p.grew, p.upFrom = false, now+p.patience
		}
	case now >= p.upFrom && p.rate < 2*p.copied:
		p.rate *= room
		p.grew = p.grew || p.rate > floor*paceUp
	}
	p.rate = min(max(p.rate, floor), paceAny)
}
