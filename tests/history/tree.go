package history

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"viewring/internal/tree"
)

// TreeKind says what a TreeOp does.
type TreeKind uint8

// The kinds of operations on nodes.
const (
	TreeCreate     TreeKind = iota // Path, Value
	TreeSequential                 // Path without the number, Value → Number
	TreeSet                        // Path, Value, Version → Number: the new version
	TreeGet                        // Path → Value, Number: the version
	TreeRemove                     // Path, Version
	TreeList                       // Path → Names
)

// TreeResult is what came of a TreeOp.
type TreeResult uint8

// The results. TreeUnknown: it may have taken effect, or may yet.
const (
	TreeUnknown TreeResult = iota
	TreeDone
	TreeNoNode
	TreeNoParent
	TreeExists
	TreeNotEmpty
	TreeBadVersion
)

// TreeOp is an operation on a node, and what a client was told.
type TreeOp struct {
	Client  int
	Kind    TreeKind
	Path    string
	Value   string
	Version int64 // only if the node was set so often; -1: any

	Result TreeResult
	Number int64
	Names  []string

	Call, Return time.Duration // Never where the result is unknown
}

// directory is one directory as its history tells it.
type directory struct {
	there bool
	next  int64
	nodes string // of encodeNodes
}

// treeNode is a child in the model.
type treeNode struct {
	name, value string
	version     int64
}

func encodeNodes(nodes []treeNode) string {
	slices.SortFunc(nodes, func(a, b treeNode) int { return cmp.Compare(a.name, b.name) })
	var b strings.Builder
	for _, n := range nodes {
		fmt.Fprintf(&b, "%s\x00%s\x00%d\x01", n.name, n.value, n.version)
	}
	return b.String()
}

func decodeNodes(s string) (nodes []treeNode) {
	for line := range strings.SplitSeq(s, "\x01") {
		if f := strings.Split(line, "\x00"); len(f) == 3 {
			version, _ := strconv.ParseInt(f[2], 10, 64)
			nodes = append(nodes, treeNode{f[0], f[1], version})
		}
	}
	return nodes
}

// treeStep is an operation as one directory sees it: on a child of that name, or on the
// directory itself.
type treeStep struct {
	TreeOp
	name string // "": the directory itself
}

// freeNumber is the name that a sequential node gets, and its number: the next one, or if that
// is taken the next one, two, four and so on behind it.
func freeNumber(nodes []treeNode, prefix string, next int64) (string, int64) {
	for number, far := next, int64(1); ; number, far = next+far, 2*far {
		name := tree.SequentialName(prefix, number)
		if !slices.ContainsFunc(nodes, func(n treeNode) bool { return n.name == name }) {
			return name, number
		}
	}
}

// step returns the directory after the operation; false where the answer cannot be. What
// nobody was told of takes effect if it can: it stands last where it never did.
func (d directory) step(op *treeStep) (directory, bool) {
	if op.name == "" {
		return d.stepItself(op)
	}
	nodes := decodeNodes(d.nodes)
	name := op.name
	if op.Kind == TreeSequential {
		name, d.next = freeNumber(nodes, name, d.next)
	}
	at := slices.IndexFunc(nodes, func(n treeNode) bool { return n.name == name })
	found := at >= 0
	matches := found && (op.Version < 0 || op.Version == nodes[at].version)
	switch op.Result {
	case TreeNoParent:
		return d, !d.there && (op.Kind == TreeCreate || op.Kind == TreeSequential)
	case TreeNoNode:
		return d, !found
	case TreeExists:
		return d, found
	case TreeBadVersion:
		return d, found && !matches
	case TreeNotEmpty:
		return d, found
	}
	told := op.Result == TreeDone
	switch op.Kind {
	case TreeGet:
		return d, matches && nodes[at].value == op.Value && nodes[at].version == op.Number
	case TreeCreate, TreeSequential:
		if !d.there || found || told && op.Kind == TreeSequential && op.Number != d.next {
			return d, !told
		}
		if op.Kind == TreeSequential {
			d.next++
		}
		nodes = append(nodes, treeNode{name: name, value: op.Value})
	case TreeSet:
		if !matches || told && op.Number != nodes[at].version+1 {
			return d, !told
		}
		nodes[at].value = op.Value
		nodes[at].version++
	case TreeRemove:
		if !matches {
			return d, !told
		}
		nodes = slices.Delete(nodes, at, at+1)
	}
	d.nodes = encodeNodes(nodes)
	return d, true
}

