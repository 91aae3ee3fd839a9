package tree

import (
	"context"
	"fmt"

	"viewring/client"
	"viewring/internal/tree"
	"viewring/internal/wire"
)

// Change is one of several changes that Multi makes as one.
type Change struct{ item wire.TreeItem }

// The changes of a Multi are of children of one node, by their names. Each sees what those
// before it did.

// CreateChild creates a child.
func CreateChild(name string, value []byte) Change {
	return Change{wire.TreeItem{Kind: wire.TreeCreate, Name: name, Value: value, DataVersion: -1}}
}

// CreateSequential creates a child with the next number behind its name. The numbers of one Multi
// are in a row.
func CreateSequential(name string, value []byte) Change {
	return Change{wire.TreeItem{Kind: wire.TreeSequential, Name: name, Value: value, DataVersion: -1}}
}

// SetChild sets a child's value.
func SetChild(name string, value []byte, when Condition) Change {
	c := when.condition()
	return Change{wire.TreeItem{Kind: wire.TreeSet, Name: name, Value: value, DataVersion: c.DataVersion, Modified: c.Modified}}
}

// RemoveChild removes a child that never had children.
func RemoveChild(name string, when Condition) Change {
	c := when.condition()
	return Change{wire.TreeItem{Kind: wire.TreeRemove, Name: name, DataVersion: c.DataVersion, Modified: c.Modified}}
}

// CheckChild fails, and all with it, unless the child is there and the condition holds.
func CheckChild(name string, when Condition) Change {
	c := when.condition()
	return Change{wire.TreeItem{Kind: wire.TreeCheck, Name: name, DataVersion: c.DataVersion, Modified: c.Modified}}
}

// MultiError says which change of a Multi failed: none was made.
type MultiError struct {
	Index int
	Err   error
}

// Error names the change.
func (e *MultiError) Error() string { return fmt.Sprintf("change %d: %v", e.Index+1, e.Err) }

// Unwrap returns why it failed.
func (e *MultiError) Unwrap() error { return e.Err }

// Multi makes up to 100 changes of the children of one node as one: all of them at one
// instant, with one version, or none. Their values are at most 4 MiB together, their paths
// 256 KiB. It returns the paths of the nodes that it was about.
// Where one fails the error is a *MultiError too.
func (t *Tree) Multi(ctx context.Context, path string, changes ...Change) ([]string, error) {
	name := fmt.Sprintf("change below %.200q", path)
	items := make([]wire.TreeItem, len(changes))
	if err := check(path, nil); err != nil {
		return nil, failed(name, err)
	}
	if len(changes) > wire.TreeItemsMax {
		return nil, failed(name, fmt.Errorf("%w: %d changes, at most %d are one", client.ErrTooLarge, len(changes), wire.TreeItemsMax))
	}
	for i, c := range changes {
		items[i] = c.item
		own := c.item.Name
		if c.item.Kind == wire.TreeSequential {
			own = tree.SequentialName(own, 0)
		}
		err := tree.CheckName(own)
		if err == nil {
			err = check(tree.Join(path, own), c.item.Value)
		}
		if err != nil {
			return nil, failed(name, &MultiError{i, err})
		}
	}
	if len(items) == 0 {
		return nil, nil
	}
	p, index, err := tree.Change(t.ask(ctx, name), path, items)
	if err != nil && p.Code != wire.TreeOK {
		err = &MultiError{index, err}
	}
	if err != nil {
		return nil, failed(name, err)
	}
	paths, number := make([]string, len(items)), p.Number
	for i := range items {
		own := items[i].Name
		if items[i].Kind == wire.TreeSequential {
			own = tree.SequentialName(own, number)
			number++
		}
		paths[i] = tree.Join(path, own)
	}
	return paths, nil
}
