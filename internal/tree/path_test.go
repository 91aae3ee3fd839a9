package tree

import (
	"errors"
	"strings"
	"testing"
)

// TestCheck: the bounds, to the byte, and what ZooKeeper refuses.
func TestCheck(t *testing.T) {
	for _, path := range []string{"/", "/a", "/a/b", "/...", "/.a", "/a b", "/ü", "/日本", "/{t}", "/\u00a0", "/\ud7ff", "/\uf900", "/\uffef", "/😀",
		"/" + strings.Repeat("n", NameBytesMax), strings.Repeat("/n", DepthMax), strings.Repeat("/"+strings.Repeat("n", 1023), 4)} {
		if err := Check(path); err != nil {
			t.Errorf("%.30q: %v", path, err)
		}
		if path != Root {
			if dir, name := Split(path); Join(dir, name) != path || CheckName(name) != nil || Check(dir) != nil {
				t.Errorf("%.30q is split into %q and %q", path, dir, name)
			}
		}
	}
	for _, path := range []string{"", "a", "//", "/a/", "/a//b", "/.", "/..", "/a/./b", "/a/../b", "/\x00", "/\x1f", "/\x7f", "/\u009f", "/\ue000", "/\uf8ff", "/\ufff0", "/\uffff",
		"/\xff", "/\xed\xa0\x80", "/" + strings.Repeat("n", NameBytesMax+1), strings.Repeat("/n", DepthMax+1), strings.Repeat("/"+strings.Repeat("n", 1023), 4) + "/n"} {
		if err := Check(path); !errors.Is(err, ErrBadPath) {
			t.Errorf("%.30q: %v", path, err)
		}
	}
	if dir, name := Split(Root); dir != "" || Join(dir, name) != Root {
		t.Errorf("the root is split into %q and %q", dir, name)
	}
}
