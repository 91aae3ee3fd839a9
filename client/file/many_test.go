package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"viewring/client"
	"viewring/internal/wire"
)

// testMany puts files of all kinds over what is there.
func testMany(t *testing.T, f *FS, dir string) {
	ctx := t.Context()
	if err := f.MkdirAll(ctx, dir+"/there"); err != nil {
		t.Fatal(err)
	}
	old := map[string][]byte{"old": pattern(1, 5), "chunks": pattern(2, int(f.inline)+100), "same": pattern(3, 3)}
	for name, b := range old {
		if _, err := f.Put(ctx, dir+"/"+name, bytes.NewReader(b), PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	var some []Small
	for i := range 250 {
		some = append(some, Small{Name: fmt.Sprint("new", i), Bytes: pattern(i, i%8), Attributes: Attributes{ContentType: fmt.Sprint(i)}})
	}
	some = append(some, Small{Name: "sub", Dir: true}, Small{Name: "there", Dir: true}, Small{Name: "old", Bytes: pattern(5, 8)}, Small{Name: "chunks"})
	bad := map[string]error{"..": ErrBadPath, "a/b": ErrBadPath, "long": client.ErrTooLarge, "new0": client.ErrRefused, "much": client.ErrTooLarge}
	for name := range bad {
		s := Small{Name: name}
		switch name {
		case "long":
			s.Bytes = make([]byte, f.inline+1)
		case "much":
			s.Attributes.ContentType = strings.Repeat("c", AttributesMax)
		}
		some = append(some, s)
	}
	for i, m := range f.PutMany(ctx, dir, some, PutOptions{}) {
		name := some[i].Name
		if want := bad[name]; i >= 250 && want != nil {
			if !errors.Is(m.Err, want) || m.Created {
				t.Errorf("%s: %+v", name, m)
			}
			continue
		}
		if there := name == "there" || name == "old" || name == "chunks"; m.Err != nil || m.Created == there {
			t.Errorf("%s: %+v", name, m)
		}
		info, err := f.Stat(ctx, dir+"/"+name)
		if err != nil || info.Dir != some[i].Dir || !info.Attributes.same(some[i].Attributes) {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
		if !info.Dir {
			wantFile(t, f, dir+"/"+name, append([]byte{}, some[i].Bytes...))
		}
	}
	wantFile(t, f, dir+"/same", old["same"])
	for name, want := range map[string]error{"sub": ErrIsDirectory, "old": fs.ErrExist, "brand new": nil} {
		made := f.PutMany(ctx, dir, []Small{{Name: name, Bytes: []byte("x")}}, PutOptions{IfAbsent: true})
		if !errors.Is(made[0].Err, want) || (made[0].Err == nil) != (want == nil) {
			t.Errorf("%s: %+v", name, made)
		}
	}
	wantFile(t, f, dir+"/old", pattern(5, 8))
	for where, want := range map[string]error{"/none": fs.ErrNotExist, "/old": ErrNotDirectory, "/old/x": fs.ErrNotExist, "/a//b": ErrBadPath} {
		if made := f.PutMany(ctx, dir+where, []Small{{Name: "x"}, {Name: "y", Dir: true}}, PutOptions{}); !errors.Is(made[0].Err, want) || !errors.Is(made[1].Err, want) {
			t.Errorf("in %s: %+v", where, made)
		}
	}
	if made := f.PutMany(ctx, dir, []Small{{Name: "old", Dir: true}}, PutOptions{}); !errors.Is(made[0].Err, ErrNotDirectory) {
		t.Errorf("a directory over a file: %+v", made)
	}
	wantFile(t, f, dir+"/old", pattern(5, 8))
}

// TestMany: short files of a directory are put many at a time, and each is what it would be alone.
func TestMany(t *testing.T) {
	m := newMemory()
	testMany(t, small(m), "/many")
	m.tidy(t)
}

// TestManyOnServers is TestMany on servers.
func TestManyOnServers(t *testing.T) {
	testMany(t, connect(t), "/many")
}

// counted counts steps that change something.
type counted struct {
	store
	changes int
}

func (c *counted) Tree(ctx context.Context, name string, q *wire.TreeRequest) (wire.TreeReply, error) {
	if q.Op.Mutates() {
		c.changes++
	}
	return c.store.Tree(ctx, name, q)
}

// TestManySteps: a hundred new files are one step, and so are a hundred that are there, once they have been looked at.
func TestManySteps(t *testing.T) {
	c := &counted{store: newMemory()}
	f := small(c)
	var some []Small
	for i := range 200 {
		some = append(some, Small{Name: fmt.Sprint(i), Bytes: []byte("x")})
	}
	for round, want := range []int{2, 4} {
		c.changes = 0
		for _, m := range f.PutMany(t.Context(), "/", some, PutOptions{}) {
			if m.Err != nil || m.Created != (round == 0) {
				t.Fatal(m)
			}
		}
		if c.changes != want {
			t.Errorf("round %d: %d steps, want %d", round, c.changes, want)
		}
	}
}
