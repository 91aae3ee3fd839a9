package tree

import (
	"testing"

	"viewring/internal/wire"
	"viewring/server/replica"
)

func TestTold(t *testing.T) {
	created, set, marked := replica.Version{Term: 1, Seq: 2}, replica.Version{Term: 1, Seq: 3}, replica.Version{Term: 1, Seq: 4}
	e := entry{id: wire.TreeVersion(created), modified: wire.TreeVersion(set), value: []byte("v")}
	item := &replica.Item{Value: e.encode()}
	for what, tc := range map[string]struct {
		key     replica.Key
		version replica.Version
		item    *replica.Item
		node    bool
		seen    bool
		bad     bool
	}{
		"a set":                    {key: keyOf("/a", "b"), version: set, item: item, node: true, seen: true},
		"a mark":                   {key: keyOf("/a", "b"), version: marked, item: item},
		"a removal":                {key: keyOf("/a", "b"), version: marked, seen: true},
		"the root":                 {key: keyOf("", "/"), version: set, item: item, node: true, seen: true},
		"a directory's":            {key: keyOf("/a", ""), version: set, item: item},
		"a directory that is gone": {key: keyOf("/a", ""), version: set},
		"another build's":          {key: keyOf("/a", "b"), version: set, item: &replica.Item{Value: []byte{entryFormat + 1}}, seen: true, bad: true},
	} {
		n, seen, err := Told(tc.key, tc.version, tc.item)
		if (n != nil) != tc.node || seen != tc.seen || (err != nil) != tc.bad || n != nil && string(n.Value) != "v" {
			t.Errorf("%s: %+v, %v, %v", what, n, seen, err)
		}
	}
}
