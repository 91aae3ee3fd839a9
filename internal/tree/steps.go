package tree

import (
	"errors"
	"fmt"

	"viewring/internal/wire"
)

// What operations on nodes fail with.
var (
	ErrNoNode     = errors.New("no such node")
	ErrNoParent   = errors.New("the parent does not exist")
	ErrNodeExists = errors.New("the node exists already")
	ErrNotEmpty   = errors.New("the node has children")
	ErrBadVersion = errors.New("the node is at another version")
	ErrEphemeral  = errors.New("a session's node can't have children")
	ErrHadChild   = errors.New("the node may have children: it is removed alone")
	ErrContended  = errors.New("others change these nodes all the time")
	ErrNoContent  = errors.New("the file's content has ended")
	ErrInUse      = errors.New("the file's content is in use")
	ErrIsFile     = errors.New("the node is a file, which is written as one or removed")
	ErrIsRecords  = errors.New("the file is one of records, which is appended to or removed")
	ErrUnreadable = errors.New("stored by a build that the server does not know")

	// ErrUnfinished: the removal has begun, and whoever comes next finishes it, or takes it
	// back where the node was set meanwhile and the removal was conditional.
	ErrUnfinished = errors.New("begun and not finished")

	// ErrOvertaken: a conditional removal was finished, or taken back, by another client, and
	// the node was removed: by which of them nobody can tell.
	ErrOvertaken = errors.New("another client removed the node meanwhile, perhaps in this client's name")
)

// attemptsMax bounds how often an operation begins anew because others came between.
const attemptsMax = 100

// Ask carries out one step: the answer, or an error after which nobody knows more.
type Ask func(q *wire.TreeRequest) (wire.TreeReply, error)

// Condition is what must hold of a node. The zero Condition does not mean Always.
type Condition struct {
	DataVersion int64            // -1: any
	Modified    wire.TreeVersion // zero: any
}

// Always holds of any node.
var Always = Condition{DataVersion: -1}

// errorOf is the error that a code stands for, nil for TreeOK.
func errorOf(code wire.TreeCode) error {
	switch code {
	case wire.TreeOK:
		return nil
	case wire.TreeNoNode:
		return ErrNoNode
	case wire.TreeNodeExists:
		return ErrNodeExists
	case wire.TreeBadVersion:
		return ErrBadVersion
	case wire.TreeNotEmpty:
		return ErrNotEmpty
	case wire.TreeHasRecord:
		return ErrHadChild
	case wire.TreeBadName:
		return fmt.Errorf("%w: with its number the name is too long", ErrBadPath)
	case wire.TreeEphemeral:
		return ErrEphemeral
	case wire.TreeUnreadable:
		return ErrUnreadable
	case wire.TreeNoContent:
		return ErrNoContent
	case wire.TreeInUse:
		return ErrInUse
	case wire.TreeIsFile:
		return ErrIsFile
	case wire.TreeIsRecords:
		return ErrIsRecords
	}
	return fmt.Errorf("unexpected outcome %d of a step", code)
}

// Get returns a node.
func Get(ask Ask, path string) (*wire.TreeNode, error) {
	dir, name := Split(path)
	p, err := ask(&wire.TreeRequest{Op: wire.TreeGet, Dir: dir, Items: []wire.TreeItem{{Name: name}}})
	if err == nil {
		err = errorOf(p.Code)
	}
	return p.Node, err
}

// Head returns a node without its value.
func Head(ask Ask, path string) (*wire.TreeNode, error) {
	dir, name := Split(path)
	p, err := ask(&wire.TreeRequest{Op: wire.TreeHead, Dir: dir, Items: []wire.TreeItem{{Name: name}}})
	if err == nil {
		err = errorOf(p.Code)
	}
	return p.Node, err
}

// Stat returns a node without its value, and its directory's record, which is nil where there are no
// children. Each is as it was at some moment of the call.
func Stat(ask Ask, path string) (n *wire.TreeNode, d *wire.TreeRecord, err error) {
	return withRecord(ask, path, Head)
}

// Read is Stat with the value.
func Read(ask Ask, path string) (n *wire.TreeNode, d *wire.TreeRecord, err error) {
	return withRecord(ask, path, Get)
}

func withRecord(ask Ask, path string, get func(Ask, string) (*wire.TreeNode, error)) (n *wire.TreeNode, d *wire.TreeRecord, err error) {
	for range attemptsMax {
		if n, err = get(ask, path); err != nil {
			return n, nil, err
		}
		d, same, err := RecordOf(ask, path, n)
		if err != nil {
			return nil, nil, err
		}
		if same {
			return n, d, nil
		}
	}
	return nil, nil, ErrContended
}

// RecordOf returns the directory's record of a node, nil where there are no children. same is false
// where the record is that of another node of that path.
func RecordOf(ask Ask, path string, n *wire.TreeNode) (d *wire.TreeRecord, same bool, err error) {
	if path != Root && !n.HasRecord {
		return nil, true, nil
	}
	p, err := ask(&wire.TreeRequest{Op: wire.TreeDirectory, Dir: path})
	switch {
	case err != nil:
		return nil, false, err
	case p.Code == wire.TreeNoDirectory:
		return nil, true, nil
	case p.Code != wire.TreeOK:
		return nil, false, errorOf(p.Code)
	}
	return p.Directory, p.Directory.ID == n.ID, nil
}

