package play

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"viewring/client"
	"viewring/client/admin"
	"viewring/ring"
)

const (
	trafficProbes  = 64
	trafficRate    = 2000 // requests/s, all probes together
	trafficValue   = 256  // bytes
	redirectsMax   = 5    // as usual Redis clients
	outagePatience = 30 * time.Second
)

// traffic is steady load that notes when each request began and ended, so that a
// stall shows. Each probe has a key of its own. Every other one is written as a
// plain cluster-aware Redis client would, without request ids and retries.
type traffic struct {
	admin   *admin.Cluster // for the views
	stop    context.CancelFunc
	running sync.WaitGroup
	probes  []*probe
}

// probe writes one key, one request after the other.
type probe struct {
	key    string
	client *client.Client
	plain  *redirected // nil: written by client
	meter  *meter

	mu     sync.Mutex // guards what follows
	shots  []shot     // answered
	tried  int        // the last number written, answered or not
	acked  int        // the last number acknowledged
	failed []string
	next   chan struct{} // closed and replaced with each shot
}

// shot is one answered request.
type shot struct{ began, ended time.Time }

// trafficOptions say how traffic is.
type trafficOptions struct {
	prefix string          // of its keys
	rate   int             // requests/s
	plain  bool            // half of it as plain Redis clients
	dialer client.DialFunc // of these; nil: net.Dialer
}

// startTraffic begins: rate requests a second over all probes, each at an even pace.
func startTraffic(ctx context.Context, c *client.Client, cluster *admin.Cluster, m *meter, o trafficOptions) *traffic {
	ctx, stop := context.WithCancel(ctx)
	t := &traffic{admin: cluster, stop: stop}
	pace := time.Second * trafficProbes / time.Duration(o.rate)
	for i := range trafficProbes {
		p := &probe{key: o.prefix + "traffic/" + strconv.Itoa(i), client: c, meter: m, next: make(chan struct{})}
		if o.plain && i%2 == 1 {
			p.plain = newRedirected(cluster, p.key, o.dialer)
		}
		t.probes = append(t.probes, p)
		t.running.Go(func() { p.run(ctx, pace, time.Duration(i)*pace/trafficProbes) })
	}
	return t
}

// end stops the traffic; requests under way get their answers first.
func (t *traffic) end() {
	t.stop()
	t.running.Wait()
	for _, p := range t.probes {
		if p.plain != nil {
			p.plain.close()
		}
	}
}

func (p *probe) write(ctx context.Context, value []byte) error {
	if p.plain != nil {
		return p.plain.set(ctx, value)
	}
	_, err := p.client.Set(ctx, p.key, value, client.Always())
	return err
}

