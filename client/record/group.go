package record

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"viewring/client"
	"viewring/internal/tree"
	"viewring/internal/wire"
)

// GroupOptions say how a process takes part in a group. The zero value is sound.
type GroupOptions struct {
	ReadOptions
	// Member is what the process calls itself in lists; default: its host and process id.
	Member string
	// TTL is the silence after which others take over what a member reads; 0 is 10 s.
	TTL time.Duration
}

// Group is this process as a member of a group, whose members share a file: each chunk is read by one of them at a time. Records of
// one chunk come in their order, those of several at the same time. A member that dies is followed by others, once the view leader has not heard of
// it for its time to live; what it had not committed they read again: at least once.
type Group struct {
	f       *File
	name    string
	path    string // of the group's node
	member  string
	nonce   string
	cluster *client.Client
	session *client.Session

	mu    sync.Mutex // held by a commit
	turns []*turn    // whose chunks are not dealt with, in the order they were begun
	begun int
}

// turn is a chunk that this member reads.
type turn struct {
	number int
	chunk  uint32
	at     *held
	read   int64 // place behind what was told of it
	over   bool  // all of it was told
}

// groupPause is how long a member for whom there is no chunk waits before it looks again.
const groupPause = 500 * time.Millisecond

// JoinGroup makes this process a member of a group, which begins if it is the first. Close ends that.
func (f *File) JoinGroup(ctx context.Context, name string, opts GroupOptions) (*Group, error) {
	o := f.s.op(ctx, fmt.Sprintf("join the group %q of", name), f.path)
	g := &Group{f: f, name: name, path: tree.Join(readersOf(f.of), name), member: opts.Member, nonce: newNonce()}
	if g.member == "" {
		host, _ := os.Hostname() // "" will do
		g.member = fmt.Sprintf("%s/%d", cmp.Or(host, "process"), os.Getpid())
	}
	err := tree.CheckName(name)
	if err == nil {
		err = g.begin(o, opts.ReadOptions)
	}
	if err != nil {
		return nil, o.failed(err)
	}
	if g.cluster, err = client.Open(ctx, f.s.opts); err != nil {
		return nil, err
	}
	if g.session, err = g.cluster.OpenSession(ctx, client.SessionOptions{TTL: opts.TTL}); err != nil {
		_ = g.cluster.Close() // never used
		return nil, err
	}
	return g, nil
}

// begin makes the group, if it is not there.
func (g *Group) begin(o *op, opts ReadOptions) error {
	for range placeTries {
		h, err := o.getPlace(g.path)
		switch {
		case errors.Is(err, tree.ErrNoNode):
			_, err := g.f.reach(o, g.path, func() (place, error) { return g.f.groupAt(o, opts.From) })
			if errors.Is(err, tree.ErrNodeExists) {
				continue
			}
			if err == nil {
				o.sweep()
			}
			return err
		case err != nil:
			return err
		case h.value.Kind != kindGroup:
			return fmt.Errorf("%w: %q is a reader, not a group", ErrReaderKind, g.name)
		case opts.Reset:
			if err := o.removePlaces(g.path); err != nil {
				return err
			}
			opts.Reset = false // another one may have made it anew at once: that one counts
		case opts.From != nil:
			return fmt.Errorf("%w: %d", ErrKnownReader, h.value.Next)
		default:
			return nil
		}
	}
	return tree.ErrContended
}

// groupAt is where a new group begins.
func (f *File) groupAt(o *op, from *From) (place, error) {
	if from == nil {
		from = &Start
	}
	t := &tail{f: f, o: o, follow: true}
	if err := t.begin(*from); err != nil {
		return place{}, err
	}
	return place{Kind: kindGroup, Path: f.path, Chunk: t.r.At().Index, Next: max(t.r.Due(), t.from)}, nil
}

// Name is the group's.
func (g *Group) Name() string { return g.name }

