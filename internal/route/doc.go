// Package route carries requests to the servers that have their keys. It is what the
// client library (client, client/admin) and the gateway have in common, and nobody
// else's API shows it.
//
// A Client knows the newest view, keeps a few connections to each server, and sends
// each request to the primary of its key's partition. It repeats what may be repeated
// until the request's context ends: with one request id over all tries of a mutation,
// so that servers know a retry and it never takes effect twice (client.Client says what
// that promises to people). It goes on without the view leader: it keeps the last view in
// a file, and learns newer ones from the servers.
//
// Client.Do is one operation on one key. A Pipeline carries commands of the Redis
// protocol without waiting for each, a Pinned has a connection of its own for
// transactions.
package route
