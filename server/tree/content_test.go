package tree

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"viewring/internal/codec"
	"viewring/internal/wire"
	"viewring/server/replica"
)

// depot is a memory with the chunks of contents, in slots of their own.
type depot struct {
	*memory
	chunks map[wire.Chunk]bool
	late   []func() // steps of who is no more
	story  []string
}

// part is which chunk comes next in a file: what a manifest says.
type part struct {
	of    wire.TreeVersion
	index uint32
}

func manifest(parts []part) (b []byte) {
	for _, p := range parts {
		b = append(appendVersion(b, p.of), byte(p.index))
	}
	return b
}

func partsOf(b []byte) (parts []part) {
	for r := codec.NewReader(b); r.Len() > 0; {
		parts = append(parts, part{readVersion(r), uint32(r.Byte())})
	}
	return parts
}

var depotHome = slotOf("/")

func chunkOf(p part) wire.Chunk {
	return wire.Chunk{Content: wire.Content{Home: depotHome, Version: p.of}, Index: p.index}
}

// doing is somebody in the middle of something: each step is one of the store's.
type doing struct {
	name string
	next func() (func(), bool)
	stop func()
}

var errGone = errors.New("gone")

// by begins to do something, in which do carries out a step; it fails for who is no more.
func by(name string, work func(do func(step func()) error)) *doing {
	d := &doing{name: name}
	dead := false
	d.next, d.stop = iter.Pull(func(yield func(func()) bool) {
		work(func(step func()) error {
			if dead = dead || !yield(step); dead {
				return errGone
			}
			return nil
		})
	})
	return d
}

func (s *depot) ask(q *wire.TreeRequest) wire.TreeReply {
	q.Number = 0
	if q.Op.Mutates() {
		q.Number = 1
	}
	p, err := s.do(q)
	if err != nil && s.wrong == "" {
		s.wrong = err.Error()
	}
	s.story = append(s.story, fmt.Sprintf("  step %d of %v %q %+v → %+v", q.Op, q.Nonce, q.Dir, q.Items, p))
	return p
}

func about(op wire.TreeOp, v wire.TreeVersion, limit int) *wire.TreeRequest {
	return &wire.TreeRequest{Op: op, Home: depotHome, Nonce: v, Limit: limit}
}

// write writes a file: of new chunks, and perhaps some of the file that is there.
func (s *depot) write(rng *rand.Rand, name string) *doing {
	n, shares, givesUp, session := rng.IntN(3), rng.IntN(2) == 0, rng.IntN(6) == 0, uint64(rng.IntN(3))
	return by("write "+name, func(do func(func()) error) {
		var v wire.TreeVersion
		var parts []part
		var owners []wire.TreeVersion
		if shares {
			if do(func() { parts = s.partsAt("abc"[rng.IntN(3)]) }) != nil {
				return
			}
			for _, p := range parts {
				if !slices.Contains(owners, p.of) {
					owners = append(owners, p.of)
				}
			}
		}
		if do(func() { v = s.ask(about(wire.TreeBegin, v, 1)).Version }) != nil {
			return
		}
		for i := range n {
			parts = append(parts, part{v, uint32(i)})
			reserved := int64(0)
			if do(func() { reserved = s.ask(about(wire.TreeTouch, v, i+1)).Number }) != nil || reserved <= int64(i) {
				return
			}
			if do(func() { s.chunks[chunkOf(part{v, uint32(i)})] = true }) != nil {
				return
			}
		}
		if givesUp && do(func() { s.ask(about(wire.TreeAbort, v, 0)) }) != nil {
			return
		}
		it := wire.TreeItem{Kind: wire.TreeSet, Name: name, DataVersion: -1, File: true, Content: v, Owners: owners, Value: manifest(parts), Size: int64(len(parts))}
		for _, it.Kind = range []wire.TreeItemKind{wire.TreeSet, wire.TreeCreate} {
			if it.Owner = 0; it.Kind == wire.TreeCreate {
				it.Owner = session
			}
			code := wire.TreeOK
			if do(func() { code = s.change(it).Code }) != nil || code != wire.TreeNoNode {
				return
			}
		}
	})
}

func (s *depot) change(items ...wire.TreeItem) wire.TreeReply {
	return s.ask(&wire.TreeRequest{Op: wire.TreeChange, Dir: "/", Items: items})
}

func (s *depot) get(name string) *wire.TreeNode {
	return s.ask(&wire.TreeRequest{Op: wire.TreeGet, Dir: "/", Items: []wire.TreeItem{{Name: name}}}).Node
}

