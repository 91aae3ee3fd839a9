package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: figures FOLDER...\nexample: go run ./tests/figures .")
		os.Exit(2)
	}
	fmt.Println(header)
	for _, dir := range os.Args[1:] {
		f, err := count(dir)
		if err != nil {
			fmt.Fprintln(os.Stderr, "figures:", err)
			os.Exit(1)
		}
		name, err := filepath.Abs(dir)
		if err != nil {
			name = dir
		}
		fmt.Println(f.row(filepath.Base(name)))
	}
}
