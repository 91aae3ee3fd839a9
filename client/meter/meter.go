package meter

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"viewring/client"
	"viewring/client/admin"
	"viewring/ring"
)

// Work is what clients had a server do lately. As JSON times are in microseconds.
type Work struct {
	PerSecond float64 `json:"per_second"` // between the last two answers
	MeanUS    float64 `json:"mean_us"`    // that a request took in the server, likewise; 0: there were none
	P50US     uint64  `json:"p50_us"`     // half of the requests took at most so long, of those in the last Window; 0: not known
	P99US     uint64  `json:"p99_us"`     // likewise 99 of 100
}

// Window is over which time percentiles are told: of fewer requests they would say little.
const Window = 10 * time.Second

const (
	atATime   = 16
	answerMax = 500 * time.Millisecond // for a server's answer
)

// Meters ask each server for its counts. One goroutine at a time may use them.
type Meters struct {
	dial    client.DialFunc
	servers map[ring.ServerID]*meter
}

// meter is that of one server.
type meter struct {
	addr   string
	conn   *admin.Server // nil: none
	counts []counts      // that it told, oldest first: of the last Window, and one before
}

// counts are what a server had counted, since its start.
type counts struct {
	at          time.Time
	calls, usec float64
	took        admin.Times
}

// New returns Meters that know nothing yet. A nil dial is net.Dialer's.
func New(dial client.DialFunc) *Meters {
	return &Meters{dial: dial, servers: make(map[ring.ServerID]*meter)}
}

// Read asks the servers that are up, and returns the work of those that answered now and before. It takes
// half a second where one does not answer.
func (m *Meters) Read(ctx context.Context, st *admin.Status) map[ring.ServerID]Work {
	all := make(map[ring.ServerID]Work)
	var mu sync.Mutex
	var asking sync.WaitGroup
	places := make(chan struct{}, atATime)
	for i := range st.View.Members {
		member := &st.View.Members[i]
		one := m.of(member)
		if !member.Up {
			one.close()
			continue
		}
		places <- struct{}{}
		asking.Go(func() {
			defer func() { <-places }()
			if w, ok := one.read(ctx, m.dial); ok {
				mu.Lock()
				defer mu.Unlock()
				all[member.ID] = w
			}
		})
	}
	asking.Wait()
	m.forget(st)
	return all
}

func (m *Meters) of(member *ring.Member) *meter {
	one := m.servers[member.ID]
	if one == nil || one.addr != member.Addr {
		if one != nil {
			one.close()
		}
		one = &meter{addr: member.Addr}
		m.servers[member.ID] = one
	}
	return one
}

// forget leaves out who is no member any more.
func (m *Meters) forget(st *admin.Status) {
	for id, one := range m.servers {
		if st.View.Member(id) == nil {
			one.close()
			delete(m.servers, id)
		}
	}
}

// Close ends the connections.
func (m *Meters) Close() {
	for _, one := range m.servers {
		one.close()
	}
}

func (o *meter) close() {
	if o.conn != nil {
		_ = o.conn.Close() // it is only asked
	}
	*o = meter{addr: o.addr}
}

// read returns the work since the read before; not ok: there is nothing to compare with.
func (o *meter) read(ctx context.Context, dial client.DialFunc) (w Work, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, answerMax)
	defer cancel()
	now, err := o.ask(ctx, dial)
	if err != nil {
		o.close()
		return w, false
	}
	now.at = time.Now()
	return o.add(now)
}

func (o *meter) ask(ctx context.Context, dial client.DialFunc) (now counts, err error) {
	if o.conn == nil {
		if o.conn, err = admin.DialServer(ctx, o.addr, dial); err != nil {
			o.conn = nil
			return now, err
		}
	}
	lines, err := o.conn.Info(ctx, "commandstats")
	if err != nil {
		return now, err
	}
	now.calls, now.usec = sum(lines)
	times, err := o.conn.Times(ctx)
	if errors.Is(err, client.ErrRefused) {
		return now, nil // a build that does not tell: percentiles are not known
	}
	for name, t := range times {
		if isWork(name) {
			now.took.Add(&t)
		}
	}
	return now, err
}

// add takes an answer, and compares it with those before.
func (o *meter) add(now counts) (w Work, ok bool) {
	if n := len(o.counts); n > 0 && (now.calls < o.counts[n-1].calls || !now.at.After(o.counts[n-1].at)) {
		o.counts = nil // it was started again
	}
	o.counts = append(o.counts, now)
	n := len(o.counts)
	if n == 1 {
		return w, false
	}
	for len(o.counts) > 2 && now.at.Sub(o.counts[1].at) >= Window {
		o.counts = o.counts[1:]
	}
	before, first := &o.counts[len(o.counts)-2], &o.counts[0]
	calls := now.calls - before.calls
	w.PerSecond = calls / now.at.Sub(before.at).Seconds()
	if calls > 0 {
		w.MeanUS = (now.usec - before.usec) / calls
	}
	took := now.took.Since(&first.took)
	w.P50US, w.P99US = took.Percentile(50), took.Percentile(99)
	return w, true
}

// notWork are commands that are not what clients want of their data: connections of servers, and
// questions such as these.
var notWork = map[string]bool{"info": true, "latency": true, "hello": true, "auth": true, "ping": true, "client": true, "vr.link": true, "vr.view": true, "vr.watch": true, "vr.about": true, "vr.rebalance": true}

// isWork reports whether a command, maybe with its subcommand behind a bar, is what clients want of their data.
func isWork(command string) bool {
	name, _, _ := strings.Cut(command, "|")
	return !notWork[name]
}

// sum adds up the calls of commands, and the microseconds that they took.
func sum(lines map[string]string) (calls, usec float64) {
	for name, line := range lines {
		command, ok := strings.CutPrefix(name, "cmdstat_")
		if !ok || !isWork(command) {
			continue
		}
		for field := range strings.SplitSeq(line, ",") {
			key, value, _ := strings.Cut(field, "=")
			n, err := strconv.ParseFloat(value, 64)
			switch {
			case err != nil:
			case key == "calls":
				calls += n
			case key == "usec":
				usec += n
			}
		}
	}
	return calls, usec
}
