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
		"no file descriptor is left of the 64":                      stats(admin.ServerStats{Files: 62, FilesMax: 64}),
		"no connection to s3: this server has no file descriptor":   stats(admin.ServerStats{Unlinked: 1, UnlinkedTo: 3, UnlinkedWhy: admin.UnlinkedFiles}),
		"no connection to s3 and 2 more: it has another password":   stats(admin.ServerStats{Unlinked: 3, UnlinkedTo: 3, UnlinkedWhy: admin.UnlinkedPassword}),
		"no connection to s2: it refuses this server's certificate": stats(admin.ServerStats{Unlinked: 1, UnlinkedTo: 2, UnlinkedWhy: admin.UnlinkedRefused}),
		"no connection to s2: one of them speaks TLS":               stats(admin.ServerStats{Unlinked: 1, UnlinkedTo: 2, UnlinkedWhy: admin.UnlinkedTLS}),
		"its certificate expires in 29 days":                        stats(admin.ServerStats{CertExpires: uint64(now.Add(29*24*time.Hour + time.Minute).Unix())}),
		"its certificate expires within a day":                      stats(admin.ServerStats{CertExpires: uint64(now.Add(23 * time.Hour).Unix())}),
		"its certificate has expired":                               stats(admin.ServerStats{CertExpires: uint64(now.Add(-time.Hour).Unix())}),
		"":                                                          stats(admin.ServerStats{Files: 40, FilesMax: 64, CertExpires: uint64(now.Add(31 * 24 * time.Hour).Unix())}),
		"nothing is said of it, for it was not heard of":            {Stats: admin.ServerStats{Files: 64, FilesMax: 64}},
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

// A guess is told to the second.
func TestToGo(t *testing.T) {
	for d, want := range map[time.Duration]string{690 * time.Microsecond: "under 1s", 999 * time.Millisecond: "under 1s", 1600 * time.Millisecond: "2s", 90 * time.Second: "1m30s"} {
		if got := toGo(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
