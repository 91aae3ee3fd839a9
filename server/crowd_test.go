package server

import (
	"testing"

	"viewring/tests/harness"
)

// TestViewsInACrowd: a server learns of views where clients have all the places at the view
// leader, and nobody may wait for one.
func TestViewsInACrowd(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 8, 1)
	c.leader.mu.Lock()
	c.leader.crowd = true
	c.leader.mu.Unlock()
	c.leader.hangUp() // the poll that waits already
	c.leader.expire(1)
	v, _ := c.leader.view()
	harness.Eventually(t, "the server has the view", func() bool { return c.servers[1].views.View().Epoch >= v.Epoch })
}
