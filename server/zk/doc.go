// Package zk makes the tree of paths look like ZooKeeper: it speaks ZooKeeper's protocol to its
// clients. It keeps nothing that must outlive a connection: a session is one of the view leader, and
// nodes are on the servers, so a client may go to another front at any time. README.md says what
// is served and what differs, DESIGN.md how the order of events and answers is kept.
package zk
