package doctor

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"viewring/client/admin"
	"viewring/internal/wire"
	"viewring/ring"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// healthy are facts of three servers and three view leaders in which nothing is wrong.
func healthy(t *testing.T) *facts {
	t.Helper()
	f := &facts{now: now, group: &admin.ViewLeaderGroup{HasHead: true}}
	v := &ring.View{Epoch: 9, MinCopies: 2, Partitions: make([]ring.Partition, 4)}
	st := &admin.Status{View: v}
	for i := range 3 {
		id := ring.ServerID(i + 1)
		f.group.Members = append(f.group.Members, admin.ViewLeader{ID: uint64(i + 1), Addr: fmt.Sprint("l", i+1), Head: i == 0, Voter: true, Up: true})
		v.Members = append(v.Members, ring.Member{ID: id, Incarnation: 1, Addr: fmt.Sprint("h", i+1), Weight: 1, Status: ring.In, Up: true})
		st.Servers = append(st.Servers, admin.ServerStatus{ID: id, Heard: true, Epoch: 9, Stats: admin.ServerStats{LogDisk: 1 << 30, DiskFree: 100 << 30}})
		about := admin.About{Version: "v1", At: now, Files: 100, FilesMax: 20_000, Within: time.Millisecond}
		f.all = append(f.all, process{name: fmt.Sprint("view leader ", i+1), addr: fmt.Sprint("l", i+1), about: about},
			process{name: id.String(), addr: fmt.Sprint("h", i+1), id: id, about: about})
	}
	for i := range v.Partitions {
		v.Partitions[i] = ring.Partition{Term: 1, MinCopies: 2, Acting: []ring.ServerID{1, 2, 3}, Writable: []ring.ServerID{1, 2, 3}}
	}
	var err error
	if st.Table, err = admin.TableOf(v); err != nil {
		t.Fatal(err)
	}
	f.status = st
	return f
}

func judged(f *facts) []Finding {
	j := &judge{facts: f, o: &Options{Explain: func(error) string { return "" }}}
	j.all()
	return j.found
}

