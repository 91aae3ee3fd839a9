// Package backup copies the keys of a running cluster to a folder or a stream, and back. All keys of
// a partition are copied as they were at one instant; DESIGN.md has the argument, and the format
// byte by byte.
package backup
