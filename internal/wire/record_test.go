package wire

import "testing"

// TestTreeOpFrees: which steps may write where a disk is full: those that end in less being stored.
func TestTreeOpFrees(t *testing.T) {
	frees := map[TreeOp]bool{TreeFinish: true, TreeActivate: true, TreeClose: true, TreeReopen: true, TreeDrop: true, TreeAbort: true, TreeEnd: true,
		TreeShrink: true, TreeGone: true, TreeTrim: true, TreeContent: true, TreeHead: true, TreeNames: true}
	for op := range treeOpEnd {
		if op.Frees() != frees[op] {
			t.Errorf("step %d: %v", op, op.Frees())
		}
	}
	for op := range recordOpEnd {
		if op.Frees() != (op == RecordErase || op == RecordDelete) {
			t.Errorf("step %d of records: %v", op, op.Frees())
		}
	}
}

// TestPartNames: no part of a chunk has the name of another, nor of what else is stored of files.
func TestPartNames(t *testing.T) {
	c := Chunk{Content{7, TreeVersion{1, 2}}, 3}
	for part, n := range map[RecordPart]uint32{RecordBucketPart: RecordBuckets - 1, RecordBatchPart: RecordBatchesMax - 1} {
		name := c.PartName(part, n)
		if got, p, i, ok := ParsePartName(name); !ok || got != c || p != part || i != n {
			t.Errorf("%x: %+v %d %d", name, got, p, i)
		}
		if _, ok := ParseChunkName(name); ok {
			t.Errorf("%x is taken for a chunk", name)
		}
	}
	if _, _, _, ok := ParsePartName(c.PartName(RecordBucketPart, RecordBuckets)); ok {
		t.Error("a bucket that is none")
	}
	if _, _, _, ok := ParsePartName(c.Name()); ok || c.PartName(RecordHeadPart, 0) != c.Name() {
		t.Error("a head is not its chunk")
	}
}

// TestRecordRequests: what makes no sense is refused.
func TestRecordRequests(t *testing.T) {
	records := AppendRecord(AppendRecord(nil, []byte("a")), nil)
	sound := RecordRequest{Op: RecordAppend, Count: 2, Records: records, Sum: RecordSum(records)}
	decode := func(q RecordRequest) error {
		_, err := DecodeRecordRequest(AppendRecordRequest(nil, &q))
		return err
	}
	if err := decode(sound); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*RecordRequest){
		"no records":         func(q *RecordRequest) { q.Count, q.Records, q.Sum = 0, nil, RecordSum(nil) },
		"fewer than counted": func(q *RecordRequest) { q.Count++ },
		"more than counted":  func(q *RecordRequest) { q.Count-- },
		"too many":           func(q *RecordRequest) { q.Count = RecordBatchMax + 1 },
		"another sum":        func(q *RecordRequest) { q.Sum++ },
		"a sequence":         func(q *RecordRequest) { q.Sequence = countMax + 1 },
		"an operation":       func(q *RecordRequest) { q.Op = recordOpEnd },
		"a slot":             func(q *RecordRequest) { q.Chunk.Home = 1 << 15 },
		"a batch":            func(q *RecordRequest) { q.Op, q.Part, q.Index = RecordGet, RecordBatchPart, RecordBatchesMax },
		"a part":             func(q *RecordRequest) { q.Op, q.Part = RecordGet, recordPartEnd },
		"a head's state":     func(q *RecordRequest) { q.Op = RecordOpen },
	} {
		q := sound
		if change(&q); decode(q) == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
