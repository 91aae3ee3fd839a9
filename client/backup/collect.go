package backup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"viewring/client"
	"viewring/internal/route"
	"viewring/internal/wire"
	"viewring/ring"
)

const (
	pageBytes = 1 << 20
	triesMax  = 5       // copies of a partition that have to begin anew
	owedMax   = 1 << 16 // keys whose values were not told

	tellPatience = 10 * time.Second
)

// collector copies partitions. One goroutine uses it. DESIGN.md ("One instant") has the argument.
type collector struct {
	from  source
	into  *segmentWriter
	pages int                                        // bytes of a page
	pace  func(ctx context.Context, bytes int) error // called for what was read
	lack  func(p ring.PartitionID, name []byte)      // called for keys that no server could read
	nodes *nodeCopier                                // nil: it copies keys

	// Of the partition that is being copied.
	p       ring.PartitionID
	changes changes
	at      Version // all changes up to here are written down
	end     Version // of the last barrier
	owed    map[string]struct{}
	lacking [][]byte // keys that can't be read
}

// copyPartition copies a partition as a whole, or, from the version of a base on, what changed since if the servers
// know that.
func (c *collector) copyPartition(ctx context.Context, p ring.PartitionID, base *Version) (part Part, err error) {
	for range triesMax {
		part, err = c.try(ctx, p, base)
		if !errors.Is(err, errAnew) {
			return part, err
		}
		base = nil
	}
	return part, fmt.Errorf("copy partition %d: %w, %d times: is it written to faster than it can be read?", p, err, triesMax)
}

func (c *collector) try(ctx context.Context, p ring.PartitionID, base *Version) (Part, error) {
	c.p, c.owed, c.lacking, c.changes = p, make(map[string]struct{}), nil, nil
	defer c.leave()
	c.into.begin(c.section(), p)
	if base != nil {
		if err := c.barrier(ctx); err != nil {
			return Part{}, err
		}
	}
	anew, err := c.watch(ctx, base)
	if err != nil {
		return Part{}, err
	}
	whole := base == nil || anew
	if c.nodes != nil {
		c.nodes.begin(c, whole)
	}
	if whole {
		if err := c.scan(ctx); err != nil {
			return Part{}, err
		}
	}
	err = c.catchUp(ctx)
	if err == nil && c.nodes != nil {
		err = c.nodes.finish(ctx)
	}
	if err != nil {
		return Part{}, err
	}
	part, err := c.into.end()
	part.Whole, part.Lacking, part.At = whole, len(c.lacking) > 0, c.at
	for _, name := range c.lacking {
		c.lack(p, name)
	}
	return part, err
}

func (c *collector) section() section {
	if c.nodes != nil {
		return sectionNodes
	}
	return sectionKeys
}

// put writes down the state of a key. What can't be written as it is is owed.
func (c *collector) put(ctx context.Context, x *record) error {
	if c.nodes == nil {
		return c.into.add(x)
	}
	err := c.nodes.put(ctx, x)
	if errors.Is(err, errGone) || errors.Is(err, errLost) {
		return c.owe(x.name)
	}
	return err
}

func (c *collector) leave() {
	if c.changes != nil {
		c.changes.Close()
	}
}

// barrier moves the end.
func (c *collector) barrier(ctx context.Context) error {
	page, err := c.from.Page(ctx, &wire.KeyPageRequest{Partition: c.p})
	if err == nil {
		c.end = Version{page.Term, page.Seq}
	}
	return err
}

// watch has changes told from a version on, nil: from now on, instead of those told so far. anew says that they are told from a
// later one.
func (c *collector) watch(ctx context.Context, from *Version) (anew bool, err error) {
	c.leave()
	c.changes, err = c.from.Watch(ctx, c.p, from)
	if err != nil {
		c.changes = nil
		return false, err
	}
	first, err := c.changes.Next(ctx)
	if err != nil {
		return false, err
	}
	c.at = Version{first.Term, first.Seq}
	return first.Kind == wire.TellAnew, nil
}

// scan writes down all pages, and what is told meanwhile.
func (c *collector) scan(ctx context.Context) error {
	q := wire.KeyPageRequest{Partition: c.p, Bytes: c.pages, Term: c.from.Term(c.p)}
	for {
		page, err := c.from.Page(ctx, &q)
		if err != nil {
			return err
		}
		c.end, q.Term = Version{page.Term, page.Seq}, page.Term
		if page.Stale {
			continue
		}
		size := 0
		for i := range page.Keys {
			if err := c.page(ctx, &page.Keys[i]); err != nil {
				return err
			}
			size += len(page.Keys[i].Name) + len(page.Keys[i].Value)
		}
		if err := c.drain(ctx); err != nil {
			return err
		}
		if err := c.pace(ctx, size); err != nil || !page.More {
			return err
		}
		q.After = page.Next
	}
}

