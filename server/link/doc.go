// Package link is what connects this server to the others of its view. It owns the links,
// this server's epoch with the promises that it gave (node), and the peer epochs: which
// view each other server is known to serve by (Epochs).
//
// A peer is another server. A link is a connection that carries frames one way: this server
// opens one to each peer (Links), and each peer opens one to this server (Receiver). Both
// lose messages when they must: the cores send again what matters.
//
// For each peer of the view a goroutine keeps the link up and sends; while it is up another
// waits for the peer to hang up. RunPings is one more. A link that a peer opened is served
// on the goroutine of its connection. What guards a field stands beside it.
package link
