package wire

import (
	"encoding/binary"
	"fmt"

	"viewring/internal/codec"
)

// CmdTree is about one directory of the tree of paths: TreeRequest → TreeReply, or an error
// reply. It goes to the primary of the directory's slot. What each step is for, and which
// order of steps makes an operation, is in server/tree/DESIGN.md.
const CmdTree = "VR.TREE"

// treeFormat is the version of TreeRequest and TreeReply.
const treeFormat = 2 // 2: items have an owner

// TreeValueMax bounds the value of a node; TreeItemsMax how many changes are one.
const (
	TreeValueMax = 1 << 20
	TreeItemsMax = 100
)

// TreeOp is a step.
type TreeOp uint8

// The steps. Those about a node are asked with the directory that it is in, and its name in
// Items[0]; those about a directory's record with the directory.
const (
	TreeGet       TreeOp = iota // → Node
	TreeDirectory               // → Directory
	TreeList                    // Cursor, Limit → Directory, Nodes, Cursor
	TreeChange                  // Items: all of them, or the first that fails
	TreeMark                    // the node of that ID gets a directory
	TreeFinish                  // removes the node of that ID, if Modified is its last change or zero
	TreePrepare                 // makes the record of the node with that ID → its birth, Number: state
	TreeActivate                // lets children in; Nonce: the birth
	TreeClose                   // lets no more children in, if there are none; ID, Modified → Version
	TreeReopen                  // takes back a TreeClose that was answered with Nonce
	TreeDrop                    // deletes a record that lets no children in; Nonce: the birth, or the version of the TreeClose
	treeOpEnd
)

// Mutates reports whether the step changes something: it has a request id then.
func (o TreeOp) Mutates() bool { return o >= TreeChange }

// Frees reports whether the step takes no room.
func (o TreeOp) Frees() bool { return o >= TreeFinish && o != TreePrepare }

// TreeItemKind says what an item of a TreeChange does.
type TreeItemKind uint8

// The kinds of items.
const (
	TreeCreate     TreeItemKind = iota // Name, Value, Owner
	TreeSequential                     // the same, with the next number behind Name
	TreeSet                            // Name, Value; DataVersion, Modified, Owner
	TreeRemove                         // Name; DataVersion, Modified, Owner
	TreeCheck                          // Name; DataVersion, Modified, Owner
	treeItemKindEnd
)

// TreeVersion is the version of an entry of a slot's log; zero stands for none.
type TreeVersion struct{ Term, Seq uint64 }

// TreeItem is a change of one node, or which node a step is about.
type TreeItem struct {
	Kind        TreeItemKind
	Name        string
	Value       []byte
	DataVersion int64       // only if the node's is that; -1: any
	Modified    TreeVersion // only if that was its last change; zero: any
	ID          TreeVersion
	Owner       uint64 // of what is created: the session that it goes with, 0 for none; else only if that is the node's, 0: any
}

// TreeRequest is one step. Retries carry the same Client and Number; reads carry none.
type TreeRequest struct {
	Client [16]byte
	Number uint64
	Born   int64
	Mark   uint64

	Op     TreeOp
	Dir    string // "" has the root, whose name is "/"
	Items  []TreeItem
	Nonce  TreeVersion
	Cursor []byte
	Limit  int
}

func appendTreeVersion(b []byte, v TreeVersion) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, v.Term), v.Seq)
}

func readTreeVersion(r *codec.Reader) TreeVersion {
	return TreeVersion{Term: r.Uvarint(), Seq: r.Uvarint()}
}

// AppendTreeRequest encodes q.
func AppendTreeRequest(b []byte, q *TreeRequest) []byte {
	b = append(b, treeFormat, byte(q.Op))
	b = binary.AppendUvarint(b, q.Number)
	if q.Number != 0 {
		b = append(b, q.Client[:]...)
		b = binary.AppendUvarint(b, uint64(q.Born))
		b = binary.AppendUvarint(b, q.Mark)
	}
	b = codec.AppendString(b, q.Dir)
	b = appendTreeVersion(b, q.Nonce)
	b = codec.AppendBytes(b, q.Cursor)
	b = binary.AppendUvarint(b, uint64(q.Limit))
	b = binary.AppendUvarint(b, uint64(len(q.Items)))
	for i := range q.Items {
		it := &q.Items[i]
		b = append(b, byte(it.Kind))
		b = codec.AppendString(b, it.Name)
		b = codec.AppendBytes(b, it.Value)
		b = binary.AppendVarint(b, it.DataVersion)
		b = appendTreeVersion(b, it.Modified)
		b = appendTreeVersion(b, it.ID)
		b = binary.AppendUvarint(b, it.Owner)
	}
	return b
}

