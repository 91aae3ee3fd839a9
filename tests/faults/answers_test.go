package faults

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"viewring/client"
	"viewring/internal/wire"
	"viewring/tests/harness"
)

// say sends a command in words, and returns the reply as text.
func say(t *testing.T, c *wire.Conn, command string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), doneWithin)
	defer cancel()
	var args [][]byte
	for word := range strings.FieldsSeq(command) {
		args = append(args, []byte(word))
	}
	v, err := c.Do(ctx, args...)
	switch {
	case err != nil:
		return "-" + err.Error()
	case v.IsNil():
		return "(nil)"
	case v.Kind == wire.KindArray:
		return fmt.Sprintf("[%d]", len(v.Array))
	}
	return v.Text()
}

// TestSecondWatchRefused has a gateway's client watch a second key, which its server
// refuses for the moment: EXEC does nothing then, for the key may have changed unseen.
func TestSecondWatchRefused(t *testing.T) {
	t.Parallel()
	c := harness.NewCluster(t, harness.Config{Servers: 1, Direct: true, LeaderFlags: []string{"--partitions", "16"}})
	if _, err := c.Client.Set(t.Context(), "{x}b", make([]byte, 3<<20), client.Always()); err != nil {
		t.Fatal(err)
	}
	n := c.Servers[0]
	n.Kill()
	c.WaitDown(n)
	n.Start("--max-buffered", "1048576") // what is there is more than one connection may hold
	c.WaitUp(n)
	c.WaitBalanced()
	conn, err := wire.Dial(t.Context(), c.StartGateway(), plainDial, wire.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	harness.Eventually(t, "the gateway knows that the server is back", func() bool { return say(t, conn, "SET {x}a before") == "OK" })
	for _, step := range [][2]string{
		{"WATCH {x}a", "OK"}, {"WATCH {x}b", "OK"},
	} {
		if got := say(t, conn, step[0]); got != step[1] {
			t.Fatalf("%s: %q, want %q", step[0], got, step[1])
		}
	}
	if _, err := c.Client.Set(t.Context(), "{x}b", []byte("changed"), client.Always()); err != nil {
		t.Fatal(err)
	}
	for _, step := range [][2]string{
		{"MULTI", "OK"}, {"SET {x}a done", "QUEUED"}, {"EXEC", "(nil)"}, {"GET {x}a", "before"},
		{"WATCH {x}a", "OK"}, {"MULTI", "OK"}, {"SET {x}a done", "QUEUED"}, {"EXEC", "[1]"},
	} {
		if got := say(t, conn, step[0]); got != step[1] {
			t.Errorf("%s: %q, want %q", step[0], got, step[1])
		}
	}
}

// TestLateGrant has a view leader stand still while it is asked for a lock. Who asked
// is not told that the lock was not granted, and what is granted to it later, with
// nobody there to take the answer, is free again.
func TestLateGrant(t *testing.T) {
	harness.Slow(t)
	t.Parallel()
	c := harness.NewCluster(t, harness.Config{Servers: 1, Direct: true, LeaderFlags: []string{"--partitions", "16"}})
	s := harness.NewShell(t, c.Options().Leaders[0])
	s.OK("setr", "k", "v") // it knows the servers from here on
	c.Leader.Pause()
	for i := range 3 {
		s.Fails(3, "it may have been granted", "lock_get", fmt.Sprint("lock", i), "me", "--wait", "0", "--timeout", "1500ms")
	}
	c.Leader.Resume()
	for i := range 3 {
		harness.Eventually(t, "a lock that nobody was told of is free", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			_, err := c.Client.LockGet(ctx, fmt.Sprint("lock", i), "other", client.LockOptions{})
			return err == nil
		})
	}
}
