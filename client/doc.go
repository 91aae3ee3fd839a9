// Package client is the Go library of viewring. A Client routes each operation
// by the view that it knows to the primary of the key's partition, follows the
// cluster as it changes, and repeats what may be repeated until the operation's
// context ends: one request id per mutation over all its tries, so that a retry
// never takes effect twice.
//
// A Client goes on without the view leader: it keeps the last view in a file,
// and learns newer ones from the servers.
package client
