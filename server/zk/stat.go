package zk

import (
	"math"

	"viewring/internal/wire"
	"viewring/server/zk/jute"
)

// A zxid has the term of a version in its upper bits, and the entry's number in the lower ones.
// Terms of a partition grow with each change of its primary: there is room for 8 million, and for a
// million million entries. Beyond that zxids stop to grow, and never go back.
const (
	seqBits = 40
	seqMax  = 1<<seqBits - 1
	termMax = 1<<(63-seqBits) - 1
)

// zxidOf is a version as clients know it. Only those of one directory can be compared.
func zxidOf(v wire.TreeVersion) int64 {
	if v.Term > termMax {
		return math.MaxInt64
	}
	return int64(v.Term<<seqBits | min(v.Seq, seqMax))
}

// statOf is what is told of a node, and of its children's record, nil where there never were any.
func statOf(n *wire.TreeNode, d *wire.TreeRecord) jute.Stat {
	s := jute.Stat{Created: zxidOf(n.ID), Modified: zxidOf(n.Modified), CreatedAt: n.Created, ModifiedAt: n.ModifiedAt,
		Version: int32(n.DataVersion), Owner: int64(n.Owner), DataLength: int32(n.ValueBytes), ChildrenChanged: zxidOf(n.ID)}
	if d != nil {
		s.ChildrenVersion, s.ChildrenCount = int32(d.ChildrenVersion), int32(min(d.Children, math.MaxInt32))
		if d.ChildrenVersion > 0 {
			s.ChildrenChanged = zxidOf(d.Changed)
		}
	}
	return s
}
