package server

import (
	"strings"
	"time"

	"viewring/internal/wait"
	"viewring/internal/wire"
	"viewring/server/machine"
	"viewring/server/redis"
	"viewring/server/upkeep"
)

// How often the mover is told how clients fare: while something is copied, and else, for it to
// know what commands take.
const (
	paceEvery     = 250 * time.Millisecond
	paceEveryIdle = time.Second
)

// pacing is what has been counted up to a sample, by who takes samples.
type pacing struct {
	s       *Server
	kinds   map[int]redis.Timed
	starved time.Duration // as machine.Starved tells it
	busy    time.Duration // as machine.ProcessorTime does
	at      time.Duration
}

// runPace tells the mover how clients fare, until the server stops.
func (s *Server) runPace() {
	p := &pacing{s: s, kinds: make(map[int]redis.Timed)}
	for {
		sample := p.sample()
		s.mover.Observe(&sample)
		every := paceEveryIdle
		if s.mover.Copying() {
			every = paceEvery
		}
		if !wait.For(s.ctx, every) {
			return
		}
	}
}

// sample is what has happened since the one before.
func (p *pacing) sample() upkeep.Sample {
	now := p.s.opts.Now().Mono
	user, system := machine.ProcessorTime()
	out := upkeep.Sample{At: now, Busy: user + system - p.busy, Starved: -1}
	if starved, ok := machine.Starved(); ok && now > p.at {
		out.Starved = min(1, float64(starved-p.starved)/float64(now-p.at))
		p.starved = starved
	}
	p.busy, p.at = user+system, now
	p.s.monitor.EachTimed(ofClients, func(number int, t redis.Timed) {
		before := p.kinds[number]
		if t.Count > before.Count {
			out.Ops = append(out.Ops, upkeep.Op{Kind: number, Count: t.Count - before.Count, Took: t.Took - before.Took})
			p.kinds[number] = t
		}
	})
	return out
}

// ofClients reports whether a command is one that reads or writes what clients store.
func ofClients(name string, row *redis.Command) bool {
	if row != nil {
		return row.Keys.Step > 0 || name == "exec"
	}
	return strings.HasPrefix(name, strings.ToLower(wire.CmdDo)+"|") || clientsOwn[strings.ToUpper(name)]
}

var clientsOwn = map[string]bool{wire.CmdAtomic: true, wire.CmdTree: true, wire.CmdChunk: true, wire.CmdRecord: true, wire.CmdLook: true}
