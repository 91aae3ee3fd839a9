package page

import (
	"context"
	"slices"
	"time"

	"viewring/client/admin"
	"viewring/client/meter"
)

// Source tells of a cluster. A *admin.Cluster is one.
type Source interface {
	Status(ctx context.Context) (*admin.Status, error)
	Events(ctx context.Context, since uint64, wait time.Duration) ([]admin.Event, error)
	Elections(ctx context.Context, since time.Time) ([]admin.Event, error)
	Locks(ctx context.Context) (admin.Locks, error)
	Close() error
}

var _ Source = (*admin.Cluster)(nil)

// askMax bounds a round of questions.
const askMax = 5 * time.Second

// reading is what one round of questions found out.
type reading struct {
	at     time.Time
	status *admin.Status
	locks  admin.Locks
	events []admin.Event         // oldest first, with elections and shifts
	work   map[string]meter.Work // by the ids of servers
	err    error                 // why the rest is of the reading before, or empty
}

// reader asks the cluster, one round after the other.
type reader struct {
	opts    *Options
	source  Source // nil: not found yet
	meters  *meter.Meters
	events  []admin.Event
	elected []admin.Event
	shifts  *shifts
	last    reading
}

// eventsMax is how many events the page shows: the newest.
const eventsMax = 200

// read asks once. What an earlier round found out stays where this one fails.
func (r *reader) read(ctx context.Context) reading {
	ctx, cancel := context.WithTimeout(ctx, askMax)
	defer cancel()
	now, err := r.ask(ctx)
	if err != nil {
		now = r.last
		now.err = err
		return now
	}
	r.last = now
	return now
}

func (r *reader) ask(ctx context.Context) (now reading, err error) {
	if r.source == nil {
		if r.source, err = r.open(ctx); err != nil {
			r.source = nil
			return now, err
		}
	}
	if now.status, err = r.source.Status(ctx); err != nil {
		return now, err
	}
	if now.locks, err = r.source.Locks(ctx); err != nil {
		return now, err
	}
	if err := r.askEvents(ctx); err != nil {
		return now, err
	}
	happened := time.Time{}
	if n := len(r.events); n > 0 {
		happened = r.events[n-1].At
	}
	r.shifts.note(now.status.View, time.Now(), happened)
	now.events = inOrder(r.events, r.elected, r.shifts.events())
	now.work = make(map[string]meter.Work)
	for id, w := range r.meters.Read(ctx, now.status) {
		now.work[id.String()] = w
	}
	now.at = time.Now()
	return now, nil
}

func (r *reader) open(ctx context.Context) (Source, error) {
	if r.opts.Source != nil {
		return r.opts.Source, nil
	}
	return admin.Open(ctx, r.opts.Client)
}

// askEvents asks for those since the round before.
func (r *reader) askEvents(ctx context.Context) error {
	since := uint64(0)
	if n := len(r.events); n > 0 {
		since = r.events[n-1].Number
	}
	fresh, err := r.source.Events(ctx, since, 0)
	if err != nil {
		return err
	}
	r.events = newest(append(r.events, fresh...))
	r.elected, err = r.source.Elections(ctx, time.UnixMilli(0))
	return err
}

func newest(events []admin.Event) []admin.Event { return events[max(0, len(events)-eventsMax):] }

// inOrder puts events of several kinds into the order of their times.
func inOrder(some ...[]admin.Event) []admin.Event {
	all := slices.Concat(some...)
	slices.SortStableFunc(all, func(a, b admin.Event) int { return a.At.Compare(b.At) })
	return newest(all)
}

func (r *reader) close() {
	r.meters.Close()
	if r.source != nil {
		_ = r.source.Close() // nobody uses it any more
	}
}
