package cli

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"viewring/client/admin"
	"viewring/client/cli/screen"
	"viewring/client/meter"
	"viewring/ring"
)

// watchServersFlags are those of query_servers --watch.
type watchServersFlags struct {
	watch, plain bool
	interval     time.Duration // 0: the default
}

const (
	watchLinesEvery  = 500 * time.Millisecond // unless told otherwise
	watchScreenEvery = time.Second            // likewise
	watchEveryMin    = 100 * time.Millisecond
	watchEveryMax    = 24 * time.Hour
)

// checkWatch checks them. One that is not typed may stand in a file or a variable for whenever --watch is.
func (a *app) checkWatch(cmd *cobra.Command, f *watchServersFlags) error {
	for _, name := range []string{"plain", "interval"} {
		if !f.watch && a.typed(cmd, name) {
			return usagef("--%s goes with --watch", name)
		}
	}
	if f.interval != 0 && (f.interval < watchEveryMin || f.interval > watchEveryMax) {
		return usagef("--interval must be from %v to %v, not %v", watchEveryMin, watchEveryMax, f.interval)
	}
	return nil
}

// watchServers shows the servers until the user ends it.
func (a *app) watchServers(ctx context.Context, f *watchServersFlags) error {
	if !f.plain && !a.flags.json && !a.env.Nested && a.env.StdinTerminal && a.env.StdoutTerminal && a.env.Getenv("TERM") != "dumb" {
		return a.watchScreen(ctx, cmp.Or(f.interval, watchScreenEvery))
	}
	return a.watchLines(ctx, cmp.Or(f.interval, watchLinesEvery))
}

