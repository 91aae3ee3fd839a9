package wire

import (
	"encoding/binary"
	"fmt"

	"viewring/internal/codec"
	"viewring/ring"
)

// CmdTree is about one directory of the tree of paths: TreeRequest → TreeReply, or an error
// reply. It goes to the primary of the directory's slot. What each step is for, and which
// order of steps makes an operation, is in server/tree/DESIGN.md.
const CmdTree = "VR.TREE"

// treeFormat is the version of TreeRequest and TreeReply.
const treeFormat = 4 // 2: items have an owner; 3: contents; 4: attributes

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

	// Those about a content: Home, and Nonce is its version but for TreeBegin.
	TreeContent // → Content
	TreeBegin   // Limit: chunks → Version: that of the new content; Number: chunks reserved
	TreeTouch   // keeps it; Limit: chunks → Number: chunks reserved
	TreeAbort   // ends it, if it is still being written → Number: the state that it was in
	TreeEnd     // ends it, if nothing names it and Idle is as told
	TreeShrink  // of one that has ended: only Limit chunks are left
	TreeGone    // of one that has ended, when no chunks are left

	// Those that tell less than others, for less.
	TreeHead  // TreeGet without the value
	TreeNames // TreeList of names alone: Cursor, Limit → Directory, Names, Cursor

	// Those about a content of records; Records says the rest.
	TreeBeginRecords // ChunkBytes, RetainBytes, RetainAge → Version
	TreeExtend       // Limit: chunks, one more than there are; Number, Before, Life: of the last of them
	TreeTrim         // First, Swept

	TreeRaise // the next number of a sequential child of the directory is Limit at least: it has given all before
	treeOpEnd
)

// Mutates reports whether the step changes something: it has a request id then.
func (o TreeOp) Mutates() bool {
	switch o {
	case TreeGet, TreeDirectory, TreeList, TreeContent, TreeHead, TreeNames:
		return false
	}
	return true
}

// Frees reports whether the step takes no room.
func (o TreeOp) Frees() bool {
	switch o {
	case TreePrepare, TreeBegin, TreeTouch, TreeBeginRecords, TreeExtend, TreeRaise:
		return false
	}
	return o >= TreeFinish
}

// OfRecords reports whether the step says something of a record file.
func (o TreeOp) OfRecords() bool { return o >= TreeBeginRecords && o <= TreeTrim }

// OfContent reports whether the step is about a content, and not about a directory.
func (o TreeOp) OfContent() bool { return o >= TreeContent && o <= TreeGone || o.OfRecords() }

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

	// Of a file that is created or set. Its content is that of the version, of the directory's
	// slot, and Value says how to read it; zero: Value is the content. Owners are the contents of
	// the slot whose chunks it uses, where it is named for the first time.
	File    bool
	Content TreeVersion
	Owners  []TreeVersion
	Size    int64

	// Attributes is what else is to be known of a file, for clients to read.
	Attributes []byte
}

// TreeAttributesMax bounds the attributes of a file, in bytes: lists tell them too.
const TreeAttributesMax = 4 << 10

// TreeOwnersMax is how many contents one content may use the chunks of.
const TreeOwnersMax = 256

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

	// Of steps about a content.
	Home    uint16
	Idle    TreeVersion
	Records TreeRecords // of those about records alone
}

// Slot is the slot that a request is about.
func (q *TreeRequest) Slot() uint16 {
	switch {
	case q.Op.OfContent():
		return q.Home
	case q.Dir == "":
		return ring.SlotOf("/") // has the root
	}
	return ring.SlotOf(q.Dir)
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
	if q.Op.OfContent() {
		b = appendTreeVersion(binary.AppendUvarint(b, uint64(q.Home)), q.Idle)
	}
	if q.Op.OfRecords() {
		b = AppendTreeRecords(b, &q.Records)
	}
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
		if b = codec.AppendBool(b, it.File); it.File {
			b = appendTreeVersion(binary.AppendUvarint(b, uint64(it.Size)), it.Content)
			b = binary.AppendUvarint(b, uint64(len(it.Owners)))
			for _, v := range it.Owners {
				b = appendTreeVersion(b, v)
			}
			b = codec.AppendBytes(b, it.Attributes)
		}
	}
	return b
}

