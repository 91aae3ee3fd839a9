package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// goalBytes is how long the values are.
const goalBytes = 1024

// calmSpan is how long keys are overwritten before that is measured.
const calmSpan = 3 * time.Second

// manyRows are measured with many keys.
var manyRows = []row{
	{name: "get at 64", load: load{mode: "get", connections: 64, pipeline: 1, valueSize: goalBytes}},
	{name: "95/5 at 64", load: load{mode: "mix", reads: 95, connections: 64, pipeline: 1, valueSize: goalBytes}},
	{name: "set at 64", load: load{mode: "set", connections: 64, pipeline: 1, valueSize: goalBytes}},
}

// runGoals measures what takes longer than a row of the table: what all writes, from
// the first on, cost the disks and the memory, what servers use that nobody asks, and
// how fast they are with many keys.
func runGoals(ctx context.Context, o *options, only string) error {
	return tabulate(ctx, o, only, "goals.md", measureGoals)
}

func measureGoals(ctx context.Context, o *options, start starter, dir string, t *table) error {
	if err := filledAndOverwritten(ctx, o, start, dir, t); err != nil || o.many == 0 {
		return err
	}
	many := *o
	many.keys = o.many
	if err := withManyKeys(ctx, &many, start, dir+"-many", t); err != nil || start.name != "viewring" {
		return err
	}
	return joined(ctx, &many, dir+"-join", t)
}

// fill sets all keys once, and takes a moment to read some.
func (s *system) fill(ctx context.Context) error {
	_, err := s.load(ctx, load{mode: "get", connections: 256, pipeline: 1, valueSize: goalBytes, span: time.Second / 10, fill: true})
	return err
}

// idle is how much of a processor a system uses while nobody asks it, in percent.
func (s *system) idle(ctx context.Context, span time.Duration) (float64, error) {
	if err := settle(ctx); err != nil {
		return 0, err
	}
	cpu, began := processorTime(s.pids), time.Now()
	select {
	case <-time.After(span):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	return 100 * (processorTime(s.pids) - cpu).Seconds() / time.Since(began).Seconds(), nil
}

// filledAndOverwritten fills a new system and overwrites its keys for a while.
func filledAndOverwritten(ctx context.Context, o *options, start starter, dir string, t *table) error {
	s, err := start.start(ctx, o, dir)
	if err != nil {
		return err
	}
	defer s.stop()
	idle, err := s.idle(ctx, o.idle)
	if err != nil {
		return err
	}
	t.add(s.name, "idle and empty, CPU %", idle)
	user := float64(o.keys * goalBytes)
	written := writtenBytes(s.pids)
	if err := s.fill(ctx); err != nil {
		return err
	}
	if err := settle(ctx); err != nil {
		return err
	}
	t.add(s.name, "filling, bytes to disk per user byte, three copies", float64(writtenBytes(s.pids)-written)/user)
	t.add(s.name, fmt.Sprintf("memory, MiB, %d keys", o.keys), float64(residentBytes(s.pids))/(1<<20))
	if idle, err = s.idle(ctx, o.idle); err != nil {
		return err
	}
	t.add(s.name, fmt.Sprintf("idle, CPU %%, %d keys", o.keys), idle)

	// So few that nobody collects anything yet.
	calm, err := s.load(ctx, load{mode: "set", connections: 64, pipeline: 1, valueSize: goalBytes, span: calmSpan})
	if err != nil {
		return err
	}
	t.add(s.name, fmt.Sprint("the first ", calmSpan, " of sets at 64 after filling, p99 ms"), float64(calm.P99)/1000)
	name := fmt.Sprint("overwriting for ", o.overwrite, " at 64")
	cpu, written := processorTime(s.pids), writtenBytes(s.pids)
	r, err := s.load(ctx, load{mode: "set", connections: 64, pipeline: 1, valueSize: goalBytes, span: o.overwrite})
	if err != nil {
		return err
	}
	if r.Operations == 0 {
		return errors.New("overwriting: nothing was answered")
	}
	cpu, written = processorTime(s.pids)-cpu, writtenBytes(s.pids)-written
	sets := float64(r.Operations)
	t.add(s.name, name, r.PerSecond)
	t.add(s.name, name+", p99 ms", float64(r.P99)/1000)
	t.add(s.name, name+", CPU µs of the servers a set", float64(cpu.Microseconds())/sets)
	t.add(s.name, name+", bytes to disk per user byte, three copies", float64(written)/sets/goalBytes)
	t.add(s.name, name+", errors", float64(r.Errors))
	used, err := diskUsed(dir)
	if err != nil {
		return err
	}
	t.add(s.name, name+", disk used / live data of three copies", float64(used)/user/3)
	t.add(s.name, name+", memory, MiB", float64(residentBytes(s.pids))/(1<<20))
	return nil
}

// withManyKeys fills a new system with many keys and asks for them.
func withManyKeys(ctx context.Context, o *options, start starter, dir string, t *table) error {
	defer os.RemoveAll(dir) // gigabytes of scratch
	s, err := start.start(ctx, o, dir)
	if err != nil {
		return err
	}
	defer s.stop()
	if err := s.fill(ctx); err != nil {
		return err
	}
	t.add(s.name, fmt.Sprintf("memory, MiB, %d keys", o.keys), float64(residentBytes(s.pids))/(1<<20))
	for _, row := range manyRows {
		if err := settle(ctx); err != nil {
			return err
		}
		l := row.load
		l.span = o.span
		r, err := s.load(ctx, l)
		if err != nil {
			return fmt.Errorf("%s: %w", row.name, err)
		}
		t.add(s.name, fmt.Sprintf("%s of %d keys", row.name, o.keys), r.PerSecond)
	}
	return nil
}

// diskUsed is what the files below a folder take on the disk, bytes.
func diskUsed(dir string) (used int64, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // servers that run put files away
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		used += info.Sys().(*syscall.Stat_t).Blocks * 512 // stat(2): whatever the file system's block is
		return nil
	})
	return used, err
}
