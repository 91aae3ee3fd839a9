package rebalance

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"viewring/ring"
)

const mib = 1 << 20

// model is a server with two processors that clients and copying share. Commands wait the
// longer the busier it is, as in a queue; where there is more to do than it can, both sides
// get less.
type model struct {
	pace  Pace
	rng   *rand.Rand
	now   time.Duration
	blind bool    // nobody says whether processors are short
	noise float64 // of what commands take: the standard deviation of its logarithm
	slow  float64 // how many times longer commands take for a reason of their own; 0: once

	perSecond float64 // commands that come, whatever is answered
	clients   float64 // or that so many clients ask for, each one at a time

	most             float64 // bytes/s that are copied at the most, for another reason; 0: modelFull
	rate             float64 // bytes/s in the last step
	answered, copied float64 // in all: commands, bytes
	waited           float64 // seconds that all of them took
}

const (
	modelStep    = 250 * time.Millisecond
	modelPower   = 2.0    // processor seconds a second
	modelCommand = 100e-6 // processor seconds of a command
	modelMiB     = 14e-3  // of a MiB copied
	modelTakes   = 1e-3   // seconds that a command takes where nobody is in the way
	modelSlice   = 0.5e-3 // seconds for which who is in the way keeps a processor
	modelFull    = 120 * mib
)

// step lets clients ask, and copying go on at its rate, for a quarter of a second.
func (m *model) step() {
	m.rate = modelFull
	if m.most > 0 {
		m.rate = m.most
	}
	if r := m.pace.Out(); r > 0 {
		m.rate = min(m.rate, float64(r))
	}
	copying := m.rate / mib * modelMiB
	answered, takes, load := m.ask(copying)
	if m.noise > 0 {
		takes *= math.Exp(m.rng.NormFloat64() * m.noise)
	}
	if m.slow > 0 {
		takes *= m.slow
	}
	if load > 1 {
		m.rate *= max(0, modelPower-answered*modelCommand) / copying
	}
	span := modelStep.Seconds()
	m.now += modelStep
	n := uint64(answered*span + m.rng.Float64())
	m.answered, m.copied, m.waited = m.answered+float64(n), m.copied+m.rate*span, m.waited+float64(n)*takes
	s := Sample{At: m.now, Starved: min(1, load*load), In: uint64(m.rate * span), Out: uint64(m.rate * span),
		Busy: time.Duration((answered*modelCommand + m.rate/mib*modelMiB) * span * float64(time.Second))}
	if n > 0 {
		s.Ops = []Op{{Kind: 7, Count: n, Took: time.Duration(takes * float64(n) * float64(time.Second))}}
	}
	if m.blind {
		s.Starved = -1
	}
	m.pace.Observe(&s)
}

// ask is how many commands a second are answered beside some copying, how many seconds each
// takes, and which part of the processors all of it wants.
func (m *model) ask(copying float64) (answered, takes, load float64) {
	if m.clients == 0 {
		answered, load = m.perSecond, (m.perSecond*modelCommand+copying)/modelPower
		if load > 0.98 { // what copying wants beyond that, it does not get
			answered = min(answered, 0.6*modelPower/modelCommand)
		}
		busy := min(load, 0.98)
		return answered, modelTakes + modelSlice*busy*busy/(1-busy*busy), load
	}
	most := m.clients / modelTakes
	answered = min(most, max(modelPower-copying, 0.4*modelPower)/modelCommand)
	if answered == 0 {
		return 0, 0, copying / modelPower
	}
	return answered, m.clients / answered, (answered*modelCommand + copying) / modelPower
}

// run goes on for some time and returns the rates that there were.
func (m *model) run(d time.Duration) (rates []float64) {
	for end := m.now + d; m.now < end; {
		m.step()
		rates = append(rates, m.rate)
	}
	return rates
}

func newModel() *model { return &model{rng: rand.New(rand.NewPCG(18, 4))} }

func mean(x []float64) (sum float64) {
	for _, v := range x {
		sum += v / float64(len(x))
	}
	return sum
}

// TestPaceIdle: without clients nothing is held back, from the start and again soon after the
// last of them has gone.
func TestPaceIdle(t *testing.T) {
	m := newModel()
	if got := slices.Min(m.run(time.Minute)); got < modelFull {
		t.Errorf("at %.0f MiB/s where nobody asks", got/mib)
	}
	m.perSecond = 2000
	m.run(time.Minute)
	m.perSecond = 0
	m.run(2 * time.Second)
	if m.pace.Out() != 0 {
		t.Errorf("held at %d after the last client has gone", m.pace.Out())
	}
}

