package file

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"viewring/internal/wire"
)

// TestNotBlessed: a chunk that is another than was written, for whatever reason, is not made right by an edit of the file: the
// edit fails, or the checksum tells of it later, as before.
func TestNotBlessed(t *testing.T) {
	ctx := context.Background()
	const chunks = 20
	for what, edit := range map[string]func(f *FS) (Info, error){
		"append":            func(f *FS) (Info, error) { return f.Append(ctx, "/f", bytes.NewReader(pattern(3, 100))) },
		"write a part":      func(f *FS) (Info, error) { return f.Update(ctx, "/f", 40, bytes.NewReader(pattern(3, 50))) },
		"write most":        func(f *FS) (Info, error) { return f.Update(ctx, "/f", 40, bytes.NewReader(pattern(3, 16*14))) },
		"cut the end":       func(f *FS) (Info, error) { return f.Truncate(ctx, "/f", 16*15+3) },
		"leave a beginning": func(f *FS) (Info, error) { return f.Truncate(ctx, "/f", 16*3+3) },
		"lengthen":          func(f *FS) (Info, error) { return f.Truncate(ctx, "/f", 16*100) },
		"into the entry": func(f *FS) (Info, error) {
			f.inline = 1000
			return f.Append(ctx, "/f", bytes.NewReader([]byte("x")))
		},
		"put together": func(f *FS) (Info, error) { return f.Concat(ctx, "/f", []string{"/f", "/f"}, PutOptions{}) },
		"elsewhere":    func(f *FS) (Info, error) { return f.Concat(ctx, "/d/f", []string{"/f", "/f"}, PutOptions{}) },
	} {
		for bad := range uint32(chunks) {
			m := newMemory()
			f := small(m)
			if err := f.Mkdir(ctx, "/d"); err != nil {
				t.Fatal(err)
			}
			if _, err := f.Put(ctx, "/f", bytes.NewReader(pattern(1, 16*chunks)), PutOptions{}); err != nil {
				t.Fatal(err)
			}
			var wrong wire.Chunk
			for c := range m.chunks {
				if c.Index == bad {
					wrong = c
				}
			}
			m.chunks[wrong] = pattern(2, 16)
			path := "/f"
			i, err := edit(f)
			if i.Path != "" {
				path = i.Path
			}
			got, readErr := read(f, path)
			there := bytes.Contains(got, pattern(2, 16)[:3])
			if err == nil && there && !errors.Is(readErr, ErrChecksum) {
				t.Errorf("%s, chunk %d: the file has wrong bytes, and is said to be whole", what, bad)
			}
			if err != nil && !errors.Is(err, ErrChecksum) {
				t.Errorf("%s, chunk %d: %v", what, bad, err)
			}
		}
	}
}
