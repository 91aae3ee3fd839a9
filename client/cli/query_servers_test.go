package cli

import (
	"strings"
	"testing"
	"time"

	"viewring/client/admin"
	"viewring/ring"
)

// What servers say of descriptors, links and certificates is told in words, and only of servers that were
// heard of.
func TestProblems(t *testing.T) {
	now := time.Unix(1_000_000_000, 0)
	stats := func(s admin.ServerStats) admin.ServerStatus { return admin.ServerStatus{Heard: true, Stats: s} }
	for want, h := range map[string]admin.ServerStatus{
		"no file descriptor is left of the 64":                                               stats(admin.ServerStats{Files: 62, FilesMax: 64}),
		"no connection to s3: this server has no file descriptor":                            stats(admin.ServerStats{Unlinked: 1, UnlinkedTo: 3, UnlinkedWhy: admin.UnlinkedFiles}),
		"no connection to s3 and 2 more: it has another password":                            stats(admin.ServerStats{Unlinked: 3, UnlinkedTo: 3, UnlinkedWhy: admin.UnlinkedPassword}),
		"no connection to s2: it refuses this server's certificate":                          stats(admin.ServerStats{Unlinked: 1, UnlinkedTo: 2, UnlinkedWhy: admin.UnlinkedRefused}),
		"no connection to s2: one of them speaks TLS":                                        stats(admin.ServerStats{Unlinked: 1, UnlinkedTo: 2, UnlinkedWhy: admin.UnlinkedTLS}),
		"its certificate expires in 29 days":                                                 stats(admin.ServerStats{CertExpires: uint64(now.Add(29*24*time.Hour + time.Minute).Unix())}),
		"its certificate expires within a day":                                               stats(admin.ServerStats{CertExpires: uint64(now.Add(23 * time.Hour).Unix())}),
		"12 copies of partitions wait for s9, which is down: nothing comes from it, for 14s": stats(admin.ServerStats{Left: 20, Waiting: 12, WaitingWhy: admin.WaitingSilent, WaitingOn: 9, WaitingSeconds: 14}),
		"1 copy of a partition waits for s1, the primary, to let them act":                   stats(admin.ServerStats{Left: 20, Waiting: 1, WaitingWhy: admin.WaitingPrimary, WaitingOn: 1}),
		"2 copies of partitions wait for s1, whose disk or load is slow":                     stats(admin.ServerStats{Left: 20, Waiting: 2, WaitingWhy: admin.WaitingSlow, WaitingOn: 1}),
		"2 copies of partitions wait for its rate of 1.0 KiB/s":                              stats(admin.ServerStats{Left: 20, Waiting: 2, WaitingWhy: admin.WaitingLimit, MoveLimit: 1024}),
		"2 copies of partitions wait: clients go first, for 12s":                             stats(admin.ServerStats{Left: 20, Waiting: 2, WaitingWhy: admin.WaitingClients, WaitingSeconds: 12}),
		"its copying is paused, and 2 copies of partitions wait: 'viewring rebalance resume": stats(admin.ServerStats{Left: 20, Waiting: 2, WaitingWhy: admin.WaitingPaused}),
		"its disk is nearly full, and 2 copies of partitions wait until it has room":         stats(admin.ServerStats{Left: 20, Waiting: 2, WaitingWhy: admin.WaitingFull}),
		"its certificate has expired":                                                        stats(admin.ServerStats{CertExpires: uint64(now.Add(-time.Hour).Unix())}),
		"":                                                                                   stats(admin.ServerStats{Files: 40, FilesMax: 64, CertExpires: uint64(now.Add(31 * 24 * time.Hour).Unix())}),
		"nothing is said of it, for it was not heard of":                                     {Stats: admin.ServerStats{Files: 64, FilesMax: 64}},
	} {
		h.ID = 1
		st := &admin.Status{View: &ring.View{Members: []ring.Member{{ID: 1, Up: true}}}, Servers: []admin.ServerStatus{h}}
		got := problemsOf(st, now)
		switch {
		case (want == "" || !h.Heard) && len(got) == 0:
		case len(got) != 1 || want == "" || !strings.HasPrefix(got[0].Problem, want) || got[0].Server != "s1":
			t.Errorf("%+v, want %q", got, want)
		}
	}
}

// What clients hold back is told with the rate that is left, and by whose clients.
func TestHeldForClients(t *testing.T) {
	st := &admin.Status{View: &ring.View{}}
	for id, s := range map[ring.ServerID]admin.ServerStats{
		1: {}, // nothing is left
		2: {Left: 1, MoveAllowed: 2 << 20, MoveHeld: admin.HeldBySources},
		3: {Left: 1, MoveAllowed: 1 << 20, MoveHeld: admin.HeldByOwn},
		4: {Left: 1, MoveAllowed: 9 << 20, MoveHeld: admin.HeldByRate},
		5: {Left: 1},
	} {
		st.View.Members = append(st.View.Members, ring.Member{ID: id, Up: true})
		st.Servers = append(st.Servers, admin.ServerStatus{ID: id, Heard: true, Stats: s})
	}
	if got := heldForClients(st); got != ", held back for clients to 3.0 MiB/s" {
		t.Errorf("%q", got)
	}
	for want, r := range map[string]admin.Rebalancing{
		"": {Gives: 5, HeldBy: admin.HeldByRate, Allowed: 7},
		"held back for its clients: it copies in at most 1.0 KiB/s now":                                                                     {HeldBy: admin.HeldByOwn, Allowed: 1 << 10, Learners: 2},
		"held back for clients of those that it copies from: at most 1.0 KiB/s now; others copy at most 2.0 KiB/s from it, for its clients": {HeldBy: admin.HeldBySources, Allowed: 1 << 10, Gives: 2 << 10, Learners: 2},
		"others copy at most 2.0 KiB/s from it, for its clients":                                                                            {Gives: 2 << 10, Learners: 1},
	} {
		if got := paceText(&r); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A guess is told to the second.
func TestToGo(t *testing.T) {
	for d, want := range map[time.Duration]string{690 * time.Microsecond: "under 1s", 999 * time.Millisecond: "under 1s", 1600 * time.Millisecond: "2s", 90 * time.Second: "1m30s"} {
		if got := toGo(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
