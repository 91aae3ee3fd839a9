// Package harness runs viewring as people run it, for tests: the built binary,
// real processes, real files and ports, and a network between them that a test
// can cut, hold and slow down.
package harness
