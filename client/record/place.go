package record

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"

	"viewring/internal/tree"
	"viewring/internal/wire"
)

// What named readers and members of groups fail with, beside the errors of package client.
var (
	// ErrNotReader: another process reads under the name now, or took over what a member of a group read.
	ErrNotReader = errors.New("another process reads in its place")
	// ErrNoReader: nobody reads the file under the name, or not any more.
	ErrNoReader = errors.New("no reader has the name")
	// ErrKnownReader: the name has a place already, and From is for new ones.
	ErrKnownReader = errors.New("the name has a place already")
	// ErrReaderKind: the name is a group's and not a reader's, or the other way round.
	ErrReaderKind = errors.New("the name is of another kind")
)

// readersRoot is the directory of all places. Those of a file are below the name of its content, which no other
// file ever gets: a file that is removed and made again is read from its start.
const readersRoot = "/.records"

const placeFormat = 1

// What a place is of.
const (
	kindReader = "reader"
	kindGroup  = "group"
	kindPart   = "part" // of a group: a chunk
)

// place is the value of a node that says how far something was read.
type place struct {
	Format int    `json:"format"`
	Kind   string `json:"kind"`
	Path   string `json:"path,omitempty"` // of the file, for people
	Nonce  string `json:"nonce"`          // of the process that has set it
	First  int64  `json:"first"`          // of a part: of its first record
	Next   int64  `json:"next"`           // of the record that comes next
	Chunk  uint32 `json:"chunk"`          // of a group: all chunks before were read, and this one begins with Next
}

func (p *place) encode() []byte {
	p.Format = placeFormat
	b, err := json.Marshal(p)
	if err != nil {
		panic("record: a place that can't be encoded: " + err.Error())
	}
	return b
}

func decodePlace(b []byte) (p place, err error) {
	if err := json.Unmarshal(b, &p); err != nil {
		return p, fmt.Errorf("a place that can't be read: %w", err)
	}
	if p.Format != placeFormat {
		return p, fmt.Errorf("a place of format %d, this build knows %d", p.Format, placeFormat)
	}
	if p.Next < 0 || p.First < 0 || p.Next < p.First {
		return p, fmt.Errorf("a place that says %d to %d", p.First, p.Next)
	}
	return p, nil
}

// newNonce is one that nobody else has.
func newNonce() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// readersOf is the directory of a file's places.
func readersOf(c wire.Content) string {
	return tree.Join(readersRoot, fmt.Sprintf("%d-%d-%d", c.Home, c.Version.Term, c.Version.Seq))
}

// contentOf is the reverse of readersOf.
func contentOf(name string) (c wire.Content, ok bool) {
	n, err := fmt.Sscanf(name, "%d-%d-%d", &c.Home, &c.Version.Term, &c.Version.Seq)
	return c, err == nil && n == 3 && readersOf(c) == tree.Join(readersRoot, name)
}

// held is a node whose value this process has set last: it may set it again while nobody else has.
type held struct {
	path  string
	value place
	at    wire.TreeVersion // of the last change
}

// getPlace reads a place.
func (o *op) getPlace(path string) (*held, error) {
	n, err := tree.Get(o.ask, path)
	if err != nil {
		return nil, err
	}
	p, err := decodePlace(n.Value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &held{path: path, value: p, at: n.Modified}, nil
}

// set gives the node another value, if nobody has since it was set last; else ErrNotReader. After an unknown outcome it may be
// called again.
func (o *op) set(h *held, value place, also ...wire.TreeItem) error {
	dir, name := tree.Split(h.path)
	for range placeTries {
		items := append([]wire.TreeItem{{Kind: wire.TreeSet, Name: name, Value: value.encode(), DataVersion: -1, Modified: h.at}}, also...)
		p, _, err := tree.Change(o.ask, dir, items)
		switch {
		case err == nil:
			h.value, h.at = value, p.Version
			return nil
		case errors.Is(err, tree.ErrNoNode), errors.Is(err, tree.ErrNoParent):
			return ErrNoReader
		case !errors.Is(err, tree.ErrBadVersion):
			return err
		}
		now, err := o.getPlace(h.path) // a set of our own may have been late
		switch {
		case errors.Is(err, tree.ErrNoNode):
			return ErrNoReader
		case err != nil:
			return err
		case now.value.Nonce != value.Nonce:
			return ErrNotReader
		}
		h.at = now.at
	}
	return tree.ErrContended
}

// placeTries bounds how often what others come before is tried again.
const placeTries = 20

// ensure makes a directory of places, and those above.
func (o *op) ensure(dir string) error {
	if dir == tree.Root {
		return nil
	}
	above, name := tree.Split(dir)
	for range placeTries {
		_, _, err := tree.Change(o.ask, above, []wire.TreeItem{{Kind: wire.TreeCreate, Name: name}})
		switch {
		case err == nil || errors.Is(err, tree.ErrNodeExists):
			return nil
		case !errors.Is(err, tree.ErrNoParent):
			return err
		}
		if err := o.ensure(above); err != nil {
			return err
		}
	}
	return tree.ErrContended
}

// names are those of all nodes of a directory; none where there is no such.
func (o *op) names(dir string) (all []string, err error) {
	var cursor []byte
	for {
		names, _, next, err := tree.NamesPage(o.ask, dir, cursor, 0)
		if errors.Is(err, tree.ErrNoNode) || errors.Is(err, tree.ErrNoParent) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if all = append(all, names...); len(next) == 0 {
			return all, nil
		}
		cursor = next
	}
}

// removePlaces removes a directory of places, and all below.
func (o *op) removePlaces(dir string) error {
	names, err := o.names(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := o.removePlaces(tree.Join(dir, name)); err != nil {
			return err
		}
	}
	err = tree.Remove(o.ask, dir, tree.Always)
	if errors.Is(err, tree.ErrNoNode) {
		return nil
	}
	return err
}

// sweepMax is how many files of the directory of all places are looked at whenever a name is new.
const sweepMax = 4

// sweep removes places of files that are gone: some, chosen at random, so that what is left over stays less than what is in use.
// What it can't do the next one does.
func (o *op) sweep() {
	names, err := o.names(readersRoot)
	if err != nil {
		return
	}
	for _, i := range pick(len(names), sweepMax) {
		c, ok := contentOf(names[i])
		if !ok {
			continue
		}
		f := &tree.Records{Calls: &calls{op: o}, Of: c}
		if _, err := f.Look(); errors.Is(err, ErrRemoved) {
			_ = o.removePlaces(tree.Join(readersRoot, names[i]))
		}
	}
}

// reach makes the place of a new name, whose value first tells.
func (f *File) reach(o *op, path string, first func() (place, error)) (*held, error) {
	value, err := first()
	if err != nil {
		return nil, err
	}
	dir, name := tree.Split(path)
	if err := o.ensure(dir); err != nil {
		return nil, err
	}
	if _, err := f.records(o).Look(); err != nil { // what is removed gets no place, which nobody would remove
		return nil, err
	}
	p, _, err := tree.Change(o.ask, dir, []wire.TreeItem{{Kind: wire.TreeCreate, Name: name, Value: value.encode()}})
	if err != nil {
		return nil, err
	}
	return &held{path: path, value: value, at: p.Version}, nil
}

// pick chooses up to most of n things at random.
func pick(n, most int) []int {
	all := mathrand.Perm(n)
	return all[:min(n, most)]
}