// treeItemBytesMin is what an item takes at least.
const treeItemBytesMin = 9

// DecodeTreeRequest parses what AppendTreeRequest wrote. Values alias b.
func DecodeTreeRequest(b []byte) (TreeRequest, error) {
	var q TreeRequest
	r := codec.NewReader(b)
	if err := expectFormat(r, "tree request", treeFormat); err != nil {
		return q, err
	}
	q.Op = TreeOp(r.Byte())
	q.Number = r.Uvarint()
	if q.Number != 0 {
		r.Fixed(q.Client[:])
		q.Born = int64(r.Uvarint())
		q.Mark = r.Uvarint()
	}
	q.Dir = r.String()
	q.Nonce = readTreeVersion(r)
	q.Cursor = r.Bytes()
	q.Limit = int(min(r.Uvarint(), 1<<30))
	n := r.Count(treeItemBytesMin)
	if n > TreeItemsMax {
		return q, fmt.Errorf("tree request: %w: %d items, at most %d are allowed", codec.ErrMalformed, n, TreeItemsMax)
	}
	q.Items = make([]TreeItem, n)
	for i := range q.Items {
		it := &q.Items[i]
		it.Kind = TreeItemKind(r.Byte())
		it.Name = r.String()
		it.Value = r.Bytes()
		it.DataVersion = r.Varint()
		it.Modified = readTreeVersion(r)
		it.ID = readTreeVersion(r)
		it.Owner = r.Uvarint()
		if it.Kind >= treeItemKindEnd {
			r.Invalid("item of kind %d", it.Kind)
		}
	}
	if err := r.Done(); err != nil {
		return q, fmt.Errorf("tree request: %w", err)
	}
	if q.Op >= treeOpEnd || q.Op.Mutates() != (q.Number != 0) {
		return q, fmt.Errorf("tree request: %w: step %d with request number %d", codec.ErrMalformed, q.Op, q.Number)
	}
	return q, nil
}

// TreeCode is what a step came to.
type TreeCode uint8

// The outcomes of a step. Beside TreeOK and TreeNoDirectory nothing was changed.
const (
	TreeOK          TreeCode = iota
	TreeNoNode               // there is no such node
	TreeNodeExists           // there is one
	TreeBadVersion           // the node is at another version
	TreeNotEmpty             // the directory has children
	TreeNoDirectory          // the directory has no record
	TreeNotOpen              // its record lets no children in yet
	TreeClosed               // its record lets no children in any more
	TreeHasRecord            // the node may have a directory's record: it is not removed by one step; Version: its ID
	TreeStale                // the record is of a later node of that name
	TreeBadName              // with its number the name is too long
	TreeEphemeral            // a session's node has no children
	TreeUnreadable           // what is stored has a format that the server's build does not know
	treeCodeEnd
)

// TreeState is what a directory's record says of children.
type TreeState uint8

// The states of a record.
const (
	TreePreparing TreeState = iota + 1 // none yet
	TreeOpen                           // they come and go
	TreeShut                           // none any more
)

// TreeNode is a node as its entry has it. Times are unix milliseconds by servers' clocks.
type TreeNode struct {
	Name        string
	ID          TreeVersion // of its creation; never that of another node
	Modified    TreeVersion // of its last change
	Created     int64
	ModifiedAt  int64
	DataVersion int64 // how often it was set
	Owner       uint64
	HasRecord   bool
	ValueBytes  int
	Value       []byte // not in lists
}

// TreeRecord is a directory's record.
type TreeRecord struct {
	State           TreeState
	ID              TreeVersion // of the node
	Birth           TreeVersion
	Closed          TreeVersion // the TreeClose that shut it,
	ClosedAt        TreeVersion // and its Modified
	Children        int64
	ChildrenVersion int64       // counts creations and removals
	Changed         TreeVersion // the last of them
	Next            int64       // number of the next sequential child
}

// TreeReply is the answer to a TreeRequest.
type TreeReply struct {
	Code      TreeCode
	Index     int         // of the item that failed
	Version   TreeVersion // of the change
	Number    int64       // TreeSequential: the first number; one TreeSet: the data version; TreePrepare: the state
	Node      *TreeNode   // TreeGet; a TreeChange of one node: without its value, nil where a try before did it
	Directory *TreeRecord
	Nodes     []TreeNode
	Cursor    []byte // where the list goes on; empty: it has ended
}

