package page

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"viewring/client"
	"viewring/client/admin"
	"viewring/ring"
)

// work is what clients had a server do lately.
type work struct {
	PerSecond float64 `json:"per_second"`
	MeanUS    float64 `json:"mean_us"` // microseconds that one request took in the server; 0: there were none
}

const (
	metersAtATime = 16
	meterMax      = 500 * time.Millisecond // for a server's answer
)

// meters ask each server for its counts of commands. Two answers make a rate.
type meters struct {
	dial    client.DialFunc
	servers map[ring.ServerID]*meter
}

// meter is that of one server.
type meter struct {
	addr        string
	conn        *admin.Server // nil: none
	at          time.Time     // of the counts; zero: there are none
	calls, usec float64       // since the server's start
}

func newMeters(dial client.DialFunc) *meters {
	return &meters{dial: dial, servers: make(map[ring.ServerID]*meter)}
}

// read returns the work of the servers that answer at once, by their ids.
func (m *meters) read(ctx context.Context, st *admin.Status) map[string]work {
	all := make(map[string]work)
	var mu sync.Mutex
	var asking sync.WaitGroup
	places := make(chan struct{}, metersAtATime)
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
				all[member.ID.String()] = w
			}
		})
	}
	asking.Wait()
	m.forget(st)
	return all
}

func (m *meters) of(member *ring.Member) *meter {
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
func (m *meters) forget(st *admin.Status) {
	for id, one := range m.servers {
		if st.View.Member(id) == nil {
			one.close()
			delete(m.servers, id)
		}
	}
}

func (m *meters) close() {
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
func (o *meter) read(ctx context.Context, dial client.DialFunc) (w work, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, meterMax)
	defer cancel()
	lines, err := o.ask(ctx, dial)
	if err != nil {
		o.close()
		return w, false
	}
	now := time.Now()
	calls, usec := sum(lines)
	before := *o
	o.at, o.calls, o.usec = now, calls, usec
	seconds := now.Sub(before.at).Seconds()
	if before.at.IsZero() || calls < before.calls || seconds <= 0 { // it was started again
		return w, false
	}
	w.PerSecond = (calls - before.calls) / seconds
	if n := calls - before.calls; n > 0 {
		w.MeanUS = (usec - before.usec) / n
	}
	return w, true
}

func (o *meter) ask(ctx context.Context, dial client.DialFunc) (lines map[string]string, err error) {
	if o.conn == nil {
		if o.conn, err = admin.DialServer(ctx, o.addr, dial); err != nil {
			o.conn = nil
			return nil, err
		}
	}
	return o.conn.Info(ctx, "commandstats")
}

// notWork are commands that are not what clients want of their data: connections of servers, and
// questions such as these.
var notWork = map[string]bool{"info": true, "hello": true, "auth": true, "ping": true, "client": true, "vr.link": true, "vr.view": true, "vr.watch": true}

// sum adds up the calls of commands, and the microseconds that they took.
func sum(lines map[string]string) (calls, usec float64) {
	for name, line := range lines {
		command, ok := strings.CutPrefix(name, "cmdstat_")
		if !ok || notWork[command] {
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
