package faults

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"viewring/client"
	"viewring/client/backup"
	"viewring/tests/harness"
)

const (
	turnWriters = 12
	turnKeys    = 4

	turnPatience = 2 * time.Minute
)

// turns is somebody who writes numbers to the keys of one slot in turn: at any instant they have numbers in a row, but for
// the first that is missing where it was just deleted.
type turns struct {
	tag   int
	begun atomic.Int64 // the last number that may be written
	done  atomic.Int64 // the last that is acknowledged
}

func (w *turns) key(n int64) string { return fmt.Sprintf("turns{%d}:%d", w.tag, n%turnKeys) }

func (w *turns) run(ctx context.Context, t *testing.T, c *client.Client) {
	for n := int64(1); ctx.Err() == nil; n++ {
		w.begun.Store(n)
		try, cancel := context.WithTimeout(context.WithoutCancel(ctx), turnPatience)
		err := error(nil)
		if n%3 == 0 {
			err = c.Delete(try, w.key(n), client.Always())
		}
		if err == nil || errors.Is(err, client.ErrNotFound) {
			_, err = c.Set(try, w.key(n), []byte(strconv.FormatInt(n, 10)), client.Always())
		}
		cancel()
		if err != nil {
			t.Errorf("%s: %v", w.key(n), err)
			return
		}
		w.done.Store(n)
	}
}

// broken says what is wrong with numbers that were there at one instant, between those two.
func (w *turns) broken(got []int64, least, most int64) string {
	slices.Sort(got)
	for i := range got {
		if i > 0 && got[i] != got[i-1]+1 {
			return "they are not in a row"
		}
	}
	switch n := len(got); {
	case n < turnKeys-1 && least >= turnKeys:
		return "some are missing"
	case n > 0 && (got[n-1] < least || got[n-1] > most):
		return fmt.Sprintf("the last is not among %d to %d", least, most)
	}
	return ""
}

// TestBackup copies a cluster under load while its servers are killed. What a run has of a slot was there at one instant
// between the beginning and the end of the run.
func TestBackup(t *testing.T) {
	harness.Slow(t)
	c := harness.NewCluster(t, harness.Config{Servers: 5, LeaderFlags: []string{"--partitions", "64"}})
	c.WaitBalanced()
	o := c.Options()
	o.Persist = true // on a busy machine all servers may count as down for a while
	from, err := backup.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := client.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	running := harness.Beside(t)
	var writers []*turns
	for i := range turnWriters {
		w := &turns{tag: i}
		writers = append(writers, w)
		running.Go(func() { w.run(ctx, t, to) })
	}
	dir := filepath.Join(t.TempDir(), "backups")
	whole := 0
	for round := range 6 {
		n := c.Acting(writers[round].key(0), 1)[0]
		killing := harness.Beside(t)
		if round%2 == 0 {
			killing.Go(n.Kill)
		}
		var least []int64
		for _, w := range writers {
			least = append(least, w.done.Load())
		}
		run, err := backup.ToFolder(t.Context(), from, dir, backup.Options{Whole: round == 3})
		if err != nil {
			t.Fatal(err)
		}
		killing.Wait()
		if run.Manifest.WholePartitions() == len(run.Manifest.Partitions) {
			whole++
		}
		checkTurns(t, dir, writers, least)
		if round%2 == 0 {
			c.WaitDown(n)
			n.Start()
			c.WaitBalanced()
		}
	}
	stop()
	running.Wait()
	if whole > 3 || writers[0].done.Load() < 20 {
		t.Errorf("%d runs were whole, %d turns", whole, writers[0].done.Load())
	}
}

// checkTurns looks at the last run of a folder.
func checkTurns(t *testing.T, dir string, writers []*turns, least []int64) {
	t.Helper()
	got := make([][]int64, len(writers))
	f, err := backup.OpenFolder(dir)
	if err == nil {
		err = f.Each(0, func(k backup.Key) error {
			var tag, place int
			if !strings.HasPrefix(string(k.Name), "turns") {
				return nil
			}
			if _, err := fmt.Sscanf(string(k.Name), "turns{%d}:%d", &tag, &place); err != nil {
				return err
			}
			n, err := strconv.ParseInt(string(k.Value), 10, 64)
			got[tag] = append(got[tag], n)
			return err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range writers {
		if what := w.broken(got[i], least[i], w.begun.Load()); what != "" {
			t.Errorf("writer %d: %v: %s", i, got[i], what)
		}
	}
}
