package tree

import (
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
