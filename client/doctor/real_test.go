package doctor

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"viewring/client"
	"viewring/internal/wait"
	"viewring/server"
	"viewring/server/machine"
	"viewring/server/replica"
	"viewring/viewleader"
)

const patience = 2 * time.Minute

// TestReal: builds that differ, and a clock that is off, are found in processes that run.
func TestReal(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	quiet := slog.New(slog.DiscardHandler)
	leader, err := viewleader.Start(t.Context(), viewleader.Options{Listen: "127.0.0.1:0", Data: filepath.Join(t.TempDir(), "leader"), Partitions: 16, DownAfter: patience,
		Version: "v2", Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer leader.Close()
	for i := range 3 {
		o := server.Options{Listen: "127.0.0.1:0", Data: filepath.Join(t.TempDir(), fmt.Sprint("s", i)), LeaderAddrs: []string{leader.Addr()},
			Lanes: 1, Memory: 256 << 20, Version: "v2", Logger: quiet, Console: io.Discard}
		if i == 2 {
			o.Version = "v1"
			o.Now = func() replica.Instant {
				return replica.Instant{Mono: machine.Monotonic(), Wall: time.Now().Add(time.Hour).UnixMilli()}
			}
		}
		s, err := server.Start(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
	}
	o := Options{Client: client.Options{Leaders: []string{leader.Addr()}, ViewCache: client.NoViewCache}}
	var last *Report
	for {
		if last, err = Examine(ctx, o); err == nil && last.Servers == 3 && has(last, "versions", "cluster", "v1: s") && has(last, "clocks", "s", "ahead of the others") {
			break
		}
		if !wait.For(ctx, 50*time.Millisecond) {
			t.Fatalf("%+v, %v", last, err)
		}
	}
	if last.ViewLeaders != 1 || last.Partitions != 16 {
		t.Errorf("%+v", last)
	}
}

func has(r *Report, area, about, what string) bool {
	for _, f := range r.Findings {
		if f.Area == area && strings.HasPrefix(f.About, about) && strings.Contains(f.What, what) {
			return true
		}
	}
	return false
}

// TestNobody: where nobody can be asked Examine fails.
func TestNobody(t *testing.T) {
	o := client.Options{Leaders: []string{"127.0.0.1:1"}, ViewCache: client.NoViewCache, ConnectTimeout: 100 * time.Millisecond}
	if r, err := Examine(t.Context(), Options{Client: o}); err == nil {
		t.Errorf("%+v", r)
	}
}
