package server

import (
	"viewring/internal/wire"
	"viewring/server/redis"
	"viewring/server/replica"
)

// runOnce is VR.ONCE: a Redis command under a request id.
func (c *conn) runOnce(args [][]byte) error {
	o, err := wire.DecodeOnce(args[0])
	if err != nil {
		c.replyError(wire.CodeErr + " " + err.Error())
		return nil
	}
	if row, rest, errText := redis.Resolve(args[1:]); row == nil || !row.Once || errText == "" && !row.Repeatable(rest) {
		c.replyError(wire.CodeErr + " no request id is possible for this " + quote(args[1]))
		return nil
	}
	c.once = &o
	defer func() { c.once = nil }()
	return c.run(args[1:])
}

// identify gives a mutation the request id of its command, if it has one.
func (c *conn) identify(cl *call) {
	if o := c.once; o != nil {
		cl.known = true
		cl.request.ID = replica.RequestID{Client: o.Client, Number: o.Number, Born: o.Born}
		cl.request.Mark = o.Mark
	}
}
