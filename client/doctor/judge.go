package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"viewring/client/admin"
	"viewring/ring"
)

const (
	clockApart   = time.Second         // of the others: from there on a server lets no key expire
	clockHere    = time.Minute         // of this machine
	certSoon     = 30 * 24 * time.Hour // before a certificate expires
	slowLately   = 10 * time.Minute    // how long a slow disk is told
	filesMin     = 1024                // descriptors that a process should have
	filesScarce  = 5                   // in use: 4 of so many
	roomShare    = 5                   // free on a disk: one of so many of what the log takes
	lagMax       = 10_000              // entries that a view leader may be behind
	failuresMany = 3                   // of a server, within the view leader's window
	cluster      = "cluster"           // what a Finding of nobody in particular is about
	scrubs       = "'viewring scrub' reads everything, and has it repaired from other copies"
)

// judge makes findings of facts.
type judge struct {
	*facts
	o     *Options
	found []Finding
}

func (j *judge) find(area, about, what, advice string) {
	j.found = append(j.found, Finding{area, about, what, advice})
}

func (j *judge) all() {
	j.viewLeaders()
	j.servers()
	j.copies()
	j.connections()
	j.certificates()
	j.versions()
	j.clocks()
	j.disks()
	j.limits()
	slices.SortStableFunc(j.found, func(a, b Finding) int { return slices.Index(Areas, a.Area) - slices.Index(Areas, b.Area) })
}

// viewLeaders looks at their group.
func (j *judge) viewLeaders() {
	const area = "view leaders"
	if j.group == nil {
		j.find(area, cluster, "no view leader answers: "+j.groupErr.Error(),
			"start them; reads and writes go on without, but no failure is dealt with")
		return
	}
	want, up := j.group.Majority()
	switch {
	case !j.group.HasHead:
		j.find(area, cluster, fmt.Sprintf("there is no head: %d of the %d that a majority takes are up", up, want),
			"start those that are down: until then no failure of a server is dealt with, and no lock is granted")
	case j.statusErr != nil:
		j.find(area, cluster, "the head does not tell how the servers stand: "+j.statusErr.Error(), "look at its log")
	}
	for i := range j.group.Members {
		m := &j.group.Members[i]
		name := fmt.Sprintf("view leader %d", m.ID)
		switch {
		case !m.Up:
			j.find(area, name, "down, at "+m.Addr,
				fmt.Sprintf("start it again; if it never returns: 'viewring viewleaders remove %d', and add another", m.ID))
		case !m.Voter:
			j.find(area, name, "joining, and not counted yet, at "+m.Addr, "wait; it copies what the others have")
		case m.Lag > lagMax:
			j.find(area, name, fmt.Sprintf("%d entries behind the head", m.Lag), "look at its disk, and at the network between")
		}
	}
	for _, addr := range j.group.Awaited {
		j.find(area, cluster, "a view leader is expected at "+addr+" and has not joined", "start it with an empty folder, and with --peers of all, itself among them")
	}
}

// servers looks at who is a member.
func (j *judge) servers() {
	const area = "servers"
	if j.status == nil {
		return
	}
	if len(j.status.View.Members) == 0 {
		j.find(area, cluster, "no server has joined yet", "start some: 'viewring server'")
	}
	for i := range j.status.View.Members {
		m := &j.status.View.Members[i]
		h := j.status.Server(m.ID)
		switch {
		case !m.Up && m.Status == ring.Draining:
			j.find(area, m.ID.String(), "drained, and down", "start it again, which ends the drain")
		case !m.Up:
			since := ""
			if !h.Down.IsZero() {
				since = " since " + h.Down.Local().Format(time.DateTime)
			}
			j.find(area, m.ID.String(), "down"+since+", at "+m.Addr,
				fmt.Sprintf("start it again; if it never returns: 'viewring remove %v'", m.ID))
		case m.Status == ring.Draining:
			j.find(area, m.ID.String(), "drained: it serves nothing", fmt.Sprintf("restart it, or 'viewring undrain %v'", m.ID))
		case !h.Lately():
			j.find(area, m.ID.String(), "not heard of lately by the view leader", "look whether it runs, and reaches the view leaders")
		}
		if h.Failures >= failuresMany {
			j.find(area, m.ID.String(), fmt.Sprintf("failed %d times lately", h.Failures), "look at its log, its machine and its network")
		}
	}
}

