package tree

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"viewring/internal/tree"
	"viewring/internal/wire"
	"viewring/server/replica"
)

// ErrTooLarge is wrapped by what Check returns for values beyond the bounds.
var ErrTooLarge = errors.New("too large")

// Bounds of a page of a list.
const (
	ListNodesMax = 1000      // told
	ListBytesMax = 512 << 10 // of those, but for the last
	listKeysMax  = 4096      // looked at: other directories may share the slot
	listReadMax  = 4 << 20   // bytes of all that is looked at
)

// changeBytesMax bounds the values of one change together.
const changeBytesMax = 4 << 20

// Check tells what is wrong with a request that came from outside, or nil.
func Check(q *wire.TreeRequest) error {
	if q.Op.OfContent() {
		return checkContentStep(q)
	}
	if q.Dir != "" {
		if err := tree.Check(q.Dir); err != nil {
			return err
		}
	}
	if q.Dir == "" && q.Op != wire.TreeGet && q.Op != wire.TreeHead && q.Op != wire.TreeChange {
		return fmt.Errorf("%w: there is nothing above the root", tree.ErrBadPath)
	}
	if q.Dir == tree.Root && q.Op.Mutates() && q.Op >= wire.TreePrepare && q.Op != wire.TreeRaise {
		return fmt.Errorf("%w: the root's record is always there", tree.ErrBadPath)
	}
	switch q.Op {
	case wire.TreeGet, wire.TreeHead, wire.TreeMark, wire.TreeFinish, wire.TreePrepare, wire.TreeClose:
		if len(q.Items) != 1 {
			return fmt.Errorf("a step about one node, with %d", len(q.Items))
		}
	case wire.TreeChange:
		if len(q.Items) == 0 {
			return errors.New("a change of nothing")
		}
	default:
		if len(q.Items) != 0 {
			return errors.New("a step about a directory, with a node")
		}
	}
	size := 0
	for i := range q.Items {
		if err := checkItem(q, &q.Items[i]); err != nil {
			return err
		}
		size += len(q.Items[i].Value) + len(q.Items[i].Attributes)
	}
	if size > changeBytesMax {
		return fmt.Errorf("%w: values of %d bytes, at most %d are allowed in one change", ErrTooLarge, size, changeBytesMax)
	}
	return nil
}

func checkContentStep(q *wire.TreeRequest) error {
	switch {
	case len(q.Items) > 0 || q.Dir != "" || len(q.Cursor) > 0:
		return errors.New("a step about a content, with a node")
	case (q.Nonce == wire.TreeVersion{}) != (q.Op == wire.TreeBegin || q.Op == wire.TreeBeginRecords):
		return errors.New("a step about a content wants its version, unless it begins it")
	case q.Limit < 0:
		return fmt.Errorf("a content of %d chunks", q.Limit)
	}
	return checkRecordsStep(q)
}

// checkFile looks at what an item says of a file.
func checkFile(q *wire.TreeRequest, it *wire.TreeItem) error {
	creates := q.Op == wire.TreeChange && (it.Kind == wire.TreeCreate || it.Kind == wire.TreeSequential || it.Kind == wire.TreeSet)
	named := it.Content != wire.TreeVersion{}
	switch {
	case !it.File && len(it.Attributes) > 0:
		return errors.New("attributes of what is no file")
	case !it.File:
		return nil
	case len(it.Attributes) > wire.TreeAttributesMax:
		return fmt.Errorf("%w: attributes of %d bytes, at most %d are allowed", ErrTooLarge, len(it.Attributes), wire.TreeAttributesMax)
	case !creates:
		return errors.New("a file that is neither created nor set")
	case len(it.Owners) > 0 && (!named || len(q.Items) > 1):
		return errors.New("owners without a content, or in a change of several nodes")
	case q.Dir == "":
		return fmt.Errorf("%w: the root is no file", tree.ErrBadPath)
	}
	for i, v := range it.Owners {
		if v == it.Content || v == (wire.TreeVersion{}) || slices.Contains(it.Owners[:i], v) {
			return errors.New("owners that are not others, each once")
		}
	}
	return nil
}

