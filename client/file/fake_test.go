package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"viewring/client"
	"viewring/internal/route"
	"viewring/internal/tree"
	"viewring/internal/wire"
)

// memory is a store in memory, by the rules of server/tree/FILES.md. Every change has a
// version of its own.
type memory struct {
	mu       sync.Mutex
	now      uint64
	nodes    map[string]*wire.TreeNode
	contents map[wire.Content]*wire.TreeContentRecord
	chunks   map[wire.Chunk][]byte
	gets     int // of chunks
}

func newMemory() *memory {
	return &memory{nodes: map[string]*wire.TreeNode{"/": {HasRecord: true}}, contents: map[wire.Content]*wire.TreeContentRecord{}, chunks: map[wire.Chunk][]byte{}}
}

// small is an FS whose files get chunks early.
func small(s store) *FS { return &FS{store: s, inline: 8, chunk: 16} }

func (m *memory) Close() error { return nil }

func (m *memory) version() wire.TreeVersion {
	m.now++
	return wire.TreeVersion{Term: 1, Seq: m.now}
}

func (m *memory) Chunk(ctx context.Context, _ string, q *wire.ChunkRequest) (wire.DoReply, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return wire.DoReply{}, err
	}
	b, there := m.chunks[q.Chunk]
	switch q.Op {
	case wire.ChunkPut:
		if there {
			return wire.DoReply{Status: wire.DoCondFailed}, nil
		}
		m.chunks[q.Chunk] = bytes.Clone(q.Value)
		return wire.DoReply{Status: wire.DoOK}, nil
	case wire.ChunkGet:
		m.gets++
		if !there {
			return wire.DoReply{Status: wire.DoNotFound}, nil
		}
		from := min(q.Offset, int64(len(b)))
		to := int64(len(b))
		if q.Length > 0 {
			to = min(from+q.Length, to)
		}
		return wire.DoReply{Status: wire.DoOK, Value: bytes.Clone(b[from:to])}, nil
	}
	return wire.DoReply{}, errors.New("a client deletes no chunks")
}

func (m *memory) Tree(ctx context.Context, _ string, q *wire.TreeRequest) (wire.TreeReply, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return wire.TreeReply{}, err
	}
	if q.Op.OfContent() {
		return m.ofContent(q), nil
	}
	var path string
	if len(q.Items) > 0 && q.Items[0].Name != "" {
		path = tree.Join(q.Dir, q.Items[0].Name)
	}
	switch dir := m.nodes[q.Dir]; q.Op {
	case wire.TreeGet, wire.TreeHead:
		if n := m.nodes[path]; n != nil {
			c := *n
			return wire.TreeReply{Node: &c}, nil
		}
		return wire.TreeReply{Code: wire.TreeNoNode}, nil
	case wire.TreeDirectory:
		if dir == nil || !dir.HasRecord {
			return wire.TreeReply{Code: wire.TreeNoDirectory}, nil
		}
		return wire.TreeReply{Directory: &wire.TreeRecord{State: wire.TreeOpen, ID: dir.ID}}, nil
	case wire.TreeList:
		return m.list(q), nil
	case wire.TreeChange:
		return m.change(q), nil
	case wire.TreeClose:
		if m.list(q).Nodes != nil {
			return wire.TreeReply{Code: wire.TreeNotEmpty}, nil
		}
		return wire.TreeReply{Version: m.version()}, nil
	case wire.TreeFinish:
		delete(m.nodes, path)
		return wire.TreeReply{}, nil
	case wire.TreeDrop:
		return wire.TreeReply{}, nil
	}
	return wire.TreeReply{}, fmt.Errorf("step %d is not in memory", q.Op)
}

func (m *memory) list(q *wire.TreeRequest) (p wire.TreeReply) {
	for _, path := range slices.Sorted(maps.Keys(m.nodes)) {
		if dir, name := tree.Split(path); dir == q.Dir && path != "/" {
			n := *m.nodes[path]
			n.Name, n.Value = name, nil
			p.Nodes = append(p.Nodes, n)
		}
	}
	return p
}

func (m *memory) change(q *wire.TreeRequest) wire.TreeReply {
	dir := m.nodes[q.Dir]
	if dir == nil {
		return wire.TreeReply{Code: wire.TreeNoDirectory}
	}
	undo := m.copy()
	v := m.version()
	for i := range q.Items {
		if code := m.item(q, &q.Items[i], v); code != wire.TreeOK {
			m.nodes, m.contents = undo.nodes, undo.contents
			return wire.TreeReply{Code: code, Index: i}
		}
	}
	m.nodes[q.Dir].HasRecord = true
	return wire.TreeReply{Version: v}
}

// copy is what a change begins with.
func (m *memory) copy() *memory {
	c := newMemory()
	for k, n := range m.nodes {
		n := *n
		c.nodes[k] = &n
	}
	for k, r := range m.contents {
		r := *r
		c.contents[k] = &r
	}
	return c
}