// Close ends the membership: what was not committed others read.
func (g *Group) Close(ctx context.Context) error {
	err := g.session.Close(ctx)
	return errors.Join(err, g.cluster.Close())
}

// Read yields records of chunks that no other member reads, and then of others, until there are none that the file had when it began;
// or, if it follows, until ctx ends. It ends with client.ErrSessionLost where this process was not heard of for too
// long, and others may have taken over. One Read at a time.
func (g *Group) Read(ctx context.Context, follow bool) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		within, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			select {
			case <-g.session.Done():
				cancel()
			case <-within.Done():
			}
		}()
		o := g.f.s.op(within, fmt.Sprintf("read in the group %q", g.name), g.f.path)
		err := g.read(o, follow, yield)
		if why := g.session.Err(); why != nil && err != errStopped {
			err = why
		}
		if err != nil && err != errStopped && !(follow && ctx.Err() != nil) {
			yield(Entry{}, o.failed(err))
		}
	}
}

// errStopped: whoever reads wants no more.
var errStopped = errors.New("stopped")

func (g *Group) read(o *op, follow bool, yield func(Entry, error) bool) error {
	until := int64(0)
	if !follow {
		end, err := g.f.records(o).ReaderAtEnd()
		if err != nil {
			return err
		}
		until = end.Due()
	}
	if err := g.resume(o, follow, until, yield); err != nil {
		return err
	}
	for {
		t, err := g.claim(o, yield)
		if err != nil {
			return err
		}
		if t == nil && !follow {
			return nil
		}
		if t != nil {
			if err := g.tell(o, t, follow, until, yield); err != nil {
				return err
			}
			if !follow && !t.over {
				return nil
			}
			continue
		}
		pause := time.NewTimer(groupPause)
		select {
		case <-pause.C:
		case <-o.ctx.Done():
			pause.Stop()
			return o.ctx.Err()
		}
	}
}

// resume yields what an earlier Read had told, and was not committed.
func (g *Group) resume(o *op, follow bool, until int64, yield func(Entry, error) bool) error {
	g.mu.Lock()
	turns := slices.Clone(g.turns)
	for _, t := range turns {
		t.over, t.read = false, t.at.value.Next
	}
	g.mu.Unlock()
	for _, t := range turns {
		if err := g.tell(o, t, follow, until, yield); err != nil {
			return err
		}
	}
	return nil
}

// tell yields what a chunk has from its place on.
func (g *Group) tell(o *op, own *turn, follow bool, until int64, yield func(Entry, error) bool) (err error) {
	t := &tail{f: g.f, o: o, follow: follow, until: until, chunk: &own.chunk}
	defer t.close()
	if err := t.begin(From{kind: fromCommitted, place: own.read}); err != nil {
		return err
	}
	if !follow {
		t.until = until // as of the whole Read
	}
	for {
		e, over, err := t.next()
		if err != nil {
			return err
		}
		if over {
			return g.ended(o, own, t.passed)
		}
		stopped := !t.tell(&e, func(e Entry, err error) bool {
			e.turn = own.number
			g.mu.Lock()
			own.read = e.next()
			g.mu.Unlock()
			return yield(e, err)
		})
		if stopped {
			return errStopped
		}
	}
}

// ended notes that no more comes of a chunk; passed tells that it never will.
func (g *Group) ended(o *op, own *turn, passed bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if own.over = passed; !passed || own.at.value.Next < own.read {
		return nil
	}
	return g.finish(o, own)
}

// Commit keeps in the store that an entry, and all that Read yielded before, were dealt with. ErrNotReader: another member has taken over,
// from what was committed before.
func (g *Group) Commit(ctx context.Context, last Entry) error {
	o := g.f.s.op(ctx, fmt.Sprintf("commit in the group %q", g.name), g.f.path)
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, t := range slices.Clone(g.turns) {
		if t.number > last.turn {
			break
		}
		next := t.read
		if t.number == last.turn && !last.between {
			next = last.next()
		}
		var err error
		if t.over && next >= t.read {
			t.at.value.Next = t.read
			err = g.finish(o, t)
		} else if value := t.at.value; next > value.Next {
			value.Next = next
			err = g.unlessPassed(o, t, o.set(t.at, value))
		}
		if err != nil {
			return o.failed(err)
		}
	}
	return nil
}