// partsAt are those of the file of that name, if there is one.
func (s *depot) partsAt(name byte) []part {
	if n := s.get(string(name)); n != nil && n.Content != (wire.TreeVersion{}) {
		return partsOf(n.Value)
	}
	return nil
}

// rename gives the content of one name to another, or to both.
func (s *depot) rename(rng *rand.Rand, from, to string) *doing {
	copies := rng.IntN(2) == 0
	return by("rename "+from+" "+to, func(do func(func()) error) {
		var n *wire.TreeNode
		if do(func() { n = s.get(from) }) != nil || n == nil {
			return
		}
		items := []wire.TreeItem{{Kind: wire.TreeCreate, Name: to, File: n.File, Content: n.Content, Value: n.Value, Size: n.Size}}
		if !copies {
			items = append(items, wire.TreeItem{Kind: wire.TreeRemove, Name: from, DataVersion: -1, Modified: n.Modified})
		}
		_ = do(func() { s.change(items...) })
	})
}

// remove removes a name, in one of the ways in which entries go, or makes it no file.
func (s *depot) remove(rng *rand.Rand, name string) *doing {
	way := rng.IntN(4)
	return by(fmt.Sprint("remove ", name, " ", way), func(do func(func()) error) {
		switch n := (*wire.TreeNode)(nil); way {
		case 0:
			_ = do(func() {
				s.change(wire.TreeItem{Kind: wire.TreeSet, Name: name, DataVersion: -1, File: true, Value: []byte("small")})
			})
		case 1:
			if do(func() { n = s.get(name) }) == nil && n != nil {
				_ = do(func() {
					s.ask(&wire.TreeRequest{Op: wire.TreeFinish, Dir: "/", Items: []wire.TreeItem{{Name: name, ID: n.ID}}})
				})
			}
		case 2:
			_ = do(func() {
				s.wrong += s.reap(s.ownerships(func(session uint64) bool { return session == 1 }))
			})
		default:
			_ = do(func() { s.change(wire.TreeItem{Kind: wire.TreeRemove, Name: name, DataVersion: -1}) })
		}
	})
}

// tidy is the janitor at work on one content that has a to-do.
func (s *depot) tidy(rng *rand.Rand) *doing {
	var todo []wire.Content
	for _, k := range slices.Sorted(maps.Keys(s.items)) {
		if c, ok := ParseTodo(k); k.Space() == replica.SpaceOwned && ok {
			todo = append(todo, c)
		}
	}
	if len(todo) == 0 {
		return nil
	}
	v := todo[rng.IntN(len(todo))].Version
	return by("tidy", func(do func(func()) error) {
		var c *wire.TreeContentRecord
		read := func() error { return do(func() { c = s.ask(about(wire.TreeContent, v, 0)).Content }) }
		if read() != nil || c == nil {
			return
		}
		end := about(wire.TreeEnd, v, 0)
		end.Idle = c.Idle
		if c.State != wire.ContentEnded && (do(func() { s.ask(end) }) != nil || read() != nil) || c == nil || c.State != wire.ContentEnded {
			return
		}
		for i := c.Reserved - 1; i >= 0; i-- {
			if do(func() { delete(s.chunks, chunkOf(part{v, uint32(i)})) }) != nil || do(func() { s.ask(about(wire.TreeShrink, v, int(i))) }) != nil {
				return
			}
		}
		_ = do(func() { s.ask(about(wire.TreeGone, v, 0)) })
	})
}

// sweep is the sweeper at one chunk.
func (s *depot) sweep(rng *rand.Rand) *doing {
	if len(s.chunks) == 0 {
		return nil
	}
	all := slices.SortedFunc(maps.Keys(s.chunks), func(a, b wire.Chunk) int { return strings.Compare(a.Name(), b.Name()) })
	chunk := all[rng.IntN(len(all))]
	return by("sweep", func(do func(func()) error) {
		var c *wire.TreeContentRecord
		if do(func() { c = s.ask(about(wire.TreeContent, chunk.Version, 0)).Content }) == nil && (c == nil || c.State == wire.ContentEnded) {
			_ = do(func() { delete(s.chunks, chunk) })
		}
	})
}

