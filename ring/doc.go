// Package ring says which servers keep which keys. A view lists the members;
// a key's slot and partition are arithmetic; a Table, computed once per view
// from its members alone, names each partition's target replicas.
//
// Nothing here has a clock, a network or a memory of earlier views: everyone who
// has the same members computes the same Table. DESIGN.md in this folder has the
// figures behind the choice of algorithm.
package ring
