// Package front is the server's side of RESP connections: what servers, view leaders
// and gateways do alike before a command is carried out and after its reply is made. A
// Server accepts, bounds what connections may take, cuts off who is too slow, lets
// nobody in without the password, and writes the replies of a pipeline in the order of
// its commands. A service brings its commands: a Session for each connection.
//
// One goroutine of a connection reads commands and runs them, another writes the
// replies. The first may write too, where a reply is there at once and no other comes
// before it (TakeWriter, WriteAll): that saves a hop between goroutines.
//
// Every limit is one of Limits. DESIGN.md says what becomes of whoever reaches one; Reached
// counts them.
package front
