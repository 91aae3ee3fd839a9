// Package wire is what viewring's processes say to each other and to clients:
// RESP, the Redis protocol (versions 2 and 3), and the commands and errors of
// the view leader and of the servers, each builder beside its parser.
//
// The codec is bounded: a Reader takes memory for what has arrived, never for
// what a header announces, and refuses what its Limits do not allow. Nothing
// that a peer sends makes it panic.
package wire
