// Package roster is the view leader's replicated state: who is a member, which
// replicas act for each partition, who holds which lock.
//
// It is pure. Commands go in by batches, in the same order at every view leader,
// and everything follows from them: no clock, no randomness, no I/O. Time enters
// only as the stamp that a command carries. DESIGN.md lists the commands with
// what each requires and does.
package roster