// Change makes changes in one directory, all or none. index is of the one that failed.
// Nodes that may have children can't be removed so.
func Change(ask Ask, dir string, items []wire.TreeItem) (p wire.TreeReply, index int, err error) {
	for range attemptsMax {
		if p, err = ask(&wire.TreeRequest{Op: wire.TreeChange, Dir: dir, Items: items}); err != nil {
			return p, 0, err
		}
		switch p.Code {
		case wire.TreeNoDirectory, wire.TreeNotOpen, wire.TreeClosed:
			if err := open(ask, dir); err != nil {
				return p, p.Index, err
			}
		default:
			return p, p.Index, errorOf(p.Code)
		}
	}
	return p, 0, ErrContended
}

// Raise has a directory give its sequential children that number at least from now on.
func Raise(ask Ask, dir string, number int64) error {
	for range attemptsMax {
		p, err := ask(&wire.TreeRequest{Op: wire.TreeRaise, Dir: dir, Limit: int(number)})
		if err != nil {
			return err
		}
		switch p.Code {
		case wire.TreeNoDirectory, wire.TreeNotOpen, wire.TreeClosed:
			if err := open(ask, dir); err != nil {
				return err
			}
		default:
			return errorOf(p.Code)
		}
	}
	return ErrContended
}

// open lets children into a directory, or finishes its removal: then the caller looks again.
// The record comes first, and only once the node is known to have one may it be opened: so
// whoever removes the node closes it, however late this client's steps arrive.
func open(ask Ask, dir string) error {
	if err := help(ask, dir); err != nil {
		return err
	}
	n, err := Head(ask, dir)
	if errors.Is(err, ErrNoNode) {
		return ErrNoParent
	}
	if err != nil {
		return err
	}
	if n.Owner != 0 {
		return ErrEphemeral // and always will be: an owner is for life
	}
	p, err := ask(&wire.TreeRequest{Op: wire.TreePrepare, Dir: dir, Items: []wire.TreeItem{{ID: n.ID}}})
	if err != nil || p.Code != wire.TreeOK || p.Number != int64(wire.TreePreparing) {
		return err // it is open, or closed, or of a later node
	}
	above, name := Split(dir)
	birth := p.Version
	p, err = ask(&wire.TreeRequest{Op: wire.TreeMark, Dir: above, Items: []wire.TreeItem{{Name: name, ID: n.ID}}})
	switch {
	case err != nil:
		return err
	case p.Code == wire.TreeNoNode:
		_, err := ask(&wire.TreeRequest{Op: wire.TreeDrop, Dir: dir, Nonce: birth})
		return err
	case p.Code != wire.TreeOK:
		return errorOf(p.Code)
	}
	_, err = ask(&wire.TreeRequest{Op: wire.TreeActivate, Dir: dir, Nonce: birth})
	return err
}

// help finishes, or takes back, what others left half done of a directory's removal, and
// drops the record of a node that is gone.
func help(ask Ask, dir string) error {
	if dir == Root {
		return nil
	}
	p, err := ask(&wire.TreeRequest{Op: wire.TreeDirectory, Dir: dir})
	if err != nil || p.Code != wire.TreeOK || p.Directory.State == wire.TreeOpen {
		return err
	}
	d := p.Directory
	if d.State == wire.TreePreparing {
		n, err := Head(ask, dir)
		if err != nil && !errors.Is(err, ErrNoNode) || err == nil && n.ID == d.ID {
			return err
		}
		_, err = ask(&wire.TreeRequest{Op: wire.TreeDrop, Dir: dir, Nonce: d.Birth})
		return err
	}
	_, err = finish(ask, dir, d)
	return err
}

// finish goes on with the removal of the node of a directory whose record is closed. What
// becomes of the record after that is for whoever comes next, if this fails.
func finish(ask Ask, path string, d *wire.TreeRecord) (wire.TreeCode, error) {
	above, name := Split(path)
	p, err := ask(&wire.TreeRequest{Op: wire.TreeFinish, Dir: above, Items: []wire.TreeItem{{Name: name, ID: d.ID, Modified: d.ClosedAt}}})
	switch {
	case err != nil:
	case p.Code == wire.TreeBadVersion: // and it will be for ever: no version comes again
		_, _ = ask(&wire.TreeRequest{Op: wire.TreeReopen, Dir: path, Nonce: d.Closed})
	case p.Code == wire.TreeOK || p.Code == wire.TreeNoNode:
		_, _ = ask(&wire.TreeRequest{Op: wire.TreeDrop, Dir: path, Nonce: d.Closed})
	default:
		err = errorOf(p.Code)
	}
	return p.Code, err
}

