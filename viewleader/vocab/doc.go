// Package vocab is what servers, clients and the view leader tell each other, and what the
// view leader keeps of it: registrations, events, locks, and the figures of servers. Each
// is defined here once; ring has the rest of the words, for what a view is made of. It
// is pure, as the replicated roster is that uses it.
//
// A type whose bytes are the same in a message and in Raft's log has its codec here. The
// others are encoded where they travel (internal/wire) and where they are stored
// (viewleader/roster), each in its own format.
package vocab
