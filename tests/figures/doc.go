// Command figures counts what a reader of Go code meets: how long functions and files
// are, how much is exported and how much of that is documented, the share of comments,
// and how many packages of its own module a package imports. It prints a row of a
// Markdown table for each folder that it is given:
//
//	go run ./tests/figures . ~/go/pkg/mod/go.etcd.io/raft/v3@v3.7.0
//
// README.md beside it has the rows of this tree and of some others. Tests, generated code,
// and what lies below vendor or testdata do not count.
package main