// TestPaceLight: beside clients that leave most of the processors it soon takes what they
// leave, and they don't wait for it.
func TestPaceLight(t *testing.T) {
	for _, blind := range []bool{false, true} {
		m := newModel()
		m.blind, m.perSecond = blind, 1000
		m.run(15 * time.Second)
		before, asked := m.waited, m.answered
		rates := m.run(2 * time.Minute)
		takes := (m.waited - before) / (m.answered - asked)
		t.Logf("blind %t: %.1f MiB/s, %.1f in the first ten seconds, commands take %.2f ms", blind, mean(rates)/mib, mean(rates[:40])/mib, takes*1000)
		if got := mean(rates); got < modelFull*0.2 || takes > 2*modelTakes {
			t.Errorf("blind %t: %.1f MiB/s, commands take %.2f ms", blind, got/mib, takes*1000)
		}
		if got := mean(rates[:40]); got < modelFull*0.15 {
			t.Errorf("blind %t: %.1f MiB/s in the first ten seconds", blind, got/mib)
		}
	}
}

// TestPaceFull: beside clients that take all they can get, they keep nine tenths of it, a little
// less where nobody says that processors are short; copying never stands still.
func TestPaceFull(t *testing.T) {
	for name, set := range map[string]func(m *model){
		"known":        func(*model) {},
		"blind":        func(m *model) { m.blind = true },
		"noisy":        func(m *model) { m.noise = 0.5 },
		"blind, noisy": func(m *model) { m.blind, m.noise = true, 0.5 },
	} {
		m := newModel()
		set(m)
		m.clients = 64
		const without = modelPower / modelCommand
		rates := m.run(5 * time.Minute)
		kept, least := m.answered/(without*m.now.Seconds()), 0.9
		if m.blind {
			least = 0.87 // lateness alone tells of a tenth only after it was lost
		}
		t.Logf("%-13s clients keep %.2f, %.1f MiB/s", name, kept, m.copied/m.now.Seconds()/mib)
		if most := clientShare * modelPower / modelMiB * mib; kept < least || slices.Min(rates) < paceLeast || m.copied/m.now.Seconds() < most/2 {
			t.Errorf("%s: clients keep %.3f, copying goes at least at %.2f MiB/s", name, kept, slices.Min(rates)/mib)
		}
	}
}

// TestPaceComesAndGoes: clients that come have the processors within one sample, and copying
// has them when they go.
func TestPaceComesAndGoes(t *testing.T) {
	m := newModel()
	m.step()
	for range 20 {
		m.clients = 64
		m.step()
		if m.step(); m.rate > 0.1*modelPower*mib/modelMiB*1.2 {
			t.Fatalf("%.1f MiB/s beside clients that have just come", m.rate/mib)
		}
		m.run(5 * time.Second)
		m.clients = 0
		m.run(idleAfter + modelStep)
		if m.step(); m.rate < modelFull {
			t.Fatalf("%.1f MiB/s after they have gone", m.rate/mib)
		}
	}
}

// TestPaceSteady: beside one load the rate stays in bounds: it does not swing.
func TestPaceSteady(t *testing.T) {
	m := newModel()
	m.perSecond = 8000 // 40 % of the processors
	m.run(time.Minute)
	rates := m.run(5 * time.Minute)
	slices.Sort(rates)
	low, high := rates[len(rates)/20], rates[len(rates)*19/20]
	t.Logf("from %.1f to %.1f MiB/s", low/mib, high/mib)
	if high > 4*low {
		t.Errorf("from %.1f to %.1f MiB/s", low/mib, high/mib)
	}
}

// TestPaceSlowForAnotherReason: where commands become slow by themselves, copying gives way, and
// goes on once that is what they take.
func TestPaceSlowForAnotherReason(t *testing.T) {
	m := newModel()
	m.perSecond = 1000
	m.run(30 * time.Second)
	before := mean(m.run(10 * time.Second))
	m.slow = 5
	m.run(5 * time.Second)
	if m.rate > 0.2*before {
		t.Errorf("%.1f MiB/s while commands are slow, %.1f before", m.rate/mib, before/mib)
	}
	m.run(time.Minute)
	after := mean(m.run(10 * time.Second))
	t.Logf("%.1f MiB/s before, %.1f a minute later", before/mib, after/mib)
	if after < before/2 {
		t.Errorf("%.1f MiB/s a minute later, %.1f before", after/mib, before/mib)
	}
}

// TestPaceUnused: a rate that nobody uses does not grow: it would be too much for the clients when
// somebody does.
func TestPaceUnused(t *testing.T) {
	m := newModel()
	m.perSecond, m.most = 1000, 2*mib
	m.run(2 * time.Minute)
	if got := m.pace.Out(); got > 6*mib {
		t.Errorf("%.1f MiB/s are allowed where 2 are copied", float64(got)/mib)
	}
}