// treeItemBytesMin is what an item takes at least.
const treeItemBytesMin = 10

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
	q.Limit = int(min(r.Uvarint(), 1<<40))
	if q.Op.OfContent() {
		home := r.Uvarint()
		if home >= ring.Slots {
			r.Invalid("slot %d", home)
		}
		q.Home, q.Idle = uint16(home), readTreeVersion(r)
	}
	if q.Op.OfRecords() {
		q.Records = *ReadTreeRecords(r)
	}
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
		if it.File = r.Bool(); it.File {
			it.Size = int64(min(r.Uvarint(), 1<<62))
			it.Content = readTreeVersion(r)
			owners := r.Count(2)
			if owners > TreeOwnersMax {
				r.Invalid("%d owners, at most %d are allowed", owners, TreeOwnersMax)
				owners = 0
			}
			for range owners {
				it.Owners = append(it.Owners, readTreeVersion(r))
			}
			it.Attributes = r.Bytes()
		}
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
	TreeNoContent            // there is no such content, or it has ended
	TreeInUse                // the content is named, or has been kept since
	TreeIsFile               // a node that names a content is set as a file, or not at all
	TreeIsRecords            // the content is of records: it has one name, and stays what it is until that is removed
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

	File    bool
	Content TreeVersion // zero: Value is the content
	Size    int64       // of the content

	Attributes []byte // of a file, in lists too
}

// TreeContentState is what becomes of a content.
type TreeContentState uint8

// The states of a content.
const (
	ContentWriting TreeContentState = iota + 1 // its writer puts chunks
	ContentWhole                               // it was named
	ContentEnded                               // its chunks are being deleted
)

// TreeContentRecord is what is kept of a content.
type TreeContentRecord struct {
	State    TreeContentState
	Reserved int64       // chunks 0 … Reserved-1 may exist
	Refs     int64       // entries that name it, and whole contents that use its chunks
	Idle     TreeVersion // of the last step that kept it; zero: it has Refs
	Owners   []TreeVersion
	Records  *TreeRecords // nil: it is not one of records
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
	Content   *TreeContentRecord
	Nodes     []TreeNode
	Names     []string
	Cursor    []byte // where the list goes on; empty: it has ended
}

// What follows in a TreeReply.
const (
	treeHasNode = 1 << iota
	treeHasDirectory
	treeHasContent
	treeHasRecords
	treeHasNames
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
	if p.Content != nil {
		flags |= treeHasContent
		if p.Content.Records != nil {
			flags |= treeHasRecords
		}
	}
	if len(p.Names) > 0 {
		flags |= treeHasNames
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
	if p.Content != nil {
		if b = AppendTreeContent(b, p.Content); p.Content.Records != nil {
			b = AppendTreeRecords(b, p.Content.Records)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(p.Nodes)))
	for i := range p.Nodes {
		b = AppendTreeNode(b, &p.Nodes[i])
	}
	if len(p.Names) > 0 {
		b = binary.AppendUvarint(b, uint64(len(p.Names)))
		for _, name := range p.Names {
			b = codec.AppendString(b, name)
		}
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
	if b = codec.AppendBool(b, n.File); n.File {
		b = appendTreeVersion(binary.AppendUvarint(b, uint64(n.Size)), n.Content)
		b = codec.AppendBytes(b, n.Attributes)
	}
	return codec.AppendBytes(b, n.Value)
}

// AppendTreeContent encodes c, as it stands in a TreeReply, and in the store.
func AppendTreeContent(b []byte, c *TreeContentRecord) []byte {
	b = append(b, byte(c.State))
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(c.Reserved)), uint64(c.Refs))
	b = appendTreeVersion(b, c.Idle)
	b = binary.AppendUvarint(b, uint64(len(c.Owners)))
	for _, v := range c.Owners {
		b = appendTreeVersion(b, v)
	}
	return b
}

// ReadTreeContent reads what AppendTreeContent wrote.
func ReadTreeContent(r *codec.Reader) *TreeContentRecord {
	c := &TreeContentRecord{State: TreeContentState(r.Byte())}
	c.Reserved, c.Refs = int64(r.Uvarint()), int64(r.Uvarint())
	c.Idle = readTreeVersion(r)
	for range r.Count(2) {
		c.Owners = append(c.Owners, readTreeVersion(r))
	}
	return c
}

func readTreeNode(r *codec.Reader) (n TreeNode) {
	n.Name = r.String()
	n.ID, n.Modified = readTreeVersion(r), readTreeVersion(r)
	n.Created, n.ModifiedAt = r.Varint(), r.Varint()
	n.DataVersion, n.Owner = r.Varint(), r.Uvarint()
	n.HasRecord = r.Bool()
	n.ValueBytes = int(min(r.Uvarint(), 1<<30))
	if n.File = r.Bool(); n.File {
		n.Size = int64(min(r.Uvarint(), 1<<62))
		n.Content = readTreeVersion(r)
		n.Attributes = r.Bytes()
	}
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
const treeNodeBytesMin = 13

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
	if flags&treeHasContent != 0 {
		if p.Content = ReadTreeContent(r); flags&treeHasRecords != 0 {
			p.Content.Records = ReadTreeRecords(r)
		}
	}
	p.Nodes = make([]TreeNode, r.Count(treeNodeBytesMin))
	for i := range p.Nodes {
		p.Nodes[i] = readTreeNode(r)
	}
	if flags&treeHasNames != 0 {
		p.Names = make([]string, r.Count(1))
		for i := range p.Names {
			p.Names[i] = r.String()
		}
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