// copies looks whether all is there.
func (j *judge) copies() {
	const area = "copies"
	if j.status == nil || len(j.status.View.Members) == 0 {
		return
	}
	s, total := j.status.Safety(), len(j.status.View.Partitions)
	down := ""
	if ids := j.status.WaitsOnlyFor(); len(ids) > 0 {
		down = fmt.Sprintf("start %s again", joined(ids))
	}
	if s.Unavailable > 0 {
		j.find(area, cluster, fmt.Sprintf("%d of %d partitions are not served: their keys can be neither read nor written", s.Unavailable, total),
			first(down, "start the servers that are down; 'viewring query_servers' shows them. 'viewring accept-loss' gives up what no server has any more"))
	}
	if s.ReadOnly > 0 {
		j.find(area, cluster, fmt.Sprintf("%d of %d partitions take no writes: fewer than min-copies are there", s.ReadOnly, total),
			first(down, "start the servers that are down, or add one"))
	}
	if n := s.TooFew - s.ReadOnly; n > 0 {
		j.find(area, cluster, fmt.Sprintf("%d of %d partitions have fewer than %d copies", n, total, s.Copies),
			first(down, j.heldBack(), "wait until they are made: 'viewring wait --safe'; 'viewring rebalance status' says whether that goes on"))
	}
	for i := range j.status.View.Members {
		m := &j.status.View.Members[i]
		st := j.status.Server(m.ID).Stats
		if m.Up && st.Waiting > 0 && st.WaitingWhy == admin.WaitingPaused {
			j.find(area, m.ID.String(), fmt.Sprintf("its copying is paused, and %s", count(st.Waiting, "copy waits", "copies wait")),
				fmt.Sprintf("'viewring rebalance resume --server %v' lets it go on", m.ID))
		}
		switch n := st.Corrupt - min(st.Corrupt, st.Repaired); {
		case st.Unrepairable > 0:
			j.find(area, m.ID.String(), fmt.Sprintf("%d keys can't be read, and no other copy was sound", st.Unrepairable), scrubs+"; restore the others from a backup")
		case n > 0:
			j.find(area, m.ID.String(), fmt.Sprintf("%d keys can't be read there, and are not repaired yet", n), scrubs)
		}
	}
}

// heldBack says what to do so that the copies are made that wait for an operator; "": none do.
func (j *judge) heldBack() string {
	var full, paused []ring.ServerID
	for i := range j.status.View.Members {
		m := &j.status.View.Members[i]
		switch st := j.status.Server(m.ID).Stats; {
		case !m.Up:
		case st.Full:
			full = append(full, m.ID)
		case st.Waiting > 0 && st.WaitingWhy == admin.WaitingPaused:
			paused = append(paused, m.ID)
		}
	}
	switch {
	case len(full) > 0:
		return fmt.Sprintf("make room on %s, whose disk is full, or add a server", joined(full))
	case len(paused) > 0:
		return "let the copying to " + joined(paused) + " go on: 'viewring rebalance resume'"
	}
	return ""
}