// TestJudge: each thing that goes wrong is found, where it is, and advised on; nothing else is.
func TestJudge(t *testing.T) {
	if found := judged(healthy(t)); len(found) > 0 {
		t.Fatalf("of a healthy cluster: %+v", found)
	}
	unknown := &wire.ServerError{Code: wire.CodeErr, Message: "unknown command"}
	server := func(f *facts) *process { return &f.all[1] }
	stats := func(f *facts) *admin.ServerStats { return &f.status.Servers[0].Stats }
	for _, tt := range []struct {
		name              string
		spoil             func(f *facts)
		area, about, what string
	}{
		{"no view leader", func(f *facts) { f.group, f.groupErr = nil, errors.New("refused") }, "view leaders", "cluster", "no view leader answers: refused"},
		{"no head", func(f *facts) { f.group.HasHead, f.group.Members[0].Up, f.group.Members[1].Up = false, false, false }, "view leaders", "cluster", "1 of the 2 that a majority takes are up"},
		{"a view leader down", func(f *facts) { f.group.Members[2].Up = false }, "view leaders", "view leader 3", "down, at l3"},
		{"joining", func(f *facts) { f.group.Members[2].Voter = false }, "view leaders", "view leader 3", "joining"},
		{"behind", func(f *facts) { f.group.Members[2].Lag = lagMax + 1 }, "view leaders", "view leader 3", "entries behind"},
		{"awaited", func(f *facts) { f.group.Awaited = []string{"l4"} }, "view leaders", "cluster", "expected at l4"},
		{"silent head", func(f *facts) { f.status, f.statusErr = nil, errors.New("busy") }, "view leaders", "cluster", "busy"},
		{"no servers", func(f *facts) { f.status.View.Members = nil }, "servers", "cluster", "no server has joined"},
		{"down", func(f *facts) { f.status.View.Members[0].Up = false }, "servers", "s1", "down, at h1"},
		{"drained", func(f *facts) { f.status.View.Members[0].Status = ring.Draining }, "servers", "s1", "it serves nothing"},
		{"drained and down", func(f *facts) { m := &f.status.View.Members[0]; m.Status, m.Up = ring.Draining, false }, "servers", "s1", "drained, and down"},
		{"unheard", func(f *facts) { f.status.Servers[0].Age = time.Hour }, "servers", "s1", "not heard of"},
		{"flapping", func(f *facts) { f.status.Servers[0].Failures = 3 }, "servers", "s1", "failed 3 times"},
		{"short", func(f *facts) { f.status.View.Partitions[1].Acting = []ring.ServerID{1, 2} }, "copies", "cluster", "1 of 4 partitions have fewer than 3 copies"},
		{"read-only", func(f *facts) { f.status.View.Partitions[1].Acting = []ring.ServerID{1} }, "copies", "cluster", "take no writes"},
		{"unserved", func(f *facts) { f.status.View.Partitions[1].Acting = nil }, "copies", "cluster", "not served"},
		{"paused", func(f *facts) { stats(f).Waiting, stats(f).WaitingWhy = 1, admin.WaitingPaused }, "copies", "s1", "its copying is paused, and 1 copy waits"},
		{"corrupt", func(f *facts) { stats(f).Corrupt, stats(f).Repaired = 3, 1 }, "copies", "s1", "2 keys can't be read there"},
		{"lost", func(f *facts) { stats(f).Corrupt, stats(f).Unrepairable = 3, 3 }, "copies", "s1", "no other copy was sound"},
		{"unreachable", func(f *facts) { server(f).err = errors.New("refused") }, "connections", "s1", "can't be reached from here, at h1: refused"},
		{"another password", func(f *facts) { server(f).err = &wire.ServerError{Code: wire.CodeWrongPass} }, "connections", "s1", "can't be reached from here"},
		{"unlinked", func(f *facts) { server(f).about.Unlinked = []admin.UnlinkedPeer{{ID: 2, Since: now, Text: "no route"}} }, "connections", "s1", "can't connect to s2"},
		{"unlinked, early", func(f *facts) { server(f).err, stats(f).Unlinked, stats(f).UnlinkedTo = unknown, 1, 2 }, "connections", "s1", "can't connect to s2"},
		{"certificate of a server", func(f *facts) { stats(f).CertExpires = uint64(now.Add(24 * 10 * time.Hour).Unix()) }, "certificates", "s1", "expires in 10 days"},
		{"certificate of tomorrow", func(f *facts) { stats(f).CertExpires = uint64(now.Add(30 * time.Hour).Unix()) }, "certificates", "s1", "expires in 1 day,"},
		{"certificate of a view leader", func(f *facts) { f.group.Members[1].CertExpires = now.Add(-time.Hour) }, "certificates", "view leader 2", "has expired"},
		{"versions", func(f *facts) { server(f).about.Version = "v2" }, "versions", "cluster", "v1: view leader 1, view leader 2, s2, view leader 3, s3; v2: s1"},
		{"early", func(f *facts) { server(f).err = unknown }, "versions", "cluster", "an earlier build: s1"},
		{"ahead", func(f *facts) { server(f).about.Ahead = 5 * time.Second }, "clocks", "s1", "5s ahead of the others'"},
		{"behind the others", func(f *facts) { server(f).about.Ahead = -5 * time.Second }, "clocks", "s1", "5s behind the others'"},
		{"here", func(f *facts) {
			for i := range f.all {
				f.all[i].about.Ahead = time.Hour
			}
		}, "clocks", "this machine", "1h0m0s behind the cluster's"},
		{"slow", func(f *facts) { a := &server(f).about; a.SlowSync, a.SlowSyncAt = 3*time.Second, now.Add(-time.Minute) }, "disks", "s1", "a write took 3s"},
		{"full", func(f *facts) { stats(f).Full = true }, "disks", "s1", "full"},
		{"little room", func(f *facts) { stats(f).DiskFree = 100 << 20 }, "disks", "s1", "100 MiB left"},
		{"damaged", func(f *facts) { stats(f).LogDamage = 2 }, "disks", "s1", "2 damaged places"},
		{"descriptors", func(f *facts) { server(f).about.Files = 19_000 }, "limits", "s1", "19000 of the 20000"},
		{"few descriptors", func(f *facts) { server(f).about.FilesMax = 256 }, "limits", "s1", "256 file descriptors"},
	} {
		f := healthy(t)
		tt.spoil(f)
		ok := false
		for _, x := range judged(f) {
			ok = ok || x.Area == tt.area && x.About == tt.about && strings.Contains(x.What, tt.what) && x.Advice != ""
		}
		if !ok {
			t.Errorf("%s: %+v", tt.name, judged(f))
		}
	}
}

// TestHeldBack: copies that wait for an operator are not to be waited for.
func TestHeldBack(t *testing.T) {
	for want, spoil := range map[string]func(s *admin.ServerStats){
		"wait until they are made": func(*admin.ServerStats) {},
		"make room on s3,":         func(s *admin.ServerStats) { s.Full = true },
		"let the copying to s3 go": func(s *admin.ServerStats) { s.Waiting, s.WaitingWhy = 4, admin.WaitingPaused },
	} {
		f := healthy(t)
		f.status.View.Partitions[1].Acting = []ring.ServerID{1, 2}
		spoil(&f.status.Servers[2].Stats)
		for _, x := range judged(f) {
			if x.Area == "copies" && x.About == cluster && !strings.HasPrefix(x.Advice, want) {
				t.Errorf("%+v, want %q", x, want)
			}
		}
	}
}

// TestJudgeWithin: what is not sure is not told: a clock that may be right, as far as the answer's time tells, and
// what was slow long ago.
func TestJudgeWithin(t *testing.T) {
	f := healthy(t)
	f.all[1].about.Ahead, f.all[1].about.Within = 3*time.Second, 4*time.Second
	f.all[3].about.SlowSync, f.all[3].about.SlowSyncAt = time.Minute, now.Add(-time.Hour)
	if found := judged(f); len(found) > 0 {
		t.Errorf("%+v", found)
	}
}