func checkItem(q *wire.TreeRequest, it *wire.TreeItem) error {
	if err := checkFile(q, it); err != nil {
		return err
	}
	if len(it.Value) > wire.TreeValueMax {
		return fmt.Errorf("%w: a value of %d bytes, at most %d are allowed", ErrTooLarge, len(it.Value), wire.TreeValueMax)
	}
	if q.Op == wire.TreePrepare || q.Op == wire.TreeClose { // about the directory, with its node's ID
		return nil
	}
	if q.Dir == "" {
		if it.Name != tree.Root || q.Op == wire.TreeChange && it.Kind != wire.TreeSet && it.Kind != wire.TreeCheck {
			return fmt.Errorf("%w: the root is neither created nor removed", tree.ErrBadPath)
		}
		return nil
	}
	if it.Kind == wire.TreeSequential && it.Name == "" {
		return nil // the number is the name
	}
	if err := tree.CheckName(it.Name); err != nil {
		return err
	}
	return tree.Check(tree.Join(q.Dir, it.Name))
}

// Slot is where a request that is sound is answered.
func Slot(q *wire.TreeRequest) uint16 { return q.Slot() }

// ReadKey is the key that answers a TreeGet, a TreeHead, a TreeDirectory or a TreeContent.
func ReadKey(q *wire.TreeRequest) replica.Key {
	switch q.Op {
	case wire.TreeGet, wire.TreeHead:
		return keyOf(q.Dir, q.Items[0].Name)
	case wire.TreeContent:
		return contentKey(q.Home, q.Nonce)
	}
	return keyOf(q.Dir, "")
}

// Head is the replica.Cut of who wants of an entry all but the node's value.
func Head(length int) (from, to int) { return 0, min(length, entryHeadBytesMax) }

// HeadReply is the answer to a TreeHead, which found the head of an entry of some length, or nothing.
func HeadReply(q *wire.TreeRequest, found bool, head []byte, length int) (p wire.TreeReply, err error) {
	whole := *q
	whole.Op = wire.TreeGet
	if p, err = ReadReply(&whole, found, head); err == nil && p.Node != nil && found {
		p.Node.ValueBytes += length - len(head)
		p.Node.Value = nil
	}
	return p, err
}

// ReadReply is the answer to what ReadKey has the key of, which found value, or nothing.
func ReadReply(q *wire.TreeRequest, found bool, value []byte) (p wire.TreeReply, err error) {
	switch {
	case q.Op == wire.TreeContent && found:
		p.Content, err = decodeContent(value)
	case q.Op == wire.TreeContent:
		p.Code = wire.TreeNoContent
	case q.Op == wire.TreeGet && found:
		e, err := decodeEntry(value)
		if err != nil {
			return p, err
		}
		n := e.node(q.Items[0].Name)
		p.Node = &n
	case q.Op == wire.TreeGet && q.Dir == "":
		p.Node = &wire.TreeNode{Name: tree.Root}
	case q.Op == wire.TreeGet:
		p.Code = wire.TreeNoNode
	case found:
		p.Directory, err = decodeRecord(value)
	case q.Dir == tree.Root:
		p.Directory = &wire.TreeRecord{State: wire.TreeOpen}
	default:
		p.Code = wire.TreeNoDirectory
	}
	return p, err
}

// Fill makes r the request to the core that carries out a step that mutates.
func Fill(q *wire.TreeRequest, r *replica.Request) *Made {
	made := &Made{}
	r.Op = replica.OpEvaluate
	r.ID = replica.RequestID{Client: q.Client, Number: q.Number, Born: q.Born}
	r.Mark = q.Mark
	r.Frees = q.Op.Frees() || q.Op == wire.TreeChange && frees(q) || q.Op == wire.TreeTouch && q.Limit == 0 // writes what is there again
	if q.Op.OfContent() {
		s := contentStep{q: q}
		r.Keys, r.Evaluate = s.keys(), s.evaluate
	} else {
		s := step{q: q, made: made}
		r.Keys, r.Evaluate = s.keys(), s.evaluate
	}
	r.Key = r.Keys[0]
	return made
}

