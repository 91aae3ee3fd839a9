package server

import (
	"sync"
	"testing"

	"viewring/server/store"
)

// TestThrottleTogether: operators who set different things at once all get what they set,
// and so does the next start.
func TestThrottleTogether(t *testing.T) {
	c := startCluster(t, 1, 4, 1)
	s := c.servers[1]
	var setting sync.WaitGroup
	for i := range 20 {
		setting.Go(func() {
			if err := s.mover.ChangeThrottle("", func(t *store.Throttle) { t.Rated, t.Rate = true, int64(1000+i) }); err != nil {
				t.Error(err)
			}
		})
		if i == 10 {
			setting.Go(func() {
				if err := s.mover.ChangeThrottle("", func(t *store.Throttle) { t.Paused = true }); err != nil {
					t.Error(err)
				}
			})
		}
	}
	setting.Wait()
	now := s.mover.Progress()
	kept, set := s.store.Throttle()
	if !now.Paused || now.Limit < 1000 || !set || !kept.Paused || uint64(kept.Rate) != now.Limit {
		t.Errorf("it is %+v, and %+v is kept", now, kept)
	}
}
