package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"viewring/client"
	"viewring/client/record"
)

// The classic measurement: producers append records of random lengths and contents, each to a file of its own, which a consumer
// follows and verifies; half way a server is killed.
const (
	classicEnd     = timelineEnd
	classicKill    = classicEnd / 2
	classicBucket  = 500 * time.Millisecond
	classicBatch   = 32       // records
	classicLongest = 16 << 10 // bytes
	classicHead    = 16       // of a record: producer, sequence
)

var classicProducers = []int{1, 2, 4, 8}

// classicRecord is the record of a producer with a sequence: anybody can make it, and so verify it.
func classicRecord(producer, sequence uint64) []byte {
	r := rand.New(rand.NewPCG(producer, sequence))
	b := make([]byte, classicHead+r.IntN(classicLongest))
	binary.BigEndian.PutUint64(b, producer)
	binary.BigEndian.PutUint64(b[8:], sequence)
	for rest := b[classicHead:]; len(rest) > 0; {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], r.Uint64())
		rest = rest[copy(rest, word[:]):]
	}
	return b
}

// classicRun is one number of producers.
type classicRun struct {
	producers int
	began     time.Time

	mu       sync.Mutex
	appended []int64 // bytes in each bucket of time
	read     []int64
	records  int64         // that were verified
	longest  time.Duration // between two answers that one producer got
}

func (c *classicRun) count(what []int64, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := int(time.Since(c.began) / classicBucket); i < len(what) {
		what[i] += bytes
	}
}

// produce appends until the time is over, and returns how many records were acknowledged.
func (c *classicRun) produce(ctx context.Context, f *record.File, producer int) (sent int64, err error) {
	p, err := f.Join(ctx, "producer")
	if err != nil {
		return 0, err
	}
	for last := time.Now(); time.Since(c.began) < classicEnd; {
		var batch [][]byte
		size := int64(0)
		for i := range int64(classicBatch) {
			batch = append(batch, classicRecord(uint64(producer), uint64(sent+i)))
			size += int64(len(batch[i]))
		}
		if _, err := p.Append(ctx, sent, batch...); err != nil {
			return sent, err
		}
		sent += classicBatch
		c.count(c.appended, size)
		now := time.Now()
		c.mu.Lock()
		c.longest = max(c.longest, now.Sub(last))
		c.mu.Unlock()
		last = now
	}
	return sent, nil
}