// frees reports whether a change only removes.
func frees(q *wire.TreeRequest) bool {
	for i := range q.Items {
		if k := q.Items[i].Kind; k != wire.TreeRemove && k != wire.TreeCheck {
			return false
		}
	}
	return true
}

// Reply is the answer to a step that mutates; false where a is none.
func Reply(a *replica.Answer) (p wire.TreeReply, ok bool) {
	p.Version = wire.TreeVersion(a.Version)
	switch a.Status {
	case replica.StatusOK:
		p.Number = a.Number
	case replica.StatusCondFailed:
		p.Code, p.Index = wire.TreeCode(a.Number&0xff), int(a.Number>>8)
	default:
		return p, false
	}
	return p, true
}

// failed is what a step comes to that changes nothing.
func failed(code wire.TreeCode, index int, v wire.TreeVersion) replica.Outcome {
	return replica.Outcome{Answer: replica.Answer{Status: replica.StatusCondFailed, Version: replica.Version(v), Number: int64(index)<<8 | int64(code)}}
}

// List is a page of a directory: what is to be read at one moment, and what it tells. Each entry of the
// log by which a node comes or goes writes the directory's record (slotState.count), which is read
// with the page: so names alone are known while nodes are set (replica.Range.Head).
type List struct {
	q     *wire.TreeRequest
	Keys  []replica.Key
	Range replica.Range
	Found []replica.Item // at Keys
}

// cursorPlaceBytes is what a list's cursor has before the key.
const cursorPlaceBytes = 8

// NewList is the page that q asks for.
func NewList(q *wire.TreeRequest) (*List, error) {
	key := keyOf(q.Dir, "")
	limit := q.Limit
	if limit <= 0 || limit > ListNodesMax {
		limit = ListNodesMax
	}
	l := &List{q: q, Keys: []replica.Key{key}, Range: replica.Range{Prefix: key, ItemsMax: limit, BytesMax: ListBytesMax, KeysMax: listKeysMax, ReadMax: listReadMax}}
	if q.Op == wire.TreeList {
		l.Range.Head = headLength
	}
	if n := len(q.Cursor); n > 0 {
		if n < cursorPlaceBytes {
			return nil, errors.New("a cursor that no list gave")
		}
		l.Range.From = replica.Cursor{Place: binary.BigEndian.Uint64(q.Cursor), Key: replica.Key(q.Cursor[cursorPlaceBytes:])}
	}
	return l, nil
}

// Fill makes r the request that reads the page at the head of the log.
func (l *List) Fill(r *replica.Request) {
	r.Op, r.Frees = replica.OpEvaluate, true
	r.Keys, r.Key, r.Range = l.Keys, l.Keys[0], &l.Range
	r.Evaluate = func(found []replica.Item, version replica.Version, _ int64) replica.Outcome {
		l.Found = found
		return replica.Outcome{Answer: replica.Answer{Status: replica.StatusOK, Version: version}}
	}
}

// Reply is the page, once it has been read.
func (l *List) Reply() (p wire.TreeReply, err error) {
	if p, err = ReadReply(&wire.TreeRequest{Op: wire.TreeDirectory, Dir: l.q.Dir}, !l.Found[0].Version.IsZero(), l.Found[0].Value); err != nil || p.Code != wire.TreeOK {
		return p, err
	}
	if p.Code = notOpen(p.Directory); p.Code != wire.TreeOK {
		return p, nil
	}
	for i := range l.Range.Items {
		it := &l.Range.Items[i]
		name := string(it.Key[len(l.Range.Prefix):])
		if l.q.Op == wire.TreeNames {
			p.Names = append(p.Names, name)
			continue
		}
		e, err := decodeEntry(it.Item.Value)
		if err != nil {
			return p, err
		}
		n := e.node(name)
		n.ValueBytes += it.Length - len(it.Item.Value)
		n.Value = nil
		p.Nodes = append(p.Nodes, n)
	}
	if l.Range.More {
		p.Cursor = append(binary.BigEndian.AppendUint64(nil, l.Range.Next.Place), l.Range.Next.Key...)
	}
	return p, nil
}
