package backup

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"viewring/client"
	"viewring/internal/wire"
	"viewring/ring"
)

// Line is a key as a line of JSON. Name and value are text where they are UTF-8, else base64.
type Line struct {
	Key         *string    `json:"key,omitempty"`
	KeyBase64   []byte     `json:"key_base64,omitempty"`
	Value       *string    `json:"value,omitempty"`
	ValueBase64 []byte     `json:"value_base64,omitempty"`
	Expires     *time.Time `json:"expires,omitempty"`
}

// lineBytesMax is more than a line of a longest key has, whose characters are written as \u0000.
const lineBytesMax = 6*(wire.ValueBytesMax+wire.KeyBytesMax) + 1024

// ErrLine: a line is not of the form that Export writes. The text says which.
var ErrLine = errors.New("not a key as a line of JSON")

func makeLine(name, value []byte, expiry int64) Line {
	var l Line
	if utf8.Valid(name) {
		s := string(name)
		l.Key = &s
	} else {
		l.KeyBase64 = name
	}
	if utf8.Valid(value) {
		s := string(value)
		l.Value = &s
	} else {
		l.ValueBase64 = value
	}
	if expiry != 0 {
		at := time.UnixMilli(expiry).UTC()
		l.Expires = &at
	}
	return l
}

func (l *Line) item() (x putItem, err error) {
	switch {
	case (l.Key != nil) == (l.KeyBase64 != nil):
		return x, errors.New("it has to have one of key and key_base64")
	case (l.Value != nil) == (l.ValueBase64 != nil):
		return x, errors.New("it has to have one of value and value_base64")
	}
	x.name, x.value = l.KeyBase64, l.ValueBase64
	if l.Key != nil {
		x.name = []byte(*l.Key)
	}
	if l.Value != nil {
		x.value = []byte(*l.Value)
	}
	if l.Expires != nil {
		x.expiry = l.Expires.UnixMilli()
	}
	switch {
	case len(x.name) > wire.KeyBytesMax || len(x.value) > wire.ValueBytesMax:
		return x, fmt.Errorf("the key has %d bytes, at most %d are allowed, the value %d, at most %d", len(x.name), wire.KeyBytesMax, len(x.value), wire.ValueBytesMax)
	case x.expiry < 0:
		return x, errors.New("it expires before 1970")
	}
	return x, nil
}

// ExportOptions of an export.
type ExportOptions struct {
	Prefix string              // of the names; "": all keys
	Rate   int64               // bytes a second that are read; 0: as fast as it goes
	Told   func(done Progress) // called after each partition, by one goroutine at a time; may be nil
}

// Export writes the keys of a cluster as lines of JSON, in no order. Each is as it was at a moment of the export: keys that
// are there all the while are told once, those that come or go meanwhile perhaps. client.ErrCorrupt is one that no server can read.
func Export(ctx context.Context, c *Cluster, w io.Writer, o ExportOptions) (Progress, error) {
	e := &exporter{c: c, o: &o, pace: newPacer(o.Rate), began: time.Now(), out: bufio.NewWriterSize(w, bufferBytes)}
	e.done.Of = c.Partitions()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var working sync.WaitGroup
	for range copiesAtATime {
		working.Go(func() {
			if err := e.work(ctx); err != nil {
				cancel(err)
			}
		})
	}
	working.Wait()
	err := context.Cause(ctx)
	if err == nil {
		err = e.out.Flush()
	}
	if err != nil {
		return e.done, fmt.Errorf("export: %w", err)
	}
	return e.done, nil
}

// exporter is an export under way.
type exporter struct {
	c     *Cluster
	o     *ExportOptions
	pace  *pacer
	began time.Time
	next  atomic.Int32

	mu   sync.Mutex // guards out, done
	out  *bufio.Writer
	done Progress
}

