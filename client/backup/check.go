package backup

import (
	"bytes"
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// checker sees, record by record, that what a section has makes sense: the bytes of long files above all.
type checker struct {
	body bodyReader
}

// check looks at the next record.
func (c *checker) check(s section, x *record) error {
	switch s {
	case sectionNodes:
		if x.kind == recordBody {
			return c.body.add(x)
		}
		if err := checkNodeName(x.name); err != nil || x.kind == recordDeleted {
			return err
		}
		n, err := decodeNode(x.value)
		if err == nil && n.kind == nodeLong {
			err = c.body.whole(x, &n)
		}
		return err
	case sectionBatches:
		_, err := decodeBatch(x)
		return err
	case sectionStreams:
		_, err := decodeStream(x)
		return err
	}
	return nil
}

// bodyReader follows the bytes of a long file, up to its entry. The bytes that no entry follows are nothing.
type bodyReader struct {
	name    []byte
	version Version
	size    int64
	sum     xxhash.Digest
}

// add looks at the next bytes. Those with the offset 0 begin a file.
func (b *bodyReader) add(x *record) error {
	if x.expiry == 0 {
		b.name, b.version, b.size = append(b.name[:0], x.name...), x.version, 0
		b.sum.Reset()
	}
	if !bytes.Equal(b.name, x.name) || b.version != x.version || b.size != x.expiry || len(x.value) == 0 {
		return fmt.Errorf("%w: %d bytes of %q from %d on, behind %d of %q", ErrDamaged, len(x.value), x.name, x.expiry, b.size, b.name)
	}
	b.size += int64(len(x.value))
	_, _ = b.sum.Write(x.value) // never fails
	return nil
}

// whole sees that all bytes of an entry came.
func (b *bodyReader) whole(x *record, n *node) error {
	if !bytes.Equal(b.name, x.name) || b.version != x.version || b.size != n.size || b.sum.Sum64() != n.sum {
		return fmt.Errorf("%w: the entry of %q has %d bytes with the sum %016x, and %d of %q came with %016x", ErrDamaged, x.name, n.size, n.sum, b.size, b.name, b.sum.Sum64())
	}
	return nil
}
