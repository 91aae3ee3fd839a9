package server

import (
	"bytes"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"viewring/internal/disk/crashdisk"
	"viewring/server/replica"
)

// lineWith is a log whose first line with some words in it closes found.
type lineWith struct {
	words []byte
	found chan struct{}
	once  atomic.Bool
}

func (l *lineWith) Write(p []byte) (int, error) {
	if bytes.Contains(p, l.words) && l.once.CompareAndSwap(false, true) {
		close(l.found)
	}
	return len(p), nil
}

// TestHungLaneIsSilent: a server of which a lane stands still sends no heartbeats, so
// that others take over, until the lane goes on. Its clock is the test's.
func TestHungLaneIsSilent(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 0, 4, 1)
	var ahead atomic.Int64
	began := time.Now()
	opts := c.options(crashdisk.Mem())
	opts.Now = func() replica.Instant {
		now := time.Now()
		return replica.Instant{Mono: now.Sub(began) + time.Duration(ahead.Load()), Wall: now.UnixMilli()}
	}
	stands := &lineWith{words: []byte("a lane is stalled"), found: make(chan struct{})}
	opts.Logger = slog.New(slog.NewTextHandler(stands, nil))
	s := c.start(opts)
	c.wait("heartbeats", func() bool { return c.leader.heartbeats() > 2 })
	stood, goOn := make(chan struct{}), make(chan struct{})
	go s.lanes.Of(0).InTurn(func(*replica.Core, int64) {
		close(stood)
		<-goOn
	})
	<-stood
	ahead.Store(int64(time.Hour))
	<-stands.found
	before := c.leader.heartbeats()
	looks := time.NewTicker(20 * time.Millisecond) // the interval of heartbeats
	defer looks.Stop()
	for range 10 {
		<-looks.C
	}
	after := c.leader.heartbeats()
	close(goOn)
	if after != before {
		t.Errorf("%d heartbeats while a lane stands still", after-before)
	}
	c.wait("heartbeats of the lane that goes on", func() bool { return c.leader.heartbeats() > after })
}
