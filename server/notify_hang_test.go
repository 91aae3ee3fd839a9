package server

import (
	"fmt"
	"strings"
	"testing"

	"viewring/ring"
	"viewring/server/replica"
)

// holdLane lets a partition's lane stand still until release is called.
func holdLane(t *testing.T, s *Server, p ring.PartitionID) (release func()) {
	t.Helper()
	held, over, left := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(left)
		s.lanes.Of(p).InTurn(func(*replica.Core, int64) {
			close(held)
			<-over
		})
	}()
	<-held
	return func() {
		close(over)
		<-left
	}
}

// TestTrackingBesideAHungLane: what a lane says of partitions that are not served any more is
// told though another lane stands still; and what is kept of the one that stands still is told to
// be old, for others may have taken over from it.
func TestTrackingBesideAHungLane(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1, 4, 1)
	s := c.servers[1]
	keys := make(map[int]string) // by lane
	for i := 0; len(keys) < 2; i++ {
		name := fmt.Sprint("k", i)
		keys[s.lanes.Index(partitionOf(name))] = name
		c.set(name, "v")
	}
	reader := listenTo(t, s, "3")
	reader.ask("CLIENT TRACKING ON")
	for _, name := range keys {
		c.wait("a lease", func() bool { return reader.ask("GET "+name) == "v" })
	}
	release := holdLane(t, s, partitionOf(keys[1]))
	defer release()
	s.notifier.fed([]replica.Fed{{Partition: partitionOf(keys[0]), Kind: replica.FedEnded}})
	reader.want(fmt.Sprintf(">[invalidate [%s]]", keys[0]))
	reader.want(fmt.Sprintf(">[invalidate [%s]]", keys[1]))
}

// TestConnectWhileMatching: whoever comes waits for no matching of patterns.
func TestConnectWhileMatching(t *testing.T) {
	c := startCluster(t, 1, 4, 1)
	s := c.servers[1]
	s.notifier.mu.RLock() // as publish does while it matches
	defer s.notifier.mu.RUnlock()
	l := listenTo(t, s, "3")
	if got := l.ask("PING"); got != "PONG" {
		t.Errorf("answered %s", got)
	}
	long := strings.Repeat("a", patternBytesMax+1)
	if got := l.ask("PSUBSCRIBE " + long); !strings.Contains(got, "TOOLARGE") {
		t.Errorf("a long pattern: %.80s", got)
	}
	if got := l.ask("CLIENT TRACKING ON BCAST PREFIX " + strings.Repeat("p", 300<<10)); !strings.Contains(got, "prefixes") {
		t.Errorf("long prefixes: %.80s", got)
	}
}

// TestEndsWaitForNoMatching: that a partition is not served any more is told while events wait for
// patterns to be matched.
func TestEndsWaitForNoMatching(t *testing.T) {
	c := startCluster(t, 1, 4, 1)
	s := c.servers[1]
	c.set("a", "v")
	reader := listenTo(t, s, "3")
	reader.ask("CLIENT TRACKING ON")
	c.wait("a lease", func() bool { return reader.ask("GET a") == "v" })
	s.notifier.mu.Lock()
	defer s.notifier.mu.Unlock()
	s.notifier.fed([]replica.Fed{{Partition: partitionOf("a"), Kind: replica.FedEnded}})
	reader.want(">[invalidate [a]]")
}