// run writes at an even pace. What falls due while a request waits is left out:
// the wait itself is what counts.
func (p *probe) run(ctx context.Context, pace, offset time.Duration) {
	first := time.NewTimer(offset)
	defer first.Stop()
	select {
	case <-first.C:
	case <-ctx.Done():
		return
	}
	tick := time.NewTicker(pace)
	defer tick.Stop()
	whole := context.WithoutCancel(ctx) // a request once begun is brought to its end
	for n := 1; ctx.Err() == nil; n++ {
		p.shoot(whole, n)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func (p *probe) shoot(ctx context.Context, n int) {
	ctx, cancel := context.WithTimeout(ctx, requestPatience)
	defer cancel()
	value := make([]byte, trafficValue)
	copy(value, strconv.Itoa(n)+" ")
	p.mu.Lock()
	p.tried = n
	p.mu.Unlock()
	over := p.meter.begin()
	began := time.Now()
	err := p.write(ctx, value)
	ended := time.Now()
	over(err)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.failed = append(p.failed, fmt.Sprintf("%s after %v: %v", p.key, ended.Sub(began).Round(time.Millisecond), err))
	} else {
		p.acked = n
		p.shots = append(p.shots, shot{began, ended})
	}
	close(p.next)
	p.next = make(chan struct{})
}

// writtenSince waits for an acknowledgement of a write after a moment and returns
// when it came.
func (p *probe) writtenSince(ctx context.Context, moment time.Time) (time.Time, error) {
	for {
		p.mu.Lock()
		n := len(p.shots)
		next := p.next
		var ended time.Time
		for n > 0 && p.shots[n-1].ended.After(moment) {
			n--
			ended = p.shots[n].ended
		}
		p.mu.Unlock()
		if !ended.IsZero() {
			return ended, nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return ended, fmt.Errorf("no write to %s was acknowledged: %w", p.key, context.Cause(ctx))
		}
	}
}

// longest returns the longest request that ended after a moment, of the probes by
// the client and of the plain ones, and all failures so far.
func (t *traffic) longest(since time.Time) (byClient, plain time.Duration, requests int, failed []string) {
	for _, p := range t.probes {
		p.mu.Lock()
		worst := &byClient
		if p.plain != nil {
			worst = &plain
		}
		for _, s := range p.shots {
			if s.ended.After(since) {
				*worst = max(*worst, s.ended.Sub(s.began))
			}
		}
		requests += len(p.shots) + len(p.failed)
		failed = append(failed, p.failed...)
		p.mu.Unlock()
	}
	return byClient, plain, requests, failed
}

// lost reads all keys back and says what is wrong with them, or that one can't be read in time.
// The traffic has ended.
func (t *traffic) lost(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, requestPatience)
	defer cancel()
	var all []string
	for _, p := range t.probes {
		wrong, err := p.lost(ctx)
		if err != nil {
			return all, err
		}
		if wrong != "" {
			all = append(all, wrong)
		}
	}
	return all, nil
}

// lost reads the key back; it says what is wrong with it.
func (p *probe) lost(ctx context.Context) (string, error) {
	got, err := p.client.Get(ctx, p.key)
	if errors.Is(err, client.ErrNotFound) {
		if p.acked == 0 {
			return "", nil
		}
		return fmt.Sprintf("%s is absent, write %d was acknowledged", p.key, p.acked), nil
	}
	if err != nil {
		return "", err
	}
	n := 0
	if _, err := fmt.Sscan(string(got.Bytes), &n); err != nil || n < p.acked || n > p.tried {
		return fmt.Sprintf("%s holds write %d, write %d was acknowledged and %d the last", p.key, n, p.acked, p.tried), nil
	}
	return "", nil
}

// of returns the probes whose keys a server is primary of.
func (t *traffic) of(v *ring.View, id ring.ServerID) (probes []*probe) {
	for _, p := range t.probes {
		if v.Partitions[ring.PartitionOf(ring.SlotOf(p.key), len(v.Partitions))].Primary() == id {
			probes = append(probes, p)
		}
	}
	return probes
}

// outage is how long keys could not be written.
type outage struct {
	keys  int
	down  time.Duration // until a view said that the server is down
	first time.Duration // until the first of its keys could be written again
	all   time.Duration // until each could
}

// measureOutage has a server killed and waits until each key that it was primary
// of has been written again.
func (t *traffic) measureOutage(ctx context.Context, id ring.ServerID, kill func() error) (outage, error) {
	ctx, cancel := context.WithTimeout(ctx, outagePatience)
	defer cancel()
	probes := t.of(t.admin.View(), id)
	if len(probes) == 0 {
		return outage{}, fmt.Errorf("%v is primary of no key of the traffic", id)
	}
	began := time.Now()
	if err := kill(); err != nil {
		return outage{}, err
	}
	killed := time.Now()
	o := outage{keys: len(probes), first: outagePatience}
	_, err := t.admin.WaitView(ctx, func(v *ring.View) bool {
		m := v.Member(id)
		return m == nil || !m.Up
	})
	if err != nil {
		return o, err
	}
	o.down = time.Since(began)
	for _, p := range probes {
		at, err := p.writtenSince(ctx, killed)
		if err != nil {
			return o, err
		}
		o.first, o.all = min(o.first, at.Sub(began)), max(o.all, at.Sub(began))
	}
	return o, nil
}
