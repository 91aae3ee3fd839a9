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
func (c *Client) WatchKeys(ctx context.Context, name, key string, prefix, values bool, token string) (*Watch, error) {
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
func (c *Client) WatchTree(ctx context.Context, op, dir, name string, below bool, token string) (*Watch, error) {
	spec := WatchSpec{Space: wire.MetaSpace, Name: dir + tree.Separator + name, Slot: ring.SlotOf(cmp.Or(dir, tree.Root)), Values: true}
	if name == "" {
		spec.Prefix, spec.Alone = true, true
	}
	if below {
		spec.Name, spec.Alone = dir, false
	}
	return c.watchFrom(ctx, op, spec, token)
}

func (c *Client) watchFrom(ctx context.Context, name string, spec WatchSpec, token string) (*Watch, error) {
	from, err := parseToken(token, spec, len(c.View().Partitions))
	if err != nil {
		return nil, &Error{Op: name, Kind: ErrRefused, Last: fmt.Errorf("from %q: %w", token, err)}
	}
	spec.From = from
	return c.Watch(ctx, name, spec)
}

// Took notes that all of what Next returned was taken; Token goes on after that.
func (w *Watch) Took(t *Told) { w.took[t.Partition] = Position{t.Term, t.Seq} }

// Token says up to where what was told was taken. With all, everything that Next returned was,
// and what was told since that is no event is taken, too. It is for the goroutine that calls
// Next.
func (w *Watch) Token(all bool) string {
	for all {
		t, ok := w.takeIf(func(t *Told) bool { return t.Kind == wire.TellBegun || t.Kind == wire.TellPassed })
		if !ok {
			break
		}
		w.Took(&t)
	}
	if !w.spec.many() {
		return w.took[ring.PartitionOf(w.spec.Slot, w.partitions)].String()
	}
	b := binary.AppendUvarint([]byte{tokenFormat}, uint64(w.partitions))
	for p := range w.partitions {
		at := w.took[ring.PartitionID(p)]
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
