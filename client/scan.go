package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"viewring/internal/route"
	"viewring/internal/wire"
)

const (
	namesAtATime  = 32        // partitions that are read at a time
	valuesAtATime = 8         // with values, which may be long
	scanPageBytes = 512 << 10 // of names and values in a page, but for the last key
)

// Entry is a key that a Scan tells.
type Entry struct {
	Key   string
	Value Value // without ScanOptions.Values Expires alone
}

// ScanOptions say what a Scan tells.
type ScanOptions struct {
	Prefix string                   // keys that begin so; "": all
	Values bool                     // with values and versions, which are read from the disks
	Told   func(partitions, of int) // called as the Scan goes on, by the goroutine that iterates; may be nil
}

// Scan tells the keys of the whole cluster that begin with a prefix, in no order. Each is told as it was at a
// moment of the scan. A key that is there from the beginning to the end is told exactly once, whatever happens
// to servers meanwhile: they may fail, join and leave. One that comes or goes meanwhile is told once, or not at
// all. One whose time is over may be told by a client whose clock is behind, until the servers have removed it,
// moments later.
//
// It holds a few pages of keys at a time, however many there are. A prefix that has a whole {tag} is looked for in one slot
// alone. As a write does, it needs min-copies of each partition to act.
//
// An error comes last, with the zero Entry, and not all keys were told then. But for one: ErrCorrupt comes with
// a key whose value no server can read, and then the Scan goes on. Any number of goroutines may iterate, each for itself.
func (c *Client) Scan(ctx context.Context, opts ScanOptions) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		s := &scan{c: c, opts: opts, found: make(chan []scanned)}
		s.first, s.end = c.router.PartitionsOf(opts.Prefix)
		s.next.Store(int32(s.first))
		s.run(ctx, yield)
	}
}

// Keys is Scan for names.
func (c *Client) Keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for e, err := range c.Scan(ctx, ScanOptions{Prefix: prefix}) {
			if !yield(e.Key, err) {
				return
			}
		}
	}
}

// scan is a Scan under way.
type scan struct {
	c          *Client
	opts       ScanOptions
	first, end int // partitions
	next       atomic.Int32
	found      chan []scanned // nil: a partition is done
}

// scanned is an entry, or why it can't be told.
type scanned struct {
	entry Entry
	err   error
}

func (s *scan) run(ctx context.Context, yield func(Entry, error) bool) {
	ctx, cancel := context.WithCancelCause(ctx)
	var working sync.WaitGroup
	atATime := namesAtATime
	if s.opts.Values {
		atATime = valuesAtATime
	}
	for range min(atATime, s.end-s.first) {
		working.Go(func() {
			if err := s.work(ctx); err != nil {
				cancel(err)
			}
		})
	}
	over := make(chan struct{})
	go func() { working.Wait(); close(over) }()
	defer func() { cancel(nil); <-over }()
	for done := 0; ; {
		select {
		case page := <-s.found:
			for _, f := range page {
				if !yield(f.entry, f.err) {
					return
				}
			}
			if page == nil {
				done++
			}
			if s.opts.Told != nil {
				s.opts.Told(done, s.end-s.first)
			}
		case <-over:
			if err := context.Cause(ctx); err != nil {
				yield(Entry{}, scanError(err))
			}
			return
		}
	}
}

// scanError is that of a scan which was ended by its context, or what a server said.
func scanError(err error) error {
	var told *route.Error
	if errors.As(err, &told) {
		return err
	}
	return &route.Error{Op: "scan the keys", Kind: ErrUnreachable, Last: errors.New("not done in time"), Ended: err}
}

// work reads partitions until there are no more.
func (s *scan) work(ctx context.Context) error {
	for p := int(s.next.Add(1) - 1); p < s.end; p = int(s.next.Add(1) - 1) {
		if err := s.partition(ctx, p); err != nil {
			return err
		}
		if !s.tell(ctx, nil) {
			return nil
		}
	}
	return nil
}

// tell hands on what was found; false when nobody wants it any more.
func (s *scan) tell(ctx context.Context, page []scanned) bool {
	select {
	case s.found <- page:
		return true
	case <-ctx.Done():
		return false
	}
}

// partition tells the keys of a partition.
func (s *scan) partition(ctx context.Context, p int) error {
	q := wire.KeyPageRequest{Bytes: scanPageBytes, Prefix: []byte(s.opts.Prefix), NamesOnly: !s.opts.Values}
	return s.c.router.KeyPages(ctx, p, q, func(keys []wire.PageKey) (more bool, err error) {
		found, err := s.entries(ctx, keys)
		return err == nil && (len(found) == 0 || s.tell(ctx, found)), err
	})
}

// entries makes entries of a page's keys. Those that are damaged are read, which has them repaired, and those whose time
// is over are asked for.
func (s *scan) entries(ctx context.Context, keys []wire.PageKey) (found []scanned, err error) {
	now := time.Now().UnixMilli()
	var doubted []string
	for i := range keys {
		k := &keys[i]
		e := Entry{Key: string(k.Name), Value: Value{Bytes: k.Value, Version: Version{k.Term, k.Seq}}}
		if k.Expiry != 0 {
			e.Value.Expires = time.UnixMilli(k.Expiry)
		}
		if k.Damaged || k.Expiry != 0 && k.Expiry <= now {
			doubted = append(doubted, e.Key)
			continue
		}
		found = append(found, scanned{entry: e})
	}
	asked := make([]scanned, len(doubted))
	inParallel(len(doubted), func(i int) { asked[i].entry, asked[i].err = s.ask(ctx, doubted[i]) })
	for _, a := range asked {
		switch {
		case errors.Is(a.err, ErrNotFound):
		case a.err != nil && !errors.Is(a.err, ErrCorrupt):
			return nil, a.err
		default:
			found = append(found, a)
		}
	}
	return found, nil
}

// ask looks whether a key is there, and with the option what it is.
func (s *scan) ask(ctx context.Context, key string) (Entry, error) {
	if s.opts.Values {
		value, err := s.c.get(ctx, key, s.c.router.DoAnyName)
		return Entry{key, value}, err
	}
	name := fmt.Sprintf("look for %.200q", key)
	n, err := s.c.router.Integer(ctx, name, existsCommand, key)
	if err == nil && n == 0 {
		err = &route.Error{Op: name, Kind: ErrNotFound}
	}
	return Entry{Key: key}, err
}

const existsCommand = "EXISTS"