// The names of a chunk's nodes: how far it was read, that it was read whole, and who reads it.
func partName(chunk uint32) string { return fmt.Sprintf("%010d", chunk) }

const (
	doneSuffix = ".done"
	heldSuffix = ".held"
)

// finish notes that a chunk was dealt with, and lets it go. The caller holds mu.
func (g *Group) finish(o *op, t *turn) error {
	name := partName(t.chunk)
	for range placeTries {
		_, _, err := tree.Change(o.ask, g.path, []wire.TreeItem{
			{Kind: wire.TreeRemove, Name: name, DataVersion: -1, Modified: t.at.at},
			{Kind: wire.TreeCreate, Name: name + doneSuffix, Value: t.at.value.encode()},
			{Kind: wire.TreeRemove, Name: name + heldSuffix, DataVersion: -1},
		})
		switch {
		case err == nil:
			g.drop(t)
			return nil
		case !errors.Is(err, tree.ErrNoNode) && !errors.Is(err, tree.ErrBadVersion) && !errors.Is(err, tree.ErrNodeExists) && !errors.Is(err, tree.ErrNoParent):
			return err
		}
		if _, err := tree.Head(o.ask, tree.Join(g.path, name+doneSuffix)); err == nil { // by a try that was not answered
			g.drop(t)
			return nil
		}
		now, err := o.getPlace(t.at.path)
		if err != nil || now.value.Nonce != g.nonce || now.at == t.at.at {
			return g.unlessPassed(o, t, ErrNotReader)
		}
		t.at.at = now.at
	}
	return tree.ErrContended
}

// unlessPassed is what failed of a turn, nil where the chunk is not kept any more, or the group has gone past it. The caller holds mu.
func (g *Group) unlessPassed(o *op, t *turn, failed error) error {
	if !errors.Is(failed, ErrNoReader) && !errors.Is(failed, ErrNotReader) {
		return failed
	}
	h, err := o.getPlace(g.path)
	switch {
	case errors.Is(err, tree.ErrNoNode):
		return ErrNoReader
	case err != nil:
		return err
	case h.value.Chunk <= t.chunk:
		return ErrNotReader
	}
	g.drop(t)
	return nil
}

// drop forgets a turn. The caller holds mu.
func (g *Group) drop(t *turn) {
	for i := range g.turns {
		if g.turns[i] == t {
			g.turns = append(g.turns[:i:i], g.turns[i+1:]...)
			return
		}
	}
}

// groupInfo adds what is known of a group.
func (o *op) groupInfo(path string, p place, info *ReaderInfo) error {
	names, err := o.names(path)
	if err != nil {
		return err
	}
	for _, name := range names {
		n, err := tree.Get(o.ask, tree.Join(path, name))
		switch {
		case errors.Is(err, tree.ErrNoNode):
			continue
		case err != nil:
			return err
		case strings.HasSuffix(name, heldSuffix):
			info.Members = append(info.Members, string(n.Value))
			continue
		}
		part, err := decodePlace(n.Value)
		if err != nil {
			return fmt.Errorf("%s: %w", tree.Join(path, name), err)
		}
		info.Lag = max(0, info.Lag-(part.Next-part.First))
		if at := time.UnixMilli(n.ModifiedAt); at.After(info.Committed) {
			info.Committed = at
		}
		if strings.TrimSuffix(name, doneSuffix) == partName(p.Chunk) {
			info.Next = max(info.Next, part.Next)
			info.Removed = max(0, info.Removed-(part.Next-part.First))
		}
	}
	return nil
}
