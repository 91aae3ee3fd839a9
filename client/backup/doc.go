// Package backup copies the keys, paths, files and records of a running cluster to a folder or a
// stream, and back. All keys of a partition, and all nodes of a directory, are copied as they were
// at one instant; DESIGN.md has the argument, and the format byte by byte.
package backup