// consume follows until all that was sent is verified, which sent tells once it is known.
func (c *classicRun) consume(ctx context.Context, f *record.File, producer int, sent <-chan int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	next, end := int64(0), int64(-1)
	var mu sync.Mutex
	go func() {
		select {
		case n := <-sent:
			mu.Lock()
			defer mu.Unlock()
			if end = n; next >= end {
				cancel()
			}
		case <-ctx.Done():
		}
	}()
	for e, err := range f.Read(ctx, record.Start, true) {
		switch {
		case err != nil:
			return err
		case e.Lost > 0:
			return fmt.Errorf("producer %d: %v", producer, e)
		case e.Sequence != next || !bytes.Equal(e.Data, classicRecord(uint64(producer), uint64(next))):
			return fmt.Errorf("producer %d: record %d is not as it was sent", producer, next)
		}
		c.count(c.read, int64(len(e.Data)))
		mu.Lock()
		next++
		over := next == end
		mu.Unlock()
		if over {
			break
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if next != end {
		return fmt.Errorf("producer %d: %d records were read of %d", producer, next, end)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.records += next
	return nil
}

// run measures it with a fresh cluster.
func (c *classicRun) run(ctx context.Context, o *options, dir string) error {
	up, err := viewringUp(ctx, o, dir, "--servers", "4")
	if err != nil {
		return err
	}
	defer up.stop()
	s, err := record.Open(ctx, client.Options{Leaders: []string{up.Viewleader}, ViewCache: client.NoViewCache, Persist: true})
	if err != nil {
		return err
	}
	defer s.Close()
	files := make([]*record.File, c.producers)
	for i := range files {
		path := fmt.Sprint("/classic-", i)
		if err := s.Create(ctx, path, record.CreateOptions{}); err != nil {
			return err
		}
		if files[i], err = s.Open(ctx, path); err != nil {
			return err
		}
	}
	failed := make([]error, 2*c.producers)
	c.began = time.Now()
	var running sync.WaitGroup
	for i, f := range files {
		sent := make(chan int64, 1)
		running.Go(func() {
			var n int64
			n, failed[2*i] = c.produce(ctx, f, i)
			sent <- n
		})
		running.Go(func() { failed[2*i+1] = c.consume(ctx, f, i, sent) })
	}
	var killed error
	if pauseUntil(ctx, c.began.Add(classicKill)) {
		killed = syscall.Kill(up.byName["s2"], syscall.SIGKILL)
	}
	running.Wait()
	return errors.Join(append(failed, killed)...)
}

// rate is the MB/s of buckets from a time to another.
func rate(buckets []int64, from, to time.Duration) float64 {
	sum := int64(0)
	for _, n := range buckets[from/classicBucket : to/classicBucket] {
		sum += n
	}
	return float64(sum) / 1e6 / (to - from).Seconds()
}

// runClassic measures all numbers of producers.
func runClassic(ctx context.Context, o *options) error {
	scratch, err := os.MkdirTemp("", "peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	var runs []*classicRun
	for _, n := range classicProducers {
		buckets := int(classicEnd / classicBucket)
		c := &classicRun{producers: n, appended: make([]int64, buckets), read: make([]int64, buckets)}
		dir := filepath.Join(scratch, fmt.Sprint(n))
		if err := c.run(ctx, o, dir); err != nil {
			return fmt.Errorf("%d producers: %w", n, err)
		}
		_ = os.RemoveAll(dir) // scratch
		runs = append(runs, c)
		fmt.Printf("%d producers: %.1f MB/s, and %.1f after the kill; %d records verified\n", n, rate(c.appended, 0, classicKill), rate(c.appended, classicKill, classicEnd), c.records)
	}
	for name, text := range map[string]string{"classic.md": classicTable(runs), "classic.csv": classicCSV(runs), "classic.svg": classicPlot(runs)} {
		if err := os.WriteFile(filepath.Join(o.out, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func classicTable(runs []*classicRun) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Records of %d to %d bytes in batches of %d, four servers, of which one is killed after %v. All were verified.\n\n", classicHead, classicHead+classicLongest, classicBatch, classicKill)
	b.WriteString("| producers | appended, MB/s | after the kill | read, MB/s | after the kill | longest wait of a producer, s | records |\n|---|---|---|---|---|---|---|\n")
	for _, c := range runs {
		fmt.Fprintf(&b, "| %d | %.1f | %.1f | %.1f | %.1f | %.2f | %d |\n", c.producers, rate(c.appended, 0, classicKill), rate(c.appended, classicKill, classicEnd),
			rate(c.read, 0, classicKill), rate(c.read, classicKill, classicEnd), c.longest.Seconds(), c.records)
	}
	return b.String()
}

func classicCSV(runs []*classicRun) string {
	var b strings.Builder
	b.WriteString("producers,seconds,appended_mb_per_s,read_mb_per_s\n")
	for _, c := range runs {
		for i := range c.appended {
			at := time.Duration(i) * classicBucket
			fmt.Fprintf(&b, "%d,%.1f,%.2f,%.2f\n", c.producers, at.Seconds(), rate(c.appended, at, at+classicBucket), rate(c.read, at, at+classicBucket))
		}
	}
	return b.String()
}

func classicPlot(runs []*classicRun) string {
	most := 1.0
	for _, c := range runs {
		for i := range c.appended {
			at := time.Duration(i) * classicBucket
			most = max(most, rate(c.appended, at, at+classicBucket))
		}
	}
	high := func(mbs float64) float64 {
		return plotHeight - plotBottom - mbs/most*(plotHeight-plotBottom-plotTop)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", plotWidth, plotHeight)
	for i := range 5 {
		mbs := most * float64(i) / 4
		fmt.Fprintf(&b, `<path d="M%d %.1fH%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%.0f</text>`+"\n", plotLeft, high(mbs), plotWidth, plotLeft-6, high(mbs)+4, mbs)
	}
	for t := time.Duration(0); t <= classicEnd; t += 2 * time.Second {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%v</text>`+"\n", x(t), plotHeight-plotBottom+18, t)
	}
	mark(&b, "kill -9", classicKill)
	colors := []string{"#1f77b4", "#2ca02c", "#ff7f0e", "#d62728"}
	for n, c := range runs {
		fmt.Fprintf(&b, `<text x="%d" y="18" fill="%s">%d producers</text>`+"\n", plotLeft+n*100, colors[n], c.producers)
		fmt.Fprintf(&b, `<path fill="none" stroke="%s" stroke-width="1.2" d="`, colors[n])
		for i := range c.appended {
			at := time.Duration(i) * classicBucket
			fmt.Fprintf(&b, "%s%.1f %.1f", map[bool]string{true: "M", false: "L"}[i == 0], x(at), high(rate(c.appended, at, at+classicBucket)))
		}
		b.WriteString("\"/>\n")
	}
	fmt.Fprintf(&b, `<text x="%d" y="18">appended, MB/s</text>`+"\n</svg>\n", plotLeft+len(runs)*100)
	return b.String()
}
