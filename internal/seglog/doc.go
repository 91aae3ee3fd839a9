// Package seglog is a log-structured store of items by partition: every byte is
// written once, into segment files, and every item is found by one read through an
// index in memory. DESIGN.md, beside this file, says what is on the disk, in which
// order it gets there, and what each crash and each kind of damage leaves. Servers keep
// their values in it (package store), view leaders their log.
package seglog