// lost says which promise is broken.
func (s *depot) lost() string {
	if why := s.broken(); why != "" {
		return why
	}
	refs := make(map[wire.TreeVersion]int64)
	contents := make(map[wire.TreeVersion]*wire.TreeContentRecord)
	for k, it := range s.items {
		if k.Space() != replica.SpaceFile {
			continue
		}
		c, err := decodeContent(it.Value)
		if err != nil {
			return err.Error()
		}
		contents[versionOf(k)] = c
		for _, v := range c.Owners {
			if c.State == wire.ContentWhole {
				refs[v]++
			}
		}
	}
	for k, it := range s.items {
		if k.Space() != replica.SpaceMeta || strings.HasSuffix(k.Name(), separator) {
			continue
		}
		e, _ := decodeEntry(it.Value)
		if e.content == (wire.TreeVersion{}) {
			continue
		}
		refs[e.content]++
		if c := contents[e.content]; c == nil || c.State != wire.ContentWhole {
			return fmt.Sprintf("F2: %q names %v, which is %+v", k.Name(), e.content, c)
		}
		for _, p := range partsOf(e.value) {
			if !s.chunks[chunkOf(p)] {
				return fmt.Sprintf("F2: %q has lost %+v", k.Name(), p)
			}
		}
	}
	for v, c := range contents {
		_, todo := s.items[todoKey(depotHome, v)]
		if c.Refs != refs[v] {
			return fmt.Sprintf("F1: %v has %d refs: %+v", v, refs[v], c)
		}
		if idle := c.Idle != (wire.TreeVersion{}); idle != (c.Refs == 0) || todo != (idle || c.State == wire.ContentEnded) {
			return fmt.Sprintf("%v: to-do %v, %+v", v, todo, c)
		}
	}
	return ""
}

// left says what stays behind for ever.
func (s *depot) left() string {
	for c := range s.chunks {
		it, ok := s.items[contentKey(depotHome, c.Version)]
		if r, _ := decodeContent(it.Value); !ok || r.Refs == 0 {
			return fmt.Sprintf("F3: chunk %v stays, its content is %+v", c, r)
		}
	}
	for k, it := range s.items {
		if c, _ := decodeContent(it.Value); k.Space() == replica.SpaceFile && c.Refs == 0 {
			return fmt.Sprintf("F3: a content stays: %+v", c)
		}
	}
	return ""
}

// TestContents plays writers, janitors and sweepers whose steps come in any order, who die, and
// whose last step takes effect late: no file loses a chunk, and nothing stays behind.
func TestContents(t *testing.T) {
	seeds := 400
	if os.Getenv("VIEWRING_SLOW") != "" {
		seeds = 1500
	}
	for seed := range uint64(seeds) {
		if why, story := playContents(seed); why != "" {
			t.Fatalf("seed %d: %s\n%s", seed, why, strings.Join(story, "\n"))
		}
	}
}

func (s *depot) draw(rng *rand.Rand) *doing {
	name := func() string { return string("abc"[rng.IntN(3)]) }
	switch rng.IntN(9) {
	case 0, 1, 2:
		return s.write(rng, name())
	case 3:
		return s.rename(rng, name(), name())
	case 4:
		return s.remove(rng, name())
	case 5:
		return s.sweep(rng)
	}
	return s.tidy(rng)
}

func playContents(seed uint64) (why string, story []string) {
	rng := rand.New(rand.NewPCG(seed, 16))
	s := &depot{memory: newMemory(), chunks: make(map[wire.Chunk]bool)}
	var running []*doing
	for began := 0; began < 40 || len(running)+len(s.late) > 0; {
		switch i := rng.IntN(len(running) + len(s.late) + 1); {
		case i == len(running)+len(s.late) || len(running) < 3 && began < 40:
			if began++; began <= 40 {
				if d := s.draw(rng); d != nil {
					running = append(running, d)
				}
			}
			continue
		case i >= len(running):
			if began < 40 && rng.IntN(6) > 0 {
				continue // later still
			}
			step := s.late[i-len(running)]
			s.late = slices.Delete(s.late, i-len(running), i-len(running)+1)
			s.story = append(s.story, "late:")
			step()
		default:
			d := running[i]
			step, more := d.next()
			if !more {
				running = slices.Delete(running, i, i+1)
				continue
			}
			s.story = append(s.story, d.name)
			if rng.IntN(25) == 0 { // it dies, and what it has asked for comes late
				s.late = append(s.late, step)
				d.stop()
				running = slices.Delete(running, i, i+1)
				continue
			}
			step()
		}
		if why := s.lost(); why != "" {
			return why, s.story
		}
	}
	for range 200 {
		for _, d := range []*doing{s.tidy(rng), s.sweep(rng)} {
			for d != nil {
				step, more := d.next()
				if !more {
					break
				}
				step()
			}
		}
	}
	return s.lost() + s.left(), s.story
}
