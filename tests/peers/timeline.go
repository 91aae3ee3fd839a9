package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"viewring/client"
)

// The timeline: when what happens, and who sets meanwhile.
const (
	killAt         = 4 * time.Second
	joinAt         = 10 * time.Second
	timelineEnd    = 18 * time.Second
	timelineWriter = 16
)

// sample is one set: when it began, and how long until it was acknowledged.
type sample struct{ at, took time.Duration }

// timeline sets without a pause while a server is killed and another joins, and
// draws how long each set took.
func timeline(ctx context.Context, o *options, dir string) error {
	c, err := viewringUp(ctx, o, dir)
	if err != nil {
		return err
	}
	defer c.stop()
	cl, err := client.Open(ctx, client.Options{Leaders: []string{c.Viewleader}, ViewCache: client.NoViewCache, Persist: true})
	if err != nil {
		return err
	}
	defer cl.Close()
	began := time.Now()
	var running sync.WaitGroup
	all := make([][]sample, timelineWriter)
	failed := make([]error, timelineWriter)
	for n := range timelineWriter {
		running.Go(func() { all[n], failed[n] = setUntil(ctx, cl, began, began.Add(timelineEnd)) })
	}
	err = disturb(ctx, o, c, dir, began)
	running.Wait()
	for _, f := range failed {
		if err == nil {
			err = f
		}
	}
	if err != nil {
		return err
	}
	var samples []sample
	var worst time.Duration
	for _, list := range all {
		for _, s := range list {
			samples, worst = append(samples, s), max(worst, s.took)
		}
	}
	path := filepath.Join(o.out, "timeline.svg")
	fmt.Printf("timeline: %d sets by %d writers, all acknowledged, the longest took %v; %s\n", len(samples), timelineWriter, worst.Round(time.Millisecond), path)
	return os.WriteFile(path, plot(samples), 0o644)
}

// disturb kills a server and lets another join.
func disturb(ctx context.Context, o *options, c *cluster, dir string, began time.Time) error {
	if !pauseUntil(ctx, began.Add(killAt)) {
		return ctx.Err()
	}
	pid := c.byName["s2"]
	if pid == 0 {
		return fmt.Errorf("no server s2 among %v", c.byName)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	if !pauseUntil(ctx, began.Add(joinAt)) {
		return ctx.Err()
	}
	_, stop, err := process(dir+"-joiner.log", o.viewring, "server", "--viewleader", c.Viewleader, "--listen", "127.0.0.1:0", "--data", dir+"-joiner")
	if err != nil {
		return err
	}
	defer stop()
	pauseUntil(ctx, began.Add(timelineEnd))
	return ctx.Err()
}

func pauseUntil(ctx context.Context, at time.Time) bool {
	select {
	case <-time.After(time.Until(at)):
		return true
	case <-ctx.Done():
		return false
	}
}

// setUntil sets random keys one after the other.
func setUntil(ctx context.Context, cl *client.Client, began, end time.Time) (samples []sample, err error) {
	value := make([]byte, 1024)
	for now := time.Now(); now.Before(end); {
		if _, err := cl.Set(ctx, keyName(rand.IntN(10_000)), value, client.Always()); err != nil {
			return samples, err
		}
		then := time.Now()
		samples = append(samples, sample{at: now.Sub(began), took: then.Sub(now)})
		now = then
	}
	return samples, nil
}
