// Package tree keeps a tree of paths on the keys of a partitioned store: the entries of the
// children of a directory, and the directory's own record, lie in one slot. Each step of an
// operation is about one slot, and is decided at the head of its partition's log
// (replica.OpEvaluate). DESIGN.md has the steps, and why any order of them is safe. Pure.
package tree

import (
	"encoding/binary"
	"fmt"

	"viewring/internal/codec"
	"viewring/internal/tree"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/replica"
)

// The first bytes of an entry's and a record's value. A file's entry has one of its own, which
// says more, and another one with attributes.
const (
	entryFormat      = 1
	fileFormat       = 2
	attributesFormat = 3
	recordFormat     = 1
)

// separator ends a directory's name in keys. A directory's record, which ends with it, is no
// node's entry, and neither are those of others.
const separator = tree.Separator

// hasRecord is the flag of an entry whose node may have a directory's record.
const hasRecord = 1

// entry is a node, as it lies in the slot of the directory that it is in.
type entry struct {
	flags       byte
	id          wire.TreeVersion // of the entry of the log that created it
	modified    wire.TreeVersion // of the one that set it last
	created     int64            // unix milliseconds, by the primary's clock
	modifiedAt  int64
	dataVersion int64
	owner       uint64 // the session that it goes with; 0: none
	value       []byte

	// Of a file.
	file    bool
	content wire.TreeVersion // zero: the value is the content
	size    int64

	attributes []byte
}

// entryHeadBytesMax is the most that an encoded entry has before the value.
const entryHeadBytesMax = 2 + 3*2*binary.MaxVarintLen64 + 6*binary.MaxVarintLen64 + wire.TreeAttributesMax

// headLength is what an encoded entry has before the value; all of what is none.
func headLength(b []byte) int {
	e, err := decodeEntry(b)
	if err != nil {
		return len(b)
	}
	return len(b) - len(e.value)
}

func appendVersion(b []byte, v wire.TreeVersion) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, v.Term), v.Seq)
}

func readVersion(r *codec.Reader) wire.TreeVersion {
	return wire.TreeVersion{Term: r.Uvarint(), Seq: r.Uvarint()}
}

func (e *entry) encode() []byte {
	b := make([]byte, 0, len(e.value)+len(e.attributes)+64)
	format := byte(entryFormat)
	switch {
	case e.file && len(e.attributes) > 0:
		format = attributesFormat
	case e.file:
		format = fileFormat
	}
	b = append(b, format, e.flags)
	b = appendVersion(appendVersion(b, e.id), e.modified)
	b = binary.AppendVarint(binary.AppendVarint(b, e.created), e.modifiedAt)
	b = binary.AppendUvarint(binary.AppendVarint(b, e.dataVersion), e.owner)
	if e.file {
		b = binary.AppendVarint(appendVersion(b, e.content), e.size)
	}
	if format == attributesFormat {
		b = codec.AppendBytes(b, e.attributes)
	}
	return append(b, e.value...)
}

// decodeEntry reads what encode wrote. The value and the attributes alias b. Its errors wrap ErrCorrupt: b was
// verified, so it is another build that wrote it.
func decodeEntry(b []byte) (*entry, error) {
	r := codec.NewReader(b)
	f := r.Byte()
	if f < entryFormat || f > attributesFormat {
		return nil, fmt.Errorf("%w: node format %d, this build reads %d to %d", replica.ErrCorrupt, f, entryFormat, attributesFormat)
	}
	e := &entry{file: f != entryFormat, flags: r.Byte()}
	e.id, e.modified = readVersion(r), readVersion(r)
	e.created, e.modifiedAt = r.Varint(), r.Varint()
	e.dataVersion, e.owner = r.Varint(), r.Uvarint()
	if e.file {
		e.content, e.size = readVersion(r), r.Varint()
	}
	if f == attributesFormat {
		e.attributes = r.Bytes()
	}
	e.value = r.Rest()
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w: node: %w", replica.ErrCorrupt, err)
	}
	return e, nil
}

// node is the entry as clients are told of it.
func (e *entry) node(name string) wire.TreeNode {
	return wire.TreeNode{Name: name, ID: e.id, Modified: e.modified, Created: e.created, ModifiedAt: e.modifiedAt, DataVersion: e.dataVersion,
		Owner: e.owner, HasRecord: e.flags&hasRecord != 0, ValueBytes: len(e.value), Value: e.value, File: e.file, Content: e.content, Size: e.size, Attributes: e.attributes}
}

func encodeRecord(d *wire.TreeRecord) []byte {
	b := make([]byte, 0, 64)
	b = append(b, recordFormat, byte(d.State))
	for _, v := range []wire.TreeVersion{d.ID, d.Birth, d.Closed, d.ClosedAt, d.Changed} {
		b = appendVersion(b, v)
	}
	for _, n := range []int64{d.Children, d.ChildrenVersion, d.Next} {
		b = binary.AppendVarint(b, n)
	}
	return b
}

// decodeRecord reads what encodeRecord wrote, as decodeEntry does.
func decodeRecord(b []byte) (*wire.TreeRecord, error) {
	r := codec.NewReader(b)
	if f := r.Byte(); f != recordFormat {
		return nil, fmt.Errorf("%w: directory format %d, this build reads %d", replica.ErrCorrupt, f, recordFormat)
	}
	d := &wire.TreeRecord{State: wire.TreeState(r.Byte())}
	for _, v := range []*wire.TreeVersion{&d.ID, &d.Birth, &d.Closed, &d.ClosedAt, &d.Changed} {
		*v = readVersion(r)
	}
	for _, n := range []*int64{&d.Children, &d.ChildrenVersion, &d.Next} {
		*n = r.Varint()
	}
	if err := r.Done(); err != nil {
		return nil, fmt.Errorf("%w: directory: %w", replica.ErrCorrupt, err)
	}
	return d, nil
}

// slotOf is where a directory's record and the entries of its children lie.
func slotOf(dir string) uint16 {
	if dir == "" {
		dir = tree.Root
	}
	return ring.SlotOf(dir)
}

// keyOf is the key of a node's entry; without a name, of the directory's record.
func keyOf(dir, name string) replica.Key {
	return replica.MakeKey(slotOf(dir), replica.SpaceMeta, dir+separator+name)
}