// drain writes down what was told, and does not wait.
func (c *collector) drain(ctx context.Context) error {
	for t, ok := c.changes.Try(); ok; t, ok = c.changes.Try() {
		if err := c.told(ctx, &t); err != nil {
			return err
		}
	}
	return nil
}

// page writes down a key as a page shows it.
func (c *collector) page(ctx context.Context, k *wire.PageKey) error {
	if k.Damaged {
		return c.owe(k.Name)
	}
	return c.put(ctx, &record{kind: recordSet, name: k.Name, version: Version{k.Term, k.Seq}, expiry: k.Expiry, value: k.Value})
}

// owe notes a key whose value has still to come: from a later change, or from a read.
func (c *collector) owe(name []byte) error {
	if len(c.owed) >= owedMax {
		return errAnew
	}
	c.owed[string(name)] = struct{}{}
	return nil
}

// told writes down what was told.
func (c *collector) told(ctx context.Context, t *route.Told) error {
	v := Version{t.Term, t.Seq}
	switch t.Kind {
	case wire.TellAnew:
		return errAnew
	case wire.TellChanged:
	default:
		c.at = v
		return nil
	}
	size := 0
	for i := range t.Changes {
		ch := &t.Changes[i]
		size += len(ch.Name) + len(ch.Value)
		x := record{kind: recordDeleted, name: ch.Name, version: v}
		switch {
		case ch.Change == wire.TellSet && !ch.HasValue:
			if err := c.owe(ch.Name); err != nil {
				return err
			}
			continue
		case ch.Change == wire.TellSet:
			x.kind, x.expiry, x.value = recordChanged, ch.Expiry, ch.Value
		}
		delete(c.owed, string(ch.Name))
		if err := c.put(ctx, &x); err != nil {
			return err
		}
	}
	c.at = v
	return c.pace(ctx, size)
}

// catchUp writes down what is told up to the end, and further until nothing is owed.
func (c *collector) catchUp(ctx context.Context) error {
	for {
		if err := c.reachEnd(ctx); err != nil || len(c.owed) == 0 {
			return err
		}
		if err := c.readOwed(ctx); err != nil {
			return err
		}
		if err := c.barrier(ctx); err != nil { // what was read may be later than all that is written down
			return err
		}
	}
}

// reachEnd has all be told up to the end. A watch that is live tells how far it is only now and then; one that
// begins tells at once.
func (c *collector) reachEnd(ctx context.Context) error {
	if !c.at.Before(c.end) {
		return nil
	}
	if err := c.drain(ctx); err != nil || !c.at.Before(c.end) {
		return err
	}
	at := c.at
	if anew, err := c.watch(ctx, &at); err != nil || anew {
		return errors.Join(err, errIf(anew))
	}
	for c.at.Before(c.end) {
		if err := c.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// wait waits for what is told next. Where that takes long, a barrier says whether it can come at all.
func (c *collector) wait(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, tellPatience)
	defer cancel()
	t, err := c.changes.Next(within)
	switch {
	case err == nil:
		return c.told(ctx, &t)
	case ctx.Err() == nil && within.Err() != nil:
		return c.barrier(ctx)
	}
	return err
}

func errIf(anew bool) error {
	if anew {
		return errAnew
	}
	return nil
}

// readOwed reads what is owed. Of a key that is gone by now the deletion is told before the next barrier.
func (c *collector) readOwed(ctx context.Context) error {
	owed := c.owed
	c.owed = make(map[string]struct{})
	for name := range owed {
		got, err := c.from.Get(ctx, []byte(name))
		if errors.Is(err, client.ErrNotFound) {
			continue
		}
		x := record{kind: recordChanged, name: []byte(name), version: Version{got.Term, got.Seq}, expiry: got.Expiry, value: got.Value}
		switch {
		case err == nil && c.nodes != nil:
			err = c.nodes.put(ctx, &x)
		case err == nil:
			err = c.into.add(&x)
		}
		switch {
		case errors.Is(err, errGone):
			err = c.owe(x.name)
		case errors.Is(err, errLost), errors.Is(err, client.ErrCorrupt):
			c.lacking = append(c.lacking, x.name)
			err = c.into.add(&record{kind: recordDeleted, name: x.name, version: c.at}) // else a run before would have it
		}
		if err != nil {
			return err
		}
	}
	return nil
}