// watchLines prints all again when it changes.
func (a *app) watchLines(ctx context.Context, interval time.Duration) error {
	c, err := a.openCluster(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	last := ""
	for {
		st, err := c.Status(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			a.tell("%v\n", err)
		case a.flags.json:
			a.printStatus(st)
		default:
			if now := changing(st); now != last {
				if last != "" {
					a.printf("\n")
				}
				a.printStatus(st)
				last = now
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// changing is what --watch compares: all but the heartbeats' ages.
func changing(st *admin.Status) string {
	var b strings.Builder
	fmt.Fprint(&b, st.View.Epoch, st.Safety())
	for _, m := range st.View.Members {
		s := st.Server(m.ID).Stats
		fmt.Fprint(&b, stateOf(&m, &s), s.Keys, s.Bytes)
	}
	return b.String()
}

// watchScreen shows them on a screen.
func (a *app) watchScreen(ctx context.Context, interval time.Duration) error {
	opts := a.clientOptions(slog.LevelWarn)
	if a.env.StderrTerminal {
		opts.Logger = slog.New(slog.DiscardHandler) // it would write into the screen, which says itself what fails
	}
	opening, cancel := a.deadline(ctx)
	defer cancel()
	c, err := opened(opening, opts, admin.Open)
	if err != nil {
		return err
	}
	defer c.Close()
	s := &screenSource{a: a, cluster: c, meters: meter.New(opts.Dialer)}
	defer s.close()
	return screen.Run(ctx, screen.Options{Input: a.env.Stdin, Output: a.stdout, Source: s, Interval: interval, Color: a.colored(a.env.Stdout)})
}

// screenSource tells the screen of a cluster, in the words of query_servers.
type screenSource struct {
	a       *app
	cluster *admin.Cluster

	mu      sync.Mutex // of Read, which may still run when the screen has ended
	meters  *meter.Meters
	leaders []screen.Leader
	asked   time.Time // for them

	members sync.Map // addresses by names, of the newest reading
}

func (s *screenSource) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meters.Close()
}

// leadersEvery is how often the group of view leaders is asked for, which needs connections of its own.
const leadersEvery = 4 * time.Second

// Read implements screen.Source.
func (s *screenSource) Read(ctx context.Context) (*screen.Reading, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.cluster.Status(ctx)
	if err != nil {
		return nil, err
	}
	work := s.meters.Read(ctx, st)
	if time.Since(s.asked) >= leadersEvery {
		s.readLeaders(ctx)
	}
	return s.reading(st, work, time.Now()), nil
}

func (s *screenSource) readLeaders(ctx context.Context) {
	opts := s.a.leaderOptions()
	opts.Logger = nil
	g, err := admin.ViewLeaders(ctx, opts)
	if err != nil {
		return // those known last stay: the status has just come from one of them
	}
	s.leaders, s.asked = nil, time.Now()
	for i := range g.Members {
		m := &g.Members[i]
		role := viewLeaderRole(m)
		if role == "follower" {
			role = ""
		}
		s.leaders = append(s.leaders, screen.Leader{Name: m.Addr, Role: role, Up: m.Up})
	}
}

var tones = map[concern]screen.Tone{calm: screen.Good, warning: screen.Worrying, alarm: screen.Bad}

// reading makes of a status what the screen shows.
func (s *screenSource) reading(st *admin.Status, work map[ring.ServerID]meter.Work, now time.Time) *screen.Reading {
	v := st.View
	text, level := verdict(st)
	r := &screen.Reading{At: now, Sentence: text, Tone: tones[level], Rebalancing: rebalancing(st), Leaders: s.leaders,
		Facts: fmt.Sprintf("cluster %s  epoch %d  %s  %d partitions", hex.EncodeToString(v.Cluster[:4]), v.Epoch, count(len(v.Members), "server"), len(v.Partitions))}
	problems := problemsOf(st, now)
	for _, p := range problems {
		r.Problems = append(r.Problems, p.Server+": "+p.Problem)
	}
	moving := map[ring.ServerID]admin.Moving{}
	for _, m := range st.Moving() {
		moving[m.ID] = m
	}
	for i := range v.Members {
		m := &v.Members[i]
		s.members.Store(m.ID.String(), m.Addr)
		one := serverOf(st, m, now)
		if w, ok := work[m.ID]; ok {
			one.Work = screen.Work{Known: true, PerSecond: w.PerSecond, P50: time.Duration(w.P50US) * time.Microsecond, P99: time.Duration(w.P99US) * time.Microsecond}
		}
		if to, ok := moving[m.ID]; ok {
			one.Copying = copyingOf(&to)
		}
		one.Details = detailsOf(st, m, &one, problems)
		r.Servers = append(r.Servers, one)
	}
	return r
}

// serverOf is the row of a server.
func serverOf(st *admin.Status, m *ring.Member, now time.Time) screen.Server {
	h := st.Server(m.ID)
	one := screen.Server{Name: m.ID.String(), Number: uint64(m.ID), Address: m.Addr, State: stateOf(m, &h.Stats), Weight: int(m.Weight),
		Keys: h.Stats.Keys, Bytes: h.Stats.Stored(), Size: size(h.Stats.Stored()), Silent: h.Age}
	if m.Zone != "" {
		one.Zone = zoneOf(m)
	}
	one.Primary, one.Backup, _ = st.Roles(m.ID)
	if !h.Heard {
		one.Silent = -1
	}
	switch {
	case !m.Up:
		one.Tone = screen.Bad
		if left := h.Held.Sub(now); left > 0 {
			one.State += fmt.Sprintf(", flapping: out for %s more", span(left))
		}
	case !h.Lately():
		one.State, one.Tone = m.State()+" when last heard of", screen.Worrying
	case one.State != "up":
		one.Tone = screen.Worrying
	}
	return one
}

func copyingOf(m *admin.Moving) screen.Copying {
	text := fmt.Sprintf("%d left", m.Left)
	if m.TimeLeft >= 0 {
		text += ", " + toGo(m.TimeLeft)
	} else {
		text += ", waiting"
	}
	return screen.Copying{Left: m.Left, Text: text}
}

// detailsOf is what the view leader knows of a server, by its last heartbeat.
func detailsOf(st *admin.Status, m *ring.Member, one *screen.Server, problems []problem) []screen.Detail {
	h := st.Server(m.ID)
	t := &h.Stats
	_, _, learner := st.Roles(m.ID)
	var all []screen.Detail
	add := func(tone screen.Tone, name, format string, args ...any) {
		all = append(all, screen.Detail{Name: name, Text: fmt.Sprintf(format, args...), Tone: tone})
	}
	add(one.Tone, "state", "%s", one.State)
	for _, p := range problems {
		if p.Server == one.Name {
			add(screen.Worrying, "problem", "%s", p.Problem)
		}
	}
	add(screen.Good, "address", "%s", m.Addr)
	add(screen.Good, "zone, weight", "%s, %d", zoneOf(m), m.Weight)
	add(screen.Good, "partitions", "%d as primary, %d as backup, %d as learner, %d strays", one.Primary, one.Backup, learner, t.Strays)
	if !h.Heard {
		add(screen.Worrying, "heartbeat", "never")
		return all
	}
	add(screen.Good, "heartbeat", "%s ago, in epoch %d", span(h.Age), h.Epoch)
	add(screen.Good, "holds", "%d keys, %s, all copies", t.Keys, size(t.Bytes))
	if w := one.Work; w.Known {
		add(screen.Good, "work", "%.0f requests/s", w.PerSecond)
	}
	for _, to := range st.Moving() {
		if to.ID == m.ID {
			add(screen.Good, "copying", "%d partitions and %s done, %d and about %s left, %s, %s to go", to.Done, size(to.DoneBytes), to.Left, size(to.LeftBytes), rateNow(to.Rate), span(max(0, to.TimeLeft)))
		}
	}
	add(screen.Good, "connections", "%d of clients; %d refused, %d cut off, %d requests refused, %d logins refused", t.Clients, t.ClientsRefused, t.ClientsCut, t.RequestsRefused, t.LoginsRefused)
	add(screen.Good, "disk", "%s free; the log has %s, of them %s live and %s garbage", size(t.DiskFree), size(t.LogDisk), size(t.LogLive), size(t.LogGarbage()))
	add(screen.Good, "memory", "%s at most: index %s, items %s of %s, requests %s of %s", size(t.Memory), size(t.IndexBytes), size(t.ItemBytes), size(t.ItemBytesMax), size(t.RequestBytes), size(t.RequestBytesMax))
	add(screen.Good, "files", "%d of %d descriptors", t.Files, t.FilesMax)
	if t.Corrupt+t.Unrepairable+t.LogDamage > 0 {
		add(screen.Worrying, "damage", "%d keys corrupt, %d repaired, %d not repairable; %d places of the log", t.Corrupt, t.Repaired, t.Unrepairable, t.LogDamage)
	}
	if h.Failures > 0 {
		add(screen.Worrying, "failures", "%d lately", h.Failures)
	}
	if t.CertExpires > 0 {
		add(screen.Good, "certificate", "expires at %s", time.Unix(int64(t.CertExpires), 0).Local().Format(time.DateTime))
	}
	return all
}

// Ask implements screen.Source.
func (s *screenSource) Ask(ctx context.Context, server string) ([]screen.Detail, error) {
	addr, _ := s.members.Load(server)
	at, _ := addr.(string)
	one, err := admin.DialServer(ctx, at, s.a.dialer())
	if err != nil {
		return nil, err
	}
	defer one.Close()
	about, err := one.About(ctx)
	if err != nil {
		return nil, err
	}
	all := []screen.Detail{{Name: "version", Text: about.Version}}
	if about.Within < time.Second {
		all = append(all, screen.Detail{Name: "clock", Text: fmt.Sprintf("%s this machine's", offset(about.Ahead, about.Within))})
	}
	if !about.SlowSyncAt.IsZero() {
		all = append(all, screen.Detail{Name: "slow write", Text: fmt.Sprintf("%s at %s", span(about.SlowSync), about.SlowSyncAt.Local().Format(time.DateTime)), Tone: screen.Worrying})
	}
	for _, u := range about.Unlinked {
		all = append(all, screen.Detail{Name: "no connection", Text: fmt.Sprintf("to %v since %s: %s", u.ID, u.Since.Local().Format(time.DateTime), u.Text), Tone: screen.Worrying})
	}
	says, err := one.Rebalancing(ctx)
	if err != nil {
		return nil, err
	}
	for i := range says.Waits {
		all = append(all, screen.Detail{Name: "waits", Text: waitText(server, &says.Waits[i], says.Limit, ""), Tone: screen.Worrying})
	}
	if len(says.Waits) == 0 {
		all = append(all, screen.Detail{Name: "waits", Text: "for nothing"})
	}
	return all, nil
}

// offset is how far a clock is off, as far as that can be known.
func offset(ahead, within time.Duration) string {
	switch {
	case ahead > within:
		return span(ahead) + " ahead of"
	case ahead < -within:
		return span(-ahead) + " behind"
	}
	return "within " + span(within) + " of"
}
