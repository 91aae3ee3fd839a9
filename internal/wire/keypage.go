package wire

import (
	"encoding/binary"
	"fmt"

	"viewring/internal/codec"
	"viewring/ring"
)

// CmdKeyPage reads a page of a partition's user keys, or of its nodes of the tree of paths, with their values or without: KeyPageRequest → KeyPage, or
// an error reply. It goes to the partition's primary. client/backup/DESIGN.md says what
// follows from several pages.
const CmdKeyPage = "VR.KEYPAGE"

// keyPageFormat is the version of KeyPageRequest and KeyPage. Requests for nodes, and for some
// keys or their names, have one each of their own: a server that does not know it refuses it, and all others are as they were.
const (
	keyPageFormat  = 1
	nodePageFormat = 2
	somePageFormat = 3
)

// Bounds of a page.
const (
	KeyPageBytesMax  = 4 << 20 // of names and values, but for the last key
	KeyPageKeysMax   = 4096
	KeyPageLookedMax = 1 << 16 // keys that are looked at, also those of other prefixes
)

// KeyPageRequest asks for a page.
type KeyPageRequest struct {
	Partition ring.PartitionID
	After     []byte // Next of the page before; empty: from the beginning
	Bytes     int    // of names and values, about; 0: no key, the version alone
	Term      uint64 // of the partition, as the client knows it: in another one no keys are told
	Nodes     bool   // of the tree of paths, and its directories' numbers, instead of keys

	// Of keys, not with Nodes:
	Prefix    []byte // of the names that are told; empty: all
	NamesOnly bool   // names and expiries are told: no versions, values and damage
}

// PageKey is a key in a KeyPage. Not all of them need be alive: whether a key has expired is for a read
// to say. In a page of nodes Name is the directory, a byte 0 and the node's name, and Value a TreeNode
// (AppendTreeNode); or without the node's name, of a directory that has given numbers to children, the next number as a varint.
type PageKey struct {
	Name      []byte
	Term, Seq uint64
	Expiry    int64 // unix milliseconds, 0 = never
	Value     []byte
	Damaged   bool // the stored bytes fail their checksum: a read has them repaired
}

// KeyPage is a page of keys, in the order of the store.
type KeyPage struct {
	// Term and Seq are a version of the partition's log. It was committed, with all before it, after the keys were
	// read, and by who was the primary all the while: each key is as it was at some moment up to then.
	Term, Seq uint64
	Stale     bool   // the request's Term is over: there are no keys, and the page is asked for again
	More      bool   // there is another page, after Next
	Next      []byte // the server's own
	Keys      []PageKey
}

// some reports whether not all of the keys are told, or not all of them.
func (q *KeyPageRequest) some() bool { return len(q.Prefix) > 0 || q.NamesOnly }

// AppendKeyPageRequest encodes q.
func AppendKeyPageRequest(b []byte, q *KeyPageRequest) []byte {
	format := byte(keyPageFormat)
	switch {
	case q.Nodes:
		format = nodePageFormat
	case q.some():
		format = somePageFormat
	}
	b = binary.AppendUvarint(append(b, format), uint64(q.Partition))
	b = codec.AppendBytes(b, q.After)
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(q.Bytes)), q.Term)
	if format == somePageFormat {
		b = codec.AppendBool(codec.AppendBytes(b, q.Prefix), q.NamesOnly)
	}
	return b
}

// DecodeKeyPageRequest parses what AppendKeyPageRequest wrote. After and Prefix alias b.
func DecodeKeyPageRequest(b []byte) (KeyPageRequest, error) {
	r := codec.NewReader(b)
	format := byte(keyPageFormat)
	if len(b) > 0 && (b[0] == nodePageFormat || b[0] == somePageFormat) {
		format = b[0]
	}
	if err := expectFormat(r, "key page request", format); err != nil {
		return KeyPageRequest{}, err
	}
	partition, after := r.Uvarint(), r.Bytes()
	bytes, term := r.Uvarint(), r.Uvarint()
	q := KeyPageRequest{Partition: ring.PartitionID(partition), After: after, Bytes: int(bytes), Term: term, Nodes: format == nodePageFormat}
	if format == somePageFormat {
		q.Prefix, q.NamesOnly = r.Bytes(), r.Bool()
	}
	if err := r.Done(); err != nil {
		return KeyPageRequest{}, fmt.Errorf("key page request: %w", err)
	}
	if partition >= ring.Slots || bytes > KeyPageBytesMax || format == somePageFormat && !q.some() {
		return KeyPageRequest{}, fmt.Errorf("key page request: %w: %d bytes of partition %d", codec.ErrMalformed, bytes, partition)
	}
	return q, nil
}

// AppendKeyPage encodes p.
func AppendKeyPage(b []byte, p *KeyPage) []byte {
	b = binary.AppendUvarint(binary.AppendUvarint(append(b, keyPageFormat), p.Term), p.Seq)
	b = codec.AppendBytes(codec.AppendBool(codec.AppendBool(b, p.Stale), p.More), p.Next)
	b = binary.AppendUvarint(b, uint64(len(p.Keys)))
	for i := range p.Keys {
		k := &p.Keys[i]
		b = codec.AppendBytes(b, k.Name)
		b = binary.AppendUvarint(binary.AppendUvarint(b, k.Term), k.Seq)
		b = codec.AppendBool(binary.AppendVarint(b, k.Expiry), k.Damaged)
		b = codec.AppendBytes(b, k.Value)
	}
	return b
}

// pageKeyBytesMin is the least that a key takes in a page.
const pageKeyBytesMin = 6

// DecodeKeyPage parses what AppendKeyPage wrote. Next, names and values alias b.
func DecodeKeyPage(b []byte) (KeyPage, error) {
	r := codec.NewReader(b)
	if err := expectFormat(r, "key page", keyPageFormat); err != nil {
		return KeyPage{}, err
	}
	p := KeyPage{Term: r.Uvarint(), Seq: r.Uvarint(), Stale: r.Bool(), More: r.Bool(), Next: r.Bytes()}
	p.Keys = make([]PageKey, r.Count(pageKeyBytesMin))
	for i := range p.Keys {
		p.Keys[i] = PageKey{Name: r.Bytes(), Term: r.Uvarint(), Seq: r.Uvarint(), Expiry: r.Varint(), Damaged: r.Bool(), Value: r.Bytes()}
	}
	if err := r.Done(); err != nil {
		return KeyPage{}, fmt.Errorf("key page: %w", err)
	}
	if p.Stale && len(p.Keys) > 0 || p.More && len(p.Next) == 0 {
		return KeyPage{}, fmt.Errorf("key page: %w: %d keys, more %v", codec.ErrMalformed, len(p.Keys), p.More)
	}
	return p, nil
}
