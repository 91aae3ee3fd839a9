// Package network carries the connections between the processes of a cluster on one machine, and
// cuts, loses or delays them when it is told to.
package network
