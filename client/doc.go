// Package client is the Go library of viewring, a replicated key/value store. Programs
// read and write keys with it, and take locks. What operators do is in package admin.
//
//	c, err := client.Open(ctx, client.Options{Leaders: []string{"localhost:28500"}})
//	if err != nil {
//		return err
//	}
//	defer c.Close()
//	_, err = c.Set(ctx, "greeting", []byte("hello"), client.Always())
//
// # Retries
//
// A Client sends each operation to the server that is responsible for its key, follows
// the cluster as servers come and go, and tries again until there is an answer or the
// operation's context ends. Give each operation a context with a deadline. A write has
// one request id over all its tries: the servers know a retry, and it never takes effect
// twice. Once a Client has found the cluster it goes on without the view leader; it keeps
// where the servers are in a file (Options.ViewCache), from which it also starts without
// it.
//
// # Errors
//
// Errors say what was tried and why it failed; errors.Is tells them apart by the
// variables below. A write that fails with ErrUnknownOutcome may or may not have taken
// effect, or may do so yet; after any other error it has done nothing, and will not.
// Where an operation ended because its context did, the error is also that of the
// context: context.Canceled or context.DeadlineExceeded.
package client
