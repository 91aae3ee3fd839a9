package viewleader

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"viewring/internal/disk/crashdisk"
)

// TestHeartbeatsNeverTouchTheDisk counts what is written and synced while servers
// send heartbeats and a client keeps its session alive: nothing.
func TestHeartbeatsNeverTouchTheDisk(t *testing.T) {
	var written atomic.Int64
	o := testOptions(t)
	o.DownAfter = time.Minute // nobody is taken for dead on a busy machine
	o.OutAfter = time.Minute
	disk := crashdisk.Mem()
	disk.Watch(func(s crashdisk.Step) error {
		if s.Kind == crashdisk.Write || s.Kind == crashdisk.WriteSync || s.Kind == crashdisk.Sync {
			written.Add(1)
		}
		return nil
	})
	o.FS = disk
	s := start(t, o)
	var servers []*server
	for n := range 3 {
		v := newServer(t, s.Addr(), byte(n+1))
		v.register()
		servers = append(servers, v)
	}
	l := leaderOf(t, s)
	before := written.Load()
	session, err := l.SessionOpen(t.Context(), time.Minute, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	began := written.Load()
	if began == before {
		t.Fatal("a session was opened and nothing written: the count is worth nothing")
	}
	const rounds = 300
	var running sync.WaitGroup
	for _, v := range servers {
		running.Go(func() {
			for range rounds {
				if r, err := v.beat(); err != nil || !r.Known {
					t.Errorf("a heartbeat: %+v, %v", r, err)
					return
				}
			}
		})
	}
	running.Go(func() {
		for range rounds {
			if err := l.SessionKeep(t.Context(), session); err != nil {
				t.Errorf("keep the session: %v", err)
				return
			}
		}
	})
	running.Wait()
	if n := written.Load() - began; n != 0 {
		t.Errorf("%d writes and syncs during %d heartbeats", n, 4*rounds)
	}
}