// What follows in a TreeReply.
const (
	treeHasNode = 1 << iota
	treeHasDirectory
)

// AppendTreeReply encodes p.
func AppendTreeReply(b []byte, p *TreeReply) []byte {
	flags := byte(0)
	if p.Node != nil {
		flags |= treeHasNode
	}
	if p.Directory != nil {
		flags |= treeHasDirectory
	}
	b = append(b, treeFormat, byte(p.Code), flags)
	b = binary.AppendUvarint(b, uint64(p.Index))
	b = appendTreeVersion(b, p.Version)
	b = binary.AppendVarint(b, p.Number)
	if p.Node != nil {
		b = AppendTreeNode(b, p.Node)
	}
	if d := p.Directory; d != nil {
		b = append(b, byte(d.State))
		for _, v := range []TreeVersion{d.ID, d.Birth, d.Closed, d.ClosedAt, d.Changed} {
			b = appendTreeVersion(b, v)
		}
		for _, n := range []int64{d.Children, d.ChildrenVersion, d.Next} {
			b = binary.AppendVarint(b, n)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(p.Nodes)))
	for i := range p.Nodes {
		b = AppendTreeNode(b, &p.Nodes[i])
	}
	return codec.AppendBytes(b, p.Cursor)
}

// AppendTreeNode encodes n, as it stands in a TreeReply, and as the value of what a watch of the tree
// is told.
func AppendTreeNode(b []byte, n *TreeNode) []byte {
	b = codec.AppendString(b, n.Name)
	b = appendTreeVersion(appendTreeVersion(b, n.ID), n.Modified)
	b = binary.AppendVarint(binary.AppendVarint(b, n.Created), n.ModifiedAt)
	b = binary.AppendUvarint(binary.AppendVarint(b, n.DataVersion), n.Owner)
	b = codec.AppendBool(b, n.HasRecord)
	b = binary.AppendUvarint(b, uint64(n.ValueBytes))
	return codec.AppendBytes(b, n.Value)
}

func readTreeNode(r *codec.Reader) (n TreeNode) {
	n.Name = r.String()
	n.ID, n.Modified = readTreeVersion(r), readTreeVersion(r)
	n.Created, n.ModifiedAt = r.Varint(), r.Varint()
	n.DataVersion, n.Owner = r.Varint(), r.Uvarint()
	n.HasRecord = r.Bool()
	n.ValueBytes = int(min(r.Uvarint(), 1<<30))
	n.Value = r.Bytes()
	return n
}

// DecodeTreeNode parses what AppendTreeNode wrote. The value aliases b.
func DecodeTreeNode(b []byte) (TreeNode, error) {
	r := codec.NewReader(b)
	n := readTreeNode(r)
	if err := r.Done(); err != nil {
		return TreeNode{}, fmt.Errorf("node: %w", err)
	}
	return n, nil
}

// treeNodeBytesMin is what a node takes at least.
const treeNodeBytesMin = 12

// DecodeTreeReply parses what AppendTreeReply wrote. Values alias b.
func DecodeTreeReply(b []byte) (TreeReply, error) {
	var p TreeReply
	r := codec.NewReader(b)
	if err := expectFormat(r, "tree reply", treeFormat); err != nil {
		return p, err
	}
	p.Code = TreeCode(r.Byte())
	flags := r.Byte()
	p.Index = int(min(r.Uvarint(), TreeItemsMax))
	p.Version = readTreeVersion(r)
	p.Number = r.Varint()
	if flags&treeHasNode != 0 {
		n := readTreeNode(r)
		p.Node = &n
	}
	if flags&treeHasDirectory != 0 {
		d := &TreeRecord{State: TreeState(r.Byte())}
		for _, v := range []*TreeVersion{&d.ID, &d.Birth, &d.Closed, &d.ClosedAt, &d.Changed} {
			*v = readTreeVersion(r)
		}
		for _, n := range []*int64{&d.Children, &d.ChildrenVersion, &d.Next} {
			*n = r.Varint()
		}
		p.Directory = d
	}
	p.Nodes = make([]TreeNode, r.Count(treeNodeBytesMin))
	for i := range p.Nodes {
		p.Nodes[i] = readTreeNode(r)
	}
	p.Cursor = r.Bytes()
	if err := r.Done(); err != nil {
		return p, fmt.Errorf("tree reply: %w", err)
	}
	if p.Code >= treeCodeEnd {
		return p, fmt.Errorf("tree reply: %w: code %d", codec.ErrMalformed, p.Code)
	}
	return p, nil
}
