package wire

import (
	"bytes"
	"reflect"
	"testing"
)

// TestTreeRequest: what is encoded is decoded as it was, and nothing else is taken.
func TestTreeRequest(t *testing.T) {
	full := TreeRequest{Client: [16]byte{1, 2}, Number: 7, Born: 1_700_000_000_000, Mark: 3, Op: TreeChange, Dir: "/a/b", Nonce: TreeVersion{4, 5},
		Cursor: []byte("cursor"), Limit: 10, Items: []TreeItem{
			{Kind: TreeSequential, Name: "n", Value: []byte("value"), DataVersion: -1},
			{Kind: TreeCheck, Name: "m", DataVersion: 8, Modified: TreeVersion{1, 2}, ID: TreeVersion{3, 4}, Owner: 9},
			{Kind: TreeCreate, Name: "f", Value: []byte("manifest"), File: true, Content: TreeVersion{5, 6}, Owners: []TreeVersion{{7, 8}}, Size: 9, Attributes: []byte("attributes")},
		}}
	for _, q := range []TreeRequest{full, {Op: TreeGet, Dir: "", Items: []TreeItem{{Name: "/"}}}, {Op: TreeList, Dir: "/", Items: []TreeItem{}},
		{Op: TreeHead, Dir: "/", Items: []TreeItem{{Name: "n"}}}, {Op: TreeNames, Dir: "/", Cursor: []byte("c"), Limit: 3, Items: []TreeItem{}}} {
		b := AppendTreeRequest(nil, &q)
		got, err := DecodeTreeRequest(b)
		if err != nil || !reflect.DeepEqual(got, q) {
			t.Errorf("%+v became %+v, %v", q, got, err)
		}
		for n := range b {
			if _, err := DecodeTreeRequest(b[:n]); err == nil {
				t.Errorf("%+v: %d bytes of %d are taken", q, n, len(b))
			}
		}
		if _, err := DecodeTreeRequest(append(bytes.Clone(b), 0)); err == nil {
			t.Errorf("%+v: a byte too many is taken", q)
		}
	}
	read, mutation, kind, step := full, full, full, full
	read.Op = TreeGet
	mutation.Number = 0
	kind.Items = []TreeItem{{Kind: treeItemKindEnd}}
	step.Op = treeOpEnd
	many := TreeRequest{Op: TreeGet, Items: make([]TreeItem, TreeItemsMax+1)}
	for _, q := range []TreeRequest{read, mutation, kind, step, many} {
		if _, err := DecodeTreeRequest(AppendTreeRequest(nil, &q)); err == nil {
			t.Errorf("%+v is taken", q)
		}
	}
	if _, err := DecodeTreeRequest([]byte{treeFormat + 1}); err == nil {
		t.Error("another format is taken")
	}
}

// TestTreeReply is TestTreeRequest for replies.
func TestTreeReply(t *testing.T) {
	node := TreeNode{Name: "n", ID: TreeVersion{1, 2}, Modified: TreeVersion{3, 4}, Created: 5, ModifiedAt: 6, DataVersion: 7, Owner: 8, HasRecord: true, ValueBytes: 3, Value: []byte("abc")}
	record := TreeRecord{State: TreeShut, ID: TreeVersion{1, 2}, Birth: TreeVersion{3, 4}, Closed: TreeVersion{5, 6}, ClosedAt: TreeVersion{7, 8}, Children: 9,
		ChildrenVersion: 10, Changed: TreeVersion{11, 12}, Next: 13}
	file := node
	file.File, file.Content, file.Size, file.Attributes = true, TreeVersion{9, 10}, 11, []byte("attributes")
	for _, p := range []TreeReply{
		{Code: TreeBadVersion, Index: 3, Version: TreeVersion{1, 2}, Number: -4, Nodes: []TreeNode{}},
		{Node: &node, Nodes: []TreeNode{}},
		{Node: &file, Nodes: []TreeNode{file}},
		{Directory: &record, Nodes: []TreeNode{node, {Name: "m"}}, Cursor: []byte("next")},
		{Directory: &record, Nodes: []TreeNode{}, Names: []string{"n", "", "m"}, Cursor: []byte("next")},
	} {
		b := AppendTreeReply(nil, &p)
		got, err := DecodeTreeReply(b)
		if err != nil || !reflect.DeepEqual(got, p) {
			t.Errorf("%+v became %+v, %v", p, got, err)
		}
		for n := range b {
			if _, err := DecodeTreeReply(b[:n]); err == nil {
				t.Errorf("%+v: %d bytes of %d are taken", p, n, len(b))
			}
		}
	}
	if _, err := DecodeTreeReply(AppendTreeReply(nil, &TreeReply{Code: treeCodeEnd})); err == nil {
		t.Error("an unknown code is taken")
	}
}

// TestLook: what is encoded of a look at a copy is decoded as it was, and nothing else is taken.
func TestLook(t *testing.T) {
	for _, q := range []LookRequest{{Dir: "/a", Name: "b"}, {Chunk: Chunk{Content{7, TreeVersion{1, 2}}, 3}}} {
		b := AppendLookRequest(nil, &q)
		if got, err := DecodeLookRequest(b); err != nil || got != q {
			t.Errorf("%+v became %+v, %v", q, got, err)
		}
		for n := range b {
			if _, err := DecodeLookRequest(b[:n]); err == nil {
				t.Errorf("%+v: %d bytes of %d are taken", q, n, len(b))
			}
		}
	}
	for _, p := range []LookReply{{}, {Corrupt: true}, {Found: true, Version: TreeVersion{1, 2}, Length: 1 << 20, Sum: 1 << 63}} {
		b := AppendLookReply(nil, &p)
		if got, err := DecodeLookReply(b); err != nil || got != p {
			t.Errorf("%+v became %+v, %v", p, got, err)
		}
		for n := range b {
			if _, err := DecodeLookReply(b[:n]); err == nil {
				t.Errorf("%+v: %d bytes of %d are taken", p, n, len(b))
			}
		}
	}
}
