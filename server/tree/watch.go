package tree

import (
	"encoding/binary"
	"strings"

	"viewring/internal/wire"
	"viewring/server/replica"
)

// Told is what who watches the tree is told of a key that an entry of the log changed: the
// node as that left it, nil where it is gone, or where that is not known any more (item is
// nil). seen is false of what is about no node's state: a directory's record, and the flag of an
// entry that the directory has one.
func Told(key replica.Key, version replica.Version, item *replica.Item) (n *wire.TreeNode, seen bool, err error) {
	_, name, _ := strings.Cut(key.Name(), separator)
	if name == "" {
		return nil, false, nil
	}
	if item == nil {
		return nil, true, nil
	}
	e, err := decodeEntry(item.Value)
	if err != nil {
		return nil, true, err
	}
	if e.modified != wire.TreeVersion(version) { // a creation modifies it too
		return nil, false, nil
	}
	node := e.node(name)
	return &node, true, nil
}

// Paged is what a page for a backup tells of a key that has that value: a node, as wire.AppendTreeNode has it, or the next
// number of a directory, as a varint. tells is false of a directory that has given none.
func Paged(key replica.Key, value []byte) (paged []byte, tells bool, err error) {
	_, name, _ := strings.Cut(key.Name(), separator)
	if name == "" {
		d, err := decodeRecord(value)
		if err != nil || d.Next == 0 {
			return nil, false, err
		}
		return binary.AppendVarint(nil, d.Next), true, nil
	}
	e, err := decodeEntry(value)
	if err != nil {
		return nil, false, err
	}
	n := e.node(name)
	return wire.AppendTreeNode(nil, &n), true, nil
}
