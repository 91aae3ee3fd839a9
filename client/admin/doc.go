// Package admin is what operators of a viewring cluster do, for programs: see how it
// stands, follow what happens, take servers out of service, and look whether every copy
// is where it belongs. The commands of the command line are made of it. Keys are read and
// written with package client, whose Options and errors this package shares.
//
// Cluster asks the view leader and all servers, Server one server for what is its own.
// ViewLeaders, AddViewLeader and RemoveViewLeader are about the group of view leaders.
//
// The words are those of the project: a cluster's keys are divided into partitions; the
// ring, computed from the view's members, gives each partition its targets, the servers
// that should have a copy; the acting replicas are those that have it and serve now,
// the first of them as its primary. Package ring defines them.
package admin
