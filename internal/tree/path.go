// Package tree has the rules of paths, and the steps by which operations on nodes are
// carried out that concern more than one directory. It asks by a function that it is given,
// so the client library and the simulation run the same steps. Pure.
package tree

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Bounds of paths.
const (
	NameBytesMax = 1024 // of one node
	PathBytesMax = 4096
	DepthMax     = 128 // nodes on a path
)

// Root is the path of the node that is always there.
const Root = "/"

// Separator stands between a directory and a child where they are one name, as in the names of
// keys. No path has it.
const Separator = "\x00"

// ErrBadPath is wrapped by all that Check returns.
var ErrBadPath = errors.New("bad path")

// Check tells what is wrong with a path, or nil. A path is "/", or "/" and a name for each
// node from the root on. What a name may be is as in ZooKeeper (PathUtils.validatePath).
func Check(path string) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrBadPath, fmt.Sprintf(format, args...))
	}
	switch {
	case path == Root:
		return nil
	case path == "":
		return bad("it is empty")
	case path[0] != '/':
		return bad("it must begin with a slash")
	case len(path) > PathBytesMax:
		return bad("%d bytes, at most %d are allowed", len(path), PathBytesMax)
	case strings.Count(path, "/") > DepthMax:
		return bad("more than %d names", DepthMax)
	}
	for name := range strings.SplitSeq(path[1:], "/") {
		if err := CheckName(name); err != nil {
			return err
		}
	}
	return nil
}

// CheckName is Check for the name of one node.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: a name is empty (a slash at the end, or two together)", ErrBadPath)
	case name == "." || name == "..":
		return fmt.Errorf("%w: the name %.200q stands for another node", ErrBadPath, name)
	case len(name) > NameBytesMax:
		return fmt.Errorf("%w: a name of %d bytes, at most %d are allowed", ErrBadPath, len(name), NameBytesMax)
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: the name %.200q is not UTF-8", ErrBadPath, name)
	}
	for _, c := range name {
		if refused(c) {
			return fmt.Errorf("%w: the name %.200q has the character %U", ErrBadPath, name, c)
		}
	}
	return nil
}

// refused reports whether ZooKeeper refuses a character: controls, the private use area with
// the surrogates before it, and the specials at the end of the basic plane.
func refused(c rune) bool {
	return c == '/' || c <= 0x1f || 0x7f <= c && c <= 0x9f || 0xd800 <= c && c <= 0xf8ff || 0xfff0 <= c && c <= 0xffff
}

// Split returns the directory that a node is in, and its name there. Root is the only node
// in "".
func Split(path string) (dir, name string) {
	if path == Root {
		return "", Root
	}
	at := strings.LastIndexByte(path, '/')
	return path[:max(at, 1)], path[at+1:]
}

// Join is the path of a node in a directory.
func Join(dir, name string) string {
	if dir == "" || dir == Root {
		return dir + name
	}
	return dir + "/" + name
}

// SequentialName is the name of a sequential node: in order of numbers, names are in order
// of bytes up to 9,999,999,999.
func SequentialName(name string, number int64) string { return fmt.Sprintf("%s%010d", name, number) }
