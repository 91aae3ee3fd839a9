// Package replica is the replication core of a server: a deterministic state
// machine that keeps the partitions of one lane. It takes messages, client
// requests, ticks and storage completions, each with the present time, and
// hands out batches to persist, messages to send and answers. It does no I/O.
//
// A Core has what the partitions of its lane share. A part is one partition: its copy and
// what the view makes of it. Its primary, learner and repairer do the work of its role, each
// in a phase of its own (STATES.md).
//
// The protocol, its message table and the argument for each invariant are in
// DESIGN.md beside this file.
package replica
