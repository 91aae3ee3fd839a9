package backup

import (
	"encoding/binary"
	"fmt"
	"strings"

	"viewring/internal/codec"
	"viewring/internal/tree"
	"viewring/internal/wire"
)

// nodeKind says what is at a path.
type nodeKind byte

// The kinds of nodes in a backup.
const (
	nodePlain   nodeKind = 1 // with a value: also a directory
	nodeShort   nodeKind = 2 // a file whose bytes are the value
	nodeLong    nodeKind = 3 // a file whose bytes come before it
	nodeRecords nodeKind = 4 // a record file
	nodeNumbers nodeKind = 5 // not a node: the next number of a directory
)

// node is what the value of a record in the section of nodes says.
type node struct {
	kind                nodeKind
	created, modifiedAt int64 // unix milliseconds
	dataVersion         int64
	attributes          []byte // of files, as their entries have them
	value               []byte // of nodePlain, nodeShort

	size int64  // of nodeLong
	sum  uint64 // xxhash64 of its bytes

	id   Version // of nodeRecords: its creation
	next int64   // of nodeNumbers
}

func (n *node) encode() []byte {
	b := make([]byte, 0, len(n.value)+len(n.attributes)+64)
	b = append(b, byte(n.kind))
	if n.kind == nodeNumbers {
		return binary.AppendUvarint(b, uint64(n.next))
	}
	for _, v := range []int64{n.created, n.modifiedAt, n.dataVersion} {
		b = binary.AppendVarint(b, v)
	}
	b = codec.AppendBytes(b, n.attributes)
	switch n.kind {
	case nodeLong:
		return binary.BigEndian.AppendUint64(binary.AppendUvarint(b, uint64(n.size)), n.sum)
	case nodeRecords:
		return binary.AppendUvarint(binary.AppendUvarint(b, n.id.Term), n.id.Seq)
	}
	return append(b, n.value...)
}

// decodeNode reads what encode returned. Attributes and value alias b.
func decodeNode(b []byte) (n node, err error) {
	r := codec.NewReader(b)
	n.kind = nodeKind(r.Byte())
	if n.kind == nodeNumbers {
		n.next = count(r)
		return n, malformed(r.Done())
	}
	n.created, n.modifiedAt, n.dataVersion = r.Varint(), r.Varint(), r.Varint()
	if n.attributes = r.Bytes(); len(n.attributes) > wire.TreeAttributesMax {
		r.Invalid("attributes of %d bytes", len(n.attributes))
	}
	switch n.kind {
	case nodePlain, nodeShort:
		if n.value = r.Rest(); len(n.value) > wire.TreeValueMax {
			r.Invalid("a node's value of %d bytes", len(n.value))
		}
		return n, malformed(r.Err())
	case nodeLong:
		n.size, n.sum = count(r), r.Uint64()
	case nodeRecords:
		n.id = Version{r.Uvarint(), r.Uvarint()}
	default:
		r.Invalid("a node of kind %d", n.kind)
	}
	return n, malformed(r.Done())
}

// countMax bounds lengths and numbers, so that sums of some are sound.
const countMax = 1 << 60

func count(r *codec.Reader) int64 {
	n := r.Uvarint()
	if n > countMax {
		r.Invalid("the number %d", n)
		return 0
	}
	return int64(n)
}

// malformed has what can't be read be damage.
func malformed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

// nodeOf is what a backup has of a node; but for the sum of a long file.
func nodeOf(n *wire.TreeNode) node {
	out := node{kind: nodePlain, created: n.Created, modifiedAt: n.ModifiedAt, dataVersion: n.DataVersion, attributes: n.Attributes}
	switch {
	case !n.File:
		out.value = n.Value
	case n.Content == (wire.TreeVersion{}):
		out.kind, out.value = nodeShort, n.Value
	case string(n.Value) == string(tree.RecordEntry):
		out.kind, out.id = nodeRecords, Version(n.ID)
	default:
		out.kind, out.size = nodeLong, n.Size
	}
	return out
}

// splitNode takes the name of a node's record apart: its directory, a byte 0, its name. Without a name it is the directory's numbers.
func splitNode(key []byte) (dir, name string) {
	dir, name, _ = strings.Cut(string(key), tree.Separator)
	return dir, name
}

// above is the directory that a path is in.
func above(path string) string {
	dir, _ := tree.Split(path)
	return dir
}

// pathOf is the path of a node's record.
func pathOf(key []byte) string {
	dir, name := splitNode(key)
	if name == "" {
		return dir
	}
	return tree.Join(dir, name)
}

// checkNodeName says what is wrong with the name of a record of nodes.
func checkNodeName(key []byte) error {
	if err := tree.Check(pathOf(key)); err != nil {
		return fmt.Errorf("%w: a node: %w", ErrDamaged, err)
	}
	return nil
}

// leftOut are the directories whose nodes belong to sessions, locks and uploads that go on, or are copied in another way.
var leftOut = []string{"/.records", "/.webdav-locks", "/.s3/uploads", "/.s3/parts"}

// isLeftOut reports whether a path is one of these, or below.
func isLeftOut(path string) bool {
	for _, dir := range leftOut {
		if rest, ok := strings.CutPrefix(path, dir); ok && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return false
}