// count is a number of things.
func count(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// connections looks whether each reaches each.
func (j *judge) connections() {
	const area = "connections"
	for i := range j.facts.all {
		p := &j.facts.all[i]
		if p.err != nil && !p.early() {
			j.find(area, p.name, fmt.Sprintf("can't be reached from here, at %s: %v", p.addr, p.err),
				first(j.o.Explain(p.err), "look whether it runs, and whether the address is one that others reach"))
		}
		for _, u := range p.about.Unlinked {
			advice := "look at the network between them, and at --advertise of " + u.ID.String()
			if known, ok := unlinkedAdvice[u.Why]; ok {
				advice = known
			}
			j.find(area, p.name, fmt.Sprintf("can't connect to %v since %s: %s", u.ID, u.Since.Local().Format(time.TimeOnly), u.Text), advice)
		}
	}
	if j.status == nil {
		return
	}
	for i := range j.status.View.Members { // of earlier builds
		m := &j.status.View.Members[i]
		if st := j.status.Server(m.ID).Stats; m.Up && st.Unlinked > 0 && j.isEarly(m.ID) {
			j.find(area, m.ID.String(), fmt.Sprintf("can't connect to %v and %d more", ring.ServerID(st.UnlinkedTo), st.Unlinked-1), "look at its log")
		}
	}
}

func (j *judge) isEarly(id ring.ServerID) bool {
	return slices.ContainsFunc(j.facts.all, func(p process) bool { return p.id == id && p.early() })
}

// unlinkedAdvice is what to do about why a server can't connect to another.
var unlinkedAdvice = map[uint64]string{
	admin.UnlinkedCertificate: "give the other a certificate for the address that it is reached at, of an authority that both know",
	admin.UnlinkedRefused:     "give this one a certificate that the other believes",
	admin.UnlinkedPassword:    "give both the same password file",
	admin.UnlinkedFiles:       "raise 'ulimit -n' (LimitNOFILE of systemd) of this one",
	admin.UnlinkedTLS:         "give both certificates, or neither",
}

// certificates looks when they expire.
func (j *judge) certificates() {
	const area = "certificates"
	look := func(name string, expires time.Time) {
		left := expires.Sub(j.now)
		const advice = "put a new one in its place, such as 'viewring certs renew' makes: it is read again when it changes"
		switch {
		case expires.IsZero() || left > certSoon:
		case left <= 0:
			j.find(area, name, "its certificate has expired, at "+expires.Local().Format(time.DateTime), advice)
		default:
			j.find(area, name, fmt.Sprintf("its certificate expires in %s, at %s", count(uint64(left.Hours()/24), "day", "days"), expires.Local().Format(time.DateTime)), advice)
		}
	}
	if j.group != nil {
		for i := range j.group.Members {
			look(fmt.Sprintf("view leader %d", j.group.Members[i].ID), j.group.Members[i].CertExpires)
		}
	}
	if j.status == nil {
		return
	}
	for i := range j.status.View.Members {
		m := &j.status.View.Members[i]
		if at := j.status.Server(m.ID).Stats.CertExpires; m.Up && at > 0 {
			look(m.ID.String(), time.Unix(int64(at), 0))
		}
	}
}

// versions looks whether all are of one build.
func (j *judge) versions() {
	of := map[string][]string{}
	var order []string
	for i := range j.facts.all {
		p := &j.facts.all[i]
		version := p.about.Version
		switch {
		case p.early():
			version = "an earlier build"
		case p.err != nil:
			continue
		}
		if of[version] == nil {
			order = append(order, version)
		}
		of[version] = append(of[version], p.name)
	}
	if len(order) < 2 {
		return
	}
	var parts []string
	for _, version := range order {
		parts = append(parts, fmt.Sprintf("%s: %s", version, strings.Join(of[version], ", ")))
	}
	j.find("versions", cluster, "processes are of different builds: "+strings.Join(parts, "; "),
		"finish the upgrade: restart the others, one after the other, each once 'viewring wait --safe' has ended")
}

// clocks compares them.
func (j *judge) clocks() {
	const area = "clocks"
	var known []process
	for _, p := range j.facts.all {
		if p.err == nil {
			known = append(known, p)
		}
	}
	if len(known) == 0 {
		return
	}
	ahead := make([]time.Duration, 0, len(known))
	for i := range known {
		ahead = append(ahead, known[i].about.Ahead)
	}
	slices.Sort(ahead)
	middle := ahead[(len(ahead)-1)/2]
	for i := range known {
		p := &known[i]
		off := p.about.Ahead - middle
		if off.Abs() > clockApart+p.about.Within {
			j.find(area, p.name, fmt.Sprintf("its clock is %s the others'", apart(off)), "have the clocks set by NTP (chrony, systemd-timesyncd): a server whose clock is off lets no key expire")
		}
	}
	if middle.Abs() > clockHere {
		j.find(area, "this machine", fmt.Sprintf("its clock is %s the cluster's", apart(-middle)), "have it set by NTP: requests of a client whose clock is far off are refused")
	}
}

// apart says how far a clock is off.
func apart(off time.Duration) string {
	if off < 0 {
		return (-off).Round(100*time.Millisecond).String() + " behind"
	}
	return off.Round(100*time.Millisecond).String() + " ahead of"
}

// disks looks at room, speed and damage.
func (j *judge) disks() {
	const area = "disks"
	for i := range j.facts.all {
		p := &j.facts.all[i]
		if at := p.about.SlowSyncAt; p.err == nil && !at.IsZero() && p.about.At.Sub(at) < slowLately {
			j.find(area, p.name, fmt.Sprintf("a write took %s to be on the disk, at %s", p.about.SlowSync.Round(10*time.Millisecond), at.Local().Format(time.TimeOnly)),
				"see what else uses the disk, and whether it is healthy (smartctl): all writes wait for the slowest of the copies")
		}
	}
	if j.status == nil {
		return
	}
	for i := range j.status.View.Members {
		m := &j.status.View.Members[i]
		h := j.status.Server(m.ID)
		if st := &h.Stats; m.Up && h.Heard {
			j.disk(m.ID.String(), st)
		}
	}
}

func (j *judge) disk(name string, st *admin.ServerStats) {
	const area = "disks"
	switch {
	case st.Full:
		j.find(area, name, "its disk is full: it takes nothing new", "make room on it, or add a server")
	case st.LogDisk > 0 && st.DiskFree < st.LogDisk/roomShare:
		j.find(area, name, fmt.Sprintf("its disk has %d MiB left, beside %d MiB of its log", st.DiskFree>>20, st.LogDisk>>20), "make room on it, or add a server")
	}
	if st.LogDamage > 0 {
		j.find(area, name, fmt.Sprintf("%d damaged places in its log", st.LogDamage), scrubs+"; a disk that damages more is to be replaced: 'viewring leave "+name+"'")
	}
}

// limits looks at what the system lets processes have.
func (j *judge) limits() {
	const area = "limits"
	const advice = "raise 'ulimit -n' (LimitNOFILE of systemd), and restart it"
	for i := range j.facts.all {
		p := &j.facts.all[i]
		a := &p.about
		switch {
		case p.err != nil || a.FilesMax == 0:
		case a.Files*filesScarce >= a.FilesMax*(filesScarce-1):
			j.find(area, p.name, fmt.Sprintf("%d of the %d file descriptors that the system lets it have are in use", a.Files, a.FilesMax), advice)
		case a.FilesMax < filesMin:
			j.find(area, p.name, fmt.Sprintf("the system lets it have %d file descriptors: few clients can connect", a.FilesMax), advice)
		}
	}
}

func first(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

func joined(ids []ring.ServerID) string {
	var names []string
	for _, id := range ids {
		names = append(names, id.String())
	}
	return strings.Join(names, ", ")
}
