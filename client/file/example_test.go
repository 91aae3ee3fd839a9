package file_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"viewring/client/file"
)

func Example() {
	ctx := context.Background()
	f, err := file.Open(ctx, file.Options()) // client.Options{Leaders: []string{"localhost:28500"}}
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	_, err = f.Put(ctx, "/docs/poem", strings.NewReader("Rose is a rose"), file.PutOptions{Parents: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err = f.Append(ctx, "/docs/poem", strings.NewReader(" is a rose")); err != nil {
		fmt.Println(err)
		return
	}
	var text strings.Builder
	info, err := f.Get(ctx, "/docs/poem", &text)
	fmt.Println(info.Bytes, text.String(), err)
	_, err = f.Stat(ctx, "/docs/novel")
	fmt.Println(errors.Is(err, fs.ErrNotExist))
	// Output:
	// 24 Rose is a rose is a rose <nil>
	// true
}

// A reader that was opened goes on with the old bytes when the file is replaced.
func ExampleFS_OpenFile() {
	ctx := context.Background()
	f, err := file.Open(ctx, file.Options())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	put := func(text string) {
		if _, err := f.Put(ctx, "/page", strings.NewReader(text), file.PutOptions{}); err != nil {
			fmt.Println(err)
		}
	}
	put("first edition")
	page, err := f.OpenFile(ctx, "/page")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer page.Close()
	put("second edition")
	b, err := io.ReadAll(page)
	fmt.Printf("%s, %v\n", b, err)
	// Output: first edition, <nil>
}

// Any code that reads an fs.FS reads files of the store.
func ExampleFS_FS() {
	ctx := context.Background()
	f, err := file.Open(ctx, file.Options())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	for _, path := range []string{"/site/index.html", "/site/css/main.css"} {
		if _, err := f.Put(ctx, path, strings.NewReader("…"), file.PutOptions{Parents: true}); err != nil {
			fmt.Println(err)
			return
		}
	}
	err = fs.WalkDir(f.FS(ctx), "site", func(name string, _ fs.DirEntry, err error) error {
		fmt.Println(name)
		return err
	})
	fmt.Println(err)
	// Output:
	// site
	// site/css
	// site/css/main.css
	// site/index.html
	// <nil>
}
