package route

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"viewring/internal/tree"
	"viewring/internal/wire"
	"viewring/ring"
)

// tokenFormat is the first byte of a token of many partitions.
const tokenFormat = 1

// WatchKeys watches a user's key, or with prefix all keys that begin so, from where a token
// says, which another Watch of the same keys made: "" is from now on.
func (c *Client) WatchKeys(ctx context.Context, name, key string, prefix, values bool, token string) (*Changes, error) {
	if len(key) > wire.KeyBytesMax {
		return nil, &Error{Op: name, Kind: ErrTooLarge, Last: fmt.Errorf("a key of %d bytes, %d are allowed", len(key), wire.KeyBytesMax)}
	}
	spec := WatchSpec{Space: wire.UserSpace, Prefix: prefix, Name: key, Values: values}
	if !prefix {
		spec.Slot = ring.SlotOf(key)
	}
	return c.watchFrom(ctx, name, spec, token)
}

// WatchTree watches nodes of the tree of paths, from a token on: with name the node of that name in a
// directory, else all nodes in it, with below also those whose directories begin with that.
func (c *Client) WatchTree(ctx context.Context, op, dir, name string, below bool, token string) (*Changes, error) {
	spec := WatchSpec{Space: wire.MetaSpace, Name: dir + tree.Separator + name, Slot: ring.SlotOf(cmp.Or(dir, tree.Root)), Values: true}
	if name == "" {
		spec.Prefix, spec.Alone = true, true
	}
	if below {
		spec.Name, spec.Alone = dir, false
	}
	return c.watchFrom(ctx, op, spec, token)
}

func (c *Client) watchFrom(ctx context.Context, name string, spec WatchSpec, token string) (*Changes, error) {
	from, err := parseToken(token, spec, len(c.View().Partitions))
	if err != nil {
		return nil, &Error{Op: name, Kind: ErrRefused, Last: fmt.Errorf("from %q: %w", token, err)}
	}
	spec.From = from
	w, err := c.Watch(ctx, name, spec)
	if err != nil {
		return nil, err
	}
	return &Changes{watch: w, took: w.beginnings()}, nil
}

// Changes takes what a Watch is told change by change, and knows up to where that was taken. It is
// for one goroutine, but for Close.
type Changes struct {
	watch *Watch
	told  Told // its changes from next on are still to come
	next  int
	took  map[ring.PartitionID]Position
}

// Next returns the next change, with what was told as one with it, and waits for it; nil where all
// begins anew. Names and values are the caller's.
func (c *Changes) Next(ctx context.Context) (*Told, *wire.ToldChange, error) {
	for c.next == len(c.told.Changes) {
		told, err := c.watch.Next(ctx)
		if err != nil {
			return nil, nil, err
		}
		c.told, c.next = told, 0
		if len(told.Changes) == 0 {
			c.taken()
		}
		if told.Kind == wire.TellAnew {
			return &c.told, nil, nil
		}
	}
	change := &c.told.Changes[c.next]
	if c.next++; c.next == len(c.told.Changes) {
		c.taken()
	}
	return &c.told, change, nil
}

func (c *Changes) taken() { c.took[c.told.Partition] = Position{c.told.Term, c.told.Seq} }

// Close ends the watch.
func (c *Changes) Close() { c.watch.Close() }

// Token says up to where changes were taken. Of those that were told as one all must have been,
// and then what was told since counts, too, that is no change.
func (c *Changes) Token() string {
	for c.next == len(c.told.Changes) {
		t, ok := c.watch.takeIf(func(t *Told) bool { return t.Kind == wire.TellBegun || t.Kind == wire.TellPassed })
		if !ok {
			break
		}
		c.told, c.next = t, 0
		c.taken()
	}
	w := c.watch
	if !w.spec.many() {
		return c.took[ring.PartitionOf(w.spec.Slot, w.partitions)].String()
	}
	b := binary.AppendUvarint([]byte{tokenFormat}, uint64(w.partitions))
	for p := range w.partitions {
		at := c.took[ring.PartitionID(p)]
		b = binary.AppendUvarint(binary.AppendUvarint(b, at.Term), at.Seq)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// String writes a position as people write versions.
func (p Position) String() string { return fmt.Sprintf("%d.%d", p.Term, p.Seq) }

// ParsePosition reads what String wrote.
func ParsePosition(s string) (p Position, err error) {
	term, seq, ok := strings.Cut(s, ".")
	if ok {
		p.Term, err = strconv.ParseUint(term, 10, 64)
	}
	if ok && err == nil {
		p.Seq, err = strconv.ParseUint(seq, 10, 64)
	}
	if !ok || err != nil {
		return Position{}, errors.New("no version, which is TERM.SEQ")
	}
	return p, nil
}

// parseToken reads what Token made, for a watch of the same keys.
func parseToken(token string, spec WatchSpec, partitions int) (map[ring.PartitionID]Position, error) {
	if token == "" {
		return nil, nil
	}
	if !spec.many() {
		at, err := ParsePosition(token)
		return map[ring.PartitionID]Position{ring.PartitionOf(spec.Slot, partitions): at}, err
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) == 0 || b[0] != tokenFormat {
		return nil, errors.New("no token of a watch of many keys")
	}
	b = b[1:]
	whole := true
	number := func() uint64 {
		n, size := binary.Uvarint(b)
		whole = whole && size > 0
		b = b[max(0, size):]
		return n
	}
	if n := number(); whole && n != uint64(partitions) {
		return nil, fmt.Errorf("a token of another cluster: of %d partitions, not %d", n, partitions)
	}
	from := make(map[ring.PartitionID]Position)
	for p := 0; p < partitions && whole; p++ {
		from[ring.PartitionID(p)] = Position{Term: number(), Seq: number()}
	}
	if !whole || len(b) > 0 {
		return nil, errors.New("a token that was cut or added to")
	}
	return from, nil
}
