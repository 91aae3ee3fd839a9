package replica

import "time"

// A partition takes no writes, and then no requests at all, while its acting replicas change: from when its primary lets
// no new write in (quiesce), or leaves its term, until the next primary serves. Who serves next reports how long that was
// (Ready.Stops). Where it is another server, who was the primary tells it with State for how long it has been so; what the
// message takes is left out. A primary that has failed tells nobody, and such a stop is not reported.

// stopToldMax bounds what a State says.
const stopToldMax = time.Hour

// stoppedSince is when a primary that leaves its term stopped taking writes, 0 where that is not known.
func (l *primary) stoppedSince() time.Duration {
	switch {
	case !l.serves():
		return l.stoppedAt
	case l.quiesced():
		return l.quiesceUntil - quiesceMax
	case l.quiesceUntil != 0:
		l.core.out.Stops = append(l.core.out.Stops, quiesceMax) // for nothing: the view came later
	}
	return l.core.now.Mono
}

// stoppedFor is what a State says of it, in microseconds: 0 where this server was not the primary.
func (p *part) stoppedFor() uint64 {
	if p.stoppedAt == 0 {
		return 0
	}
	return uint64(max(1, (p.core.now.Mono - p.stoppedAt).Microseconds()))
}

// noteStopped takes that from a State.
func (l *primary) noteStopped(micros uint64) {
	if micros == 0 {
		return
	}
	since := l.core.now.Mono - time.Duration(min(micros, uint64(stopToldMax.Microseconds())))*time.Microsecond
	if l.stoppedAt == 0 || since < l.stoppedAt {
		l.stoppedAt = since
	}
}

// reportStop is called when a primary begins to serve.
func (l *primary) reportStop() {
	if l.stoppedAt != 0 {
		l.core.out.Stops = append(l.core.out.Stops, l.core.now.Mono-l.stoppedAt)
	}
}
