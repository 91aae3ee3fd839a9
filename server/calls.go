package server

import (
	"viewring/server/lane"
	"viewring/server/replica"
)

// A connection's calls are what lanes carry out.
var (
	_ lane.Call   = (*call)(nil)
	_ lane.Client = (*conn)(nil)
)

// ToRead implements lane.Call.
func (c *call) ToRead() (r lane.Read, isRead bool) {
	return lane.Read{Partition: c.partition, Key: c.request.Key, Cut: c.cut}, c.isRead
}

// ToWrite implements lane.Call.
func (c *call) ToWrite() *replica.Request {
	c.request.Partition = c.partition
	return &c.request
}

// Look implements lane.Call.
func (c *call) Look() func(*replica.Core) (replica.Answer, bool) { return c.look }

// Complete implements lane.Call.
func (c *call) Complete(a replica.Answer) { c.complete(a) }

// Client implements lane.Call.
func (c *call) Client() lane.Client { return c.conn }
