package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"viewring/client"
	"viewring/client/admin"
)

// A cluster of four grows by one beside a load: viewring's, Redis's and Olric's, each with three copies
// of every key.
const growFrom = 4

// grown is a cluster that can grow.
type grown struct {
	store keyStore
	grow  func(ctx context.Context) error // by one, until everything is where it belongs
	stop  func()
}

type grower struct {
	name, title string
	start       func(ctx context.Context, o *options, dir string) (*grown, error)
}

var growers = []grower{
	{"viewring", "viewring (a write is on the disks of two servers)", growViewring},
	{"redis", "Redis Cluster (a write is on the primary's disk)", growRedis},
	{"olric", "Olric (a write is in the memory of two members)", growOlric},
}

// growRow is one run of one system.
type growRow struct {
	took                time.Duration
	failed, lost, stale int
	before, meanwhile   window
}

// runGrow measures all of them, in turns.
func runGrow(ctx context.Context, o *options, only string, size int) error {
	scratch, err := os.MkdirTemp("", "peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	o.keys = size << 20 / moverValue
	var table strings.Builder
	fmt.Fprintf(&table, "%d servers with %d MiB of keys of %d bytes, three copies each; %d clients, %d %% get, and a fifth server joins. All share one disk and %s.\n\n"+
		"| system | run | until all is moved, s | requests failed | keys lost | older answers | requests a second before | while / before | p99 before, ms | while / before |\n|---|---|---|---|---|---|---|---|---|---|\n",
		growFrom, size, moverValue, moverClients, moverReads, processors())
	for run := range o.runs {
		for _, g := range growers {
			if only != "" && !slices.Contains(strings.Split(only, ","), g.name) {
				continue
			}
			dir := filepath.Join(scratch, fmt.Sprint(g.name, run))
			r, err := g.measure(ctx, o, dir)
			_ = os.RemoveAll(dir) // scratch
			if err != nil {
				return fmt.Errorf("%s, run %d: %w", g.name, run+1, err)
			}
			line := fmt.Sprintf("| %s | %d | %.1f | %d | %d | %d | %.0f | %.2f | %.1f | %.1f |\n", g.title, run+1, r.took.Seconds(), r.failed, r.lost, r.stale,
				r.before.perSecond, r.meanwhile.perSecond/r.before.perSecond, ms(r.before.p99), ms(r.meanwhile.p99)/ms(r.before.p99))
			fmt.Print(line)
			table.WriteString(line)
		}
	}
	return os.WriteFile(filepath.Join(o.out, "grow.md"), []byte(table.String()), 0o644)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (g *grower) measure(ctx context.Context, o *options, dir string) (r growRow, err error) {
	c, err := g.start(ctx, o, dir)
	if err != nil {
		return r, err
	}
	defer c.stop()
	keys := newMovedKeys(c.store, o.keys)
	if err := keys.all(ctx, 1, keys.set); err != nil {
		return r, fmt.Errorf("fill: %w", err)
	}
	if err := settle(ctx); err != nil {
		return r, err
	}
	l := keys.load(ctx)
	select {
	case <-time.After(o.span):
	case <-ctx.Done():
	}
	began := time.Now()
	err = c.grow(ctx)
	ended := time.Now()
	r.failed = l.stop()
	if err != nil {
		return r, fmt.Errorf("grow: %w", err)
	}
	r.took = ended.Sub(began)
	r.before, r.meanwhile = l.window(l.began, began), l.window(began, ended)
	r.stale = int(keys.stale.Load())
	keys.stale.Store(0)
	if err := keys.all(ctx, 1, keys.get); err != nil {
		return r, fmt.Errorf("read back: %w", err)
	}
	r.lost = int(keys.stale.Load()) // each is asked for once
	return r, nil
}

func growViewring(ctx context.Context, o *options, dir string) (*grown, error) {
	up, err := viewringUp(ctx, o, dir, "--servers", fmt.Sprint(growFrom))
	if err != nil {
		return nil, err
	}
	g := &group{stops: []func(){up.stop}}
	opts := client.Options{Leaders: []string{up.Viewleader}, ViewCache: client.NoViewCache, Persist: true}
	cl, err := client.Open(ctx, opts)
	if err != nil {
		g.stop()
		return nil, err
	}
	g.stops = append([]func(){func() { _ = cl.Close() }}, g.stops...) // it has nothing to lose
	ops, err := admin.Open(ctx, opts)
	if err != nil {
		g.stop()
		return nil, err
	}
	g.stops = append([]func(){func() { _ = ops.Close() }}, g.stops...)
	m := &moving{o: o, ops: ops, up: up, dir: dir}
	if _, err := m.balanced(ctx, growFrom); err != nil {
		g.stop()
		return nil, err
	}
	return &grown{store: viewringStore{cl}, stop: g.stop, grow: func(ctx context.Context) error {
		if err := g.add(filepath.Join(dir, "joiner.log"), o.viewring, "server", "--viewleader", up.Viewleader, "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "joiner")); err != nil {
			return err
		}
		_, err := m.balanced(ctx, growFrom+1)
		return err
	}}, nil
}
