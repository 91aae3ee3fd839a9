package server

import (
	"strconv"
	"strings"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/lane"
	"viewring/server/redis"
	"viewring/server/replica"
)

// runWhole is VR.WHOLE, by which a gateway asks all servers of one view for their
// parts of DBSIZE and FLUSHALL. A server answers only if all of its part was its own,
// under its leases, and its view that one: then no partition is left out or told twice.
// Otherwise it says wire.WholeAgain.
func (c *conn) runWhole(args [][]byte) error {
	epoch, err := strconv.ParseUint(string(args[0]), 10, 64)
	if err != nil {
		c.replyError(wire.CodeErr + " an epoch is a number, not " + quote(args[0]))
		return nil
	}
	row, rest, errText := redis.Resolve(args[1:])
	switch {
	case errText != "" || row.Gateway.Way != redis.ToAll:
		c.replyError(wire.CodeErr + " no server answers for its part of " + quote(args[1]))
		return nil
	case !c.AwaitReplies():
		return errStopped
	}
	v, whole := wire.Value{}, c.view().Epoch == epoch
	if whole { // whose partitions it would be about is clear
		v, whole = redisCommands[row.Index].part(c, rest)
	}
	switch {
	case v.Kind == wire.KindError:
		c.replyValue(v)
	case !whole || c.view().Epoch != epoch:
		c.replyValue(redis.Simple(wire.WholeAgain))
	default:
		c.replyValue(v)
	}
	return nil
}

// countKeys asks the lanes how many keys the partitions that they serve have. whole
// says that these are all that this server is primary of, each under its lease.
func (c *conn) countKeys() (sum int64, whole bool, err error) {
	type count struct {
		keys   int64
		absent bool
	}
	counts := make([]count, len(c.s.lanes))
	told := make(chan struct{}, len(c.s.lanes))
	v := c.view()
	for i := range c.s.lanes {
		cl := &call{conn: c, told: told, look: lane.Only(func(core *replica.Core) {
			now := c.s.opts.Now()
			for p := i; p < len(v.Partitions); p += len(c.s.lanes) {
				id := ring.PartitionID(p)
				if st := core.Inspect(id); st.Serving {
					counts[i].keys += st.Keys
				}
				if c.s.primaryOf(v, id) && !core.Leased(now, id) {
					counts[i].absent = true
				}
			}
		})}
		c.s.lanes.Put(i, lane.Looked(cl))
	}
	for range c.s.lanes {
		select {
		case <-told:
		case <-c.s.ctx.Done():
			return 0, false, errStopped
		}
	}
	whole = true
	for _, n := range counts {
		sum += n.keys
		whole = whole && !n.absent
	}
	return sum, whole, nil
}

func (c *conn) sayDBSize(args [][]byte) wire.Value {
	v, _ := c.partDBSize(args)
	return v
}

func (c *conn) partDBSize([][]byte) (v wire.Value, whole bool) {
	n, whole, err := c.countKeys()
	if err != nil {
		return failed(err), false
	}
	return redis.Number(n), whole
}

// sayFlush is FLUSHALL and FLUSHDB.
func (c *conn) sayFlush(args [][]byte) wire.Value {
	v, _ := c.deleteAll(args)
	return v
}

// partFlush is of all that this server has only if that is under its leases afterwards too.
func (c *conn) partFlush(args [][]byte) (v wire.Value, whole bool) {
	if v, whole = c.deleteAll(args); !whole {
		return v, false
	}
	_, whole, err := c.countKeys()
	if err != nil {
		return failed(err), false
	}
	return v, whole
}

// deleteAll deletes the keys that there are, one by one. One that fails after others were
// deleted leaves open what came of the whole. whole says that none of them has moved.
func (c *conn) deleteAll(args [][]byte) (reply wire.Value, whole bool) {
	if len(args) > 1 || len(args) == 1 && !strings.EqualFold(string(args[0]), "SYNC") && !strings.EqualFold(string(args[0]), "ASYNC") {
		return redis.Fail(redis.ErrSyntax), true
	}
	var calls []*call
	var errText string
	deleted, moved := false, false
	send := func() bool {
		if err := c.askLanes(calls); err != nil {
			deleted, errText = true, failedText(err) // some of them may be
			return false
		}
		for _, cl := range calls {
			text := c.errorText(cl)
			deleted = deleted || text == "" || cl.answer.Status == replica.StatusUnknown
			moved = moved || cl.answer.Status == replica.StatusMoved
			if errText == "" && cl.answer.Status != replica.StatusMoved {
				errText = text
			}
		}
		calls = calls[:0]
		return errText == ""
	}
	err := c.s.walk(0, func(key replica.Key) bool {
		cl := c.newCall(replyCount, []byte(key.Name()))
		cl.request.Op = replica.OpDelete
		calls = append(calls, cl)
		return len(calls) < flushCallsMax || send()
	})
	if err != nil {
		errText = failedText(err)
	} else if errText == "" {
		send()
	}
	switch {
	case errText == "":
		return redis.OK(), !moved
	case deleted:
		return redis.Fail(wire.CodeUnknownOutcome + " some keys are deleted, perhaps not all: " + errText), false
	}
	return redis.Fail(errText), false
}
