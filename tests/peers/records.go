package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"viewring/client"
	"viewring/client/record"
	"viewring/internal/wire"
)

// recordBytes is how long a record is.
const recordBytes = 1024

// producer appends batches of records to the one log of a system.
type producer struct {
	append func(ctx context.Context, batch [][]byte) error
	close  func()
}

// recordSystem is a system with a log of records.
type recordSystem struct {
	name, title string
	start       func(ctx context.Context, o *options, dir string) (open func(ctx context.Context, n int) (*producer, error), stop func(), err error)
}

var recordSystems = []recordSystem{
	{"viewring", "viewring, all three synced", viewringRecords},
	{"nats", "NATS JetStream, R3, sync always", natsRecords},
	{"redis", "Redis XADD, appendfsync always, WAIT 2", redisRecords},
}

// recordRows are what is measured: so many producers, so many records in a batch.
var recordRows = [][2]int{{1, 1}, {1, 100}, {8, 1}, {8, 100}}

// runRecords measures appends to logs.
func runRecords(ctx context.Context, o *options, only string) error {
	scratch, err := os.MkdirTemp("", "peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	disk, err := diskSpeed(scratch)
	if err != nil {
		return err
	}
	fmt.Println(disk)
	var names, titles []string
	for _, s := range recordSystems {
		names, titles = append(names, s.name), append(titles, s.title)
	}
	t := newTable(fmt.Sprintf("Records of %d bytes, appended to one log. %s", recordBytes, disk), names, titles)
	for n := range o.runs {
		for _, s := range recordSystems {
			if only != "" && !slices.Contains(strings.Split(only, ","), s.name) {
				continue
			}
			if err := measureRecords(ctx, o, s, filepath.Join(scratch, fmt.Sprint(s.name, n)), t); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	text := t.String()
	fmt.Print("\n", text)
	return os.WriteFile(filepath.Join(o.out, "records.md"), []byte(text), 0o644)
}

func measureRecords(ctx context.Context, o *options, s recordSystem, dir string, t *table) error {
	open, stop, err := s.start(ctx, o, dir)
	if err != nil {
		return err
	}
	defer stop()
	for _, row := range recordRows {
		rate, err := appendFor(ctx, open, row[0], row[1], o.span)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("%d producers, batches of %d", row[0], row[1])
		for what, figure := range map[string]float64{"records/s": rate, "MB/s": rate * recordBytes / 1e6} {
			fmt.Printf("%-10s %-30s %12.1f %s\n", s.name, name, figure, what)
		}
		t.add(s.name, name+", records/s", rate)
		t.add(s.name, name+", MB/s", rate*recordBytes/1e6)
		if err := settle(ctx); err != nil {
			return err
		}
	}
	return nil
}

// appendFor has producers append for a while, and returns the records that were acknowledged in a second.
func appendFor(ctx context.Context, open func(context.Context, int) (*producer, error), producers, batch int, span time.Duration) (float64, error) {
	all := make([]*producer, producers)
	for i := range all {
		p, err := open(ctx, i)
		if err != nil {
			return 0, err
		}
		defer p.close()
		all[i] = p
	}
	records := make([][]byte, batch)
	for i := range records {
		records[i] = bytes.Repeat([]byte{byte('a' + i%26)}, recordBytes)
	}
	done, failed := make([]int, producers), make([]error, producers)
	began := time.Now()
	var running sync.WaitGroup
	for i, p := range all {
		running.Go(func() {
			for failed[i] == nil && time.Since(began) < span {
				if failed[i] = p.append(ctx, records); failed[i] == nil {
					done[i] += batch
				}
			}
		})
	}
	running.Wait()
	took, sum := time.Since(began), 0
	for _, n := range done {
		sum += n
	}
	return float64(sum) / took.Seconds(), errors.Join(failed...)
}

// viewringRecords appends as named producers: each record lands once, over any crash.
func viewringRecords(ctx context.Context, o *options, dir string) (func(context.Context, int) (*producer, error), func(), error) {
	c, err := viewringUp(ctx, o, dir)
	if err != nil {
		return nil, nil, err
	}
	dial := func(ctx context.Context) (*record.Store, error) {
		return record.Open(ctx, client.Options{Leaders: []string{c.Viewleader}, ViewCache: client.NoViewCache, Persist: true})
	}
	s, err := dial(ctx)
	if err == nil {
		err = errors.Join(s.Create(ctx, "/log", record.CreateOptions{}), s.Close())
	}
	if err != nil {
		c.stop()
		return nil, nil, err
	}
	return func(ctx context.Context, n int) (*producer, error) {
		s, err := dial(ctx)
		if err != nil {
			return nil, err
		}
		f, err := s.Open(ctx, "/log")
		var p *record.Producer
		if err == nil {
			p, err = f.Join(ctx, fmt.Sprint("producer ", n))
		}
		if err != nil {
			_ = s.Close() // never used
			return nil, err
		}
		return &producer{
			append: func(ctx context.Context, batch [][]byte) error {
				_, err := p.Append(ctx, p.Next(), batch...)
				return err
			},
			close: func() { _ = s.Close() }, // all was answered
		}, nil
	}, c.stop, nil
}

// natsRecords publishes to a stream on three servers; a batch is sent at once and all its acknowledgements are waited for.
func natsRecords(ctx context.Context, o *options, dir string) (func(context.Context, int) (*producer, error), func(), error) {
	urls, run, err := natsServers(ctx, dir)
	if err != nil {
		return nil, nil, err
	}
	open := func(ctx context.Context, n int) (*producer, error) {
		c, err := nats.Connect(urls, nats.Timeout(5*time.Second))
		if err != nil {
			return nil, err
		}
		js, err := jetstream.New(c)
		if err == nil {
			_, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "log", Subjects: []string{"log"}, Replicas: 3, Storage: jetstream.FileStorage})
		}
		if err != nil {
			c.Close()
			return nil, err
		}
		return &producer{append: func(ctx context.Context, batch [][]byte) error { return natsAppend(ctx, js, batch) }, close: c.Close}, nil
	}
	return open, run.stop, nil
}

func natsAppend(ctx context.Context, js jetstream.JetStream, batch [][]byte) error {
	if len(batch) == 1 {
		_, err := js.Publish(ctx, "log", batch[0])
		return err
	}
	acks := make([]jetstream.PubAckFuture, len(batch))
	for i, b := range batch {
		ack, err := js.PublishAsync("log", b)
		if err != nil {
			return err
		}
		acks[i] = ack
	}
	for _, ack := range acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// redisRecords adds to a stream; a batch is one pipeline, with one WAIT for both replicas behind it.
func redisRecords(ctx context.Context, o *options, dir string) (func(context.Context, int) (*producer, error), func(), error) {
	addr, run, err := redisServers(ctx, dir)
	if err != nil {
		return nil, nil, err
	}
	return func(context.Context, int) (*producer, error) {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			return nil, err
		}
		in := wire.NewReader(nc, wire.DefaultLimits)
		return &producer{append: func(_ context.Context, batch [][]byte) error { return redisAppend(nc, in, batch) }, close: func() { _ = nc.Close() }}, nil // all was answered
	}, run.stop, nil
}

func redisAppend(nc net.Conn, in *wire.Reader, batch [][]byte) error {
	var out []byte
	for _, b := range batch {
		out = wire.AppendCommand(out, []byte("XADD"), []byte("log"), []byte("*"), []byte("r"), b)
	}
	out = wire.AppendCommand(out, []byte("WAIT"), []byte("2"), []byte("0"))
	if _, err := nc.Write(out); err != nil {
		return err
	}
	for i := range len(batch) + 1 {
		v, err := in.ReadValue()
		if err == nil {
			err = v.Err()
		}
		if err != nil {
			return err
		}
		if i == len(batch) && v.Int < 2 {
			return errors.New("WAIT told of " + strconv.FormatInt(v.Int, 10) + " replicas")
		}
	}
	return nil
}