// work exports partitions until there are no more.
func (e *exporter) work(ctx context.Context) error {
	for p := e.next.Add(1) - 1; int(p) < e.c.Partitions(); p = e.next.Add(1) - 1 {
		err := pages(ctx, e.c, ring.PartitionID(p), func(k *wire.PageKey) error {
			if bytes.HasPrefix(k.Name, []byte(e.o.Prefix)) {
				if err := e.line(k); err != nil {
					return err
				}
			}
			return e.pace.wait(ctx, len(k.Name)+len(k.Value))
		})
		if err != nil {
			return err
		}
		e.mu.Lock()
		if e.done.Partitions++; e.o.Told != nil {
			e.o.Told(e.done)
		}
		e.mu.Unlock()
	}
	return nil
}

// line writes a key.
func (e *exporter) line(k *wire.PageKey) error {
	var b bytes.Buffer
	encode := json.NewEncoder(&b)
	encode.SetEscapeHTML(false)
	if err := encode.Encode(makeLine(k.Name, k.Value, k.Expiry)); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.done.Records++
	e.done.Bytes += int64(len(k.Name) + len(k.Value))
	e.done.Took = time.Since(e.began)
	_, err := e.out.Write(b.Bytes())
	return err
}

// pages calls fn with the keys of a partition, page by page. A damaged key is read, which has it repaired.
func pages(ctx context.Context, from source, p ring.PartitionID, fn func(k *wire.PageKey) error) error {
	q := wire.KeyPageRequest{Partition: p, Bytes: pageBytes, Term: from.Term(p)}
	for {
		page, err := from.Page(ctx, &q)
		if err != nil {
			return err
		}
		if q.Term = page.Term; page.Stale {
			continue
		}
		for i := range page.Keys {
			k := &page.Keys[i]
			if k.Damaged {
				got, err := from.Get(ctx, k.Name)
				if errors.Is(err, client.ErrNotFound) {
					continue
				}
				if err != nil {
					return err
				}
				k.Value, k.Expiry = got.Value, got.Expiry
			}
			if err := fn(k); err != nil {
				return err
			}
		}
		if !page.More {
			return nil
		}
		q.After = page.Next
	}
}

// ImportOptions of an import.
type ImportOptions struct {
	Existing Existing
	DryRun   bool              // looks what is there, and writes nothing
	Rate     int64             // bytes a second; 0: as fast as it goes
	Told     func(done Counts) // called before each line; may be nil
}

// Import writes keys from lines of JSON, as Export writes them. The error of a line wraps ErrLine: all before it is written.
// Imported again, keys that are there are passed over.
func Import(ctx context.Context, c *Cluster, r io.Reader, o ImportOptions) (Counts, error) {
	put := newPutter(ctx, c, o.Existing, o.DryRun, o.Rate)
	bad := readLines(r, func(x putItem) error {
		if o.Told != nil {
			o.Told(put.counts())
		}
		return put.put(x)
	})
	counts, err := put.end()
	if bad != nil {
		err = bad
	}
	if err != nil {
		return counts, fmt.Errorf("import: %w", err)
	}
	return counts, nil
}

// readLines calls fn with the keys of all lines.
func readLines(r io.Reader, fn func(x putItem) error) error {
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 64<<10), lineBytesMax)
	number := 0
	for in.Scan() {
		number++
		text := bytes.TrimSpace(in.Bytes())
		if len(text) == 0 {
			continue
		}
		var l Line
		decode := json.NewDecoder(bytes.NewReader(text))
		decode.DisallowUnknownFields()
		err := decode.Decode(&l)
		if err == nil && decode.More() {
			err = errors.New("there is more behind the object")
		}
		var x putItem
		if err == nil {
			x, err = l.item()
		}
		if err != nil {
			return fmt.Errorf("line %d: %w: %w", number, ErrLine, err)
		}
		if err := fn(x); err != nil {
			return err
		}
	}
	if err := in.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("line %d: %w: it is longer than a key can be", number+1, ErrLine)
	} else if err != nil {
		return fmt.Errorf("read line %d: %w", number+1, err)
	}
	return nil
}