// stepItself is step for the creation or removal of the directory, and its list.
func (d directory) stepItself(op *treeStep) (directory, bool) {
	told := op.Result == TreeDone
	switch op.Result {
	case TreeNoParent, TreeNoNode:
		return d, !d.there
	case TreeExists:
		return d, d.there
	case TreeBadVersion:
		return d, d.there
	case TreeNotEmpty:
		return d, d.there && d.nodes != ""
	}
	switch op.Kind {
	case TreeCreate:
		if d.there {
			return d, !told
		}
		return directory{there: true}, true
	case TreeRemove:
		if !d.there || d.nodes != "" {
			return d, !told
		}
		return directory{}, true
	case TreeList:
		var names []string
		for _, n := range decodeNodes(d.nodes) {
			names = append(names, n.name)
		}
		return d, d.there && slices.Equal(names, slices.Sorted(slices.Values(op.Names)))
	}
	return d, true
}

// directoryModel is the checker's idea of a directory; root says that it is always there.
func directoryModel(root bool) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return directory{there: root} },
		Step: func(state, in, _ any) (bool, any) {
			next, ok := state.(directory).step(in.(*treeStep))
			return ok, next
		},
		DescribeOperation: func(in, _ any) string { return fmt.Sprintf("%+v", in) },
	}
}

// CheckTree looks for an order of the operations of each directory that explains every answer:
// those on its children, its lists, and those that create and remove it. It returns "", or
// which directory has none; tooHard counts those for which patience did not suffice.
func CheckTree(ops []TreeOp, patience time.Duration) (why string, tooHard int) {
	byDir := make(map[string][]porcupine.Operation)
	add := func(dir, name string, op *TreeOp) {
		byDir[dir] = append(byDir[dir], porcupine.Operation{ClientId: op.Client, Input: &treeStep{*op, name}, Call: int64(op.Call), Return: int64(op.Return)})
	}
	parents := make(map[string]bool) // of others it is not known when they were created
	for i := range ops {
		dir, _ := tree.Split(ops[i].Path)
		parents[dir] = true
		parents[ops[i].Path] = parents[ops[i].Path] || ops[i].Kind == TreeList || ops[i].Result == TreeNotEmpty
	}
	for i := range ops {
		op := &ops[i]
		if op.Result == TreeUnknown && (op.Kind == TreeGet || op.Kind == TreeList) {
			continue
		}
		if op.Kind == TreeList {
			add(op.Path, "", op)
			continue
		}
		dir, name := tree.Split(op.Path)
		add(dir, name, op)
		if parents[op.Path] && (op.Kind == TreeCreate || op.Kind == TreeRemove) {
			add(op.Path, "", op)
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(byDir)) {
		switch porcupine.CheckOperationsTimeout(directoryModel(dir == tree.Root), byDir[dir], patience) {
		case porcupine.Illegal:
			return fmt.Sprintf("the history of the directory %s has no order", dir), tooHard
		case porcupine.Unknown:
			tooHard++
		}
	}
	return twiceNumbered(ops), tooHard
}

// twiceNumbered finds a path that two sequential nodes were given.
func twiceNumbered(ops []TreeOp) string {
	parents := make(map[string]bool) // that were created more than once: numbers begin anew
	for i := range ops {
		if ops[i].Kind == TreeRemove && (ops[i].Result == TreeDone || ops[i].Result == TreeUnknown) {
			parents[ops[i].Path] = true
		}
	}
	seen := make(map[string]bool)
	for i := range ops {
		op := &ops[i]
		dir, _ := tree.Split(op.Path)
		if op.Kind != TreeSequential || op.Result != TreeDone || parents[dir] {
			continue
		}
		number := fmt.Sprintf("%s %d", dir, op.Number)
		if seen[number] {
			return fmt.Sprintf("the number %d was given twice below %s", op.Number, dir)
		}
		seen[number] = true
	}
	return ""
}
