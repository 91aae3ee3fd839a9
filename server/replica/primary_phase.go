package replica

// primaryPhase is how far a primary has come in its term (rule 1).
type primaryPhase uint8

const (
	reconciling primaryPhase = iota // the logs of the acting replicas are being made equal
	settled                         // they are equal and durable; older leases may still hold
	active                          // requests are served
	mute                            // alone, with a tail that cannot be told: as active, but reads are refused
	termOver
)

var primaryNext = []phases{
	reconciling: to(settled, termOver),
	settled:     to(active, mute, termOver),
	active:      to(termOver),
	mute:        to(termOver),
	termOver:    0,
}

func (p primaryPhase) String() string {
	return [...]string{"reconciling", "settled", "active", "mute", "over"}[p]
}

func (l *lead) become(next primaryPhase) { move(primaryNext, &l.phase, next) }

// serves reports whether the primary takes up requests.
func (l *lead) serves() bool { return l.phase == active || l.phase == mute }

// followerPhase is what a replica is to its primary. One that acts stays what it is for
// the term; a learner comes closer to acting, step by step (rules 5 and 6).
type followerPhase uint8

const (
	followerActing     followerPhase = iota // in the view's acting set
	followerSubscribed                      // a learner that has said nothing yet: it is taken to have what it was told
	followerBehind                          // it acknowledges live entries, and still lacks others
	followerReady                           // its copy is whole, and durable from here on
	followerProposed                        // commits and leases include it; only a higher term ends that
	followerNamed                           // proposed, and in a handoff that the view leader was asked for
)

var followerNext = []phases{
	followerActing:     0,
	followerSubscribed: to(followerBehind, followerReady),
	followerBehind:     to(followerReady),
	followerReady:      to(followerProposed),
	followerProposed:   to(followerNamed),
	followerNamed:      0,
}

func (p followerPhase) String() string {
	return [...]string{"acting", "subscribed", "behind", "ready", "proposed", "named"}[p]
}

func (f *follower) become(next followerPhase) { move(followerNext, &f.phase, next) }

func (f *follower) acting() bool { return f.phase == followerActing }

func (f *follower) proposed() bool { return f.phase == followerProposed || f.phase == followerNamed }

// ready reports whether a learner's copy is whole there.
func (f *follower) ready() bool { return f.phase >= followerReady }

// joint reports whether commits and leases need the follower: acting ∪ proposed.
func (f *follower) joint() bool { return f.acting() || f.proposed() }