// TestPaceFew: single commands tell nothing of how late they are, and still it does not
// take everything at once.
func TestPaceFew(t *testing.T) {
	m := newModel()
	m.perSecond = 5
	m.step()
	m.run(time.Second)
	if m.rate >= modelFull {
		t.Errorf("at %.1f MiB/s beside the first commands", m.rate/mib)
	}
	m.run(time.Minute)
	t.Logf("%.1f MiB/s beside five commands a second", m.rate/mib)
	if m.rate < modelFull/5 {
		t.Errorf("at %.1f MiB/s beside five commands a second", m.rate/mib)
	}
}

// TestGateSlowSource: a source that can take little holds up only what is asked of it, and what
// an operator has set is the most for all.
func TestGateSlowSource(t *testing.T) {
	clock := newFakeClock()
	g := newGate(clock, 0)
	g.hear(1, paceLeast)
	g.hear(2, 0)
	got := map[ring.ServerID]int{}
	play := func(d time.Duration) {
		clear(got)
		for end := clock.Now() + d; clock.Now() < end; clock.advance(time.Millisecond) {
			for _, id := range []ring.ServerID{1, 2} {
				if wait, _ := g.take(id, 32<<10, 1); wait == 0 {
					got[id] += 32 << 10
				}
			}
		}
	}
	play(10 * time.Second)
	if got[1] < 9*mib || got[1] > 11*mib || got[2] < 300*mib {
		t.Errorf("%d MiB of the slow one, %d of the other", got[1]/mib, got[2]/mib)
	}
	g.setRate(4 << 20)
	play(10 * time.Second)
	if all := got[1] + got[2]; all > 42*mib || all < 38*mib {
		t.Errorf("%d MiB in 10 s at 4 MiB/s", all/mib)
	}
}

// TestGateUrgent: what has lost copies goes four times as fast where clients hold it back, and
// no faster than an operator has set.
func TestGateUrgent(t *testing.T) {
	for set, want := range map[int64]int{0: 4, 2 << 20: 2} {
		clock := newFakeClock()
		g := newGate(clock, set)
		g.hear(1, 1<<20)
		bytes := 0
		for clock.Now() < 10*time.Second {
			wait, _ := g.take(1, 64<<10, urgencyOfOne)
			if wait == 0 {
				bytes += 64 << 10
			}
			clock.advance(max(wait, time.Microsecond))
		}
		if got := float64(bytes) / (10 * mib); got < 0.95*float64(want) || got > 1.1*float64(want) {
			t.Errorf("%.2f MiB/s of one at 1 MiB/s, at most %d", got, set)
		}
	}
}

// TestGateStranger: a source that has said nothing is asked slowly, and at once as it says.
func TestGateStranger(t *testing.T) {
	clock := newFakeClock()
	g := newGate(clock, 0)
	if wait, _ := g.take(3, 512<<10, 1); wait != 0 {
		t.Fatalf("the first page waits %v", wait)
	}
	wait, changed := g.take(3, 512<<10, 1)
	if wait < 100*time.Millisecond || wait > 125*time.Millisecond { // half a MiB at 4 MiB/s
		t.Fatalf("the second page of a stranger waits %v", wait)
	}
	g.hear(3, 0)
	select {
	case <-changed:
	default:
		t.Error("who waits is not told what the source says")
	}
	for range 100 {
		if wait, _ := g.take(3, 512<<10, 1); wait != 0 {
			t.Fatalf("waits %v of one that takes any rate", wait)
		}
	}
	g.hear(3, 0) // as before: nobody need look again
	g.keep(func(ring.ServerID) bool { return false })
	g.take(3, 512<<10, 1)
	if wait, _ := g.take(3, 512<<10, 1); wait == 0 {
		t.Error("one that has left is no stranger")
	}
}

// TestAllowed says who holds back what is copied in.
func TestAllowed(t *testing.T) {
	g := newGate(newFakeClock(), 0)
	two := map[ring.ServerID]bool{1: true, 2: true, 3: false}
	want := func(what string, rate uint64, by By) {
		t.Helper()
		if got := g.allowed(two); got != (Allowed{rate, by}) {
			t.Errorf("%s: %+v, want %d, %d", what, got, rate, by)
		}
	}
	want("nothing said", 0, ByNobody)
	g.hear(1, 100)
	want("one says nothing", 0, ByNobody)
	g.hear(2, 200)
	want("both", 300, BySources)
	g.setOwn(250)
	want("own clients", 250, ByOwn)
	g.setRate(10)
	want("an operator", 10, ByRate)
}
