package server

import (
	"bytes"
	"strings"

	"viewring/internal/wire"
	"viewring/server/replica"
)

// onceCommands are the Redis commands that are one mutation of one key, whose
// recorded answer is all of their reply.
var onceCommands = map[string]bool{
	"SET": true, "SETNX": true, "SETEX": true, "PSETEX": true, "DEL": true, "UNLINK": true, "APPEND": true,
	"INCR": true, "DECR": true, "INCRBY": true, "DECRBY": true, "PERSIST": true,
}

// runOnce is VR.ONCE: a Redis command under a request id.
func (c *conn) runOnce(args [][]byte) error {
	o, err := wire.DecodeOnce(args[0])
	if err != nil {
		c.replyError(wire.CodeErr + " " + err.Error())
		return nil
	}
	name := strings.ToUpper(string(args[1]))
	several := (name == "DEL" || name == "UNLINK") && len(args) > 3
	if !onceCommands[name] || several || name == "SET" && sets(args, "GET") {
		c.replyError(wire.CodeErr + " no request id is possible for this " + quote(args[1]))
		return nil
	}
	c.once = &o
	defer func() { c.once = nil }()
	return c.run(args[1:])
}

// sets reports whether a SET has an option.
func sets(args [][]byte, option string) bool {
	for _, a := range args[min(4, len(args)):] {
		if bytes.EqualFold(a, []byte(option)) {
			return true
		}
	}
	return false
}

// identify gives a mutation the request id of its command, if it has one.
func (c *conn) identify(cl *call) {
	if o := c.once; o != nil {
		cl.known = true
		cl.request.ID = replica.RequestID{Client: o.Client, Number: o.Number, Born: o.Born}
		cl.request.Mark = o.Mark
	}
}
