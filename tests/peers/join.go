package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// serverStatus is what viewring query_servers --json says, as far as it is asked.
type serverStatus struct {
	Rebalancing struct {
		Balanced bool `json:"balanced"`
	} `json:"rebalancing"`
	Servers []struct {
		Bytes uint64 `json:"bytes"`
	} `json:"servers"`
}

// joined measures how fast a fifth server gets its share of four, which nobody else asks
// for anything meanwhile.
func joined(ctx context.Context, o *options, dir string, t *table) error {
	defer os.RemoveAll(dir) // gigabytes of scratch
	c, err := viewringUp(ctx, o, dir, "--servers", "4")
	if err != nil {
		return err
	}
	defer c.stop()
	balanced := func(servers int) func() bool {
		return func() bool {
			s, err := c.status(ctx, o)
			return err == nil && len(s.Servers) == servers && s.Rebalancing.Balanced
		}
	}
	if err := until(ctx, "four servers are balanced", balanced(4)); err != nil {
		return err
	}
	if _, err := bench(ctx, o, load{mode: "get", connections: 256, pipeline: 1, valueSize: goalBytes, span: time.Second / 10, fill: true}, "--viewleader", c.Viewleader); err != nil {
		return err
	}
	if err := settle(ctx); err != nil {
		return err
	}
	joiner := dir + "-joiner"
	defer os.RemoveAll(joiner)
	began := time.Now()
	cmd, stop, err := process(joiner+".log", o.viewring, "server", "--viewleader", c.Viewleader, "--listen", "127.0.0.1:0", "--data", joiner)
	if err != nil {
		return err
	}
	defer stop()
	if err := until(ctx, "the fifth server is balanced", balanced(5)); err != nil {
		return err
	}
	took, cpu := time.Since(began), processorTime(c.pids)+processorTime([]int{cmd.Process.Pid})
	s, err := c.status(ctx, o)
	if err != nil {
		return err
	}
	bytes := s.Servers[len(s.Servers)-1].Bytes
	fmt.Printf("join: %d MiB in %v, %v of processor time since the start of all\n", bytes/(1<<20), took.Round(time.Millisecond), cpu)
	t.add("viewring", fmt.Sprintf("a fifth server joins four that have %d keys, MiB/s", o.keys), float64(bytes)/(1<<20)/took.Seconds())
	return nil
}

func (c *cluster) status(ctx context.Context, o *options) (s serverStatus, err error) {
	out, err := exec.CommandContext(ctx, o.viewring, "query_servers", "--viewleader", c.Viewleader, "--json").Output()
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(out, &s)
}
