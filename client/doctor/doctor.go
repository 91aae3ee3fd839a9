package doctor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"viewring/client"
	"viewring/client/admin"
	"viewring/internal/wire"
	"viewring/ring"
)

// Finding is something that is wrong.
type Finding struct {
	Area   string `json:"area"`   // one of the Areas
	About  string `json:"about"`  // a server, a view leader, or "cluster"
	What   string `json:"what"`   // what is wrong
	Advice string `json:"advice"` // what to do
}

// Areas are what is looked at, in the order of findings.
var Areas = []string{"view leaders", "servers", "copies", "connections", "certificates", "versions", "clocks", "disks", "limits"}

// Options of an Examine.
type Options struct {
	Client client.Options
	// Explain says what to do about an error of a connection that was not let in; "": it is another one. nil: nobody
	// knows.
	Explain func(error) string
	Now     func() time.Time // default time.Now
}

// Report is what an Examine has found.
type Report struct {
	Findings    []Finding // in the order of Areas
	Servers     int       // that were asked
	ViewLeaders int       // likewise
	Partitions  int
}

// askMax bounds what is asked of one process.
const askMax = 5 * time.Second

// process is a server or a view leader, and what it says.
type process struct {
	name  string // s1, or "view leader 1"
	addr  string
	id    ring.ServerID // 0: a view leader
	about admin.About
	err   error // why it could not be asked
}

// early reports whether it is of a build that tells nothing about itself.
func (p *process) early() bool { return wire.IsCode(p.err, wire.CodeErr) }

// facts are all that is judged.
type facts struct {
	group     *admin.ViewLeaderGroup // nil: no view leader answered, groupErr says why
	groupErr  error
	status    *admin.Status // nil: no head told, statusErr says why
	statusErr error
	all       []process // servers that should be up, and view leaders
	now       time.Time
}

// Examine asks the cluster. It fails only where nobody can be asked at all; whatever else can't be asked is a
// finding.
func Examine(ctx context.Context, o Options) (*Report, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Explain == nil {
		o.Explain = func(error) string { return "" }
	}
	f := &facts{}
	view := f.ask(ctx, &o)
	if f.group == nil && view == nil {
		return nil, f.groupErr
	}
	f.visit(ctx, &o, view)
	f.now = o.Now()
	j := &judge{facts: f, o: &o}
	j.all()
	r := &Report{Findings: j.found}
	for i := range f.all {
		if f.all[i].id == 0 {
			r.ViewLeaders++
		} else {
			r.Servers++
		}
	}
	if view != nil {
		r.Partitions = len(view.Partitions)
	}
	return r, nil
}

// ask asks the view leaders, and returns the newest view that anybody has; nil where nobody has one.
func (f *facts) ask(ctx context.Context, o *Options) *ring.View {
	asking, cancel := context.WithTimeout(ctx, askMax)
	defer cancel()
	f.group, f.groupErr = admin.ViewLeaders(asking, o.Client)
	c, err := admin.Open(ctx, o.Client)
	if err != nil {
		f.statusErr = err
		return nil
	}
	defer c.Close()
	if f.status, f.statusErr = c.Status(ctx); f.status != nil {
		return f.status.View
	}
	return c.View()
}

// visit asks all processes, side by side.
func (f *facts) visit(ctx context.Context, o *Options, view *ring.View) {
	if f.group != nil {
		for i := range f.group.Members {
			m := &f.group.Members[i]
			f.all = append(f.all, process{name: fmt.Sprintf("view leader %d", m.ID), addr: m.Addr})
		}
	}
	if view != nil {
		for i := range view.Members {
			if m := &view.Members[i]; m.Up {
				f.all = append(f.all, process{name: m.ID.String(), addr: m.Addr, id: m.ID})
			}
		}
	}
	var asking sync.WaitGroup
	for i := range f.all {
		p := &f.all[i]
		asking.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, askMax)
			defer cancel()
			p.about, p.err = p.ask(ctx, o.Client.Dialer)
		})
	}
	asking.Wait()
}

func (p *process) ask(ctx context.Context, dial client.DialFunc) (admin.About, error) {
	if p.id == 0 {
		return admin.AboutViewLeader(ctx, p.addr, dial)
	}
	s, err := admin.DialServer(ctx, p.addr, dial)
	if err != nil {
		return admin.About{}, err
	}
	defer s.Close() // it was asked all
	return s.About(ctx)
}
