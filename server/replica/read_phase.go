package replica

// readPhase is where a read is on its way to its answer (rule 4).
type readPhase uint8

const (
	readArrived   readPhase = iota // or what it met did not count: from the beginning
	readQueued                     // until the primary serves, or a write before it was taken up
	readBlocked                    // until the last entry of its key is committed
	readAsking                     // without a lease: until the question under way is answered
	readAsked                      // its question is with the view leader
	readFetching                   // handed out in a Ready, until Served
	readRepairing                  // until the bytes of its key are repaired
	readAnswered
)

var readNext = []phases{
	readArrived:   to(readQueued, readBlocked, readAsking, readFetching, readRepairing, readAnswered),
	readQueued:    to(readBlocked, readAsking, readFetching, readAnswered),
	readBlocked:   to(readBlocked, readQueued, readAsking, readFetching, readAnswered),
	readAsking:    to(readAsked, readQueued),
	readAsked:     to(readFetching, readQueued, readAnswered),
	readFetching:  to(readArrived, readAnswered),
	readRepairing: to(readQueued, readBlocked, readAsking, readFetching, readAnswered),
	readAnswered:  0,
}

func (p readPhase) String() string {
	return [...]string{"arrived", "queued", "blocked", "asking", "asked", "fetching", "repairing", "answered"}[p]
}

func (r *Read) become(next readPhase) { move(readNext, &r.phase, next) }

// answerRead answers a read: once, for no phase follows.
func (c *Core) answerRead(r *Read, a Answer) {
	r.become(readAnswered)
	a.Token = r.Token
	c.answer(a)
}

// refuse answers a request that waited in vain.
func (c *Core) refuse(q *queued, s Status) {
	if q.read != nil {
		c.answerRead(q.read, Answer{Status: s})
		return
	}
	c.answer(Answer{Token: q.write.Token, Status: s})
}

// requeue makes a request that waited for something else wait for its partition.
func (q *queued) requeue() {
	if q.read != nil && q.read.phase != readQueued {
		q.read.become(readQueued)
	}
}
