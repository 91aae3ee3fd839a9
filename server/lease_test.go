package server

import (
	"sync/atomic"
	"testing"
	"time"

	"viewring/internal/disk/crashdisk"
	"viewring/server/replica"
	"viewring/server/store"
	"viewring/viewleader/roster"
)

// TestLeaseOverRestart makes a long lease short and starts the server again: it has to
// wait for the long one all the same, for an earlier process promised by it, and it
// knows the newest epoch that it used. Its clock is the test's.
func TestLeaseOverRestart(t *testing.T) {
	const long, short = time.Hour, time.Minute
	c := startCluster(t, 0, 1, 1)
	configure := func(ttl time.Duration) {
		if r := c.leader.apply(roster.Command{Kind: roster.KindConfigure, MinCopies: 1, LeaseTTL: ttl}); r[0].Code != roster.Done {
			t.Fatalf("%+v", r)
		}
	}
	configure(long)
	s := c.join(crashdisk.Mem())
	c.set("k", "v")
	configure(short)
	v, _ := c.leader.view()
	c.wait("the short lease is adopted", func() bool { return s.lanes.Done() >= v.Epoch })
	fs := c.fs[s.ID()]
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	delete(c.servers, s.ID())
	kept, err := store.Open("data", fs, store.Options{}, testLogger())
	if err != nil {
		t.Fatal(err)
	}
	if id := kept.Identity(); id.LeaseMax != long || id.Epoch < v.Epoch {
		t.Errorf("longest lease %v, want %v; epoch %d, was %d", id.LeaseMax, long, id.Epoch, v.Epoch)
	}
	if err := kept.Close(); err != nil {
		t.Fatal(err)
	}

	var mono atomic.Int64
	mono.Store(int64(24 * time.Hour))
	opts := c.options(fs)
	opts.Now = func() replica.Instant {
		return replica.Instant{Mono: time.Duration(mono.Load()), Wall: time.Now().UnixMilli()}
	}
	s = c.start(opts)
	for _, waited := range []time.Duration{short + time.Second, long - time.Second} {
		at := 24*time.Hour + waited
		mono.Store(int64(at))
		c.wait("the lane has seen the time", func() bool { return s.lanes.Of(0).LastRound() == at })
		if copyOf(s).Serving {
			t.Errorf("serves %v after its start", waited)
		}
	}
	mono.Store(int64(24*time.Hour + long + time.Second))
	c.wait("it serves when the long lease is over", func() bool { return copyOf(s).Serving })
}