func (m *memory) item(q *wire.TreeRequest, it *wire.TreeItem, v wire.TreeVersion) wire.TreeCode {
	path := tree.Join(q.Dir, it.Name)
	n := m.nodes[path]
	if it.Kind == wire.TreeCreate {
		if n != nil {
			return wire.TreeNodeExists
		}
		n = &wire.TreeNode{ID: v}
	} else if n == nil {
		return wire.TreeNoNode
	} else if it.Modified != (wire.TreeVersion{}) && it.Modified != n.Modified {
		return wire.TreeBadVersion
	}
	home := homeOf(q.Dir)
	if it.Kind == wire.TreeRemove {
		if n.HasRecord {
			return wire.TreeHasRecord
		}
		m.letGo(home, n.Content)
		delete(m.nodes, path)
		return wire.TreeOK
	}
	if it.Content != (wire.TreeVersion{}) {
		c := m.contents[wire.Content{Home: home, Version: it.Content}]
		if c == nil || c.State == wire.ContentEnded {
			return wire.TreeNoContent
		}
		if c.State == wire.ContentWriting {
			for _, owner := range it.Owners {
				o := m.contents[wire.Content{Home: home, Version: owner}]
				if o == nil || o.State != wire.ContentWhole {
					return wire.TreeNoContent
				}
				o.Refs++
			}
			c.State, c.Owners = wire.ContentWhole, it.Owners
		}
		c.Refs++
	}
	m.letGo(home, n.Content)
	n.Modified, n.File, n.Content, n.Size, n.Attributes = v, it.File, it.Content, it.Size, bytes.Clone(it.Attributes)
	n.Value, n.ValueBytes = bytes.Clone(it.Value), len(it.Value)
	n.ModifiedAt = int64(v.Seq)
	m.nodes[path] = n
	return wire.TreeOK
}

func (m *memory) letGo(home uint16, v wire.TreeVersion) {
	if c := m.contents[wire.Content{Home: home, Version: v}]; c != nil {
		c.Refs--
	}
}

func (m *memory) ofContent(q *wire.TreeRequest) wire.TreeReply {
	k := wire.Content{Home: q.Home, Version: q.Nonce}
	if q.Op == wire.TreeBegin {
		k.Version = m.version()
		m.contents[k] = &wire.TreeContentRecord{State: wire.ContentWriting, Reserved: int64(min(q.Limit, 1024))}
		return wire.TreeReply{Version: k.Version, Number: m.contents[k].Reserved}
	}
	c := m.contents[k]
	if c == nil {
		return wire.TreeReply{Code: wire.TreeNoContent}
	}
	if q.Op == wire.TreeContent {
		told := *c
		return wire.TreeReply{Content: &told}
	}
	state := c.State
	switch {
	case q.Op == wire.TreeTouch && state == wire.ContentEnded:
		return wire.TreeReply{Code: wire.TreeNoContent}
	case q.Op == wire.TreeTouch && state == wire.ContentWriting:
		c.Reserved = max(c.Reserved, min(int64(q.Limit), c.Reserved+1024))
	case q.Op == wire.TreeAbort && state == wire.ContentWriting:
		c.State = wire.ContentEnded
	}
	if q.Op == wire.TreeAbort {
		return wire.TreeReply{Number: int64(state)}
	}
	return wire.TreeReply{Number: c.Reserved}
}

// janitor ends all contents that nothing names, as if their time had come, and deletes their chunks.
func (m *memory) janitor() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for again := true; again; {
		again = false
		for k, c := range m.contents {
			if c.State == wire.ContentWriting || c.State == wire.ContentWhole && c.Refs == 0 {
				if c.State == wire.ContentWhole {
					for _, owner := range c.Owners {
						m.letGo(k.Home, owner)
					}
				}
				c.State, again = wire.ContentEnded, true
			}
		}
	}
	for k, c := range m.contents {
		if c.State == wire.ContentEnded {
			for i := range c.Reserved {
				delete(m.chunks, wire.Chunk{Content: k, Index: uint32(i)})
			}
			delete(m.contents, k)
		}
	}
}

// tidy checks that no chunk is left that no content has, and no content that no entry needs.
func (m *memory) tidy(t *testing.T) {
	t.Helper()
	m.janitor()
	for c := range m.chunks {
		if r := m.contents[c.Content]; r == nil || int64(c.Index) >= r.Reserved {
			t.Errorf("chunk %d of %v is left over: %+v", c.Index, c.Version, r)
		}
	}
	named := map[wire.TreeVersion]bool{}
	for _, n := range m.nodes {
		named[n.Content] = true
	}
	for k, c := range m.contents {
		if c.Refs < 1 || c.State != wire.ContentWhole || !named[k.Version] && !slices.ContainsFunc(slices.Collect(maps.Values(m.contents)), func(o *wire.TreeContentRecord) bool { return slices.Contains(o.Owners, k.Version) }) {
			t.Errorf("content %v: %+v", k, c)
		}
	}
}

// mortal is a store whose client comes to its end after some steps that change something: the last
// one is lost, or carried out and its answer is lost.
type mortal struct {
	store
	mu      sync.Mutex
	left    int
	carried bool // the last one is carried out
	heals   bool // what comes after it is answered again
	at      string
}

func (m *mortal) die(what string) (dead, carry bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left--
	if m.left == 0 {
		m.at = what
	}
	return m.left == 0 || m.left < 0 && !m.heals, m.left == 0 && m.carried
}

var errDead = &route.Error{Op: "step", Kind: client.ErrUnknownOutcome}

func (m *mortal) Tree(ctx context.Context, name string, q *wire.TreeRequest) (p wire.TreeReply, err error) {
	if !q.Op.Mutates() {
		return m.store.Tree(ctx, name, q)
	}
	dead, carry := m.die(strings.TrimSpace(fmt.Sprint("step ", q.Op)))
	if !dead || carry {
		p, err = m.store.Tree(ctx, name, q)
	}
	if dead {
		return wire.TreeReply{}, errDead
	}
	return p, err
}

func (m *mortal) Chunk(ctx context.Context, name string, q *wire.ChunkRequest) (p wire.DoReply, err error) {
	if !q.Op.Mutates() {
		return m.store.Chunk(ctx, name, q)
	}
	dead, carry := m.die("chunk")
	if !dead || carry {
		p, err = m.store.Chunk(ctx, name, q)
	}
	if dead {
		return wire.DoReply{}, errDead
	}
	return p, err
}