// Remove removes a node that has no children.
func Remove(ask Ask, path string, when Condition) error {
	dir, name := Split(path)
	item := wire.TreeItem{Kind: wire.TreeRemove, Name: name, DataVersion: when.DataVersion, Modified: when.Modified}
	for range attemptsMax {
		p, err := ask(&wire.TreeRequest{Op: wire.TreeChange, Dir: dir, Items: []wire.TreeItem{item}})
		switch {
		case err != nil:
			return err
		case p.Code == wire.TreeNoNode:
			_ = help(ask, path)
			return ErrNoNode
		case p.Code != wire.TreeHasRecord:
			return errorOf(p.Code)
		}
		if over, err := removeDirectory(ask, path, p.Version, when); over || err != nil {
			return err
		}
	}
	return ErrContended
}

// removeDirectory removes the node of that ID, which may have had children; over is false
// where others came between. The record is closed first. From then on no child is created, and
// all who come finish the removal: nobody takes it back but for another version of the node.
func removeDirectory(ask Ask, path string, id wire.TreeVersion, when Condition) (over bool, err error) {
	modified := wire.TreeVersion{}
	if when != Always {
		n, err := Head(ask, path)
		switch {
		case errors.Is(err, ErrNoNode) || err == nil && n.ID != id:
			return false, nil
		case err != nil:
			return false, err
		case when.DataVersion >= 0 && when.DataVersion != n.DataVersion || when.Modified != (wire.TreeVersion{}) && when.Modified != n.Modified:
			return true, ErrBadVersion
		}
		modified = n.Modified
	}
	p, err := ask(&wire.TreeRequest{Op: wire.TreeClose, Dir: path, Items: []wire.TreeItem{{ID: id, Modified: modified}}})
	switch {
	case err != nil:
		return false, err
	case p.Code == wire.TreeNotEmpty:
		return true, ErrNotEmpty
	case p.Code == wire.TreeClosed:
		return false, help(ask, path)
	case p.Code == wire.TreeNoDirectory:
		return false, remake(ask, path, id)
	case p.Code != wire.TreeOK:
		return false, nil
	}
	code, err := finish(ask, path, &wire.TreeRecord{ID: id, Closed: p.Version, ClosedAt: modified})
	switch {
	case err != nil:
		return true, fmt.Errorf("%w: %w", ErrUnfinished, err)
	case code == wire.TreeBadVersion:
		return true, ErrBadVersion
	case code == wire.TreeNoNode && modified != wire.TreeVersion{}:
		return true, ErrOvertaken
	}
	return true, nil
}

// remake makes the record of a node that should have one: an operator gave its partition up.
func remake(ask Ask, path string, id wire.TreeVersion) error {
	n, err := Head(ask, path)
	if errors.Is(err, ErrNoNode) || err == nil && n.ID != id {
		return nil
	}
	if err == nil {
		_, err = ask(&wire.TreeRequest{Op: wire.TreePrepare, Dir: path, Items: []wire.TreeItem{{ID: id}}})
	}
	return err
}

// ListPage returns a page of a directory's nodes, in no order that people know, and where the
// next begins. A node that is there all the while is told once; of one that is created or
// removed meanwhile a list of one page tells the truth of one moment. A
// page may have few nodes, or none, and not be the last.
func ListPage(ask Ask, dir string, cursor []byte, limit int) (nodes []wire.TreeNode, next []byte, err error) {
	p, err := page(ask, &wire.TreeRequest{Op: wire.TreeList, Dir: dir, Cursor: cursor, Limit: limit})
	return p.Nodes, p.Cursor, err
}

// NamesPage is ListPage of names alone, which servers need not read nodes for. d is the directory's record
// as it was when they were read, nil where there never were children.
func NamesPage(ask Ask, dir string, cursor []byte, limit int) (names []string, d *wire.TreeRecord, next []byte, err error) {
	p, err := page(ask, &wire.TreeRequest{Op: wire.TreeNames, Dir: dir, Cursor: cursor, Limit: limit})
	return p.Names, p.Directory, p.Cursor, err
}

// page asks for a page of a directory, and opens that where it has to be. The zero reply is that of one that nobody
// has let children in.
func page(ask Ask, q *wire.TreeRequest) (wire.TreeReply, error) {
	dir := q.Dir
	for range attemptsMax {
		p, err := ask(q)
		switch {
		case err != nil:
			return wire.TreeReply{}, err
		case p.Code == wire.TreeOK:
			return p, nil
		case p.Code == wire.TreeClosed || p.Code == wire.TreeNotOpen:
			if err := help(ask, dir); err != nil {
				return wire.TreeReply{}, err
			}
		case p.Code != wire.TreeNoDirectory:
			return wire.TreeReply{}, errorOf(p.Code)
		}
		n, err := Head(ask, dir)
		switch {
		case errors.Is(err, ErrNoNode):
			_ = help(ask, dir)
			return wire.TreeReply{}, ErrNoNode
		case err != nil:
			return wire.TreeReply{}, err
		case !n.HasRecord:
			return wire.TreeReply{}, nil
		case p.Code != wire.TreeClosed:
			if err := open(ask, dir); err != nil && !errors.Is(err, ErrNoParent) {
				return wire.TreeReply{}, err
			}
		}
	}
	return wire.TreeReply{}, ErrContended
}
